#include "shared/format/parcel.hpp"

namespace lamina::format {
namespace {

constexpr std::string_view kMagic = "LMpa";
constexpr std::uint8_t kVersion = 1;
constexpr std::string_view kDomain = "lamina parcel signature v1";
constexpr std::size_t kKeyMax = 512;
constexpr std::size_t kSignatureMax = 128;

void write_place(const ParcelHead& head, Writer& out) {
  out.raw(head.device.bytes());
  out.varint(head.sequence);
  out.varint(head.number);
  out.raw(head.snapshot.bytes());
}

void write_head(const ParcelHead& head, Writer& out) {
  out.raw(as_view(kMagic));
  out.u8(kVersion);
  out.u8(static_cast<std::uint8_t>(head.kind));
  out.u16(0);  // Required features: none exist.
  write_place(head, out);
  out.varint(head.box_size);
  out.raw(head.box_digest);
}

Result<ParcelHead> read_head(Reader& in) {
  const bool magic = as_text(in.raw(4)) == kMagic;
  const std::uint8_t version = in.u8();
  const std::uint8_t kind = in.u8();
  const std::uint16_t features = in.u16();
  if (in.failed() || !magic) return fail(ErrorKind::corrupt, "not a parcel");
  if (version != kVersion)
    return fail(ErrorKind::invalid, "the parcel has version " + std::to_string(version) +
                                        "; this program reads version 1");
  if (features != 0)
    return fail(ErrorKind::invalid, "the parcel needs features that this program lacks (bits " +
                                        std::to_string(features) + "): install a newer version");
  ParcelHead head;
  head.kind = static_cast<ParcelKind>(kind);
  head.device = in.id<DeviceId>();
  head.sequence = in.varint();
  head.number = static_cast<std::uint32_t>(in.varint(UINT32_MAX));
  head.snapshot = in.id<SnapshotId>();
  head.box_size = in.varint(kParcelBoxMax);
  const auto digest = in.id<ByteId<struct BoxDigestTag, 32>>();
  std::memcpy(head.box_digest.data(), digest.bytes().data(), head.box_digest.size());
  const bool known = head.kind == ParcelKind::pack || head.kind == ParcelKind::snapshot;
  const bool fits = (head.kind == ParcelKind::snapshot) != head.snapshot.is_none();
  if (!in.failed() && (!known || !fits))
    return fail(ErrorKind::invalid, "the parcel is of no known kind");
  return head;
}

}  // namespace

Buffer encode(const ParcelFront& front) {
  Writer out;
  write_head(front.head, out);
  out.bytes(front.public_key);
  out.bytes(front.signature);
  return out.take();
}

Result<ParsedParcel> parse_parcel(ByteView bytes) {
  Reader in(bytes.first(std::min(bytes.size(), kParcelFrontMax)));
  auto head = read_head(in);
  if (!head) return fail(std::move(head.error()));
  ParsedParcel parsed{.front = {.head = *head, .public_key = {}, .signature = {}}};
  parsed.front.public_key = to_buffer(in.bytes(kKeyMax));
  parsed.front.signature = to_buffer(in.bytes(kSignatureMax));
  if (in.failed())
    return fail(ErrorKind::corrupt, "the parcel's head is cut off or breaks a limit");
  parsed.size = in.offset();
  return parsed;
}

Buffer signed_bytes(const ParcelHead& head) {
  Writer out;
  out.text(kDomain);
  write_head(head, out);
  return out.take();
}

Buffer box_context(const ParcelHead& head) {
  Writer out;
  out.u8(static_cast<std::uint8_t>(head.kind));
  write_place(head, out);
  return out.take();
}

ParcelId parcel_id(const ParcelHead& head) { return digest<ParcelId>(signed_bytes(head)); }

}  // namespace lamina::format
