#include "node/net/line_limits.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "shared/base/log.hpp"
#include "shared/os/file.hpp"
#include "shared/os/local_time.hpp"
#include "shared/wire/protocol.hpp"

namespace lamina::node {
namespace {

using nlohmann::json;
using namespace std::chrono_literals;

constexpr Duration kLookAgain = 30s;
constexpr std::size_t kFileMax = 1 << 20;

std::string text_of(const std::optional<BitRate>& rate) {
  return rate ? to_text(*rate) : "no limit";
}

}  // namespace

LineLimits::Calendar LineLimits::Calendar::of_device() {
  return {net::Loop::wall_now, os::utc_offset};
}

LineLimits::LineLimits(net::Loop& loop, std::string path, Calendar calendar, OnChange on_change)
    : loop_(loop), path_(std::move(path)), calendar_(std::move(calendar)) {
  if (os::exists(path_))
    if (auto done = load(); !done) log::warning("rules_not_read", {{"error", done.error().text()}});
  look();
  on_change_ = std::move(on_change);
}

Status LineLimits::load() {
  const auto text = os::read_text(path_, kFileMax);
  if (!text) return fail(text.error());
  const json object = json::parse(*text, nullptr, /*allow_exceptions=*/false);
  const auto is_text = [&](const char* key) {
    return object.contains(key) && object[key].is_string();
  };
  if (!object.is_object() || !is_text("site") || !is_text("address") || !is_text("csv") ||
      !object.contains("version") || !object["version"].is_number_unsigned())
    return fail(ErrorKind::corrupt, path_ + " is not what it must be");
  auto rules = policy::parse_bandwidth_rules(object["csv"].get<std::string>());
  if (!rules) return fail(std::move(rules.error()).in(path_));
  rules_ = std::move(*rules);
  site_ = object["site"].get<std::string>();
  address_ = object["address"].get<std::string>();
  version_ = object["version"].get<std::uint64_t>();
  return Done{};
}

void LineLimits::heard(const wire::SiteView& site, const std::string& address) {
  bool is_new = site.name != site_ || (!address.empty() && address != address_);
  site_ = site.name;
  if (!address.empty()) address_ = address;
  if (!site.rules_version) {
    is_new = is_new || version_;
    version_.reset();
    rules_.clear();
  } else if (site.rules && site.rules_version != version_) {
    auto rules = policy::parse_bandwidth_rules(*site.rules);
    if (rules) {
      is_new = true;
      rules_ = std::move(*rules);
      version_ = site.rules_version;
      log::info("rules_received", {{"rules", rules_.size()}});
    } else {
      log::error("rules_refused", {{"error", rules.error().text()}});
    }
  }
  if (!is_new) return;
  keep();
  look();
}

void LineLimits::keep() {
  Status done = Done{};
  if (version_) {
    const json object = {{"site", site_},
                         {"address", address_},
                         {"version", *version_},
                         {"csv", policy::to_csv(rules_)}};
    done = os::write_file(path_, as_view(object.dump() + '\n'), 0600);
  } else if (os::exists(path_)) {
    done = os::remove_file(path_);
  }
  if (!done) log::error("rules_not_kept", {{"error", done.error().text()}});
}

void LineLimits::look() {
  const WallTime now = calendar_.now();
  const auto before = now_.limits;
  now_ = policy::forecast(rules_, site_, address_, now, calendar_.utc_offset);
  timer_.cancel();
  if (!rules_.empty()) {
    const Duration left = now_.until ? Duration{now_.until->ns - now.ns} : kLookAgain;
    timer_ = loop_.after(std::clamp<Duration>(left, 1ms, kLookAgain), [this] { look(); });
  }
  if (now_.limits == before) return;
  log::info("line_limits", {{"download", text_of(now_.limits.download)},
                            {"upload", text_of(now_.limits.upload)},
                            {"until", now_.until ? to_iso8601(*now_.until) : "the rules change"}});
  if (on_change_) on_change_(now_.limits);
}

Error LineLimits::upload_forbidden() const {
  const std::string until = until_local();
  return {ErrorKind::unavailable,
          "a bandwidth rule lets this device send nothing" +
              (until.empty() ? "; change the rule" : " until " + until + "; try again then")};
}

std::string LineLimits::until_local() const {
  if (!now_.until) return "";
  const WallTime local{now_.until->ns + calendar_.utc_offset(*now_.until).count()};
  std::string text = to_iso8601(local).substr(0, 16);
  std::ranges::replace(text, 'T', ' ');
  return text;
}

}  // namespace lamina::node
