// The example that `lamina-sim init` writes: a rollout to a chain of branches, with every value
// that a scenario may have explained where it stands.
#pragma once

#include <string_view>

namespace lamina::sim {

extern const std::string_view kExampleScenario;   // scenario.toml
extern const std::string_view kExampleSites;      // sites.csv
extern const std::string_view kExampleBandwidth;  // bandwidth.csv

}  // namespace lamina::sim
