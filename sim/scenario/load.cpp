#include "sim/scenario/load.hpp"

#include "shared/base/bytes.hpp"
#include "shared/hash/sha256.hpp"
#include "sim/scenario/quantities.hpp"
#include "sim/scenario/sections.hpp"

namespace lamina::sim {
namespace {

constexpr std::string_view kSitePrefix = "site.";
constexpr std::string_view kCap = "site.cap";

// Takes in texts so that no two lists of texts give the same digest: each with its size in front.
class InputHash {
 public:
  void add(std::string_view text) {
    sha_.update(as_view(std::to_string(text.size()) + ' '));
    sha_.update(as_view(text));
  }
  std::string finish() { return to_hex(sha_.finish()); }

 private:
  Sha256 sha_;
};

// The text of the file that `key` names; empty: none is named, or it cannot be read (a finding).
std::string text_of_file(Fields& top, const char* key, const ReadFile& read, std::string& name,
                         InputHash& hash) {
  top.text(key, name);
  if (name.empty()) return {};
  auto text = read(name);
  if (!text) {
    top.wrong(*top.find(key), std::string(key) + ": " + text.error().text());
    name.clear();
    return {};
  }
  hash.add(key);
  hash.add(*text);
  return std::move(*text);
}

policy::BandwidthRules one_limit(BitRate rate) {
  policy::BandwidthRule rule;
  constexpr std::int64_t kBitsPerKilobyte = 8000;
  rule.download_kb = std::min(rate.bits_per_second / kBitsPerKilobyte, policy::kKilobytesMax);
  return {rule};
}

struct SortedOverrides {
  std::vector<Override> sites;
  std::optional<policy::BandwidthRules> rules;
};

// Applies those that change the document, and returns the others.
SortedOverrides apply(const std::vector<Override>& overrides, Value& document, Reading& reading,
                      InputHash& hash) {
  SortedOverrides rest;
  for (const Override& given : overrides) {
    hash.add("--set");
    hash.add(given.path);
    hash.add(given.value);
    if (given.path == kCap) {
      const auto rate = parse_rate(given.value, {BitRate{8000}, kRateMax});
      if (rate)
        rest.rules = one_limit(*rate);
      else
        reading.findings.add({"--set " + given.path, 0, 0}, rate.error().text());
    } else if (given.path.starts_with(kSitePrefix)) {
      rest.sites.push_back(given);
    } else {
      apply_override(document, given, reading.findings);
    }
  }
  return rest;
}

void read_rules(Fields& top, const ReadFile& read, InputHash& hash, Reading& reading) {
  std::string name;
  const std::string text = text_of_file(top, "rules", read, name, hash);
  if (name.empty()) return;
  auto rules = policy::parse_bandwidth_rules(text);
  if (rules)
    reading.scenario.rules = std::move(*rules);
  else
    reading.findings.add({name, 0, 0}, rules.error().text());
}

void read_calibration_file(Fields& top, const ReadFile& read, InputHash& hash, Reading& reading) {
  std::string name;
  const std::string text = text_of_file(top, "calibration", read, name, hash);
  if (!name.empty()) read_calibration({name, text}, reading);
}

void read_tables(Fields& top, const ReadFile& read, const std::vector<Override>& forced,
                 InputHash& hash, Reading& reading) {
  std::string sites_file;
  std::string devices_file;
  const bool has_sites = top.needs("sites");
  top.find("defaults");  // A known key, also where no table needs it.
  const std::string sites = text_of_file(top, "sites", read, sites_file, hash);
  const std::string devices = text_of_file(top, "devices", read, devices_file, hash);
  if (!has_sites || sites_file.empty()) return;
  read_sites({sites_file, sites}, top, forced, reading);
  if (!devices_file.empty()) read_devices({devices_file, devices}, reading);
  check_sites(sites_file, reading);
}

void read_assumptions(Fields& top, Scenario& scenario) {
  constexpr std::size_t kTextMax = 300;
  const Value::List& list = top.list("assumptions");
  if (list.size() > kAssumptionsMax)
    return top.wrong(
        *top.find("assumptions"),
        "assumptions: more than " + std::to_string(kAssumptionsMax) + " texts: leave some out");
  for (const Value& value : list) {
    const auto text = value.scalar();
    if (text)
      scenario.assumptions.push_back(printable(*text, kTextMax));
    else
      top.wrong(value, "assumptions: " + std::string(value.kind()) + " is no text");
  }
}

}  // namespace

tl::expected<Scenario, Findings> load_scenario(const std::string& file, std::string_view text,
                                               const ReadFile& read,
                                               const std::vector<Override>& overrides) {
  Reading reading;
  InputHash hash;
  hash.add(text);
  Value document = parse_document(text, file, reading.findings);
  if (!reading.findings.empty()) return tl::unexpected<Findings>(std::move(reading.findings));
  auto rest = apply(overrides, document, reading, hash);

  Fields top(document, "", reading.findings);
  top.needs("name");
  top.text("name", reading.scenario.name);
  read_calibration_file(top, read, hash, reading);
  read_assumptions(top, reading.scenario);
  read_run(top, reading);
  read_origin(top, reading);
  read_regions(top, reading);
  read_loads(top, reading);
  read_content(top, reading);
  read_mixes(top, reading);
  read_rules(top, read, hash, reading);
  read_tables(top, read, rest.sites, hash, reading);
  read_rollout(top, reading);
  read_tcp(top, reading);
  read_swarm(top, reading);
  read_uploads(top, reading);
  read_deaths(top, reading);
  read_uncertainty(top, reading);
  top.done();
  if (rest.rules) reading.scenario.rules = std::move(*rest.rules);

  if (!reading.findings.empty()) return tl::unexpected<Findings>(std::move(reading.findings));
  reading.scenario.input_hash = hash.finish();
  return std::move(reading.scenario);
}

}  // namespace lamina::sim
