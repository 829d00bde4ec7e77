#include "shared/policy/decision_log.hpp"

#include "shared/base/bytes.hpp"
#include "shared/policy/record_words.hpp"

namespace lamina::policy {

using namespace record_words;

namespace {

constexpr std::string_view kArrow = " :";

std::string text(std::uint64_t number) { return std::to_string(number); }
std::string text(std::int64_t number) { return std::to_string(number); }
std::string text(Instant time) { return text(std::int64_t{time.time_since_epoch().count()}); }
std::string words(std::string_view word) { return ' ' + std::string(word); }
template <class... More>
std::string words(std::string_view word, const More&... more) {
  return words(word) + words(more...);
}

// --- events and actions in words ---

std::string to_words(const SiteLease::Reported& e) {
  return words("reported", e.device.hex(), text(e.missing.count)) + (e.unfit ? " unfit" : "");
}
std::string to_words(const SiteLease::Renewed& e) {
  return words("renewed", e.device.hex(), text(e.epoch), text(e.missing.count)) +
         (e.left ? words("left", text(e.left->count)) : "");
}
std::string to_words(const SiteLease::Left& e) { return words("left", e.device.hex()); }
std::string to_words(const SiteLease::Configured& e) {
  std::string line = words("configured", text(std::int64_t{e.reflectors}));
  for (const DeviceId& device : e.named) line += words(device.hex());
  return line;
}
std::string to_words(const SiteLease::Tick&) { return words("tick"); }
std::string to_words(ShareSet shares) {
  return shares.is_all() ? "" : words("shares", text(std::uint64_t{shares.bits()}));
}
std::string to_words(const SiteLease::Ended& a) {
  constexpr std::string_view kReasons[] = {"done", "lapsed", "left", "unfit", "replaced"};
  return words("ended", a.device.hex(), text(a.epoch),
               kReasons[static_cast<std::size_t>(a.reason)]);
}
std::string to_words(const SiteLease::Granted& a) {
  return words("granted", a.device.hex(), text(a.epoch), text(a.expires)) + to_words(a.shares);
}
std::string to_words(const SiteLease::Extended& a) {
  return words("extended", a.device.hex(), text(a.epoch), text(a.expires)) + to_words(a.shares);
}
std::string to_words(const SiteLease::Refused& a) {
  return words("refused", a.device.hex(), text(a.epoch));
}
std::string to_words(const LeaseHolder::Led& e) {
  return words("led", text(e.epoch), text(e.expires));
}
std::string to_words(const LeaseHolder::Resigned&) { return words("resigned"); }
std::string to_words(const LeaseHolder::Tick&) { return words("tick"); }
std::string to_words(const LeaseHolder::Close& a) {
  return words("close", a.reason == LeaseHolder::CloseReason::lapsed ? "lapsed" : "resigned");
}
std::string to_words(const LeaseHolder::Open& a) { return words("open", text(a.epoch)); }
std::string to_words(const LeaseHolder::Refresh& a) { return words("refresh", text(a.epoch)); }

std::string to_words(const WanTransport::Seen& seen) {
  return words("seen") + (seen.knows_seeders ? words("known") : "") +
         (seen.is_offered ? words("offered") : "") + (seen.is_wanted ? words("wanted") : "");
}
std::string to_words(const WanPacing::Seen& seen) {
  return words("seen", text(std::int64_t{seen.rtt.count()}),
               text(std::int64_t{seen.rtt_min.count()}), text(seen.acked.count), text(seen.lost)) +
         (seen.jitter > Duration{} ? words("jitter", text(std::int64_t{seen.jitter.count()}))
                                   : "") +
         (seen.is_among_ours ? words("ours") : "") + (seen.is_held ? words("held") : "") +
         (seen.is_idle ? words("idle") : "");
}
std::string to_words(const WanPacing::Decision& decision) {
  return (decision.rate ? words("rate", text(decision.rate->bits_per_second)) : "") +
         (decision.begin_anew ? words("anew") : "") + (decision.is_lossy ? words("lossy") : "");
}
std::string to_words(std::string_view what, std::optional<bool> fact) {
  return fact ? ' ' + std::string(*fact ? "" : "no-") + std::string(what) : "";
}
std::string to_words(const Eligibility::Facts& facts) {
  std::string line = words("facts") + to_words("allows", facts.user_allows);
  if (facts.cpu_percent) line += words("cpu", text(std::int64_t{*facts.cpu_percent}));
  if (facts.disk_free) line += words("disk", text(facts.disk_free->count));
  return line + to_words("battery", facts.on_battery) + to_words("metered", facts.metered) +
         to_words("wireless", facts.wireless);
}

template <class Event, class Action>
std::string line_of(const Event& event, const std::vector<Action>& actions) {
  std::string line = std::visit([](const auto& e) { return to_words(e); }, event);
  line += kArrow;
  for (const Action& action : actions)
    line += std::visit([](const auto& a) { return to_words(a); }, action);
  return line;
}

std::string bits(const std::vector<bool>& pieces) {
  Buffer packed((pieces.size() + 7) / 8);
  for (std::size_t i = 0; i < pieces.size(); ++i)
    if (pieces[i]) packed[i / 8] |= std::byte{0x80} >> (i % 8);
  return to_hex(packed) + '/' + std::to_string(pieces.size());
}

// What `now` has that `before` had not, or otherwise; then `before` is as `now`.
std::string difference(WanPieces::Pieces& before, const WanPieces::Pieces& now) {
  std::string line;
  for (const auto& [pack, pieces] : before)
    if (!now.contains(pack)) line += words('-' + pack.hex());
  for (const auto& [pack, pieces] : now) {
    const auto known = before.find(pack);
    if (known == before.end() || known->second != pieces)
      line += words(pack.hex() + '=' + bits(pieces));
  }
  before = now;
  return line;
}

}  // namespace

DecisionLog::DecisionLog(Sink sink) : sink_(std::move(sink)) { sink_(kFirstLine); }

void DecisionLog::begin_site_lease(const std::string& name, const SiteLease::Limits& limits,
                                   std::uint64_t first_epoch) {
  sink_(std::string(kSiteLease) + words(name, "begin", text(std::int64_t{limits.lease.count()})) +
        words(text(first_epoch)));
}

void DecisionLog::begin_lease_holder(const std::string& name) {
  sink_(std::string(kLeaseHolder) + words(name, "begin"));
}

void DecisionLog::begin_wan_pieces(const std::string& name, const WanPieces::Limits& limits) {
  pieces_[name] = {};
  sink_(std::string(kWanPieces) + words(name, "begin", text(std::int64_t{limits.patience.count()}),
                                        text(std::int64_t{limits.silence.count()})));
}

void DecisionLog::begin_wan_transport(const std::string& name, const WanTransport::Limits& limits) {
  sink_(std::string(kWanTransport) +
        words(name, "begin", text(std::int64_t{limits.patience.count()})) +
        (limits.only ? words("only", name_of(*limits.only)) : ""));
}

void DecisionLog::begin_shut_out(const std::string& name, const ShutOut::Limits& limits) {
  sink_(std::string(kShutOut) + words(name, "begin", text(std::int64_t{limits.first.count()}),
                                      text(std::int64_t{limits.most.count()})));
}

void DecisionLog::begin_wan_pacing(const std::string& name) {
  sink_(std::string(kWanPacing) + words(name, "begin"));
}

void DecisionLog::begin_wan_budget(const std::string& name, Duration patience) {
  budgets_.erase(name);
  sink_(std::string(kWanBudget) + words(name, "begin", text(std::int64_t{patience.count()})));
}

void DecisionLog::begin_eligibility(const std::string& name, const Eligibility::Rules& rules) {
  sink_(std::string(kEligibility) + words(name, "begin", "may-serve") +
        (rules.on_battery ? words("battery") : "") + (rules.on_metered ? words("metered") : "") +
        (rules.on_wireless ? words("wireless") : "") +
        words(text(std::int64_t{rules.cpu_percent_max}),
              text(std::int64_t{rules.cpu_patience.count()}), text(rules.disk_free_min.count)));
}

void DecisionLog::decided(const std::string& name, const SiteLease::Event& event, Instant now,
                          const std::vector<SiteLease::Action>& actions) {
  if (actions.empty() && std::holds_alternative<SiteLease::Tick>(event)) return;
  sink_(std::string(kSiteLease) + words(name, "at", text(now)) + line_of(event, actions));
}

void DecisionLog::decided(const std::string& name, const LeaseHolder::Event& event, Instant now,
                          const std::vector<LeaseHolder::Action>& actions) {
  if (actions.empty() && std::holds_alternative<LeaseHolder::Tick>(event)) return;
  sink_(std::string(kLeaseHolder) + words(name, "at", text(now)) + line_of(event, actions));
}

void DecisionLog::decided(const std::string& name, const WanPieces::Pieces& missing,
                          const WanPieces::Pieces& offered, Instant now,
                          const WanPieces::Pieces& chosen) {
  LastPieces& last = pieces_[name];
  std::string line = std::string(kWanPieces) + words(name, "at", text(now), "missing");
  line += difference(last.missing, missing);
  line += words("offered");
  line += difference(last.offered, offered);
  line += kArrow;
  line += difference(last.chosen, chosen);
  sink_(line);
}

void DecisionLog::decided(const std::string& name, const SiteContact& contact, Instant now,
                          bool may_fetch) {
  sink_(std::string(kWanPieces) + words(name, "at", text(now), "contact") +
        words("known", text(contact.known), "connected", text(contact.connected), "elsewhere",
              text(contact.elsewhere), "open", text(std::int64_t{contact.open.count()})) +
        std::string(kArrow) + words(may_fetch ? "may" : "may-not"));
}

void DecisionLog::began(const std::string& name, Instant now) {
  sink_(std::string(kWanTransport) + words(name, "at", text(now), "began") + std::string(kArrow));
}

void DecisionLog::ruled(const std::string& name, std::optional<WanTransport::Kind> only,
                        Instant now) {
  sink_(std::string(kWanTransport) +
        words(name, "at", text(now), "rule", only ? name_of(*only) : "auto") + std::string(kArrow));
}

void DecisionLog::decided(const std::string& name, const WanTransport::Seen& seen, Instant now,
                          const std::optional<WanTransport::Change>& change) {
  sink_(std::string(kWanTransport) + words(name, "at", text(now)) + to_words(seen) +
        std::string(kArrow) + (change ? words(name_of(change->to), name_of(change->why)) : ""));
}

void DecisionLog::caught(const std::string& name, const std::string& address, Instant now,
                         const std::optional<Duration>& out) {
  if (!out) return;
  sink_(std::string(kShutOut) + words(name, "at", text(now), "caught", address) +
        std::string(kArrow) + words("out", text(std::int64_t{out->count()})));
}

void DecisionLog::decided(const std::string& name, const WanPacing::Seen& seen, Instant now,
                          const WanPacing::Decision& decision) {
  sink_(std::string(kWanPacing) + words(name, "at", text(now)) + to_words(seen) +
        std::string(kArrow) + to_words(decision));
}

void DecisionLog::decided(const std::string& name, const WanBudget& budget,
                          const WanBudgetNeed& need, Instant now,
                          const std::optional<Instant>& from) {
  std::string line;
  switch (budget.kind) {
    case WanBudget::Kind::never: line = words("never"); break;
    case WanBudget::Kind::after:
      line = words("after", text(std::int64_t{budget.after.count()}));
      break;
    case WanBudget::Kind::up_to: line = words("up-to", text(budget.most.count)); break;
  }
  line += (need.is_wanted ? words("wanted") : "") + (need.has_holder ? words("holder") : "") +
          words("issued", text(need.issued), "since", text(need.waiting_since), "spent",
                text(need.spent.count)) +
          std::string(kArrow) + words(from ? text(*from) : "none");
  std::string& last = budgets_[name];
  if (line == last) return;
  last = line;
  sink_(std::string(kWanBudget) + words(name, "at", text(now)) + line);
}

void DecisionLog::decided(const std::string& name, const Eligibility::Facts& facts, Instant now,
                          const std::optional<Unfit>& unfit) {
  sink_(std::string(kEligibility) + words(name, "at", text(now)) + to_words(facts) +
        std::string(kArrow) + words(unfit ? name_of(*unfit) : "fit"));
}

}  // namespace lamina::policy
