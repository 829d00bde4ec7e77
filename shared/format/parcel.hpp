// Parcel: one piece of a device's upload on its way through a relay of its site: a pack, or the
// snapshot record that comes last. The head is open and signed by the device, so that the origin
// knows whose it is; the content is a sealed box that only the origin opens.
//
//   parcel = head, the device's public key, its signature of the head, the box
//
// The box's context is the head's device, sequence, number, kind and snapshot: a box does not open
// under another head. All parcels of one snapshot have its sequence and count on from 0; the
// snapshot's record is the last. See FORMAT.md, "Parcel". Values; any thread.
#pragma once

#include "shared/format/record.hpp"
#include "shared/hash/sealed_box.hpp"
#include "shared/hash/sha256.hpp"

namespace lamina::format {

using ParcelId = ByteId<struct ParcelTag, 32>;  // SHA-256 of the signed bytes of the head.

enum class ParcelKind : std::uint8_t { pack = 1, snapshot = 2 };

// A parcel's bytes before the box are at most so many, and its box is at most a sealed pack.
constexpr std::size_t kParcelFrontMax = 1024;
inline const std::uint64_t kParcelBoxMax = sealed_size(kPackBytesMax);

struct ParcelHead {
  DeviceId device;
  std::uint64_t sequence = 0;  // Of the snapshot that it belongs to.
  std::uint32_t number = 0;    // Its place among the snapshot's parcels.
  ParcelKind kind = ParcelKind::pack;
  SnapshotId snapshot;  // Of kind snapshot; none for packs.
  std::uint64_t box_size = 0;
  Sha256Digest box_digest{};
  bool operator==(const ParcelHead&) const = default;
};

// What stands before the box.
struct ParcelFront {
  ParcelHead head;
  Buffer public_key;  // The device's key: SubjectPublicKeyInfo, DER.
  Buffer signature;   // Of signed_bytes(head), made with that key.
  bool operator==(const ParcelFront&) const = default;
};

Buffer encode(const ParcelFront& front);
// From the first bytes of a parcel, kParcelFrontMax of them or all that there are. `size`: how many
// of them the front has; the box follows. Key and signature are not judged here.
struct ParsedParcel {
  ParcelFront front;
  std::size_t size = 0;
};
Result<ParsedParcel> parse_parcel(ByteView bytes);

// What the device signs, and what its box is sealed with.
Buffer signed_bytes(const ParcelHead& head);
Buffer box_context(const ParcelHead& head);
ParcelId parcel_id(const ParcelHead& head);

}  // namespace lamina::format
