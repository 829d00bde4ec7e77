#include "shared/policy/decision_replay.hpp"

#include <algorithm>
#include <charconv>
#include <limits>
#include <optional>

#include "shared/base/bytes.hpp"
#include "shared/policy/record_words.hpp"

namespace lamina::policy {

using namespace record_words;

namespace {

constexpr std::size_t kPiecesMax = 1 << 20;  // Of one pack; far above what a pack has.
// Times and lengths; two of them still add up.
constexpr std::int64_t kTimeMax = std::numeric_limits<std::int64_t>::max() / 4;
// Bytes and packets of a line: a petabyte, so that rates made of them fit in 64 bits.
constexpr std::uint64_t kCountMax = std::uint64_t{1} << 50;

}  // namespace

// Words between single blanks. A word that is not there, or is not what is asked for, makes the
// reader bad for good, so that only the end needs a check.
class LineReader {
 public:
  explicit LineReader(std::string_view rest) : rest_(rest) {}

  bool at_end() const { return rest_.empty(); }
  bool good() const { return good_; }
  bool finished() const { return good_ && at_end(); }
  std::string_view rest() const { return rest_; }

  std::string_view word() {
    const auto end = std::min(rest_.find(' '), rest_.size());
    const auto found = rest_.substr(0, end);
    rest_.remove_prefix(std::min(end + 1, rest_.size()));
    if (found.empty()) good_ = false;
    return found;
  }
  // Whether `expected` comes next; then it is taken.
  bool takes(std::string_view expected) {
    if (peek() != expected) return false;
    word();
    return true;
  }
  // "<what>" or "no-<what>"; nothing: neither comes next.
  std::optional<bool> fact(const std::string& what) {
    if (takes(what)) return true;
    if (takes("no-" + what)) return false;
    return std::nullopt;
  }
  // The end of the input; what was decided stands behind it.
  bool at_colon() { return word() == ":" && good_; }
  std::string_view peek() const { return rest_.substr(0, rest_.find(' ')); }
  std::uint64_t number(std::uint64_t most = std::numeric_limits<std::uint64_t>::max()) {
    const auto digits = word();
    std::uint64_t value = 0;
    const auto [end, ec] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    if (ec != std::errc{} || end != digits.data() + digits.size() || value > most) good_ = false;
    return value;
  }
  Duration duration() { return Duration{static_cast<std::int64_t>(number(kTimeMax))}; }
  Instant instant() { return Instant{duration()}; }
  // One that may be before the loop's timeline began.
  Instant instant_before() {
    const bool is_negative = rest_.starts_with('-');
    if (is_negative) rest_.remove_prefix(1);
    return is_negative ? Instant{-duration()} : instant();
  }
  Bytes bytes() {
    return {static_cast<std::int64_t>(number(std::numeric_limits<std::int64_t>::max()))};
  }
  WanTransport::Kind transport() {
    const auto kind = wan_transport_named(word());
    if (!kind) good_ = false;
    return kind.value_or(WanTransport::Kind::swarm);
  }
  DeviceId device() {
    auto id = DeviceId::parse(word());
    if (!id) good_ = false;
    return id.value_or(DeviceId());
  }

