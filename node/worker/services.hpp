// Services: the service manager of the system that runs from the volume. One thread.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "shared/os/beneath.hpp"

namespace lamina::node {

class Services {
 public:
  virtual ~Services() = default;
  // Whether the unit runs; one that there is not does not.
  virtual Result<bool> is_active(const std::string& unit) = 0;
  // Come back when it is done. An error names the unit.
  virtual Status stop(const std::string& unit) = 0;
  virtual Status restart(const std::string& unit) = 0;  // Starts one that is stopped.
};

// systemd, by systemctl of the tree "/".
class Systemd : public Services {
 public:
  // `root` is "/", and must outlive the object.
  explicit Systemd(const os::Root& root) : root_(root) {}
  Result<bool> is_active(const std::string& unit) override;
  Status stop(const std::string& unit) override;
  Status restart(const std::string& unit) override;

 private:
  Status carry_out(const char* verb, const std::string& unit);
  const os::Root& root_;
};

}  // namespace lamina::node
