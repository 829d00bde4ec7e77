#include "node/net/synchronization.hpp"

#include <nlohmann/json.hpp>

#include "shared/base/log.hpp"
#include "shared/os/file.hpp"
#include "shared/os/random.hpp"
#include "shared/store/pack_files.hpp"

namespace lamina::node {
namespace {

std::string snapshot_path(const StateDirectory& state) { return state.net() + "/snapshot.json"; }

Result<std::vector<ChunkId>> chunks_of(const std::string& path, const PackId& pack) {
  auto open = OpenPack::open(path, "pack " + pack.short_hex());
  if (!open) return fail(std::move(open.error()));
  std::vector<ChunkId> ids;
  for (const format::Frame& frame : open->index().frames)
    for (const format::ChunkRef& chunk : frame.chunks) ids.push_back(chunk.id);
  return ids;
}

}  // namespace

LastSnapshot read_last_snapshot(const StateDirectory& state) {
  const auto text = os::read_text(snapshot_path(state), 4096);
  if (!text) return {};
  const auto object = nlohmann::json::parse(*text, nullptr, /*allow_exceptions=*/false);
  if (!object.is_object() || !object.contains("snapshot") || !object["snapshot"].is_string() ||
      !object.contains("sequence") || !object["sequence"].is_number_unsigned())
    return {};
  const auto id = SnapshotId::parse(object["snapshot"].get<std::string>());
  if (!id) return {};
  const auto kept = object.find("kept_ms");
  return {*id, object["sequence"].get<std::uint64_t>(),
          kept != object.end() && kept->is_number_unsigned() ? kept->get<std::int64_t>() : 0};
}

Status write_last_snapshot(const StateDirectory& state, const LastSnapshot& last) {
  const nlohmann::json object = {
      {"snapshot", last.id.hex()}, {"sequence", last.sequence}, {"kept_ms", last.kept_ms}};
  return os::write_file(snapshot_path(state), as_view(object.dump() + '\n'), 0600);
}

struct Synchronization::State : std::enable_shared_from_this<State> {
  State(net::Loop& on, WorkerLink& w, OriginLink& o, UploadWays& u, const StateDirectory& s,
        std::string why, Options with, Then call)
      : loop(on),
        worker(w),
        origin(o),
        ways(u),
        state(s),
        reason(std::move(why)),
        options(with),
        then(std::move(call)),
        last(read_last_snapshot(s)),
        sequence(u.sequence_after(last.sequence)) {}

  net::Loop& loop;
  WorkerLink& worker;
  OriginLink& origin;
  UploadWays& ways;
  const StateDirectory& state;
  std::string reason;
  Options options;
  Then then;
  LastSnapshot last;
  std::uint64_t sequence;
  SyncFigures figures;
  ParcelSender* relay = nullptr;  // Some of this scan went there, and the rest will.
  bool direct = false;            // A relay has failed: no more of them.
  bool full = false;
  bool kept = false;             // The origin has the snapshot, or a relay.
  bool again = false;            // Scan once more when this one has ended.
  std::optional<Error> failure;  // Why the scan was abandoned.
  std::optional<Error> to_stop;  // Why nothing more may be sent, whatever the bandwidth rules say.
  int failures = 0;
  net::Timer retry;

  template <class Call>
  auto later(Call call) {
    return [weak = weak_from_this(), call = std::move(call)](auto... values) {
      if (const auto self = weak.lock()) call(*self, std::move(values)...);
    };
  }

  void scan() {
    worker.ask({.kind = WorkerRequest::Kind::scan,
                .sequence = sequence,
                .parent = last.id,
                .reason = reason,
                .full = full},
               later([](State& self, Result<WorkerReply> reply) { self.heard(reply); }));
  }

  void heard(Result<WorkerReply>& reply) {
    if (reply && !reply->pack.is_none()) return take_pack(reply->pack);
    if (reply && !reply->snapshot.is_none() && !kept) return take_snapshot(*reply);
    // The scan has ended, well or not.
    if (again) {
      again = false;
      failure.reset();
      return scan();
    }
    if (failure) return finish(fail(std::move(*failure)));
    if (!reply) return finish(fail(std::move(reply.error())));
    finish(figures);
  }

