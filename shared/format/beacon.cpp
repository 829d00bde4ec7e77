#include "shared/format/beacon.hpp"

namespace lamina::format {
namespace {

constexpr std::string_view kMagic = "LMbc";
constexpr std::uint8_t kVersion = 1;
constexpr std::string_view kDomain = "lamina beacon signature v1";
constexpr std::size_t kSignatureMax = 128;

void write_body(const Beacon& beacon, Writer& out) {
  out.text(beacon.site);
  out.raw(beacon.device.bytes());
  out.varint(beacon.counter);
  out.varint(beacon.port);
  out.varint(beacon.relay_port);
  out.varint(beacon.list_sequence);
  out.varint(beacon.layers.size());
  for (const BeaconLayer& layer : beacon.layers) {
    out.raw(layer.layer.bytes());
    out.u8(layer.is_complete ? 1 : 0);
  }
}

}  // namespace

Buffer signed_bytes(const Beacon& beacon) {
  Writer out;
  out.text(kDomain);
  write_body(beacon, out);
  return out.take();
}

Buffer encode(const SignedBeacon& beacon) {
  Writer out;
  out.raw(as_view(kMagic));
  out.u8(kVersion);
  out.u8(0);
  out.u16(0);  // Required features: none exist.
  write_body(beacon.beacon, out);
  out.bytes(beacon.certificate);
  out.bytes(beacon.signature);
  return out.take();
}

Result<SignedBeacon> parse_beacon(ByteView datagram) {
  if (datagram.size() > kBeaconMax)
    return fail(ErrorKind::invalid, "the beacon is larger than 1400 bytes");
  Reader in(datagram);
  const bool magic = as_text(in.raw(4)) == kMagic;
  const std::uint8_t version = in.u8();
  const std::uint8_t reserved = in.u8();
  const std::uint16_t features = in.u16();
  if (in.failed() || !magic || reserved != 0) return fail(ErrorKind::corrupt, "not a beacon");
  if (version != kVersion || features != 0)
    return fail(ErrorKind::invalid, "the beacon needs a newer version of this program (version " +
                                        std::to_string(version) + ", features " +
                                        std::to_string(features) + ")");
  SignedBeacon read;
  Beacon& beacon = read.beacon;
  beacon.site = in.text(kNameMax);
  beacon.device = in.id<DeviceId>();
  beacon.counter = in.varint();
  beacon.port = static_cast<std::uint16_t>(in.varint(65535));
  beacon.relay_port = static_cast<std::uint16_t>(in.varint(65535));
  beacon.list_sequence = in.varint();
  const std::uint64_t count = in.count(LayerId::kSize + 1);
  if (count > kBeaconLayersMax) in.set_failed();
  for (std::uint64_t i = 0; i < count && !in.failed(); ++i) {
    const auto layer = in.id<LayerId>();
    const std::uint8_t complete = in.u8();
    if (complete > 1) in.set_failed();
    beacon.layers.push_back({layer, complete == 1});
  }
  read.certificate = to_buffer(in.bytes(kBeaconMax));
  read.signature = to_buffer(in.bytes(kSignatureMax));
  if (!in.finished()) return fail(ErrorKind::corrupt, "the beacon is cut off or breaks a limit");
  return read;
}

}  // namespace lamina::format
