#include "node/worker/worker.hpp"

#include <unistd.h>

#include <algorithm>
#include <map>
#include <set>

#include "node/worker/cached_layer.hpp"
#include "node/worker/in_use.hpp"
#include "node/worker/journal.hpp"
#include "node/worker/regeneration.hpp"
#include "node/worker/scripts.hpp"
#include "node/worker/volume.hpp"
#include "shared/base/log.hpp"
#include "shared/image/records/record_format.hpp"
#include "shared/image/stack.hpp"

namespace lamina::node {
namespace {

// The network process answers at once, except while it uploads a pack over a thin line: 64 MiB at
// 64 kbit/s take two hours and a quarter.
constexpr Duration kAnswerWithin = std::chrono::hours{3};
constexpr Duration kNextRequestWithin = std::chrono::hours{24 * 365};

// Of a layer and those that it may lean on, as far as they are there.
void add_manifest_packs(const StateDirectory& state, const LayerId& id, const TrustedKeys& keys,
                        std::set<LayerId>& seen, std::vector<std::string>& paths) {
  if (!seen.insert(id).second) return;
  const auto distribution = read_distribution(state, id, keys);
  if (!distribution) return;
  for (const format::DistributedPack& pack : distribution->packs) {
    if (!pack.is_metadata || !pack.update_from.empty()) continue;
    paths.push_back(state.packs() + '/' + pack.id.hex());
    for (const LayerId& base : pack.unless) add_manifest_packs(state, base, keys, seen, paths);
  }
  const auto rebuilt = read_rebuilt(state, id);
  if (!rebuilt) return;
  for (const format::DistributedPack& pack : rebuilt->packs)
    paths.push_back(state.packs() + '/' + pack.id.hex());
  add_manifest_packs(state, rebuilt->base, keys, seen, paths);
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

std::string full_name(const format::LayerRecord& layer) { return layer.name + ' ' + layer.version; }

// What the target makes of the state before, once it is applied.
AppliedState state_after(const VerifiedTarget& verified, const AppliedState& before) {
  AppliedState next{.sequence = verified.target.sequence,
                    .stack = verified.target.stack,
                    .enforced = std::max(before.enforced, verified.target.enforce_number)};
  for (std::size_t i = 0; i < verified.layers.size(); ++i) {
    const format::LayerRecord& layer = verified.layers[i];
    if (layer.running != format::RunningNeeds{})
      next.needs[verified.target.stack[i]] = {full_name(layer), layer.running};
  }
  return next;
}

// The scripts of the layers that were not applied before, or of all.
std::vector<DueScript> scripts_of(const VerifiedTarget& verified, const AppliedState& before,
                                  bool of_all) {
  std::vector<DueScript> scripts;
  for (std::size_t i = 0; i < verified.layers.size(); ++i) {
    const auto was = std::ranges::find(before.stack, verified.target.stack[i]);
    if (was != before.stack.end() && !of_all) continue;
    for (const format::LayerScript& script : verified.layers[i].scripts)
      scripts.push_back({full_name(verified.layers[i]), script});
  }
  return scripts;
}

std::string joined(const std::vector<std::string>& words, std::size_t most) {
  std::string text;
  for (std::size_t i = 0; i < std::min(words.size(), most); ++i)
    (text += text.empty() ? "" : ", ") += words[i];
  if (words.size() > most) text += " and " + std::to_string(words.size() - most) + " more";
  return text;
}

std::string text_of(const wire::ScriptEnd& end) {
  return "script " + end.name + " of " + end.layer + ": " +
         (end.trouble                ? *end.trouble
          : end.late.value_or(false) ? std::string("its time was over")
                                     : "exit code " + std::to_string(end.code));
}

// Where the old versions of replaced files lie.
std::string own_directory(const os::Root& volume) {
  return (volume.path() == "/" ? "" : volume.path()) + '/' + std::string(kHome);
}

image::Mode mode_of(format::Enforce enforce) {
  switch (enforce) {
    case format::Enforce::no: return image::Mode::apply;
    case format::Enforce::keep_user_apps: return image::Mode::enforce;
    case format::Enforce::remove_user_apps: return image::Mode::remove_others;
  }
  return image::Mode::apply;
}

// A device whose node is in no layer would lose it, with the libraries that it needs.
Status check_own_program(const os::Root& volume, const image::Stack& stack) {
  constexpr const char* kProgram = "usr/bin/lamina-node";
  auto there = volume.facts(kProgram);
  if (!there) return fail(std::move(there.error()));
  if (!*there) return Done{};
  auto has = stack.has(kProgram);
  if (!has) return fail(std::move(has.error()));
  if (*has) return Done{};
  return fail(ErrorKind::refused,
              std::string("the device's own '") + kProgram +
                  "' is in no layer, and would go with what it needs: put it into the base layer, "
                  "or enforce with keep-user-apps");
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
    auto layer = read_record(state, id, keys);
    if (!layer) return fail(std::move(layer.error()));
    verified.layers.push_back(std::move(*layer));
  }
  if (auto good = check_platforms(verified.layers); !good) return fail(std::move(good.error()));
  return verified;
}

Worker::Worker(StateDirectory state, NodeConfig config, TrustedKeys keys, Transaction transaction,
               const os::Clock& clock, Services* services, BootLoader* loader, HeldPolicy policy)
    : state_(std::move(state)),
      config_(std::move(config)),
      keys_(std::move(keys)),
      transaction_(std::move(transaction)),
      clock_(clock),
      services_(services),
      loader_(loader),
      policy_(std::move(policy)) {}

Result<Worker> Worker::open(StateDirectory state, const os::Clock& clock, Services* services,
                            BootLoader* loader) {
  auto config = read_config(state);
  if (!config) return fail(std::move(config.error()));
  auto keys = read_trust(state);
  if (!keys) return fail(std::move(keys.error()));
  auto transaction = Transaction::open(config->volume);
  if (!transaction) return fail(std::move(transaction.error()));
  HeldPolicy policy(state.work() + "/policy");
  if (policy.known()) {
    auto protection = policy.protection();
    if (!protection) return fail(std::move(protection.error()));
    transaction->protect(std::move(*protection));
  }
  Worker worker(std::move(state), std::move(*config), std::move(*keys), std::move(*transaction),
                clock, services, loader, std::move(policy));
  WorkerReply finished;  // A kill may have left commands, scripts and stopped services.
  worker.finish_into(finished);
  return worker;
}

WorkerReply Worker::status() {
  WorkerReply reply;
  reply.sequence = transaction_.applied().sequence;
  reply.stack = transaction_.applied().stack;
  reply.policy = policy_.policy();
  auto aftermath = transaction_.aftermath();
  if (!aftermath) {
    reply.remarks.push_back(aftermath.error().text());
    return reply;
  }
  if (aftermath->is_restart_due(boot_id())) reply.restart_due = aftermath->restart;
  auto waiting = transaction_.waiting();
  if (!waiting) {
    reply.remarks.push_back(waiting.error().text());
  } else if (*waiting) {
    reply.waits = (*waiting)->is_revert ? reply.sequence : (*waiting)->next.sequence;
    if (!(*waiting)->is_revert) reply.restart_due = (*waiting)->after.restart;
  }
  auto trial = transaction_.trial();
  if (!trial)
    reply.remarks.push_back(trial.error().text());
  else if (*trial && (*trial)->stage == Trial::Stage::ended)
    reply.tried = (*trial)->trouble;
  reply.earlier = aftermath->earlier;
  if (aftermath->sequence != reply.sequence) {
    // A newer target was staged and given up: nothing follows it.
    Aftermath given_up;
    given_up.take_untold(*aftermath);
    reply.earlier = std::move(given_up.earlier);
  } else if (!aftermath->is_told) {
    for (const DueScript& due : aftermath->scripts)
      if (due.end) reply.scripts.push_back(*due.end);
  }
  return reply;
}

WorkerReply Worker::told(std::uint64_t sequence) {
  auto aftermath = transaction_.aftermath();
  if (!aftermath) return failed(std::move(aftermath.error()));
  if (aftermath->tell(sequence))
    if (auto kept = transaction_.keep_aftermath(*aftermath); !kept)
      return failed(std::move(kept.error()));
  auto trial = transaction_.trial();
  if (!trial) return failed(std::move(trial.error()));
  if (*trial && (*trial)->stage == Trial::Stage::ended && (*trial)->sequence == sequence)
    if (auto forgotten = transaction_.forget_trial(); !forgotten)
      return failed(std::move(forgotten.error()));
  return status();
}

void Worker::came_up() {
  if (loader_ == nullptr) return;
  auto trial = transaction_.trial();
  if (trial && *trial && (*trial)->stage == Trial::Stage::trying) {
    (*trial)->stage = Trial::Stage::ended;
    log::info("start_is_good", {{"sequence", (*trial)->sequence}});
    if (auto kept = transaction_.keep_trial(**trial); !kept) trial = fail(std::move(kept.error()));
  }
  if (!trial) return log::error("start_not_noted", {{"error", trial.error().text()}});
  // Tried again at the next start: until then the kernel that is in charge stays so.
  if (auto released = loader_->release(); !released)
    log::warning("boot_loader_not_released", {{"error", released.error().text()}});
}

WorkerReply Worker::take_policy(const wire::Policy& policy) {
  auto protection = policy_.take(policy);
  if (!protection) return failed(std::move(protection.error()));
  transaction_.protect(std::move(*protection));
  log::info("policy_taken", {{"name", policy.name}, {"version", policy.version}});
  return status();
}

WorkerReply Worker::apply(bool dry_run) {
  if (auto known = policy_.known(); !known) return failed(std::move(known.error()));
  auto reply = try_apply(dry_run);
  return reply ? std::move(*reply) : failed(std::move(reply.error()));
}

Result<WorkerReply> Worker::try_apply(bool dry_run) {
  auto verified = read_target(state_, config_.device, keys_, clock_.wall());
  if (!verified) return fail(std::move(verified.error()));
  const std::uint64_t sequence = verified->target.sequence;
  auto waiting = transaction_.waiting();
  if (!waiting) return fail(std::move(waiting.error()));
  const std::uint64_t applied = transaction_.applied().sequence;
  const std::uint64_t accepted = *waiting ? std::max(applied, (*waiting)->next.sequence) : applied;
  if (sequence < accepted)
    return fail(ErrorKind::refused, "device target " + std::to_string(sequence) +
                                        " is older than target " + std::to_string(accepted) +
                                        ", which this device has accepted already");
  if (sequence == accepted) return status();

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
  const AppliedState before = transaction_.applied();
  const AppliedState next = state_after(*verified, before);
  // Once for each number, however many targets carry it.
  // Without layers there is nothing that a device could be made equal to.
  const bool enforces = next.enforced > before.enforced && !next.stack.empty();
  const image::Mode mode = enforces ? mode_of(verified->target.enforce) : image::Mode::apply;
  if (mode == image::Mode::remove_others)
    if (auto good = check_own_program(transaction_.volume(), **stack); !good)
      return fail(std::move(good.error()));
  const auto prepare = [&](const ApplyCounts& counts) -> Result<Transaction::Prepared> {
    Aftermath aftermath{.sequence = sequence, .scripts = scripts_of(*verified, before, enforces)};
    std::vector<LayerNeeds> needs = needs_between(before, next);
    const bool changes = counts.created + counts.replaced + counts.metadata + counts.removed > 0;
    // Which layers' files an enforcement changes is not known: any.
    if (enforces && changes)
      for (const auto& [id, of_layer] : next.needs)
        if (std::ranges::find(needs, of_layer) == needs.end()) needs.push_back(of_layer);
    return this->prepare(std::move(aftermath), needs, changes, before, next);
  };
  auto counts = dry_run ? transaction_.dry_run(std::move(*entries), source, mode)
                        : transaction_.apply(std::move(*entries), next, source, mode, prepare);
  if (!counts) {
    std::vector<std::string> remarks;
    start_services(remarks);  // Those that were stopped for it run on.
    Error error = std::move(counts.error());
    for (const std::string& remark : remarks) error = std::move(error).in(remark);
    return fail(std::move(error));
  }
  WorkerReply reply = status();
  reply.changed = !dry_run;
  reply.counts = *counts;
  for (const image::IdClash& clash : (*stack)->clashes()) reply.remarks.push_back(text_of(clash));
  if (!dry_run) finish_into(reply);
  return reply;
}

// As revert() would find it.
Result<WorkerReply> Worker::foresee_revert(const AppliedState& now,
                                           const std::optional<AppliedState>& before) {
  WorkerReply reply = status();
  auto waits = transaction_.waiting();
  if (!waits) return fail(std::move(waits.error()));
  // An apply that waits is given up, and nothing that counts changes.
  if (*waits) {
    if (!(*waits)->is_revert) reply.waits = 0;
    return reply;
  }
  if (!before)
    return fail(ErrorKind::not_found,
                "there is no apply to revert on " + printable(transaction_.volume().path()));
  auto layers = waits_for(needs_between(now, *before), now, *before);
  if (!layers) return fail(std::move(layers.error()));
  reply.stack = before->stack;
  reply.waits = layers->empty() ? 0 : now.sequence;
  return reply;
}

WorkerReply Worker::revert(bool dry_run) {
  const AppliedState now = transaction_.applied();
  auto before = transaction_.undoable();
  if (!before) return failed(std::move(before.error()));
  if (dry_run) {
    auto reply = foresee_revert(now, *before);
    return reply ? std::move(*reply) : failed(std::move(reply.error()));
  }
  auto done = transaction_.revert([&](const ApplyCounts&) -> Result<Transaction::Prepared> {
    Aftermath aftermath{.sequence = now.sequence};
    const AppliedState then = before->value_or(AppliedState{});
    return prepare(std::move(aftermath), needs_between(now, then), true, now, then);
  });
  if (!done) {
    WorkerReply reply;
    start_services(reply.remarks);
    return failed(std::move(done.error()));
  }
  WorkerReply reply = status();
  reply.changed = true;
  finish_into(reply);
  return reply;
}

// Decides when the volume goes from one state to another, and makes the running system ready for
// it.
Result<Transaction::Prepared> Worker::prepare(Aftermath aftermath,
                                              const std::vector<LayerNeeds>& needs, bool changes,
                                              const AppliedState& from, const AppliedState& to) {
  auto layers = changes ? waits_for(needs, from, to) : std::vector<std::string>();
  if (!layers) return fail(std::move(layers.error()));
  if (!layers->empty()) {
    aftermath.restart = std::move(*layers);
    return Transaction::Prepared{std::move(aftermath), When::at_next_start};
  }
  if (auto done = restart_due_for(needs, aftermath); !done) return fail(std::move(done.error()));
  if (changes)
    if (auto done = stop_services(needs); !done) return fail(std::move(done.error()));
  return Transaction::Prepared{std::move(aftermath)};
}

// The layers because of which the change waits for the next start; none: it does not. A base is
// never replaced beneath the system that runs from it. A layer that needs a restart waits for it
// where that is possible, and else is followed by it.
Result<std::vector<std::string>> Worker::waits_for(const std::vector<LayerNeeds>& needs,
                                                   const AppliedState& from,
                                                   const AppliedState& to) {
  std::vector<std::string> layers;
  if (loader_ == nullptr) return layers;
  const auto base_of = [](const AppliedState& state) {
    return state.stack.empty() ? LayerId() : state.stack.front();
  };
  const bool is_base_new = base_of(from) != base_of(to);
  for (const LayerNeeds& of_layer : needs)
    if (of_layer.needs.restart && std::ranges::find(layers, of_layer.layer) == layers.end())
      layers.push_back(of_layer.layer);
  if (is_base_new) {
    const LayerId base = base_of(to).is_none() ? base_of(from) : base_of(to);
    const auto record = read_record(state_, base, keys_);
    const std::string name = record ? full_name(*record) : "base " + base.short_hex();
    if (std::ranges::find(layers, name) == layers.end()) layers.insert(layers.begin(), name);
  }
  if (layers.empty()) return layers;
  auto good = loader_->check();
  if (good) return layers;
  if (is_base_new) return fail(std::move(good.error()));
  return std::vector<std::string>();
}

// A restart that the last apply made due, and that has not come yet, stays due.
Status Worker::restart_due_for(const std::vector<LayerNeeds>& needs, Aftermath& aftermath) const {
  if (services_ == nullptr) return Done{};  // Nothing runs from the volume.
  auto last = transaction_.aftermath();
  if (!last) return fail(std::move(last.error()));
  if (last->is_restart_due(boot_id())) aftermath.restart = last->restart;
  for (const LayerNeeds& of_layer : needs)
    if (of_layer.needs.restart &&
        std::ranges::find(aftermath.restart, of_layer.layer) == aftermath.restart.end())
      aftermath.restart.push_back(of_layer.layer);
  return Done{};
}

// Those that run. They are written down first: a kill leaves none of them stopped for good.
Status Worker::stop_services(const std::vector<LayerNeeds>& needs) {
  if (services_ == nullptr) return Done{};
  auto units = transaction_.stopped_services();
  if (!units) return fail(std::move(units.error()));
  std::vector<std::string> running;
  for (const LayerNeeds& of_layer : needs)
    for (const std::string& unit : of_layer.needs.services) {
      if (std::ranges::find(*units, unit) != units->end()) continue;
      auto runs = services_->is_active(unit);
      if (!runs) return fail(std::move(runs.error()));
      if (!*runs) continue;
      units->push_back(unit);
      running.push_back(unit);
    }
  if (running.empty()) return Done{};
  if (auto noted = transaction_.note_stopped(*units); !noted) return noted;
  for (const std::string& unit : running) {
    // Reported, and tried again with the next target: nobody knows when it would stop.
    if (auto stopped = services_->stop(unit); !stopped)
      return fail(
          ErrorKind::refused,
          stopped.error().text() + "; see why it does not stop, then assign the layers again");
    log::info("service_stopped", {{"unit", unit}});
  }
  return Done{};
}

// After a restart of the machine they run already, maybe from files that were replaced since.
void Worker::start_services(std::vector<std::string>& remarks) {
  const auto units = transaction_.stopped_services();
  if (!units) return remarks.push_back(units.error().text());
  if (units->empty()) return;
  if (services_ != nullptr)
    for (const std::string& unit : *units) {
      if (auto started = services_->restart(unit); !started)
        remarks.push_back(started.error().text());
      else
        log::info("service_started", {{"unit", unit}});
    }
  if (auto noted = transaction_.note_stopped({}); !noted) remarks.push_back(noted.error().text());
}

// The volume is what it shall be already: what goes wrong here is told, and undoes nothing.
void Worker::finish_into(WorkerReply& reply) {
  auto remarks = regenerate(transaction_);
  if (!remarks) reply.remarks.push_back(remarks.error().text());
  if (remarks) std::ranges::move(*remarks, std::back_inserter(reply.remarks));
  if (auto ran = run_scripts(transaction_); !ran) reply.remarks.push_back(ran.error().text());
  start_services(reply.remarks);
  WorkerReply now = status();
  reply.scripts = std::move(now.scripts);
  reply.restart_due = std::move(now.restart_due);
  for (const wire::ScriptEnd& end : reply.scripts)
    if (!end.is_good()) reply.remarks.push_back(text_of(end));
  if (reply.changed) {
    const auto users = processes_using(own_directory(transaction_.volume()));
    if (!users.empty())
      reply.remarks.push_back("in use as it was before: " + joined(users, 10) +
                              "; restart them, or the device");
  }
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
  if (auto known = policy_.known(); !known) return known;
  Scanner scanner(transaction_, state_.work(), state_.spool());
  auto result =
      scanner.scan({.device = config_.device,
                    .sequence = request.sequence,
                    .parent = request.parent,
                    .reason = request.reason,
                    .started = clock_.wall(),
                    .full = request.full,
                    .unprotected = policy_.policy().rules.unprotected,
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
      reply = revert(request->dry_run);
    } else if (request->kind == Kind::told) {
      reply = told(request->sequence);
    } else if (request->kind == Kind::policy) {
      reply = take_policy(request->policy);
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
  auto machine = os::Root::open("/");
  if (!machine) return fail(std::move(machine.error()));
  Systemd systemd(*machine);
  Grub grub(*machine, Grub::this_machine());
  const bool runs_from_it = config->volume == "/";
  auto worker = Worker::open(state, os::system_clock(), runs_from_it ? &systemd : nullptr,
                             runs_from_it ? &grub : nullptr);
  if (!worker) return fail(std::move(worker.error()));
  log::info("worker_ready", {{"volume", config->volume}, {"sequence", worker->status().sequence}});
  for (bool is_first = true;;) {
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
    if (std::exchange(is_first, false)) worker->came_up();
    worker->serve(*connection);
  }
}

}  // namespace lamina::node
