// The names of things: content by digest, devices and sites by issued id.
//
// Full hex in files and on the wire, 8 digits (`short_hex`) in logs. An id of one kind does not
// convert to another. Plain values; any thread.
#pragma once

#include <array>
#include <compare>
#include <cstring>
#include <functional>

#include "shared/base/bytes.hpp"

namespace lamina {

// N bytes that name a thing; Tag keeps the kinds apart.
template <class Tag, std::size_t N>
class ByteId {
 public:
  static constexpr std::size_t kSize = N;

  constexpr ByteId() = default;  // All zero: "none". No real thing has it.
  explicit constexpr ByteId(const std::array<std::byte, N>& bytes) : bytes_(bytes) {}

  // `invalid` unless `text` is exactly 2 * N hex digits.
  static Result<ByteId> parse(std::string_view text) {
    if (text.size() != 2 * N)
      return fail(ErrorKind::invalid, "an id of " + std::to_string(2 * N) +
                                          " hex digits is needed, not '" + printable(text, 80) +
                                          "'");
    auto bytes = from_hex(text);
    if (!bytes) return fail(std::move(bytes.error()));
    return from_bytes(*bytes);
  }

  // `invalid` unless `bytes` has exactly N bytes.
  static Result<ByteId> from_bytes(ByteView bytes) {
    if (bytes.size() != N) return fail(ErrorKind::invalid, "an id has the wrong length");
    ByteId id;
    std::memcpy(id.bytes_.data(), bytes.data(), N);
    return id;
  }

  ByteView bytes() const { return bytes_; }
  std::string hex() const { return to_hex(bytes_); }
  std::string short_hex() const { return to_hex(ByteView(bytes_).first(4)); }
  bool is_none() const { return *this == ByteId{}; }

  auto operator<=>(const ByteId&) const = default;

  // The first eight bytes as a number: a hash table key for ids that are digests already.
  std::uint64_t prefix() const {
    std::uint64_t value = 0;
    std::memcpy(&value, bytes_.data(), sizeof value);
    return value;
  }

 private:
  std::array<std::byte, N> bytes_{};
};

using ChunkId = ByteId<struct ChunkTag, 32>;        // SHA-256 of the chunk's plain bytes.
using PackId = ByteId<struct PackTag, 32>;          // BEP 52 pieces root of the pack's bytes.
using LayerId = ByteId<struct LayerTag, 32>;        // SHA-256 of the signed layer record.
using SnapshotId = ByteId<struct SnapshotTag, 32>;  // SHA-256 of the snapshot record.
using TorrentId = ByteId<struct TorrentTag, 32>;    // BEP 52 (v2) info-hash.
using DeviceId = ByteId<struct DeviceTag, 16>;      // Issued by the origin at enrolment.

// For hash tables keyed by an id.
struct IdHash {
  template <class Tag, std::size_t N>
  std::size_t operator()(const ByteId<Tag, N>& id) const {
    return static_cast<std::size_t>(id.prefix());
  }
};

}  // namespace lamina