 private:
  std::string_view rest_;
  bool good_ = true;
};

namespace {

std::optional<SiteLease::Event> site_lease_event(LineReader& in) {
  const auto what = in.word();
  // One after the other: the order of a call's arguments is not defined.
  if (what == "tick") return SiteLease::Tick{};
  if (what == "left") return SiteLease::Left{in.device()};
  if (what == "configured") {
    SiteLease::Configured event;
    event.reflectors = static_cast<int>(in.number(SiteLease::kReflectorsMax));
    while (in.good() && in.peek() != ":") event.named.insert(in.device());
    if (event.reflectors < 1) return std::nullopt;
    return event;
  }
  if (what == "reported") {
    SiteLease::Reported event{.device = in.device()};
    event.missing = in.bytes();
    event.unfit = in.peek() == "unfit";
    if (event.unfit) in.word();
    return event;
  }
  if (what != "renewed") return std::nullopt;
  SiteLease::Renewed event{.device = in.device()};
  event.epoch = in.number();
  event.missing = in.bytes();
  if (in.peek() == "left") {
    in.word();
    event.left = in.bytes();
  }
  return event;
}

std::optional<LeaseHolder::Event> lease_holder_event(LineReader& in) {
  const auto what = in.word();
  if (what == "tick") return LeaseHolder::Tick{};
  if (what == "resigned") return LeaseHolder::Resigned{};
  if (what != "led") return std::nullopt;
  LeaseHolder::Led event{.epoch = in.number()};
  event.expires = in.instant();
  return event;
}

// "<pack>=<hex>/<number>" or "-<pack>".
bool change(WanPieces::Pieces& pieces, std::string_view word) {
  if (word.starts_with('-')) {
    const auto pack = PackId::parse(word.substr(1));
    return pack && pieces.erase(*pack) == 1;
  }
  const auto equals = std::min(word.find('='), word.size());
  const auto slash = std::min(word.find('/', equals), word.size());
  const auto pack = PackId::parse(word.substr(0, equals));
  if (!pack || slash == word.size()) return false;
  const auto packed = from_hex(word.substr(equals + 1, slash - equals - 1));
  LineReader count(word.substr(slash + 1));
  const auto size = static_cast<std::size_t>(count.number(kPiecesMax));
  if (!packed || !count.finished() || packed->size() != (size + 7) / 8) return false;
  std::vector<bool> bits(size);
  for (std::size_t i = 0; i < size; ++i)
    bits[i] = ((*packed)[i / 8] & (std::byte{0x80} >> (i % 8))) != std::byte{0};
  pieces[*pack] = std::move(bits);
  return true;
}

// Changes up to the word `until`, which is taken too.
bool changes(LineReader& in, WanPieces::Pieces& pieces, std::string_view until) {
  while (in.good() && in.peek() != until)
    if (!change(pieces, in.word())) return false;
  in.word();
  return in.good();
}

Error malformed(std::string_view line) {
  return {ErrorKind::invalid, "'" + printable(line, 120) + "' is no line of a decision record"};
}

}  // namespace

Status DecisionReplay::take(std::string_view line) {
  if (!begun_) {
    if (line != kFirstLine && line != kFirstLineBefore)
      return fail(ErrorKind::invalid,
                  "a decision record begins with '" + std::string(kFirstLine) + "'");
    begun_ = true;
    return Done{};
  }
  LineReader in(line);
  const auto kind = in.word();
  const std::string name(in.word());
  const auto verb = in.word();
  if (!in.good() || (verb != "begin" && verb != "at")) return fail(malformed(line));
  again_.clear();
  if (verb == "begin") {
    if (!begin(kind, name, in)) return fail(malformed(line));
  } else {
    const auto machine = machines_.find(std::string(kind) + ' ' + name);
    if (machine == machines_.end())
      return fail(ErrorKind::invalid,
                  printable(kind, 40) + " '" + printable(name, 80) + "' decides before it begins");
    if (auto done = decide(machine->second, name, in.rest()); !done)
      return fail(std::move(done.error()).in("'" + printable(line, 120) + "'"));
  }
  if (again_ != line)
    return fail(ErrorKind::corrupt, "recorded '" + printable(line, 400) + "', decided '" +
                                        printable(again_, 400) + "'");
  decisions_ += verb == "at";
  return Done{};
}

bool DecisionReplay::begin(std::string_view kind, const std::string& name, LineReader& in) {
  const auto made = [&](auto machine) {
    machines_.insert_or_assign(std::string(kind) + ' ' + name,
                               Machine{.machine = std::move(machine)});
    return true;
  };
  if (kind == kSiteLease) {
    const SiteLease::Limits limits{.lease = in.duration()};
    const std::uint64_t epoch = in.number();
    if (!in.finished() || limits.lease.count() <= 0) return false;
    log_.begin_site_lease(name, limits, epoch);
    return made(SiteLease(limits, epoch));
  }
  if (kind == kLeaseHolder && in.finished()) {
    log_.begin_lease_holder(name);
    return made(LeaseHolder());
  }
  if (kind == kWanPieces) {
    WanPieces::Limits limits{.patience = in.duration()};
    limits.silence = in.duration();
    if (!in.finished()) return false;
    log_.begin_wan_pieces(name, limits);
    return made(Pieces{.machine = WanPieces(limits)});
  }
  if (kind == kWanTransport) {
    WanTransport::Limits limits{.patience = in.duration()};
    if (in.takes("only")) limits.only = in.transport();
    if (!in.finished()) return false;
    log_.begin_wan_transport(name, limits);
    return made(WanTransport(limits));
  }
  if (kind == kShutOut) {
    ShutOut::Limits limits{.first = in.duration()};
    limits.most = in.duration();
    if (!in.finished()) return false;
    log_.begin_shut_out(name, limits);
    return made(ShutOut(limits));
  }
  if (kind == kWanPacing && in.finished()) {
    log_.begin_wan_pacing(name);
    return made(Pacing{});
  }
  if (kind == kWanBudget) {
    const Budget budget{.patience = in.duration()};
    if (!in.finished()) return false;
    log_.begin_wan_budget(name, budget.patience);
    return made(budget);
  }
  if (kind != kEligibility || !in.takes("may-serve")) return false;
  Eligibility::Rules rules;
  rules.on_battery = in.takes("battery");
  rules.on_metered = in.takes("metered");
  rules.on_wireless = in.takes("wireless");
  rules.cpu_percent_max = static_cast<int>(in.number(1000));
  rules.cpu_patience = in.duration();
  rules.disk_free_min = in.bytes();
  if (!in.finished()) return false;
  log_.begin_eligibility(name, rules);
  return made(Eligibility(rules));
}

Status DecisionReplay::decide(Machine& machine, const std::string& name, std::string_view rest) {
  LineReader in(rest);
  const Instant now = in.instant();
  const Error broken(ErrorKind::invalid, "the input does not parse, or its time goes back");
  if (!in.good() || now < machine.last) return fail(broken);
  machine.last = now;
  if (!std::visit([&](auto& m) { return feed(m, name, in, now); }, machine.machine))
    return fail(broken);
  return Done{};
}

bool DecisionReplay::feed(SiteLease& lease, const std::string& name, LineReader& in, Instant now) {
  const auto event = site_lease_event(in);
  if (!event || !in.at_colon()) return false;
  log_.decided(name, *event, now, lease.on(*event, now));
  return true;
}

bool DecisionReplay::feed(LeaseHolder& holder, const std::string& name, LineReader& in,
                          Instant now) {
  const auto event = lease_holder_event(in);
  if (!event || !in.at_colon()) return false;
  log_.decided(name, *event, now, holder.on(*event, now));
  return true;
}

bool DecisionReplay::feed(Pieces& pieces, const std::string& name, LineReader& in, Instant now) {
  if (in.takes("contact")) {
    SiteContact contact;
    if (!in.takes("known")) return false;
    contact.known = in.number();
    if (!in.takes("connected")) return false;
    contact.connected = in.number();
    if (!in.takes("elsewhere")) return false;
    contact.elsewhere = in.number();
    if (!in.takes("open")) return false;
    contact.open = in.duration();
    if (!in.at_colon()) return false;
    log_.decided(name, contact, now, may_fetch(contact));
    return true;
  }
  if (in.word() != "missing" || !changes(in, pieces.missing, "offered") ||
      !changes(in, pieces.offered, ":"))
    return false;
  log_.decided(name, pieces.missing, pieces.offered, now,
               pieces.machine.choose(pieces.missing, pieces.offered, now));
  return true;
}

bool DecisionReplay::feed(WanTransport& transport, const std::string& name, LineReader& in,
                          Instant now) {
  if (in.takes("began")) {
    if (!in.at_colon()) return false;
    transport.begin(now);
    log_.began(name, now);
    return true;
  }
  if (in.takes("rule")) {
    std::optional<WanTransport::Kind> only;
    if (!in.takes("auto")) only = in.transport();
    if (!in.at_colon()) return false;
    transport.rule(only);
    log_.ruled(name, only, now);
    return true;
  }
  if (!in.takes("seen")) return false;
  WanTransport::Seen seen;
  seen.knows_seeders = in.takes("known");
  seen.is_offered = in.takes("offered");
  seen.is_wanted = in.takes("wanted");
  if (!in.at_colon()) return false;
  log_.decided(name, seen, now, transport.on(seen, now));
  return true;
}

bool DecisionReplay::feed(ShutOut& shut_out, const std::string& name, LineReader& in, Instant now) {
  if (!in.takes("caught")) return false;
  const std::string address(in.word());
  if (!in.at_colon()) return false;
  log_.caught(name, address, now, shut_out.caught(address, now));
  return true;
}

bool DecisionReplay::feed(Pacing& pacing, const std::string& name, LineReader& in, Instant now) {
  if (!in.takes("seen")) return false;
  WanPacing::Seen seen{.rtt = in.duration()};
  seen.rtt_min = in.duration();
  seen.acked = Bytes{static_cast<std::int64_t>(in.number(kCountMax))};
  seen.lost = static_cast<std::int64_t>(in.number(kCountMax));
  if (in.takes("jitter")) seen.jitter = in.duration();
  seen.is_among_ours = in.takes("ours");
  seen.is_held = in.takes("held");
  seen.is_idle = in.takes("idle");
  if (!in.at_colon() || seen.acked < pacing.last.acked || seen.lost < pacing.last.lost)
    return false;
  pacing.last = seen;
  log_.decided(name, seen, now, pacing.machine.on(seen, now));
  return true;
}

bool DecisionReplay::feed(const Budget& budget, const std::string& name, LineReader& in,
                          Instant now) {
  WanBudget given;
  if (in.takes("after"))
    given = {.kind = WanBudget::Kind::after, .after = in.duration(), .most = {}};
  else if (in.takes("up-to"))
    given = {.kind = WanBudget::Kind::up_to, .after = {}, .most = in.bytes()};
  else if (!in.takes("never"))
    return false;
  WanBudgetNeed need;
  need.is_wanted = in.takes("wanted");
  need.has_holder = in.takes("holder");
  if (!in.takes("issued")) return false;
  need.issued = in.instant_before();
  if (!in.takes("since")) return false;
  need.waiting_since = in.instant();
  if (!in.takes("spent")) return false;
  need.spent = in.bytes();
  if (!in.at_colon()) return false;
  again_.clear();  // Written only when it differs from the last one: a line twice is no record.
  log_.decided(name, given, need, now, may_spend_from(given, need, budget.patience));
  return !again_.empty();
}

bool DecisionReplay::feed(Eligibility& eligibility, const std::string& name, LineReader& in,
                          Instant now) {
  if (!in.takes("facts")) return false;
  Eligibility::Facts facts{.user_allows = in.fact("allows").value_or(false)};
  if (in.takes("cpu")) facts.cpu_percent = static_cast<int>(in.number(1000));
  if (in.takes("disk")) facts.disk_free = in.bytes();
  facts.on_battery = in.fact("battery");
  facts.metered = in.fact("metered");
  facts.wireless = in.fact("wireless");
  if (!in.at_colon()) return false;
  log_.decided(name, facts, now, eligibility.look(facts, now));
  return true;
}

}  // namespace lamina::policy
