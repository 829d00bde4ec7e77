// A directory for one test, gone when the test ends.
#pragma once

#include <catch2/catch.hpp>
#include <string>

#include "shared/os/file.hpp"

namespace lamina::tests {

class Scratch {
 public:
  Scratch() : directory_(os::TemporaryDirectory::make(os::temporary_root(), "lamina-test-")) {
    REQUIRE(directory_);
  }
  const std::string& path() const { return directory_->path(); }
  std::string operator/(const std::string& name) const { return path() + '/' + name; }

 private:
  Result<os::TemporaryDirectory> directory_;
};

}  // namespace lamina::tests
