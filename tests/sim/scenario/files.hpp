// A scenario's files in memory, good as they are, for tests that change a line of them.
#pragma once

#include <map>
#include <string>

#include "sim/scenario/load.hpp"

namespace lamina::sim {

inline const std::string kToml = R"(name = "Office update"
sites = "sites.csv"

[run]
start = 2026-03-02T18:00:00+01:00
duration = "36h"
seed = 7
replicas = 3

[origin]
uplink = "1Gbit"

[defaults]
wan_up = "2Mbit"
rtt = "40ms"

[[region]]
name = "east"
parent = "land"
down = "500Mbit"

[[region]]
name = "land"
seeder = "2Gbit"

[[load]]
name = "office"
down = [{ share = "5%" }, { days = "mon-fri", start = "08:00", end = "18:00", share = "60%" }]

[[presence]]
name = "always"
share = "30%"

[[presence]]
name = "day"
share = 0.7
days = "mon-fri"
start = "08:00"
end = "17:30"
spread = "30m"
absent = "10%"

[[content.part]]
name = "common"
size = "300MB"

[[content.version]]
name = "12.9"
share = "60%"
parts = ["common"]

[[content.version]]
name = "12.8"
share = "40%"
parts = ["common"]
fetch = "1.2GB"

[rollout]
mode = "reflector"
sites_at_once = 50

[[rollout.wave]]
name = "pilot"
sites = ["berlin*"]
percent = 10

[[rollout.wave]]
name = "all"
start = "22:00"
success = 80
soak = "30m"

[tcp]
congestion = "bbr"

[uploads]
per_day = "50MB"

[[reflector_deaths]]
share = "5%"
at = "04:00"
)";

inline const std::string kSites = R"(site,devices,region,utc,wan_down,load,wireless_share
berlin-1,40,east,+01:00,20Mbit,office,30%
berlin-2,60,east,+01:00,50Mbit,,
lisbon,25,,Z,10Mbit,office,0
)";

// The files of one scenario. A file that is not there gives what the system would say.
struct Files {
  std::string toml = kToml;
  std::map<std::string, std::string> others{{"sites.csv", kSites}};

  // Replaces what is there once.
  Files& change(const std::string& from, const std::string& to) { return replace(toml, from, to); }
  Files& change_sites(const std::string& from, const std::string& to) {
    return replace(others["sites.csv"], from, to);
  }

  tl::expected<Scenario, Findings> load(const std::vector<Override>& overrides = {}) const {
    return load_scenario(
        "scenario.toml", toml,
        [this](const std::string& name) -> Result<std::string> {
          const auto at = others.find(name);
          if (at == others.end()) return fail(ErrorKind::not_found, name + ": no such file");
          return at->second;
        },
        overrides);
  }

 private:
  Files& replace(std::string& text, const std::string& from, const std::string& to) {
    const auto at = text.find(from);
    if (at == text.npos) throw std::logic_error("the scenario has no '" + from + "'");
    text.replace(at, from.size(), to);
    return *this;
  }
};

}  // namespace lamina::sim
