// Parcels: uploads that a relay of the device's site passes on. The relay is believed in nothing:
// the head is signed with the device's key, the content is sealed for the origin and checked as if
// the device had sent it itself.
#include "origin/api/api.hpp"
#include "shared/base/log.hpp"
#include "shared/format/parcel.hpp"
#include "shared/net/key_signature.hpp"
#include "shared/wire/error.hpp"
#include "shared/wire/protocol.hpp"

namespace lamina::origin {
namespace {

net::Response answer(std::string state, std::string text = "") {
  return net::json_response(wire::to_json(wire::ParcelReply{std::move(state), std::move(text)}));
}

// (slow) The content of the parcel at `path`, into `to`. `refused` or `corrupt`: it is not what the
// device sealed.
Status open_parcel(const std::string& path, const std::string& to, const BoxPrivateKey& key,
                   const std::string& key_fingerprint) {
  auto file = os::open_read(path);
  if (!file) return fail(std::move(file.error()));
  auto front = os::read_up_to(file->get(), format::kParcelFrontMax, path);
  if (!front) return fail(std::move(front.error()));
  auto parcel = format::parse_parcel(*front);
  if (!parcel) return fail(std::move(parcel.error()));
  const format::ParcelHead& head = parcel->front.head;
  if (auto proven = net::verify_with_key({parcel->front.public_key, parcel->front.signature},
                                         key_fingerprint, format::signed_bytes(head));
      !proven)
    return proven;

  auto out = os::open_write(to);
  if (!out) return fail(std::move(out.error()));
  BoxOpener opener(key, format::box_context(head),
                   [&](ByteView bytes) { return os::write_all(out->get(), bytes, to); });
  Sha256 hasher;
  std::uint64_t size = 0;
  const auto take = [&](ByteView bytes) -> Status {
    hasher.update(bytes);
    size += bytes.size();
    return opener.update(bytes);
  };
  if (auto done = take(ByteView(*front).subspan(parcel->size)); !done) return done;
  Buffer step(256 * 1024);
  for (;;) {
    auto count = os::read_some(file->get(), step, path);
    if (!count) return fail(std::move(count.error()));
    if (*count == 0) break;
    if (auto done = take(ByteView(step).first(*count)); !done) return done;
  }
  if (auto done = opener.finish(); !done) return done;
  if (size != head.box_size || hasher.finish() != head.box_digest)
    return fail(ErrorKind::corrupt, "the parcel's box is not the one that its head names");
  return os::sync_data(out->get(), to);
}

bool is_final(ErrorKind kind) {
  return kind != ErrorKind::unavailable && kind != ErrorKind::out_of_space;
}

}  // namespace

void Api::take_parcel(const DeviceId& relay, const std::string& id, const net::Request& request,
                      const Reply& reply, Moment moment) {
  const auto store = [&](const char* what) -> Result<std::shared_ptr<os::TemporaryFile>> {
    auto path = content_->cvds().files().new_temporary();
    if (!path) return fail(std::move(path.error()).in(what));
    return std::make_shared<os::TemporaryFile>(*path);
  };
  auto sealed = store("taking a parcel");
  if (!sealed) return reply(net::error_response(sealed.error()));
  const Status moved = request.body_file.empty()
                           ? os::write_file((*sealed)->path(), as_view(request.body), 0600)
                           : os::rename_file(request.body_file.string(), (*sealed)->path());
  if (!moved) return reply(net::error_response(moved.error()));
  auto file = os::open_read((*sealed)->path());
  if (!file) return reply(net::error_response(file.error()));
  auto front = os::read_up_to(file->get(), format::kParcelFrontMax, (*sealed)->path());
  if (!front) return reply(net::error_response(front.error()));
  auto parsed = format::parse_parcel(*front);
  if (!parsed) return reply(answer("refused", parsed.error().text()));
  const format::ParcelHead head = parsed->front.head;
  if (format::parcel_id(head).hex() != id)
    return reply(answer("refused", "the parcel has another id than the request says"));
  auto judged = judge_parcel(head);
  if (!judged) {
    return reply(is_final(judged.error().kind()) ? answer("refused", judged.error().text())
                                                 : net::error_response(judged.error()));
  }
  if (!judged->state.empty()) return reply(answer(judged->state));

  auto opened = store("opening a parcel");
  if (!opened) return reply(net::error_response(opened.error()));
  offload_([this, relay, head, reply, moment, sealed = *sealed, content = *opened,
            fingerprint = judged->key_fingerprint]() -> std::function<void()> {
    const auto done = open_parcel(sealed->path(), content->path(), *keys_.relay, fingerprint);
    auto pack = !done || head.kind != format::ParcelKind::pack
                    ? Result<FileIdentity>(FileIdentity{})
                    : identify(content->path());
    return [this, relay, head, reply, moment, content, done, pack = std::move(pack)] {
      const Status good = done ? pack ? Status(Done{}) : Status(fail(pack.error())) : done;
      if (!good && is_final(good.error().kind())) {
        // Who sealed it is not proven: the device hears nothing of it.
        log::warning("parcel_refused", {{"device", head.device},
                                        {"relay", relay},
                                        {"sequence", head.sequence},
                                        {"why", good.error().text()}});
        return reply(answer("refused", good.error().text()));
      }
      if (!good) return reply(net::error_response(good.error()));
      keep_parcel(relay, head, content->path(), pack->id, reply, moment);
    };
  });
}

Result<Api::JudgedParcel> Api::judge_parcel(const format::ParcelHead& head) const {
  if (!keys_.relay) return fail(ErrorKind::refused, "this origin takes no uploads through relays");
  auto device = catalog_.device(head.device);
  if (!device) return fail(std::move(device.error()));
  if (device->status != wire::DeviceStatus::assigned)
    return fail(ErrorKind::refused, "device " + head.device.hex() + " is not assigned");
  if (device->uploads_wait) return fail(ErrorKind::unavailable, *device->uploads_wait);
  auto fingerprint = catalog_.key_fingerprint(head.device);
  if (!fingerprint) return fail(std::move(fingerprint.error()));
  JudgedParcel judged{.key_fingerprint = *fingerprint, .state = {}};
  if (head.kind == format::ParcelKind::snapshot) {
    auto known = catalog_.has_snapshot(head.device, head.snapshot);
    if (!known) return fail(std::move(known.error()));
    if (*known) judged.state = "kept";  // The answer to the first time was lost.
  }
  auto newest = catalog_.newest_snapshot(head.device);
  if (!newest) return fail(std::move(newest.error()));
  if (*newest && judged.state.empty()) {
    auto bytes = content_->snapshot_record((*newest)->id);
    if (!bytes) return fail(ErrorKind::unavailable, bytes.error().text());
    auto record = format::parse_snapshot(*bytes);
    if (!record) return fail(ErrorKind::unavailable, record.error().text());
    // The device counts on with every snapshot that it makes: this one is overtaken, or replayed.
    // Another device's, with a CVD that was taken over, says nothing of this one.
    if (record->device == head.device && record->sequence >= head.sequence)
      judged.state = "superseded";
  }
  return judged;
}

void Api::keep_parcel(const DeviceId& relay, const format::ParcelHead& head,
                      const std::string& content, const PackId& pack, const Reply& reply,
                      Moment moment) {
  // What a direct upload answers, told to the relay: kept, given up for good, or try again.
  const auto told = [this, relay, head, reply](net::Response response) {
    const bool is_pack = head.kind == format::ParcelKind::pack;
    judged_uploads_.insert(head.device);
    if (response.status < 300) {
      log::info(is_pack ? "parcel_taken" : "snapshot_relayed", {{"device", head.device},
                                                                {"relay", relay},
                                                                {"sequence", head.sequence},
                                                                {"bytes", head.box_size}});
      return reply(answer(is_pack ? "taken" : "kept"));
    }
    if (response.status >= 500) return reply(std::move(response));
    const std::string why = response.status == 409
                                ? std::to_string(response.body.size() / ChunkId::kSize) +
                                      " chunks are lacking for the snapshot"
                                : wire::parse_error(response.status, response.body).text();
    log::warning(
        "parcel_refused",
        {{"device", head.device}, {"relay", relay}, {"sequence", head.sequence}, {"why", why}});
    relays_.refused(head.device, head.sequence);
    reply(answer("refused", why));
  };
  if (head.kind == format::ParcelKind::pack) {
    net::Request direct;
    direct.body_file = content;
    return take_cvd_pack(head.device, direct, pack, told);
  }
  auto record = os::read_file(content, format::kRecordMax);
  if (!record) return told(net::error_response(record.error()));
  const auto parsed = format::parse_snapshot(*record);
  if (format::snapshot_id(*record) != head.snapshot ||
      (parsed && parsed->sequence != head.sequence))
    return told(net::error_response(
        Error(ErrorKind::invalid, "the parcel holds another snapshot than its head says")));
  commit_snapshot(head.device, std::move(*record), told, moment);
}

std::string Api::handed_state(const wire::DeviceInfo& device, const wire::HandedSnapshot& handed,
                              Moment moment) const {
  const auto known = catalog_.has_snapshot(device.id, handed.snapshot);
  if (known && *known) return "protected";
  return std::string(relays_.state_of(device.id, device.site, handed, moment.now));
}

}  // namespace lamina::origin
