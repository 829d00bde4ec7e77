#include "node/worker/worker.hpp"

#include <unistd.h>

#include <algorithm>
#include <map>
#include <set>

#include "node/worker/regeneration.hpp"
#include "node/worker/volume.hpp"
#include "shared/base/log.hpp"
#include "shared/format/signed_layer.hpp"
#include "shared/image/records/record_format.hpp"
#include "shared/image/stack.hpp"
#include "shared/store/pack_set.hpp"

namespace lamina::node {
namespace {

// The network process answers at once, except while it uploads a pack over a thin line: 64 MiB at
// 64 kbit/s take two hours and a quarter.
constexpr Duration kAnswerWithin = std::chrono::hours{3};
constexpr Duration kNextRequestWithin = std::chrono::hours{24 * 365};

std::string record_path(const StateDirectory& state, const LayerId& layer, const char* kind) {
  return state.records() + '/' + layer.hex() + '.' + kind;
}

Result<format::LayerRecord> read_layer(const StateDirectory& state, const LayerId& id,
                                       const TrustedKeys& keys) {
  auto envelope = os::read_file(record_path(state, id, "layer"), format::kRecordMax);
  if (!envelope) return fail(std::move(envelope.error()));
  auto record = format::open_layer(id, *envelope, keys.publishers);
  if (!record) return fail(std::move(record.error()).in("layer " + id.short_hex()));
  return record;
}

Result<format::DistributionRecord> read_distribution(const StateDirectory& state, const LayerId& id,
                                                     const TrustedKeys& keys) {
  auto envelope = os::read_file(record_path(state, id, "distribution"), format::kRecordMax);
  if (!envelope) return fail(std::move(envelope.error()));
  auto distribution = format::open_distribution(id, *envelope, keys.target);
  if (!distribution) return fail(std::move(distribution.error()).in("layer " + id.short_hex()));
  return distribution;
}

// Adds the packs of a layer to `set`. What the distribution says is only where to look: every chunk
// is checked against the layer's own ids. The content of a pack that is not whole here may be in
// another layer's packs, which are added then. `added`: which layers were, and whether all of it.
Status add_packs(const StateDirectory& state, const LayerId& id, const TrustedKeys& keys,
                 PackSet& set, std::map<LayerId, bool>& added) {
  if (const auto [known, is_new] = added.try_emplace(id, false); !is_new)
    return known->second ? Status(Done{})
                         : fail(ErrorKind::not_found, "layer " + id.short_hex() + " is not whole");
  auto distribution = read_distribution(state, id, keys);
  if (!distribution) return fail(std::move(distribution.error()));
  for (const format::DistributedPack& pack : distribution->packs) {
    const auto stands_in = [&](const LayerId& base) {
      return add_packs(state, base, keys, set, added).has_value();
    };
    // The network process marks a whole pack by its tree.
    const std::string name = '/' + pack.id.hex();
    if (!pack.unless.empty() && !os::exists(state.trees() + name) &&
        std::ranges::any_of(pack.unless, stands_in))
      continue;
    if (auto here = set.add(state.packs() + name, "pack " + pack.id.short_hex()); !here)
      return here;
  }
  added[id] = true;
  return Done{};
}

// Of a layer and those that it may lean on, as far as they are there.
void add_manifest_packs(const StateDirectory& state, const LayerId& id, const TrustedKeys& keys,
                        std::set<LayerId>& seen, std::vector<std::string>& paths) {
  if (!seen.insert(id).second) return;
  const auto distribution = read_distribution(state, id, keys);
  if (!distribution) return;
  for (const format::DistributedPack& pack : distribution->packs) {
    if (!pack.is_metadata) continue;
    paths.push_back(state.packs() + '/' + pack.id.hex());
    for (const LayerId& base : pack.unless) add_manifest_packs(state, base, keys, seen, paths);
  }
}

// Of the layers that the target in the cache names.
std::vector<std::string> manifest_packs(const StateDirectory& state, const NodeConfig& config,
                                        const TrustedKeys& keys, WallTime now) {
  std::vector<std::string> paths;
  const auto verified = read_target(state, config.device, keys, now);
  if (!verified) return paths;
  std::set<LayerId> seen;
  for (const LayerId& id : verified->target.stack) add_manifest_packs(state, id, keys, seen, paths);
  return paths;
}

Status check_platforms(const std::vector<format::LayerRecord>& layers) {
  if (layers.empty()) return Done{};
  if (layers.front().kind != format::LayerKind::base)
    return fail(ErrorKind::refused, "the first layer of the target is no base layer");
  for (const format::LayerRecord& layer : layers)
    if (layer.platform != layers.front().platform)
      return fail(ErrorKind::refused, "layer " + layer.name + ' ' + layer.version +
                                          " is for another system than base layer " +
                                          layers.front().name + ' ' + layers.front().version);
  return Done{};
}

WorkerReply failed(Error error) {
  WorkerReply reply;
  reply.error = std::move(error);
  return reply;
}

}  // namespace

Result<VerifiedTarget> read_target(const StateDirectory& state, const DeviceId& device,
                                   const TrustedKeys& keys, WallTime now) {
  auto envelope = os::read_file(state.records() + "/target", format::kRecordMax);
  if (!envelope) return fail(std::move(envelope.error()).in("reading the device target"));
  const std::vector<PublicKey> trusted{keys.target};
  auto opened = format::open_record(format::RecordType::target, *envelope, trusted);
  if (!opened) return fail(std::move(opened.error()));
  auto target = format::parse_target(opened->record);
  if (!target) return fail(std::move(target.error()));
  if (target->device != device)
    return fail(ErrorKind::refused, "the device target is for device " +
                                        target->device.short_hex() + ", and this is " +
                                        device.short_hex());
  if (target->expires < now)
    return fail(ErrorKind::refused, "the device target expired at " + to_iso8601(target->expires) +
                                        ": the origin gives a new one when it is reached (or this "
                                        "computer's clock is wrong)");
  VerifiedTarget verified{.target = *target, .layers = {}};
  for (const LayerId& id : target->stack) {
    auto layer = read_layer(state, id, keys);
    if (!layer) return fail(std::move(layer.error()).in("layer " + id.short_hex()));
    verified.layers.push_back(std::move(*layer));
  }
  if (auto good = check_platforms(verified.layers); !good) return fail(std::move(good.error()));
  return verified;
}

Worker::Worker(StateDirectory state, NodeConfig config, TrustedKeys keys, Transaction transaction,
               const os::Clock& clock)
    : state_(std::move(state)),
      config_(std::move(config)),
      keys_(std::move(keys)),
      transaction_(std::move(transaction)),
      clock_(clock) {}

Result<Worker> Worker::open(StateDirectory state, const os::Clock& clock) {
  auto config = read_config(state);
  if (!config) return fail(std::move(config.error()));
  auto keys = read_trust(state);
  if (!keys) return fail(std::move(keys.error()));
  auto transaction = Transaction::open(config->volume);
  if (!transaction) return fail(std::move(transaction.error()));
  Worker worker(std::move(state), std::move(*config), std::move(*keys), std::move(*transaction),
                clock);
  WorkerReply finished;  // A kill may have left commands due.
  worker.regenerate_into(finished);
  return worker;
}

WorkerReply Worker::status() const {
  WorkerReply reply;
  reply.sequence = transaction_.applied().sequence;
  reply.stack = transaction_.applied().stack;
  return reply;
}

WorkerReply Worker::apply(bool dry_run) {
  auto reply = try_apply(dry_run);
  return reply ? std::move(*reply) : failed(std::move(reply.error()));
}

Result<WorkerReply> Worker::try_apply(bool dry_run) {
  auto verified = read_target(state_, config_.device, keys_, clock_.wall());
  if (!verified) return fail(std::move(verified.error()));
  const std::uint64_t sequence = verified->target.sequence;
  const std::uint64_t applied = transaction_.applied().sequence;
  if (sequence < applied)
    return fail(ErrorKind::refused, "device target " + std::to_string(sequence) +
                                        " is older than target " + std::to_string(applied) +
                                        ", which this device has accepted already");
  if (sequence == applied) return status();

  PackSet packs;
  std::map<LayerId, bool> added;
  for (const LayerId& id : verified->target.stack)
    if (auto done = add_packs(state_, id, keys_, packs, added); !done)
      return fail(std::move(done.error()).in("layer " + id.short_hex()));
  packs.seal();
  auto accounts = image::read_accounts([&](const std::string& path) -> Result<std::string> {
    auto bytes = read_small_file(transaction_.volume(), path, image::kRecordFileMax);
    if (!bytes) return fail(std::move(bytes.error()).in("reading this device's accounts"));
    return bytes->value_or("");
  });
  if (!accounts) return fail(std::move(accounts.error()));
  auto stack = image::Stack::open(verified->layers, packs.source(), *accounts);
  if (!stack) return fail(std::move(stack.error()));
  auto entries = (*stack)->entries();
  if (!entries) return fail(std::move(entries.error()));
  const auto source = (*stack)->source();
  auto counts = dry_run
                    ? transaction_.dry_run(std::move(*entries), source, image::Mode::apply)
                    : transaction_.apply(std::move(*entries), {sequence, verified->target.stack},
                                         source, image::Mode::apply);
  if (!counts) return fail(std::move(counts.error()));
  WorkerReply reply = status();
  reply.changed = !dry_run;
  reply.counts = *counts;
  for (const image::IdClash& clash : (*stack)->clashes()) reply.remarks.push_back(text_of(clash));
  if (!dry_run) regenerate_into(reply);
  return reply;
}

WorkerReply Worker::revert() {
  if (auto done = transaction_.revert(); !done) return failed(std::move(done.error()));
  WorkerReply reply = status();
  reply.changed = true;
  regenerate_into(reply);
  return reply;
}

// The volume is what it shall be already: what goes wrong here is told, and undoes nothing.
void Worker::regenerate_into(WorkerReply& reply) {
  auto remarks = regenerate(transaction_);
  if (!remarks) reply.remarks.push_back(remarks.error().text());
  if (remarks) std::ranges::move(*remarks, std::back_inserter(reply.remarks));
  for (const std::string& remark : reply.remarks) log::warning("apply_remark", {{"text", remark}});
}

Status Worker::scan(const WorkerRequest& request, os::LocalConnection& connection) {
  // What the network process answers to a message; "abandon" and silence end the scan.
  using Kind = WorkerRequest::Kind;
  const auto answer_of = [&](std::initializer_list<Kind> wanted) -> Result<Kind> {
    auto text = connection.receive(kAnswerWithin);
    if (!text) return fail(std::move(text.error()));
    auto answer = parse_worker_request(*text);
    if (!answer) return fail(std::move(answer.error()));
    if (std::ranges::find(wanted, answer->kind) != wanted.end()) return answer->kind;
    return fail(ErrorKind::unavailable, "the synchronization was abandoned");
  };
  Scanner scanner(transaction_, state_.work(), state_.spool());
  auto result =
      scanner.scan({.device = config_.device,
                    .sequence = request.sequence,
                    .parent = request.parent,
                    .reason = request.reason,
                    .started = clock_.wall(),
                    .full = request.full,
                    .manifest_packs = manifest_packs(state_, config_, keys_, clock_.wall())},
                   {.offer = [&](const format::PackSummary& pack, bool is_metadata) -> Status {
                      WorkerReply reply;
                      reply.pack = pack.id;
                      reply.pack_size = pack.size;
                      reply.pack_is_metadata = is_metadata;
                      return connection.send(to_json(reply));
                    },
                    .taken = [&]() -> Status {
                      auto answer = answer_of({Kind::ack});
                      return answer ? Status(Done{}) : Status(fail(std::move(answer.error())));
                    }});
  Status done = result ? os::write_file(state_.spool() + "/snapshot", result->record)
                       : Status(fail(std::move(result.error())));
  if (done) {
    for (const Note& note : result->notes)
      log::warning(
          "scan_note",
          {{"kind", name_of(note.kind)}, {"path", printable(note.path)}, {"reason", note.reason}});
    WorkerReply reply = status();
    reply.snapshot = result->snapshot;
    reply.files_read = result->files_read;
    reply.files_reused = result->files_reused;
    reply.bytes_read = result->bytes_read;
    reply.notes = result->notes_total;
    auto sent = connection.send(to_json(reply));
    auto answer = sent ? answer_of({Kind::committed, Kind::held})
                       : Result<Kind>(fail(std::move(sent.error())));
    if (answer) return *answer == Kind::held ? scanner.hold(result->snapshot) : scanner.count();
    done = fail(std::move(answer.error()));
  }
  if (auto cleaned = scanner.abandon(); !cleaned)
    log::warning("scan_leftovers", {{"error", cleaned.error().text()}});
  return done;
}

void Worker::serve(os::LocalConnection& connection) {
  for (;;) {
    auto text = connection.receive(kNextRequestWithin);
    if (!text) return;
    auto request = parse_worker_request(*text);
    WorkerReply reply;
    using Kind = WorkerRequest::Kind;
    if (!request) {
      reply = failed(std::move(request.error()));
    } else if (request->kind == Kind::status) {
      reply = status();
    } else if (request->kind == Kind::apply) {
      reply = apply(request->dry_run);
    } else if (request->kind == Kind::revert) {
      reply = revert();
    } else if (request->kind == Kind::scan) {
      auto done = scan(*request, connection);
      reply = done ? status() : failed(std::move(done.error()));
    } else if (request->kind == Kind::settle) {
      auto done = Scanner(transaction_, state_.work(), state_.spool()).settle(request->snapshot);
      reply = done ? status() : failed(std::move(done.error()));
    } else {
      reply = failed({ErrorKind::invalid, "nothing waits for that answer"});
    }
    if (reply.error)
      log::warning("request_failed",
                   {{"kind", name_of(reply.error->kind())}, {"error", reply.error->text()}});
    if (auto sent = connection.send(to_json(reply)); !sent) return;
    if (!reply.changed) continue;
    if (auto done = transaction_.tidy(); !done)
      log::warning("trash_stays", {{"error", done.error().text()}});
  }
}

Status run_worker(const StateDirectory& state) {
  auto config = read_config(state);
  if (!config) return fail(std::move(config.error()));
  // Without one, both processes are the caller's: a trial without root.
  auto user = config->user.empty() ? Result<os::User>(os::User{::geteuid(), ::getegid(), ""})
                                   : os::find_user(config->user);
  if (!user) return fail(std::move(user.error()));
  auto listener = os::LocalListener::listen(state.worker_socket(), 0660, user->gid);
  if (!listener) return fail(std::move(listener.error()));
  auto worker = Worker::open(state, os::system_clock());
  if (!worker) return fail(std::move(worker.error()));
  log::info("worker_ready", {{"volume", config->volume}, {"sequence", worker->status().sequence}});
  for (;;) {
    auto connection = listener->accept(kNextRequestWithin);
    if (!connection) {
      if (connection.error().kind() == ErrorKind::unavailable) continue;
      return fail(std::move(connection.error()));
    }
    auto peer = connection->peer();
    if (!peer) return fail(std::move(peer.error()));
    if (peer->uid != 0 && peer->uid != user->uid) {
      log::warning("stranger_refused", {{"uid", peer->uid}, {"pid", peer->pid}});
      continue;
    }
    worker->serve(*connection);
  }
}

}  // namespace lamina::node
