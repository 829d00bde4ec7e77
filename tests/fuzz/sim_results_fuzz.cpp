// What `lamina-sim compare` and `calibrate` read back: a result.json, a rollout as an origin tells
// it, and what the lab measured of a scenario with two sites. What is accepted adds up and can be
// written.
#include <span>
#include <sstream>

#include "shared/base/assert.hpp"
#include "shared/base/bytes.hpp"
#include "sim/import/measured.hpp"
#include "sim/lab/measured.hpp"
#include "sim/report/result_json.hpp"

using namespace lamina;
using namespace lamina::sim;

namespace {

void check(const Outcome& outcome) {
  for (const Outcome::Wave& wave : outcome.waves) LAMINA_ASSERT(wave.devices >= 0);
  for (const Outcome::Site& site : outcome.sites)
    LAMINA_ASSERT(site.from_origin >= Bytes{0} && site.from_site >= Bytes{0});
}

Scenario lab_scenario() {
  Scenario scenario;
  scenario.name = "lab";
  for (const char* name : {"north", "south"}) {
    Site site;
    site.name = name;
    site.devices = 2;
    site.wan_down = site.wan_up = BitRate{20'000'000};
    scenario.sites.push_back(site);
  }
  scenario.rollout.waves = {{.name = "all"}};
  return scenario;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const Scenario scenario = lab_scenario();
  const std::string_view text = as_text(std::as_bytes(std::span(data, size)));
  if (const auto outcome = parse_outcome(text)) check(*outcome);
  if (const auto outcome = parse_measured(text)) check(*outcome);
  if (const auto result = measured_result(text, scenario)) {
    std::ostringstream written;
    write_result_json(written, scenario, *result);
    const auto again = parse_outcome(written.str());
    LAMINA_ASSERT(again && again->sites.size() == scenario.sites.size());
    LAMINA_ASSERT(again->waves.front().done == result->waves.front().done);
  }
  return 0;
}
