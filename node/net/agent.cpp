#include "node/net/agent.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include "shared/base/assert.hpp"
#include "shared/wire/protocol.hpp"

namespace lamina::node {
namespace {

constexpr const char* kRecordName = "device";

}  // namespace

Agent::Agent(Limits limits, Memory memory, std::string node_version, Instant now)
    : limits_(limits),
      memory_(std::move(memory)),
      node_version_(std::move(node_version)),
      last_now_(now),
      wait_ms_(wire::kPollWaitMaxMs),
      transport_(limits.transport),
      sync_from_(now),
      sync_at_(now + limits.sync_interval) {
  if (limits_.record != nullptr)
    limits_.record->begin_wan_budget(kRecordName, limits_.budget_patience);
  api_certificate_ = {.expires = memory_.certificate_expires, .ahead = limits_.renew_ahead};
  swarm_certificate_ = {.expires = memory_.swarm_certificate_expires,
                        .ahead = limits_.swarm_renew_ahead};
  if (memory_.site) {
    status_ = wire::DeviceStatus::assigned;
    peers_ = *memory_.site;
  }
  if (memory_.target.empty()) return;
  if (auto known = verify(memory_.target)) {
    const Bytes spent = memory_.budget_spent;
    follow(*known);
    memory_.budget_spent = spent;
    target_issued_ = now - memory_.target_age;
    for (auto& [id, layer] : layers_) layer.again = now;  // They are on disk, most of them.
    actions_.clear();  // Nothing is joined yet that could be left.
  }
}

std::vector<Agent::Action> Agent::on(const Event& event, Instant now) {
  LAMINA_ASSERT(now >= last_now_);
  last_now_ = now;
  // Before anything else: a process that was stopped and continued must not act on a dead lease.
  if (lease_ && now >= lease_->expires) drop_lease();
  // Before what the event says of them.
  if (!is_met_ && !peers_.empty()) actions_.push_back(MeetPeers{peers_});
  is_met_ = true;
  std::visit([&](const auto& e) { apply(e, now); }, event);
  advance(now);
  check_invariants(now);
  return std::exchange(actions_, {});
}

Result<format::DeviceTarget> Agent::verify(const Buffer& bytes) const {
  auto opened =
      format::open_record(format::RecordType::target, bytes, std::span(&memory_.target_key, 1));
  if (!opened) return fail(std::move(opened.error()));
  auto target = format::parse_target(opened->record);
  if (!target) return fail(std::move(target.error()));
  if (target->device != memory_.device)
    return fail(ErrorKind::refused, "the device target is for device " +
                                        target->device.short_hex() + ", this is " +
                                        memory_.device.short_hex());
  return target;
}

void Agent::apply(const Polled& polled, Instant now) {
  (polled.kind == PollKind::waiting ? waiting_poll_ : quick_poll_) = false;
  poll_failures_ = 0;
  poll_again_ = now;
  heard_ = true;
  if (!polled.local_address.empty() && polled.local_address != lan_address_) {
    lan_address_ = polled.local_address;
    news_ = true;
  }
  const auto& reply = polled.reply;
  status_ = reply.status;
  if (status_ == wire::DeviceStatus::assigned) {
    // The origin learns that it was heard.
    if (uploads_wait_.has_value() != reply.uploads_wait.has_value()) news_ = true;
    uploads_wait_ = reply.uploads_wait;
  }
  if (reply.next_wait_ms > 0) wait_ms_ = std::min(reply.next_wait_ms, wire::kPollWaitMaxMs);
  // The answer to the waiting poll may be older than one that overtook it.
  const bool is_of_site = reply.site && reply.site->version >= site_version_;
  if (is_of_site) {
    site_version_ = reply.site->version;
    meet(reply.site->peers);
  }
  if (reply.target) take_target(*reply.target);
  if (is_of_site) {
    appoint_ = reply.site->appoint.value_or(true);
    take_transport(reply.site->transport);
    withheld_.clear();
    if (reply.site->withheld)
      withheld_.insert(reply.site->withheld->begin(), reply.site->withheld->end());
    const auto is_other = [this](const DeviceId& holder) { return holder != memory_.device; };
    const bool held = reply.lease && std::ranges::any_of(wire::holders_of(*reply.lease), is_other);
    if (held != site_has_holder_) wanting_since_ = now;
    site_has_holder_ = held;
    take_lease(reply.lease, now);
  }
  // A pending device is answered at once by some origins; do not ask again in a spin. What it had
  // of a site it was in is over.
  if (status_ == wire::DeviceStatus::assigned) return;
  meet({});
  if (lease_) drop_lease();
  site_has_holder_ = false;
  poll_again_ = now + std::max<Duration>(limits_.backoff.first, std::chrono::seconds{1});
}

void Agent::meet(const std::vector<wire::Peer>& peers) {
  if (peers == peers_) return;
  peers_ = peers;
  actions_.push_back(MeetPeers{peers_});
}

// A poll's answer names those that are up; who else was found would only be dialled in vain.
void Agent::apply(const PeersFound& found, Instant) {
  if (origin_reachable() || status_ != wire::DeviceStatus::assigned) return;
  std::vector<wire::Peer> all = found.peers;
  for (const wire::Peer& known : peers_)
    if (std::ranges::find(found.peers, known.device, &wire::Peer::device) == found.peers.end())
      all.push_back(known);
  meet(all);
}

void Agent::apply(const PollFailed& failed, Instant now) {
  (failed.kind == PollKind::waiting ? waiting_poll_ : quick_poll_) = false;
  if (failed.kind == PollKind::quick) news_ = true;
  ++poll_failures_;
  poll_again_ = now + policy::retry_after(limits_.backoff, poll_failures_, failed.random);
}

void Agent::take_target(const Buffer& bytes) {
  auto target = verify(bytes);
  if (!target) {
    actions_.push_back(RefuseTarget{target.error().text()});
    return;
  }
  const std::uint64_t newest = target_ ? target_->sequence : 0;
  if (target->sequence == newest) return;  // Both polls may bring it.
  if (target->sequence < std::max(newest, memory_.applied_sequence)) {
    actions_.push_back(RefuseTarget{"the device target has sequence " +
                                    std::to_string(target->sequence) + ", but " +
                                    std::to_string(std::max(newest, memory_.applied_sequence)) +
                                    " was seen already: an old one was replayed"});
    return;
  }
  memory_.target = bytes;
  actions_.push_back(KeepTarget{bytes});
  follow(*target);
}

void Agent::follow(const format::DeviceTarget& target) {
  std::set<LayerId> stack(target.stack.begin(), target.stack.end());
  stack.insert(target.stage.begin(), target.stage.end());
  std::erase_if(layers_, [&](const auto& entry) {
    if (stack.contains(entry.first)) return false;
    if (entry.second.phase != Layer::Phase::records) actions_.push_back(Leave{entry.first});
    return true;
  });
  for (const LayerId& layer : stack)
    if (const auto [at, added] = layers_.try_emplace(layer); added)
      at->second.again = last_now_ + records_wait(layer);
  // A target that only stages layers does not undo a decision about the stack.
  const bool same_stack = target_ && !target.stage.empty() && target_->stack == target.stack;
  target_ = target;
  target_issued_ = last_now_;
  wanting_since_ = last_now_;
  memory_.budget_spent = {};
  budget_failures_ = 0;
  budget_again_ = last_now_;
  if (lease_ && lease_->by_budget) drop_lease();  // It was the old target's.
  if (!same_stack) {
    held_back_ = false;
    apply_failures_ = 0;
    apply_again_ = last_now_;
  }
  news_ = true;
}

// As many turns as devices of the site come before this one. Ids are random: their distance to the
// layer's (XOR, as in Kademlia) puts the devices in another order for each layer.
Duration Agent::records_wait(const LayerId& layer) const {
  const auto key = [&layer](const DeviceId& device) {
    std::array<std::byte, DeviceId::kSize> mixed{};
    for (std::size_t i = 0; i < mixed.size(); ++i) mixed[i] = device.bytes()[i] ^ layer.bytes()[i];
    return mixed;
  };
  const auto own = key(memory_.device);
  const auto before =
      std::ranges::count_if(peers_, [&](const wire::Peer& peer) { return key(peer.device) < own; });
  return std::min(limits_.records_turns_max, before * limits_.records_turn);
}

void Agent::apply(const RecordsFetched& fetched, Instant) {
  const auto layer = layers_.find(fetched.layer);
  if (layer == layers_.end() || layer->second.phase != Layer::Phase::records) return;
  layer->second = {.phase = Layer::Phase::fetching,
                   .missing = fetched.missing,
                   .is_fresh = fetched.is_fresh,
                   .update = fetched.update,
                   .failures = layer->second.failures};
  actions_.push_back(Join{fetched.layer});
  news_ = true;
}

void Agent::apply(const RecordsFailed& failed, Instant now) {
  const auto layer = layers_.find(failed.layer);
  if (layer == layers_.end()) return;
  layer->second.asked = false;
  layer->second.again =
      now + policy::retry_after(limits_.backoff, ++layer->second.failures, failed.random);
}

void Agent::apply(const PacksNeeded& needed, Instant) {
  const auto layer = layers_.find(needed.layer);
  if (layer == layers_.end() || layer->second.phase == Layer::Phase::records) return;
  layer->second.phase = Layer::Phase::fetching;
  layer->second.missing = needed.missing;
  layer->second.is_fresh = true;
  layer->second.update.reset();
  wanting_since_ = last_now_;
  news_ = true;
}

void Agent::apply(const LayerProgress& progress, Instant) {
  const auto layer = layers_.find(progress.layer);
  if (layer != layers_.end() && layer->second.phase == Layer::Phase::fetching)
    layer->second.missing = progress.missing;
}

void Agent::apply(const LayerComplete& complete, Instant) {
  const auto layer = layers_.find(complete.layer);
  if (layer == layers_.end() || layer->second.phase != Layer::Phase::fetching) return;
  layer->second.phase = Layer::Phase::complete;
  layer->second.missing = {};
  news_ = true;
  if (lease_) lease_->renew_at = last_now_;  // Give it back, or let the next layer count.
}

void Agent::apply(const LayerLost& lost, Instant now) {
  const auto layer = layers_.find(lost.layer);
  if (layer == layers_.end() || layer->second.phase == Layer::Phase::records) return;
  const int failures = layer->second.failures + 1;
  layer->second = {.failures = failures,
                   .again = now + policy::retry_after(limits_.backoff, failures, lost.random)};
  actions_.push_back(Leave{lost.layer});
  news_ = true;
}

void Agent::take_lease(const std::optional<wire::LeaseView>& lease, Instant now) {
  const bool mine = lease && lease->holder == memory_.device && !lease->token.empty();
  if (rule_.no_download || !duties_.leads) return;  // The next poll gives it back.
  if (!mine) return;  // One that ran out, or was lost, ends by itself.
  // The site's lease takes the place of one on the budget.
  if (lease_ && lease_->by_budget) drop_lease();
  if (lease_ && lease->epoch < lease_->epoch) return;
  hold(*lease, false, now);
}

void Agent::hold(const wire::LeaseView& lease, bool by_budget, Instant now) {
  const Instant expires = now + std::chrono::milliseconds{lease.expires_in_ms};
  if (expires <= now) return;
  lease_ = Lease{.epoch = lease.epoch,
                 .expires = expires,
                 .renew_at = now + limits_.lease_renewal,
                 .renewing = lease_ && lease_->renewing && lease_->epoch == lease.epoch,
                 .by_budget = by_budget,
                 .shares = lease.shares.value_or(ShareSet::all())};
  Lead lead{.token = lease.token,
            .epoch = lease.epoch,
            .expires = expires,
            .seeders = lease.seeders,
            .by_budget = by_budget,
            .shares = lease_->shares,
            .most = std::nullopt};
  if (by_budget) lead.most = policy::left_of(budget(), memory_.budget_spent);
  actions_.push_back(std::move(lead));
}

policy::WanBudget Agent::budget() const {
  using Kind = policy::WanBudget::Kind;
  if (!target_) return {};
  const auto value = static_cast<std::int64_t>(target_->budget_value);
  switch (target_->budget) {
    case format::WanBudget::never: break;
    case format::WanBudget::after: return {Kind::after, std::chrono::seconds{value}, {}};
    case format::WanBudget::up_to: return {Kind::up_to, {}, Bytes{value}};
  }
  return {};
}

std::optional<Instant> Agent::budget_due() const {
  const bool is_wanted =
      target_ && status_ == wire::DeviceStatus::assigned && duties_.uses_budget && !wants().empty();
  const policy::WanBudgetNeed need{.is_wanted = is_wanted,
                                   .has_holder = site_has_holder_,
                                   .issued = target_issued_,
                                   .waiting_since = wanting_since_,
                                   .spent = memory_.budget_spent};
  const auto due = policy::may_spend_from(budget(), need, limits_.budget_patience);
  if (limits_.record != nullptr)
    limits_.record->decided(kRecordName, budget(), need, last_now_, due);
  return due;
}

void Agent::apply(const BudgetGranted& granted, Instant now) {
  asking_budget_ = false;
  budget_failures_ = 0;
  // Meanwhile the site's lease may have come, or the need have gone.
  if (lease_ && !lease_->by_budget) return;
  const auto& lease = granted.reply.lease;
  if (!lease || lease->holder != memory_.device || !budget_due() ||
      lease->epoch != target_->sequence)
    return;
  hold(*lease, true, now);
  lease_->renewing = false;
}

void Agent::apply(const BudgetFailed& failed, Instant now) {
  asking_budget_ = false;
  if (lease_ && lease_->by_budget) {
    lease_->renewing = false;
    lease_->renew_at = now + limits_.lease_renewal;
  }
  budget_again_ = now + policy::retry_after(limits_.backoff, ++budget_failures_, failed.random);
}

void Agent::apply(const BudgetSpent& spent, Instant) {
  memory_.budget_spent = std::max(memory_.budget_spent, spent.spent);
}

void Agent::apply(const WanTransportChanged& changed, Instant) {
  over_https_ = changed.to_https;
  news_ = true;  // The reason is another one.
}

void Agent::take_transport(const std::optional<std::string>& rule) {
  const auto only =
      limits_.transport ? limits_.transport : policy::wan_transport_named(rule.value_or("auto"));
  if (only == transport_) return;
  transport_ = only;
  news_ = true;  // The reason is another one.
  actions_.push_back(UseTransport{only});
}

std::string_view Agent::reason(const LayerId& layer) const {
  const auto found = layers_.find(layer);
  if (found == layers_.end() || found->second.phase == Layer::Phase::records)
    return "waiting-for-records";
  if (found->second.phase == Layer::Phase::complete)
    return is_waiting_for_restart() && std::ranges::count(target_->stack, layer) > 0
               ? "waiting-for-restart"
               : "local-cache";
  if (status_ != wire::DeviceStatus::assigned) return "waiting-for-site";
  if (clock_is_wrong_) return "waiting-for-clock";
  if (lease_ && over_https_)
    return transport_ == policy::WanTransport::Kind::https ? "https-by-rule" : "origin-by-https";
  if (lease_ && transport_ == policy::WanTransport::Kind::swarm) return "swarm-by-rule";
  if (lease_) return lease_->by_budget ? "origin-by-budget" : "origin-by-lease";
  if (!origin_reachable()) return peers_.empty() ? "waiting-for-origin" : "lan-peer";
  if (site_has_holder_) return "lan-peer";
  if (rule_.no_download) return "waiting-for-rule";
  if (!duties_.uses_budget) return "waiting-for-resume";
  if (withheld_.contains(layer)) return "waiting-for-admission";
  if (budget().kind == policy::WanBudget::Kind::up_to &&
      policy::left_of(budget(), memory_.budget_spent) == Bytes{})
    return "waiting-for-budget";
  return appoint_ ? "waiting-for-lease" : "waiting-for-reflector";
}

void Agent::drop_lease() {
  lease_.reset();
  actions_.push_back(Resign{});
  news_ = true;  // Still a candidate: say so.
}

void Agent::apply(const LeaseRenewed& renewed, Instant now) {
  if (!lease_ || lease_->by_budget) return;  // It ran out while the answer was under way.
  lease_->renewing = false;
  if (renewed.reply.lease)
    take_lease(renewed.reply.lease, now);
  else
    drop_lease();
}

void Agent::apply(const LeaseLost&, Instant) {
  if (lease_ && !lease_->by_budget) drop_lease();
}

void Agent::apply(const LeaseFailed&, Instant now) {
  if (!lease_ || lease_->by_budget) return;
  lease_->renewing = false;
  lease_->renew_at = now + limits_.lease_renewal;
}

void Agent::apply(const RuleChanged& rule, Instant now) {
  if (rule.no_download != rule_.no_download) {
    news_ = true;          // A device that may fetch nothing is no candidate for the lease.
    wanting_since_ = now;  // Nor does it wait for one.
  }
  rule_ = rule;
  if (rule_.no_download && lease_) drop_lease();
}

void Agent::apply(const Settled& settled, Instant now) {
  if (duties_ == settled.duties) return;
  duties_ = settled.duties;
  news_ = true;
  wanting_since_ = now;
  if (lease_ && !(lease_->by_budget ? duties_.uses_budget : duties_.leads)) drop_lease();
}

void Agent::apply(const Hurry&, Instant now) {
  news_ = true;
  poll_again_ = apply_again_ = budget_again_ = now;
  for (auto& [id, layer] : layers_) layer.again = now;
}

void Agent::apply(const Applied& applied, Instant) {
  applying_ = false;
  apply_failures_ = 0;
  news_ = true;
  memory_.applied_sequence = std::max(memory_.applied_sequence, applied.sequence);
  if (target_ && target_->sequence == applied.sequence) memory_.applied = target_->stack;
}

void Agent::apply(const ApplyWaits& waits, Instant) {
  applying_ = false;
  apply_failures_ = 0;
  news_ = true;
  memory_.waits = waits.sequence;
}

void Agent::apply(const ApplyFailed& failed, Instant now) {
  applying_ = false;
  if (!target_ || target_->sequence != failed.sequence) return;
  if (!failed.again) {
    held_back_ = true;
    return;
  }
  apply_again_ = now + policy::retry_after(limits_.backoff, ++apply_failures_, failed.random);
}

void Agent::apply(const Reverted& reverted, Instant) {
  memory_.applied = reverted.applied;
  memory_.waits = 0;
  held_back_ = true;
  news_ = true;
}

void Agent::apply(const Renewed& renewed, Instant now) {
  auto& certificate = renewed.swarm ? swarm_certificate_ : api_certificate_;
  certificate.renewing = false;
  certificate.failures = 0;
  certificate.expires = renewed.expires;
  // A new one that is due already: this computer's clock is wrong, and the next would be no better.
  if (renewed.expires - certificate.ahead <= now) certificate.again = now + limits_.renew_again;
  // By such a clock the site's other devices have no valid certificates either: nothing would come
  // from them, and everything once more over the line.
  if (!renewed.swarm) clock_is_wrong_ = renewed.expires <= now;
}

void Agent::apply(const RenewFailed& failed, Instant now) {
  auto& certificate = failed.swarm ? swarm_certificate_ : api_certificate_;
  certificate.renewing = false;
  certificate.again =
      now + policy::retry_after(limits_.backoff, ++certificate.failures, failed.random);
}

void Agent::apply(const Looked& looked, Instant) {
  if (unfit_ != looked.unfit) news_ = true;
  unfit_ = looked.unfit;
}

void Agent::apply(const IntervalChanged& changed, Instant) {
  if (sync_interval_ == changed.interval) return;
  sync_interval_ = changed.interval;
  sync_at_ = sync_from_ + sync_interval();
}

void Agent::apply(const Snoozed& snoozed, Instant now) {
  snoozed_until_ = now + snoozed.duration;
  news_ = true;
  if (!syncing_ || !syncing_by_interval_ || sync_stopped_ || now >= snoozed_until_) return;
  sync_stopped_ = true;
  actions_.push_back(StopSync{});
}

void Agent::apply(const SyncRequested&, Instant) { sync_requested_ = true; }

void Agent::apply(const SyncEnded&, Instant now) {
  syncing_ = false;
  // What a rule, a snooze or the origin cut short goes on as soon as it may.
  const bool was_cut_short = std::exchange(sync_stopped_, false) || !may_upload();
  sync_from_ = now;
  sync_at_ = was_cut_short ? now : now + sync_interval();
}

bool Agent::is_waiting_for_restart() const {
  return target_ && memory_.waits == target_->sequence &&
         memory_.applied_sequence < target_->sequence;
}

bool Agent::is_complete() const {
  return std::ranges::all_of(target_->stack, [this](const LayerId& layer) {
    return layers_.at(layer).phase == Layer::Phase::complete;
  });
}

bool Agent::is_apply_wanted() const {
  if (!target_ || applying_ || held_back_ || target_->sequence <= memory_.applied_sequence ||
      is_waiting_for_restart())
    return false;
  // Staging leaves the volume, and what can be undone there, alone.
  if (!target_->stage.empty() && target_->enforce == format::Enforce::no &&
      target_->stack == memory_.applied)
    return false;
  return is_complete();
}

std::vector<wire::Want> Agent::wants() const {
  std::vector<wire::Want> list;
  if (rule_.no_download || clock_is_wrong_) return list;
  for (const auto& [id, layer] : layers_)
    if (layer.phase == Layer::Phase::fetching)
      list.push_back({id, layer.missing.count, layer.is_fresh ? std::optional(true) : std::nullopt,
                      layer.update});
  return list;
}

wire::PollRequest Agent::poll_request(PollKind kind) const {
  return {.target_sequence = target_ ? target_->sequence : 0,
          .applied_sequence = memory_.applied_sequence,
          .site_version = site_version_,
          .applied = memory_.applied,
          .wants = wants(),
          .lan_address = lan_address_,
          .swarm_port = memory_.swarm_port,
          // At first, and after a failure, it is good to know soon that the origin answers.
          .wait_ms = kind == PollKind::waiting && origin_reachable() ? wait_ms_ : 0,
          .node_version = node_version_,
          .layers = layer_states(),
          .unfit = unfit_,
          .uploads_wait = uploads_wait_.has_value()};
}

std::vector<wire::LayerState> Agent::layer_states() const {
  std::vector<wire::LayerState> states;
  for (const auto& [id, layer] : layers_)
    states.push_back({id, std::string(reason(id)), layer.missing.count});
  return states;
}

void Agent::advance(Instant now) {
  const auto renew = [&](Certificate& certificate, bool swarm) {
    const bool due = !certificate.expires || now >= *certificate.expires - certificate.ahead;
    if (!due || certificate.renewing || now < certificate.again) return;
    certificate.renewing = true;
    actions_.push_back(Renew{swarm});
  };
  renew(api_certificate_, false);
  if (status_ == wire::DeviceStatus::assigned) renew(swarm_certificate_, true);

  if (now >= poll_again_) {
    // A quick poll says what is new beside a poll that waits; without one, the next poll says it.
    const bool quick = news_ && waiting_poll_ && !quick_poll_;
    if (quick || !waiting_poll_) {
      news_ = false;
      (quick ? quick_poll_ : waiting_poll_) = true;
      const auto kind = quick ? PollKind::quick : PollKind::waiting;
      actions_.push_back(Poll{kind, poll_request(kind)});
    }
  }
  if (status_ != wire::DeviceStatus::assigned) return;

  for (auto& [id, layer] : layers_) {
    if (layer.phase != Layer::Phase::records || layer.asked || now < layer.again) continue;
    layer.asked = true;
    actions_.push_back(FetchRecords{id});
  }
  if (lease_ && lease_->by_budget && !budget_due()) drop_lease();  // Used up, or not needed.
  if (lease_ && !lease_->renewing && now >= lease_->renew_at) {
    lease_->renewing = true;
    if (lease_->by_budget) {
      asking_budget_ = true;
      actions_.push_back(AskBudget{{.target_sequence = target_->sequence}});
    } else {
      actions_.push_back(RenewLease{{.epoch = lease_->epoch, .wants = wants()}});
    }
  }
  if (const auto due = budget_due();
      due && !lease_ && !asking_budget_ && now >= std::max(*due, budget_again_)) {
    asking_budget_ = true;
    actions_.push_back(AskBudget{{.target_sequence = target_->sequence}});
  }
  // A scan and an apply never run beside each other: the scan would see half of it.
  if (syncing_ || applying_) return;
  const bool apply_due = is_apply_wanted() && now >= apply_again_;
  const bool protect = apply_due && protected_sequence_ != target_->sequence;
  const bool interval_due = now >= std::max(sync_at_, snoozed_until_);
  if (may_upload() && (protect || sync_requested_ || interval_due)) {
    actions_.push_back(Sync{protect ? "before-apply" : sync_requested_ ? "request" : "interval"});
    syncing_ = true;
    syncing_by_interval_ = !protect && !sync_requested_;
    sync_requested_ = false;
    if (protect) protected_sequence_ = target_->sequence;
  } else if (apply_due) {
    applying_ = true;
    actions_.push_back(Apply{memory_.target, target_->sequence});
  }
}

std::optional<Instant> Agent::next_change() const {
  std::optional<Instant> next;
  const auto at = [&](Instant when) { next = next ? std::min(*next, when) : when; };
  const auto certificate = [&](const Certificate& c) {
    if (!c.renewing && c.expires) at(std::max(*c.expires - c.ahead, c.again));
    if (!c.renewing && !c.expires) at(c.again);
  };
  certificate(api_certificate_);
  if (!waiting_poll_ || (news_ && !quick_poll_)) at(poll_again_);
  if (lease_) at(lease_->renewing ? lease_->expires : std::min(lease_->renew_at, lease_->expires));
  if (status_ != wire::DeviceStatus::assigned) return next;

  certificate(swarm_certificate_);
  if (const auto due = budget_due(); due && !lease_ && !asking_budget_)
    at(std::max(*due, budget_again_));
  for (const auto& [id, layer] : layers_)
    if (layer.phase == Layer::Phase::records && !layer.asked) at(layer.again);
  if (syncing_ || applying_) return next;
  if (is_apply_wanted()) at(apply_again_);
  if (may_upload()) at(std::max(sync_at_, snoozed_until_));
  return next;
}

void Agent::check_invariants(Instant now) const {
  LAMINA_ASSERT(!lease_ || (lease_->expires > now && !rule_.no_download));
  LAMINA_ASSERT(!applying_ || target_);
}

}  // namespace lamina::node
