#include "shared/os/gzip.hpp"

#include "shared/os/filter.hpp"

namespace lamina::os {
namespace {

constexpr std::size_t kVersionTextMax = 4096;
// Stored blocks of 32 KiB with 5 bytes each (RFC 1951, 3.2.4), the header and the trailer.
std::size_t gzip_bound(std::uint64_t size) {
  return static_cast<std::size_t>(size + size / 4096 + 64);
}

}  // namespace

std::optional<std::string> gzip_version() {
  Buffer said;
  const auto done = run_filter({"gzip", "--version"}, pieces_of({}), append_to(said),
                               {.output_max = kVersionTextMax});
  if (!done) return std::nullopt;
  constexpr std::string_view kBefore = "gzip ";
  const std::string_view line = as_text(said).substr(0, as_text(said).find('\n'));
  if (!line.starts_with(kBefore) || line.size() == kBefore.size()) return std::nullopt;
  return std::string(line.substr(kBefore.size()));
}

Status gzip(const NextPiece& next, std::uint64_t plain_size, int level, const TakePiece& take) {
  return run_filter({"gzip", "-" + std::to_string(level), "-n"}, next, take,
                    {.output_max = gzip_bound(plain_size)});
}

}  // namespace lamina::os
