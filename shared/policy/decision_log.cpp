#include "shared/policy/decision_log.hpp"

#include <algorithm>
#include <charconv>
#include <limits>
#include <optional>

#include "shared/base/bytes.hpp"

namespace lamina::policy {
namespace {

constexpr std::string_view kFirstLine = "lamina-decisions 1";
constexpr std::string_view kSiteLease = "site-lease";
constexpr std::string_view kLeaseHolder = "lease-holder";
constexpr std::string_view kWanPieces = "wan-pieces";
constexpr std::string_view kArrow = " :";
constexpr std::size_t kPiecesMax = 1 << 20;  // Of one pack; far above what a pack has.
// Times and lengths; two of them still add up.
constexpr std::int64_t kTimeMax = std::numeric_limits<std::int64_t>::max() / 4;

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

// --- reading ---

// Words between single blanks. A word that is not there, or is not what is asked for, makes the
// reader bad for good, so that only the end needs a check.
class Reader {
 public:
  explicit Reader(std::string_view rest) : rest_(rest) {}

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
  Bytes bytes() {
    return {static_cast<std::int64_t>(number(std::numeric_limits<std::int64_t>::max()))};
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

std::optional<SiteLease::Event> site_lease_event(Reader& in) {
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

std::optional<LeaseHolder::Event> lease_holder_event(Reader& in) {
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
  Reader count(word.substr(slash + 1));
  const auto size = static_cast<std::size_t>(count.number(kPiecesMax));
  if (!packed || !count.finished() || packed->size() != (size + 7) / 8) return false;
  std::vector<bool> bits(size);
  for (std::size_t i = 0; i < size; ++i)
    bits[i] = ((*packed)[i / 8] & (std::byte{0x80} >> (i % 8))) != std::byte{0};
  pieces[*pack] = std::move(bits);
  return true;
}

// Changes up to the word `until`, which is taken too.
bool changes(Reader& in, WanPieces::Pieces& pieces, std::string_view until) {
  while (in.good() && in.peek() != until)
    if (!change(pieces, in.word())) return false;
  in.word();
  return in.good();
}

Error malformed(std::string_view line) {
  return {ErrorKind::invalid, "'" + printable(line, 120) + "' is no line of a decision record"};
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
  sink_(std::string(kWanPieces) +
        words(name, "begin", text(std::int64_t{limits.patience.count()})));
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

Status DecisionReplay::take(std::string_view line) {
  if (!begun_) {
    if (line != kFirstLine)
      return fail(ErrorKind::invalid,
                  "a decision record begins with '" + std::string(kFirstLine) + "'");
    begun_ = true;
    return Done{};
  }
  Reader in(line);
  const auto kind = in.word();
  const std::string name(in.word());
  const auto verb = in.word();
  if (!in.good() || (verb != "begin" && verb != "at")) return fail(malformed(line));
  again_.clear();
  if (verb == "begin") {
    if (auto done = begin(kind, name, in.rest()); !done) return fail(malformed(line));
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

Status DecisionReplay::begin(std::string_view kind, const std::string& name,
                             std::string_view rest) {
  Reader in(rest);
  const std::string key = std::string(kind) + ' ' + name;
  if (kind == kSiteLease) {
    const SiteLease::Limits limits{.lease = in.duration()};
    const std::uint64_t epoch = in.number();
    if (!in.finished() || limits.lease.count() <= 0) return fail(malformed(rest));
    machines_.insert_or_assign(key, Machine{.machine = SiteLease(limits, epoch)});
    log_.begin_site_lease(name, limits, epoch);
  } else if (kind == kLeaseHolder && in.finished()) {
    machines_.insert_or_assign(key, Machine{.machine = LeaseHolder()});
    log_.begin_lease_holder(name);
  } else if (kind == kWanPieces) {
    const WanPieces::Limits limits{.patience = in.duration()};
    if (!in.finished()) return fail(malformed(rest));
    machines_.insert_or_assign(key, Machine{.machine = Pieces{.machine = WanPieces(limits)}});
    log_.begin_wan_pieces(name, limits);
  } else {
    return fail(malformed(rest));
  }
  return Done{};
}

Status DecisionReplay::decide(Machine& machine, const std::string& name, std::string_view rest) {
  Reader in(rest);
  const Instant now = in.instant();
  const Error broken(ErrorKind::invalid, "the input does not parse, or its time goes back");
  if (!in.good() || now < machine.last) return fail(broken);
  machine.last = now;
  if (auto* lease = std::get_if<SiteLease>(&machine.machine)) {
    const auto event = site_lease_event(in);
    if (!event || in.word() != ":" || !in.good()) return fail(broken);
    log_.decided(name, *event, now, lease->on(*event, now));
  } else if (auto* holder = std::get_if<LeaseHolder>(&machine.machine)) {
    const auto event = lease_holder_event(in);
    if (!event || in.word() != ":" || !in.good()) return fail(broken);
    log_.decided(name, *event, now, holder->on(*event, now));
  } else {
    auto& pieces = std::get<Pieces>(machine.machine);
    if (in.word() != "missing" || !changes(in, pieces.missing, "offered") ||
        !changes(in, pieces.offered, ":"))
      return fail(broken);
    log_.decided(name, pieces.missing, pieces.offered, now,
                 pieces.machine.choose(pieces.missing, pieces.offered, now));
  }
  return Done{};
}

}  // namespace lamina::policy