  void finish(Result<SyncFigures> result) {
    // From the loop, so that the callee may destroy the object.
    loop.post([call = std::move(then), result = std::move(result)] { call(result); });
  }

  void abandon(Error error) {
    failure = std::move(error);
    worker.answer(WorkerRequest::Kind::abandon);
  }

  // Why nothing may be sent now; none: it may.
  std::optional<Error> stopped() const {
    if (to_stop || !origin.upload_pace().is_stopped()) return to_stop;
    return Error(ErrorKind::unavailable, "a bandwidth rule lets this device send nothing now");
  }

  void stop(Error why) {
    to_stop = std::move(why);
    if (!retry.pending()) return;
    retry.cancel();
    abandon(*to_stop);
  }

  // Tries `call` again when waiting may help, else abandons the scan.
  template <class Call>
  void try_again_or_abandon(Error error, Call call) {
    if (auto why = stopped()) return abandon(std::move(*why));
    if (error.kind() != ErrorKind::unavailable || ++failures >= options.failures_max)
      return abandon(std::move(error));
    const auto random = os::random_number();
    log::info("sync_waits", {{"error", error.text()}, {"failures", failures}});
    retry = loop.after(policy::retry_after(options.backoff, failures, random),
                       later([call](State& self) { call(self); }));
  }

  // --- packs

  std::string path_of(const PackId& pack) const { return state.spool() + "/packs/" + pack.hex(); }

  void take_pack(const PackId& pack) {
    if (auto why = stopped()) return abandon(std::move(*why));
    loop.offload_value([path = path_of(pack), pack] { return chunks_of(path, pack); },
                       later([pack](State& self, Result<std::vector<ChunkId>> ids) {
                         if (!ids) return self.abandon(std::move(ids.error()));
                         self.find_lacking(pack, *ids);
                       }));
  }

  Bytes size_of(const PackId& pack) const {
    const auto file = os::open_read(path_of(pack));
    const auto size = file ? os::file_size(file->get(), path_of(pack)) : std::uint64_t{0};
    return Bytes{size ? static_cast<std::int64_t>(*size) : 0};
  }

  void deliver(const PackId& pack) {
    if (relay == nullptr && !direct) relay = ways.relay_for(size_of(pack), sequence);
    if (relay == nullptr) return send_pack(pack);
    relay->send_pack(path_of(pack), later([pack](State& self, Result<Bytes> size) {
                       if (!size) return self.relay_failed(std::move(size.error()), pack);
                       self.was_handed(*size);
                       self.worker.answer(WorkerRequest::Kind::ack);
                     }));
  }

  void was_handed(Bytes size) {
    ++figures.parcels_handed;
    figures.bytes_handed += size;
  }

  // What is with the relay already is gone from the spool: unless that is nothing, once more.
  void relay_failed(Error error, const PackId& pack) {
    ways.relay_failed(error);
    relay = nullptr;
    direct = true;
    if (figures.parcels_handed == 0 && !pack.is_none()) return send_pack(pack);
    // A number of its own: the relay may have the first one whole, its answer lost.
    ++sequence;
    start_over("the relay failed: " + error.text());
  }

  // What an interrupted synchronization has sent already is not sent again.
  void find_lacking(const PackId& pack, const std::vector<ChunkId>& ids) {
    if (!ways.origin_reachable()) return deliver(pack);
    origin.find_lacking(ids, later([pack, ids](State& self, Result<std::vector<ChunkId>> lacking) {
                          if (!lacking)
                            return self.try_again_or_abandon(std::move(lacking.error()),
                                                             [pack, ids](State& again_self) {
                                                               again_self.find_lacking(pack, ids);
                                                             });
                          self.failures = 0;
                          if (lacking->empty()) return self.worker.answer(WorkerRequest::Kind::ack);
                          self.deliver(pack);
                        }));
  }

