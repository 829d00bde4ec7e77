// Calls, jumps and data references of x86-64 code, as places in the image instead of distances.
//
// A rebuilt program calls the same functions from other places: every distance differs, although
// few targets moved. Written as a place in the image (m: libxul.so of two builds, zstd level 9 with
// the old one as prefix: 55.3 -> 49.7 MB), the bytes of both builds look alike. Where little moved
// it is the other way round, so that it pays only when tried.
//
// Source of the idea: the "BCJ" filters of 7-Zip and xz; these know 32-bit distances of E8, E9 and
// 0F 8x, to which come references relative to RIP. The change is a permutation of the values in the
// image's range, so that no value needs an escape, and undoing it finds the same instructions: an
// opcode's bytes are never changed, and no pattern looks at a byte that is part of the distance of
// an instruction that begins behind it. Pure; any thread.
#pragma once

#include <cstdint>
#include <span>

#include "shared/base/bytes.hpp"

namespace lamina::delta {

// Changes `code` in place, which lies at `address` of an image of `image_size` bytes. Returns how
// many bytes from the front on stay as they are now when more code follows: the rest, fewer than 8,
// was left alone, and belongs before what follows.
// Preconditions: address + code.size() <= image_size <= 2^31 - 1.
std::size_t to_places(std::span<std::byte> code, std::uint64_t address, std::uint64_t image_size);
// Undoes to_places() with the same numbers. Returns the same as that.
std::size_t to_distances(std::span<std::byte> code, std::uint64_t address,
                         std::uint64_t image_size);

}  // namespace lamina::delta
