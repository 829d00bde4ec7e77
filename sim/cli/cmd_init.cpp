#include "sim/cli/commands.hpp"
#include "sim/cli/example.hpp"
#include "sim/cli/files.hpp"

namespace lamina::sim {

cli::ExitCode run_init(const std::string& directory, Io& io) {
  const Status written = write_new_files(directory, {{"scenario.toml", kExampleScenario},
                                                     {"sites.csv", kExampleSites},
                                                     {"bandwidth.csv", kExampleBandwidth}});
  if (!written) return report(written.error(), io);
  io.out << "An example of a scenario is in " << directory << ". Next:\n  lamina-sim check "
         << directory << "/scenario.toml\n";
  return cli::ok;
}

}  // namespace lamina::sim