  void send_pack(const PackId& pack) {
    origin.send_pack(pack, path_of(pack), later([pack](State& self, Result<Done> sent) {
                       // The origin cannot build a patch: it has forgotten what that is of.
                       if (!sent && sent.error().kind() == ErrorKind::corrupt && !self.full)
                         return self.start_over_in_full(sent.error().text());
                       if (!sent)
                         return self.try_again_or_abandon(
                             std::move(sent.error()),
                             [pack](State& again_self) { again_self.send_pack(pack); });
                       self.failures = 0;
                       self.was_sent(pack);
                     }));
  }

  void was_sent(const PackId& pack) {
    ++figures.packs_sent;
    figures.bytes_sent += size_of(pack);
    worker.answer(WorkerRequest::Kind::ack);
  }

  // --- the snapshot

  void take_snapshot(const WorkerReply& reply) {
    figures.snapshot = reply.snapshot;
    figures.files_read = reply.files_read;
    figures.files_reused = reply.files_reused;
    figures.bytes_read = Bytes{static_cast<std::int64_t>(reply.bytes_read)};
    figures.notes = reply.notes;
    auto record = os::read_file(state.spool() + "/snapshot", format::kRecordMax);
    if (!record) return abandon(std::move(record.error()));
    if (format::snapshot_id(*record) != reply.snapshot)
      return abandon({ErrorKind::corrupt, "the snapshot in the spool is another one"});
    if (relay == nullptr && !direct && !ways.origin_reachable())
      relay = ways.relay_for(Bytes{static_cast<std::int64_t>(record->size())}, sequence);
    if (relay != nullptr) return hand_over(std::move(*record));
    commit(std::move(*record));
  }

  void hand_over(Buffer record) {
    relay->send_snapshot(figures.snapshot, std::move(record),
                         later([](State& self, Result<Bytes> size) {
                           if (!size) return self.relay_failed(std::move(size.error()), {});
                           self.was_handed(*size);
                           self.was_handed_over();
                         }));
  }

  void was_handed_over() {
    if (auto done = ways.handed(figures.snapshot, sequence); !done)
      return abandon(std::move(done.error()));
    kept = true;
    figures.relay = relay->relay();
    worker.answer(WorkerRequest::Kind::held);
  }

  void commit(Buffer record) {
    origin.commit_snapshot(
        record, later([record](State& self, Result<std::vector<ChunkId>> lacking) {
          if (!lacking && lacking.error().kind() == ErrorKind::corrupt && !self.full)
            return self.start_over_in_full("its manifest cannot be read there");
          if (!lacking)
            return self.try_again_or_abandon(
                std::move(lacking.error()),
                [record](State& again_self) { again_self.commit(record); });
          if (lacking->empty()) return self.was_kept();
          const std::string what = std::to_string(lacking->size()) + " chunks are lacking";
          if (!self.full) return self.start_over_in_full(what);
          self.abandon({ErrorKind::corrupt, "the origin refuses a full snapshot: " + what});
        }));
  }

  void start_over_in_full(const std::string& why) {
    full = true;
    start_over(why);
  }

  void start_over(const std::string& why) {
    log::warning("sync_once_more", {{"why", why}, {"in_full", full}});
    again = true;
    worker.answer(WorkerRequest::Kind::abandon);
  }

  void was_kept() {
    kept = true;
    last = {figures.snapshot, sequence, net::Loop::wall_now().ns / 1'000'000};
    // Without it the next snapshot names the wrong parent; its content is right all the same.
    if (auto done = write_last_snapshot(state, last); !done)
      log::warning("snapshot_not_noted", {{"error", done.error().text()}});
    ways.kept(sequence);
    worker.answer(WorkerRequest::Kind::committed);
  }
};

Synchronization::Synchronization(net::Loop& loop, WorkerLink& worker, OriginLink& origin,
                                 UploadWays& ways, const StateDirectory& state, std::string reason,
                                 Options options, Then then)
    : state_(std::make_shared<State>(loop, worker, origin, ways, state, std::move(reason), options,
                                     std::move(then))) {
  state_->scan();
}

Synchronization::~Synchronization() = default;

void Synchronization::stop(Error why) { state_->stop(std::move(why)); }

}  // namespace lamina::node
