#include "shared/chunk/chunker.hpp"

#include <algorithm>
#include <bit>

#include "shared/base/assert.hpp"
#include "shared/chunk/gear.hpp"

namespace lamina {
namespace {

// `bits` ones at the top of the word: those depend on the most bytes, the hash shifts left.
constexpr std::uint64_t top_bits(int bits) { return ~std::uint64_t{0} << (64 - bits); }

// Normalization level 2 of the paper: two bits more before the average size, two fewer behind it.
constexpr int kNormalization = 2;

}  // namespace

std::size_t first_cut(ByteView bytes, const ChunkLimits& limits) {
  LAMINA_ASSERT(!bytes.empty() && limits.min < limits.average && limits.average < limits.max);
  if (bytes.size() <= limits.min) return bytes.size();
  const std::size_t end = std::min<std::size_t>(bytes.size(), limits.max);
  const std::size_t middle = std::min<std::size_t>(end, limits.average);
  const int bits = std::bit_width(limits.average) - 1;
  const std::uint64_t strict = top_bits(bits + kNormalization);
  const std::uint64_t loose = top_bits(bits - kNormalization);

  std::uint64_t hash = 0;
  std::size_t at = limits.min;
  for (; at < middle; ++at) {
    hash = (hash << 1) + kGear[std::to_integer<std::uint8_t>(bytes[at])];
    if ((hash & strict) == 0) return at + 1;
  }
  for (; at < end; ++at) {
    hash = (hash << 1) + kGear[std::to_integer<std::uint8_t>(bytes[at])];
    if ((hash & loose) == 0) return at + 1;
  }
  return end;
}

Status Chunker::update(ByteView piece, const Emit& emit) {
  pending_.insert(pending_.end(), piece.begin(), piece.end());
  return cut_all(false, emit);
}

Status Chunker::finish(const Emit& emit) {
  auto done = cut_all(true, emit);
  pending_.clear();
  return done;
}

Status Chunker::cut_all(bool at_end, const Emit& emit) {
  ByteView rest = pending_;
  while (at_end ? !rest.empty() : rest.size() >= limits_.max) {
    const std::size_t size = first_cut(rest, limits_);
    if (auto done = emit(rest.first(size)); !done) return done;
    rest = rest.subspan(size);
  }
  pending_.erase(pending_.begin(), pending_.end() - static_cast<std::ptrdiff_t>(rest.size()));
  return Done{};
}

}  // namespace lamina
