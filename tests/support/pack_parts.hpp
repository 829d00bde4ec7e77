// Files of which some ranges are there, as a swarm leaves them.
#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <catch2/catch.hpp>

#include "shared/store/pack_part.hpp"

namespace lamina::tests {

inline void overwrite(const std::string& path, std::uint64_t at, std::string_view bytes) {
  const os::Descriptor file(::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
  REQUIRE(os::write_all_at(file.get(), as_view(bytes), at, path));
}

// `to` has as many bytes as `from` afterwards; outside of the ranges what it had, or holes.
inline void copy_ranges(const std::string& from, const std::string& to, std::uint64_t size,
                        const std::vector<ByteRange>& ranges) {
  const auto source = os::open_read(from);
  REQUIRE(source);
  for (const ByteRange& range : ranges) {
    const auto bytes = os::read_at(source->get(), range.begin, range.end - range.begin, from);
    REQUIRE(bytes);
    overwrite(to, range.begin, as_text(*bytes));
  }
  const os::Descriptor file(::open(to.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
  REQUIRE(::ftruncate(file.get(), static_cast<off_t>(size)) == 0);
}

}  // namespace lamina::tests
