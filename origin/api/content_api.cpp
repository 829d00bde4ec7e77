// The calls that carry content: packs, records, torrents, snapshots. All of them answer through
// `reply`, most after work on another thread.
#include <algorithm>
#include <charconv>
#include <fstream>
#include <set>

#include "origin/api/api.hpp"
#include "origin/api/path.hpp"
#include "origin/catalog/secret.hpp"
#include "shared/base/log.hpp"
#include "shared/format/needed_packs.hpp"
#include "shared/format/signed_layer.hpp"
#include "shared/wire/protocol.hpp"
#include "shared/wire/restore.hpp"

namespace lamina::origin {
namespace {

constexpr Bytes kSmallBody = wire::kMessageMax;

std::string text_of(const Buffer& bytes) { return std::string(as_text(bytes)); }

net::Response answer(Result<Buffer> bytes) {
  return bytes ? net::binary_response(text_of(*bytes)) : net::error_response(bytes.error());
}

net::Response answer(const Result<std::vector<ChunkId>>& ids, int status = 200) {
  if (!ids) return net::error_response(ids.error());
  std::string body;
  body.reserve(ids->size() * ChunkId::kSize);
  for (const ChunkId& id : *ids) body += as_text(id.bytes());
  return net::binary_response(std::move(body), status);
}

// The body, wherever it is; bounded by what was admitted.
Result<Buffer> body_of(const net::Request& request) {
  if (request.body_file.empty()) return to_buffer(request.body);
  return os::read_file(request.body_file.string(),
                       static_cast<std::size_t>(wire::kRecordMax.count));
}

Result<std::vector<ChunkId>> ids_of(const net::Request& request) {
  auto body = body_of(request);
  if (!body) return fail(std::move(body.error()));
  if (body->size() % ChunkId::kSize != 0)
    return fail(ErrorKind::invalid, "a list of chunk ids has 32 bytes for each");
  Reader in(*body);
  std::vector<ChunkId> ids;
  while (in.remaining() > 0) ids.push_back(in.id<ChunkId>());
  return ids;
}

// A list of chunk references as a body (FORMAT.md, "refs").
Result<std::vector<format::ChunkRef>> refs_of(const net::Request& request) {
  auto body = body_of(request);
  if (!body) return fail(std::move(body.error()));
  Reader in(*body);
  auto refs = format::decode_chunk_refs(in, body->size() / ChunkId::kSize);
  if (!in.finished())
    return fail(ErrorKind::invalid, "the body must be a list of chunk references");
  return refs;
}

std::vector<ChunkId> ids_of(const std::vector<format::ChunkRef>& refs) {
  std::vector<ChunkId> ids;
  for (const format::ChunkRef& ref : refs) ids.push_back(ref.id);
  return ids;
}

// "bytes=A-B" with no more than kPackRangeMax bytes; the server cuts it at the file's end.
bool is_bounded_range(std::string_view text) {
  constexpr std::string_view unit = "bytes=";
  if (!text.starts_with(unit)) return false;
  text.remove_prefix(unit.size());
  std::int64_t first = 0;
  std::int64_t last = 0;
  const char* const end = text.data() + text.size();
  const auto dash = std::from_chars(text.data(), end, first);
  if (dash.ec != std::errc() || dash.ptr == end || *dash.ptr != '-') return false;
  const auto done = std::from_chars(dash.ptr + 1, end, last);
  return done.ec == std::errc() && done.ptr == end && first >= 0 && last >= first &&
         last - first < wire::kPackRangeMax.count;
}

// Layers whose packs are remembered: some MB, for a fleet's rollouts of one day.
constexpr std::size_t kLayerPacksMax = 64;

// Earlier versions that a layer has updates from: each takes the origin a minute for 2 GB. Without
// being told it spends no more than some minutes on them: not on layers of more content than this.
constexpr std::size_t kUpdatesMax = 8;
constexpr std::string_view kNothing = "nothing";
constexpr std::size_t kUpdatesByThemselves = 2;
constexpr std::uint64_t kUpdatedByThemselvesMax = std::uint64_t{8} << 30;

// The spooled body of a request disappears with it: it gets a temporary name of the store's own.
Result<std::string> keep_body(const net::Request& request, const ChunkStore& store) {
  auto path = store.files().new_temporary();
  if (!path) return fail(std::move(path.error()));
  const Status moved = request.body_file.empty()
                           ? os::write_file(*path, as_view(request.body), 0600)
                           : os::rename_file(request.body_file.string(), *path);
  if (!moved) return fail(moved.error());
  return path;
}

}  // namespace

Result<Bytes> Api::admit(const net::Request& head, WallTime now) const {
  const bool is_parcel = head.path.starts_with("/v1/node/relay/");
  const bool is_wanted = wanted_.size() > 0 && head.method == "PUT";
  const bool from_device = is_parcel || head.path.starts_with("/v1/node/cvd/") ||
                           (is_wanted && head.path.starts_with("/v1/node/layers/"));
  if (is_wanted && head.path.starts_with("/v1/seeder/packs/") && head.peer.device &&
      !head.peer.certificate_expired && catalog_.seeder(*head.peer.device))
    return Bytes{static_cast<std::int64_t>(format::kPackSizeMax)};
  const bool from_administrator =
      head.path.starts_with("/v1/layers") || head.path.starts_with("/v1/cvds");
  if (!from_device && !from_administrator) return kSmallBody;
  if (from_administrator && !catalog_.check_admin(head.bearer(), now)) return kSmallBody;
  if (from_device) {
    if (!head.peer.device || head.peer.certificate_expired) return kSmallBody;
    const auto device = catalog_.device(*head.peer.device);
    if (!device || device->status != wire::DeviceStatus::assigned) return kSmallBody;
  }
  if (is_parcel)
    return Bytes{static_cast<std::int64_t>(format::kParcelFrontMax + format::kParcelBoxMax)};
  return head.method == "PUT" ? Bytes{static_cast<std::int64_t>(format::kPackSizeMax)}
                              : wire::kRecordMax;
}

void Api::send_chunks(std::vector<format::ChunkRef> refs, const Reply& reply) {
  offload_([this, refs = std::move(refs), reply]() -> std::function<void()> {
    auto path = content_->gather(refs);
    if (!path) return [reply, error = path.error()] { reply(net::error_response(error)); };
    return [reply, sent = std::make_shared<os::TemporaryFile>(*path)] {
      net::Response response;
      response.content_type = wire::kBinary;
      response.file = net::FileBody{.path = sent->path()};
      reply(std::move(response));  // It is open when this returns; its name may go.
    };
  });
}

bool Api::layer_content(const Act& act, const std::vector<std::string>& parts,
                        const net::Request& request, const Reply& reply) {
  const bool get = request.method == "GET";
  const bool post = request.method == "POST";
  if (parts.size() == 2 && post) {
    auto body = body_of(request);
    if (body)
      publish(act, std::move(*body), request, reply);
    else
      reply(net::error_response(body.error()));
    return true;
  }
  if (parts.size() == 3 && parts[2] == "lacks" && post) {
    auto ids = ids_of(request);
    reply(answer(ids ? content_->layers().claim(*ids) : std::move(ids)));
    return true;
  }
  if (parts.size() == 3 && parts[2] == "chunks" && post) {
    auto refs = refs_of(request);
    // Of layers only: what is a device's is read, and noted, as part of its CVD.
    using Ids = Result<std::vector<ChunkId>>;
    auto foreign = refs ? content_->layers().lacking(ids_of(*refs)) : Ids(fail(refs.error()));
    if (!foreign)
      reply(net::error_response(foreign.error()));
    else if (!foreign->empty())
      reply(net::error_response(
          Error(ErrorKind::not_found, "no layer has chunk " + foreign->front().short_hex())));
    else
      send_chunks(std::move(*refs), reply);
    return true;
  }
  if (parts.size() == 4 && parts[2] == "packs") {
    auto id = PackId::parse(parts[3]);
    if (!id) {
      reply(net::error_response(id.error()));
    } else if (request.method == "PUT") {
      take_layer_pack(act, request, *id, reply);
    } else if (get && content_->layers().files().has(*id)) {
      net::Response response;
      response.content_type = wire::kBinary;
      response.file = net::FileBody{.path = content_->layers().files().path_of(*id)};
      reply(std::move(response));
    } else {
      reply(net::error_response(Error(ErrorKind::not_found, "no layer has pack " + id->hex())));
    }
    return true;
  }
  if (parts.size() == 4 && get) {
    auto id = LayerId::parse(parts[2]);
    if (!id) return false;
    if (parts[3] == "record") return reply(answer(content_->layer_record(*id))), true;
    if (parts[3] == "distribution") return reply(answer(content_->distribution(*id))), true;
    if (parts[3] == "torrent") return reply(answer(content_->torrent(*id))), true;
  }
  return false;
}

// "auto": from nothing, and from the versions that devices have, the newest first; when none has
// one, from the newest. In a list of versions "nothing" stands for that.
Result<UpdateWish> Api::updates_wished(const format::LayerRecord& record,
                                       const net::Request& request) {
  const std::string& name = record.name;
  UpdateWish wish;
  const std::string effort = request.query_value("effort").value_or("default");
  if (effort == "fast")
    wish.effort = delta::Effort::fast;
  else if (effort == "high")
    wish.effort = delta::Effort::high;
  else if (effort != "default")
    return fail(ErrorKind::invalid, "an effort is fast, default or high");
  const std::string against = request.query_value("against").value_or("none");
  if (against == "none") return wish;
  auto layers = catalog_.layers();
  if (!layers) return fail(std::move(layers.error()));
  std::erase_if(*layers, [&](const wire::LayerInfo& layer) { return layer.name != name; });
  std::ranges::sort(*layers, std::greater(), &wire::LayerInfo::published_ms);
  if (against == "auto") {
    if (record.manifest.content_bytes > kUpdatedByThemselvesMax) return wish;
    std::erase_if(*layers, [](const wire::LayerInfo& layer) {
      return static_cast<std::uint64_t>(layer.plain_bytes) > kUpdatedByThemselvesMax;
    });
    auto devices = catalog_.devices();
    if (!devices) return fail(std::move(devices.error()));
    std::set<std::string> applied;
    for (const wire::DeviceInfo& device : *devices)
      applied.insert(device.applied.begin(), device.applied.end());
    for (const wire::LayerInfo& layer : *layers)
      if (wish.from.size() < kUpdatesByThemselves &&
          applied.contains(layer.name + ':' + layer.version))
        wish.from.push_back(layer.id);
    if (wish.from.empty() && !layers->empty()) wish.from.push_back(layers->front().id);
    wish.from.push_back(format::kNoLayer);
    return wish;
  }
  for (std::size_t at = 0; at <= against.size();) {
    const std::size_t end = std::min(against.find(',', at), against.size());
    const std::string version = against.substr(at, end - at);
    at = end + 1;
    const auto wish_once = [&](const LayerId& from) {
      if (std::ranges::find(wish.from, from) == wish.from.end()) wish.from.push_back(from);
    };
    if (version == kNothing) {
      wish_once(format::kNoLayer);
      continue;
    }
    const auto layer = std::ranges::find(*layers, version, &wire::LayerInfo::version);
    if (layer == layers->end())
      return fail(ErrorKind::not_found, "there is no layer " + name + ':' + printable(version, 80) +
                                            " for an update: `lamina layer ls` lists them");
    wish_once(layer->id);
  }
  if (wish.from.size() > kUpdatesMax)
    return fail(ErrorKind::invalid,
                "at most " + std::to_string(kUpdatesMax) + " versions get an update");
  return wish;
}

void Api::publish(const Act& act, Buffer envelope, const net::Request& request,
                  const Reply& reply) {
  // Before work is done for it in vain.
  auto record = content_->read_layer(envelope);
  auto fits = record ? catalog_.check_new_version(record->name, record->version)
                     : Status(fail(std::move(record.error())));
  if (!fits) return reply(net::error_response(fits.error()));
  auto wish = updates_wished(*record, request);
  if (!wish) return reply(net::error_response(wish.error()));
  offload_([this, act, envelope = std::move(envelope), wish = std::move(*wish),
            reply]() -> std::function<void()> {
    auto examined = content_->examine(envelope, act.now, wish);
    if (!examined) return [reply, error = examined.error()] { reply(net::error_response(error)); };
    return [this, act, reply, publication = std::move(*examined)] {
      // Asked before anything is kept: seeders serve every torrent they find.
      auto newer = catalog_.check_new_version(publication.info.name, publication.info.version);
      if (!newer) return reply(net::error_response(newer.error()));
      keep_layer(act, publication, reply);
    };
  });
}

void Api::keep_layer(const Act& act, Publication publication, const Reply& reply) {
  offload_([this, act, reply, publication = std::move(publication)]() -> std::function<void()> {
    auto kept = content_->keep(publication);
    if (!kept) return [reply, error = kept.error()] { reply(net::error_response(error)); };
    // Data, then index, then the record that refers to it: the catalogue comes last.
    return [this, act, reply, publication] {
      auto added = catalog_.add_layer(act, publication.info, publication.chunks);
      if (!added) return reply(net::error_response(added.error()));
      listing_.reset();
      log::info("layer_published", {{"layer", publication.info.id},
                                    {"name", publication.info.name},
                                    {"version", publication.info.version},
                                    {"packs", publication.info.packs},
                                    {"written_anew", publication.written_anew}});
      wire::LayerInfo info = publication.info;
      info.written_anew_bytes = publication.written_anew.count;
      for (const LayerUpdate& update : publication.updates) {
        if (update.from == format::kNoLayer) continue;
        if (!info.update_bytes) info.update_bytes.emplace();
        (*info.update_bytes)[update.version] = update.bytes.count;
      }
      reply(net::json_response(wire::to_json(info), 201));
    };
  });
}

void Api::take_layer_pack(const Act& act, const net::Request& request, const PackId& id,
                          const Reply& reply) {
  auto path = keep_body(request, content_->layers());
  if (!path) return reply(net::error_response(path.error()));
  // The scrub may see it there before this is done, and want it no more.
  const bool is_wanted = wanted_.wants(id);
  offload_([this, act, id, path = *path, reply, is_wanted]() -> std::function<void()> {
    auto ids = content_->layers().take_in(path, id);
    return [this, act, id, ids = std::move(ids), reply, is_wanted] {
      if (!ids) return reply(net::error_response(ids.error()));
      if (is_wanted) {
        wanted_.arrived(id);
        log::info("pack_healed", {{"pack", id.hex()}, {"from", act.actor}});
        // It is here, whether that is noted or not.
        if (auto noted = catalog_.audit(act, "layer.pack-healed", "pack:" + id.hex(), ""); !noted)
          log::error("audit_failed", {{"error", noted.error().text()}});
      }
      reply(net::json_response("{}", 201));
    };
  });
}

Api::Answer Api::take_wanted_pack(const wire::DeviceInfo& device, const std::string& layer,
                                  const std::string& pack, const net::Request& request,
                                  const Reply& reply, Moment moment, bool& later) {
  auto of = LayerId::parse(layer);
  if (!of) return fail(std::move(of.error()));
  auto id = PackId::parse(pack);
  if (!id) return fail(std::move(id.error()));
  auto may = catalog_.may_read_layer(device.id, *of);
  if (!may) return fail(std::move(may.error()));
  // The same for both: an answer tells nothing about what others have.
  if (!*may || !wanted_.wants(*id, *of))
    return fail(ErrorKind::refused, "pack " + id->short_hex() + " is not wanted of this device");
  later = true;
  take_layer_pack({"device:" + device.id.hex(), moment.wall}, request, *id, reply);
  return net::Response();
}

Result<std::vector<ChunkId>> Api::lacks(const DeviceId& device, const std::vector<ChunkId>& ids) {
  auto lacking = catalog_.lacks(device, ids);
  if (!lacking) return lacking;
  auto lost = content_->lost(ids);
  if (!lost) return lost;
  if (lost->empty()) return lacking;
  lacking->insert(lacking->end(), lost->begin(), lost->end());
  std::ranges::sort(*lacking);
  lacking->erase(std::unique(lacking->begin(), lacking->end()), lacking->end());
  return lacking;
}

void Api::take_cvd_pack(const DeviceId& device, const net::Request& request, const PackId& id,
                        const Reply& reply) {
  auto path = keep_body(request, content_->cvds());
  if (!path) return reply(net::error_response(path.error()));
  auto sent = std::make_shared<os::TemporaryFile>(*path);  // Removed if it is not taken in.
  auto intake = content_->intakes().begin();               // Until the chunks are linked.
  offload_([this, device, id, sent, intake, reply]() -> std::function<void()> {
    auto references = content_->references_of(sent->path());
    if (!references)
      return [reply, error = references.error()] { reply(net::error_response(error)); };
    return [this, device, id, sent, intake, reply, references = std::move(*references)] {
      // Of what it does not have it could guess the bytes.
      auto foreign = catalog_.lacks(device, references);
      if (!foreign) return reply(net::error_response(foreign.error()));
      if (!foreign->empty())
        return reply(net::error_response(
            Error(ErrorKind::corrupt, "pack " + id.short_hex() + " builds upon chunk " +
                                          foreign->front().short_hex() +
                                          ", which the device does not have here")));
      offload_([this, device, id, sent, intake, reply]() -> std::function<void()> {
        auto ids = content_->take_in_cvd(sent->path(), id);
        return [this, device, sent, intake, reply, ids = std::move(ids)] {
          // Linked only after the bytes were seen: naming a chunk gives no right to it.
          const Status done = ids ? catalog_.link_chunks(device, *ids) : Status(fail(ids.error()));
          reply(done ? net::json_response("{}", 201) : net::error_response(done.error()));
        };
      });
    };
  });
}

Status Api::note_read(const Act& act, const DeviceId& device, const net::Request& request,
                      const std::string& detail, const std::vector<format::ChunkRef>& refs,
                      Moment moment) {
  std::int64_t bytes = 0;
  for (const format::ChunkRef& ref : refs) bytes += ref.length;
  const std::string restore(request.headers.value(wire::kRestoreHeader));
  if (!restore.empty() && restores_.add(restore, device, act.actor,
                                        static_cast<std::int64_t>(refs.size()), bytes, moment.now))
    return Done{};
  return catalog_.audit(act, "cvd.read", "device:" + device.hex(), detail);
}

Status Api::note_restore(const RunningRestore& restore, const std::string& end, Moment moment) {
  return catalog_.audit({restore.actor, moment.wall}, "cvd.restored",
                        "device:" + restore.device.hex(),
                        restore.what + " chunks=" + std::to_string(restore.chunks) +
                            " read=" + std::to_string(restore.bytes) +
                            " took=" + lamina::to_text(moment.now - restore.begun) + ' ' + end);
}

// The begin is noted before anything is read, so that no read is without an entry; the counts come
// with the end.
bool Api::restores(const Act& act, const DeviceId& device, const std::vector<std::string>& parts,
                   const net::Request& request, const Reply& reply, Moment moment) {
  if (request.method != "POST" || parts[3] != "restores") return false;
  if (parts.size() == 4) {
    auto message = wire::parse_restore_request(request.body);
    if (!message) return reply(net::error_response(message.error())), true;
    auto has = catalog_.has_snapshot(device, message->snapshot);
    if (has && !*has)
      has = fail(ErrorKind::not_found,
                 "device " + device.hex() + " has no snapshot " + message->snapshot.hex());
    auto random = random_bytes(16);
    if (has && !random) has = fail(std::move(random.error()));
    const std::string what =
        "snapshot=" + message->snapshot.hex() + ' ' + printable(message->what, 512);
    const Status noted = has ? catalog_.audit(act, "cvd.restore", "device:" + device.hex(), what)
                             : Status(fail(has.error()));
    if (!noted) return reply(net::error_response(noted.error())), true;
    const std::string id = to_hex(*random);
    restores_.begin(id, {.device = device,
                         .actor = act.actor,
                         .what = what,
                         .begun = moment.now,
                         .seen = moment.now});
    return reply(net::json_response(wire::to_json(wire::RestoreReply{id}), 201)), true;
  }
  if (parts.size() != 6 || parts[5] != "end") return false;
  auto message = wire::parse_restore_end(request.body);
  if (!message) return reply(net::error_response(message.error())), true;
  const auto ended = restores_.end(parts[4], device, act.actor);
  if (!ended)
    return reply(net::error_response(
               Error(ErrorKind::not_found, "there is no such restore under way"))),
           true;
  const auto noted = note_restore(*ended,
                                  "entries=" + std::to_string(message->entries) +
                                      " written=" + std::to_string(message->bytes) +
                                      (message->ok ? " ok" : " failed: " + message->text),
                                  moment);
  reply(noted ? net::json_response("{}") : net::error_response(noted.error()));
  return true;
}

bool Api::cvd_content(const Act& act, const std::vector<std::string>& parts,
                      const net::Request& request, const Reply& reply, Moment moment) {
  if (parts.size() < 4) return false;
  auto device = DeviceId::parse(parts[2]);
  if (!device) return false;
  if (restores(act, *device, parts, request, reply, moment)) return true;
  if (parts.size() == 6 && parts[3] == "snapshots" && parts[5] == "record" &&
      request.method == "GET") {
    auto id = SnapshotId::parse(parts[4]);
    if (!id) return reply(net::error_response(id.error())), true;
    auto noted = note_read(act, *device, request, "snapshot " + id->hex(), {}, moment);
    if (!noted) return reply(net::error_response(noted.error())), true;
    auto known = catalog_.snapshots(*device);
    bool own = false;
    if (known)
      for (const wire::SnapshotInfo& snapshot : *known) own = own || snapshot.id == *id;
    if (!own)
      reply(net::error_response(Error(
          ErrorKind::not_found, "device " + device->hex() + " has no snapshot " + id->hex())));
    else
      reply(answer(content_->snapshot_record(*id)));
    return true;
  }
  if (parts.size() == 4 && parts[3] == "chunks" && request.method == "POST") {
    auto refs = refs_of(request);
    if (!refs) return reply(net::error_response(refs.error())), true;
    const auto ids = ids_of(*refs);
    auto noted =
        note_read(act, *device, request, std::to_string(ids.size()) + " chunks", *refs, moment);
    if (!noted) return reply(net::error_response(noted.error())), true;
    // Whoever may read this device's CVD may not read another's by asking for its chunks here.
    auto foreign = catalog_.unreadable(*device, ids);
    if (!foreign) return reply(net::error_response(foreign.error())), true;
    if (!foreign->empty())
      return reply(net::error_response(
                 Error(ErrorKind::not_found, "the CVD of device " + device->hex() +
                                                 " has no chunk " + foreign->front().short_hex()))),
             true;
    send_chunks(std::move(*refs), reply);
    return true;
  }
  return false;
}

bool Api::node_content(const wire::DeviceInfo& device, const net::Request& request,
                       const Reply& reply, Moment moment) {
  const auto parts = path_parts(request.path);
  const bool post = request.method == "POST";
  if (parts.size() == 5 && parts[2] == "layers" && request.method == "GET") {
    auto id = LayerId::parse(parts[3]);
    if (!id) return reply(net::error_response(id.error())), true;
    auto may = catalog_.may_read_layer(device.id, *id);
    if (!may) return reply(net::error_response(may.error())), true;
    if (!*may)
      return reply(net::error_response(
                 Error(ErrorKind::refused,
                       "layer " + id->short_hex() + " is not assigned to this device"))),
             true;
    if (parts[4] == "record") return reply(answer(content_->layer_record(*id))), true;
    // A program of before there were updates does not ask for them.
    const bool is_plain = !request.query_value("updates");
    if (is_plain && (parts[4] == "distribution" || parts[4] == "torrent")) {
      auto plain = content_->without_updates(*id);
      reply(answer(!plain                       ? Result<Buffer>(fail(std::move(plain.error())))
                   : parts[4] == "distribution" ? std::move(plain->distribution)
                                                : std::move(plain->torrent_file)));
      return true;
    }
    if (parts[4] == "distribution") return reply(answer(content_->distribution(*id))), true;
    if (parts[4] == "torrent") return reply(answer(content_->torrent(*id))), true;
  }
  if (parts.size() == 6 && parts[2] == "layers" && parts[4] == "packs" && request.method == "GET") {
    auto id = LayerId::parse(parts[3]);
    auto ranged = id ? pack_range(device, *id, parts[5], request, moment) : fail(id.error());
    reply(ranged ? std::move(*ranged) : net::error_response(ranged.error()));
    return true;
  }
  if (parts.size() == 5 && parts[2] == "relay" && parts[3] == "parcels" &&
      request.method == "PUT") {
    take_parcel(device.id, parts[4], request, reply, moment);
    return true;
  }
  if (parts.size() < 4 || parts[2] != "cvd") return false;
  // Relays keep what they hold, and devices try again.
  if (device.uploads_wait)
    return reply(net::error_response(Error(ErrorKind::unavailable, *device.uploads_wait))), true;
  if (parts.size() == 4 && parts[3] == "lacks" && post) {
    auto ids = ids_of(request);
    reply(answer(ids ? lacks(device.id, *ids) : std::move(ids)));
    return true;
  }
  if (parts.size() == 5 && parts[3] == "packs" && request.method == "PUT") {
    auto id = PackId::parse(parts[4]);
    if (!id) return reply(net::error_response(id.error())), true;
    take_cvd_pack(device.id, request, *id, reply);
    return true;
  }
  if (parts.size() == 4 && parts[3] == "snapshots" && post) {
    auto body = body_of(request);
    if (body)
      commit_snapshot(device.id, std::move(*body), reply, moment);
    else
      reply(net::error_response(body.error()));
    return true;
  }
  return false;
}

Api::Answer Api::pack_range(const wire::DeviceInfo& device, const LayerId& layer,
                            const std::string& pack, const net::Request& request, Moment moment) {
  auto id = PackId::parse(pack);
  if (!id) return fail(std::move(id.error()));
  // The lease first: without one, an answer tells nothing about layers and packs.
  auto token = from_hex(request.headers.value(wire::kLeaseHeader));
  if (!token)
    return fail(ErrorKind::refused,
                "bytes of packs are for the holder of a lease: its token "
                "belongs in " +
                    std::string(wire::kLeaseHeader) + ", in hex");
  auto lease = sites_.check_token(*token, device.site, device.id, device.target_sequence, moment);
  if (!lease) return fail(std::move(lease.error()));
  auto may = catalog_.may_read_layer(device.id, layer);
  if (!may) return fail(std::move(may.error()));
  if (!*may)
    return fail(ErrorKind::refused,
                "layer " + layer.short_hex() + " is not assigned to this device");
  auto has = has_pack(layer, *id);
  if (!has) return fail(std::move(has.error()));
  if (!*has)
    return fail(ErrorKind::not_found,
                "layer " + layer.short_hex() + " has no pack " + id->short_hex());
  if (!is_bounded_range(request.headers.value("Range")))
    return fail(ErrorKind::invalid, "a range of at most " + to_text(wire::kPackRangeMax) +
                                        " is needed: 'Range: bytes=FIRST-LAST'");
  const std::string used = lease->site + " epoch " + std::to_string(lease->epoch);
  if (std::string& known = range_leases_[device.id]; known != used) {
    const Act act{"device:" + device.id.hex(), moment.wall};
    if (auto noted = catalog_.audit(act, "wan.https", act.actor, "lease of " + used); !noted)
      return fail(std::move(noted.error()));
    known = used;
  }
  net::Response response;
  response.content_type = wire::kBinary;
  response.file = net::FileBody{.path = content_->layers().files().path_of(*id)};
  return response;
}

Result<bool> Api::has_pack(const LayerId& layer, const PackId& pack) {
  auto known = layer_packs_.find(layer);
  if (known == layer_packs_.end()) {
    auto envelope = content_->distribution(layer);
    if (!envelope) return fail(std::move(envelope.error()));
    auto distribution = format::open_distribution(layer, *envelope, keys_.target.public_key());
    if (!distribution) return fail(std::move(distribution.error()));
    if (layer_packs_.size() >= kLayerPacksMax) layer_packs_.clear();
    known = layer_packs_.try_emplace(layer).first;
    for (const format::DistributedPack& one : distribution->packs) known->second.insert(one.id);
  }
  return known->second.contains(pack);
}

void Api::commit_snapshot(const DeviceId& device, Buffer record, const Reply& reply,
                          Moment moment) {
  offload_([this, device, record = std::move(record), reply, moment]() -> std::function<void()> {
    auto examined = content_->examine_snapshot(record, device);
    if (!examined) return [reply, error = examined.error()] { reply(net::error_response(error)); };
    return [this, device, record, reply, moment, snapshot = std::move(*examined)] {
      auto missing = lacks(device, snapshot.chunks);
      if (!missing) return reply(net::error_response(missing.error()));
      if (!missing->empty()) return reply(answer(missing, 409));
      if (!snapshot.manifest_complete)
        return reply(net::error_response(
            Error(ErrorKind::corrupt,
                  "the snapshot's manifest cannot be read: synchronize again in full")));
      if (auto kept = content_->keep_snapshot(snapshot, record); !kept)
        return reply(net::error_response(kept.error()));
      auto added = catalog_.add_snapshot(
          {"device:" + device.hex(), moment.wall}, device,
          {.id = snapshot.id,
           .created_ms = snapshot.record.created.ns / 1'000'000,
           .reason = snapshot.record.reason,
           .files = static_cast<std::int64_t>(snapshot.record.manifest.files),
           .plain_bytes = static_cast<std::int64_t>(snapshot.record.manifest.content_bytes)});
      if (!added) return reply(net::error_response(added.error()));
      reply(net::json_response(wire::to_json(wire::SnapshotReply{snapshot.id}), 201));
    };
  });
}

}  // namespace lamina::origin
