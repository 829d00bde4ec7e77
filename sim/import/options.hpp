// What a command line says about a scenario that is made from an origin's answers. One thread.
#pragma once

#include <string>

#include "sim/import/scenario_files.hpp"

namespace CLI {
class App;
}

namespace lamina::sim {

// As they were typed; empty: the value that ImportOptions has.
struct ImportTexts {
  std::string start, duration, line, uplink, silent_after;
};

// --start, --duration, --line, --uplink and --silent-after. `texts` outlives the parsing.
void add_import_options(CLI::App& app, ImportTexts& texts);

// `invalid` names the option. Without --start the run starts at `now`, `utc_offset` from UTC.
Result<ImportOptions> parse_import_options(const ImportTexts& texts, WallTime now,
                                           Duration utc_offset);

}  // namespace lamina::sim
