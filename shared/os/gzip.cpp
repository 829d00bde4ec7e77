#include "shared/os/gzip.hpp"

#include "shared/os/filter.hpp"

namespace lamina::os {
namespace {

constexpr std::size_t kVersionTextMax = 4096;
// Stored blocks of 32 KiB with 5 bytes each (RFC 1951, 3.2.4), the header and the trailer.
std::size_t gzip_bound(std::size_t size) { return size + size / 4096 + 64; }

// Against a program that hangs: a hundredth of what it codes (m: 20 MB/s), for a machine that has
// much other work. An initramfs of 130 MB takes more than a minute on one.
Duration time_max(std::size_t size) {
  constexpr std::size_t kBytesPerSecond = std::size_t{200} << 10;
  return std::chrono::minutes{1} + std::chrono::seconds{size / kBytesPerSecond};
}

}  // namespace

std::optional<std::string> gzip_version() {
  const auto said = run_filter({"gzip", "--version"}, {}, kVersionTextMax);
  if (!said) return std::nullopt;
  constexpr std::string_view kBefore = "gzip ";
  const std::string_view line = as_text(*said).substr(0, as_text(*said).find('\n'));
  if (!line.starts_with(kBefore) || line.size() == kBefore.size()) return std::nullopt;
  return std::string(line.substr(kBefore.size()));
}

Result<Buffer> gzip(ByteView plain, int level) {
  return run_filter({"gzip", "-" + std::to_string(level), "-n"}, plain, gzip_bound(plain.size()),
                    time_max(plain.size()));
}

}  // namespace lamina::os
