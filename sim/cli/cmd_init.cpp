#include <nlohmann/json.hpp>

#include "sim/cli/commands.hpp"
#include "sim/cli/example.hpp"
#include "sim/cli/files.hpp"

namespace lamina::sim {

void print_made(const std::string& what, const std::string& directory, bool as_json, Io& io) {
  if (as_json)
    io.out << nlohmann::json{{"scenario", directory + "/scenario.toml"}}.dump(
                  -1, ' ', false, nlohmann::json::error_handler_t::replace)
           << '\n';
  else
    io.out << what << " is in " << directory << ". Next:\n  lamina-sim check " << directory
           << "/scenario.toml\n";
}

cli::ExitCode run_init(const InitCommand& options, Io& io) {
  const Status written = write_new_files(options.directory, {{"scenario.toml", kExampleScenario},
                                                             {"sites.csv", kExampleSites},
                                                             {"bandwidth.csv", kExampleBandwidth}});
  if (!written) return report(written.error(), io);
  print_made("An example of a scenario", options.directory, options.as_json, io);
  return cli::ok;
}

}  // namespace lamina::sim
