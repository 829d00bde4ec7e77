// Shares: the parts into which the pieces of all packs are divided, so that several reflectors of a
// site fetch different ones. There are always twelve, a number that 1, 2, 3 and 4 divide; which
// piece belongs to which is in shared/policy/shares.hpp. A ShareSet is a set of them. Plain values;
// any thread.
#pragma once

#include <bit>
#include <cstdint>

namespace lamina {

class ShareSet {
 public:
  static constexpr int kCount = 12;

  constexpr ShareSet() = default;  // Empty.
  static constexpr ShareSet all() { return ShareSet((1U << kCount) - 1); }
  static constexpr ShareSet one(int share) { return ShareSet(1U << share); }
  // Bit i is share i; bits that are no share are left out.
  static constexpr ShareSet from_bits(std::uint32_t bits) { return ShareSet(bits & all().bits_); }

  constexpr std::uint32_t bits() const { return bits_; }
  constexpr int size() const { return std::popcount(bits_); }
  constexpr bool empty() const { return bits_ == 0; }
  constexpr bool is_all() const { return *this == all(); }
  constexpr bool has(int share) const { return (bits_ >> share & 1U) != 0; }
  constexpr bool overlaps(ShareSet other) const { return (bits_ & other.bits_) != 0; }

  // Its `count` lowest, or highest, shares; all when it has no more.
  constexpr ShareSet lowest(int count) const {
    ShareSet rest = *this;
    for (; count > 0 && !rest.empty(); --count) rest.bits_ &= rest.bits_ - 1;
    return *this - rest;
  }
  constexpr ShareSet highest(int count) const {
    return count >= size() ? *this : *this - lowest(size() - count);
  }

  constexpr ShareSet operator|(ShareSet other) const { return ShareSet(bits_ | other.bits_); }
  constexpr ShareSet operator-(ShareSet other) const { return ShareSet(bits_ & ~other.bits_); }
  constexpr bool operator==(const ShareSet&) const = default;

 private:
  explicit constexpr ShareSet(std::uint32_t bits) : bits_(bits) {}
  std::uint32_t bits_ = 0;
};

}  // namespace lamina
