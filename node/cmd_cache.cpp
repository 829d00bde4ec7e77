#include "node/cmd_cache.hpp"

#include <nlohmann/json.hpp>

#include "node/cmd_run.hpp"
#include "node/net/control.hpp"
#include "node/net/layer_transfer.hpp"
#include "shared/cli/table.hpp"

namespace lamina::node {
namespace {

using nlohmann::json;

constexpr Duration kTellWithin = std::chrono::seconds{60};

Result<TrustedKeys> prepare(const StateDirectory& state) {
  auto config = read_config(state);
  if (!config) return fail(std::move(config.error()));
  // The cache is the network process's, and so is what comes into it.
  if (auto done = give_up_root("", config->user); !done) return fail(std::move(done.error()));
  return read_trust(state);
}

}  // namespace

Status export_cache(const StateDirectory& state, const CacheCommand& command, std::ostream& out) {
  auto keys = prepare(state);
  if (!keys) return fail(std::move(keys.error()));
  auto done = export_layer(state, *keys, command.layer, command.directory);
  if (!done) return fail(std::move(done.error()));
  if (command.as_json)
    out << json{{"layer", done->layer.hex()},
                {"name", done->name},
                {"packs", done->packs},
                {"bytes_written", done->written.count}}
               .dump()
        << '\n';
  else
    out << done->name << ": " << done->packs << " packs in " << command.directory << ", "
        << to_text(done->written) << " written\n";
  return Done{};
}

Status import_cache(const StateDirectory& state, const CacheCommand& command, std::ostream& out) {
  auto keys = prepare(state);
  if (!keys) return fail(std::move(keys.error()));
  auto done = import_layers(state, *keys, command.directory, command.dry_run);
  if (!done) return fail(std::move(done.error()));
  const bool told =
      !command.dry_run && ask_service(state, {.what = "cache-changed"}, kTellWithin).has_value();
  cli::Rows rows{{"LAYER", "NEW", "HAD", "MISSING"}};
  for (const Imported::Layer& layer : done->layers) {
    if (command.as_json)
      out << json{{"layer", layer.layer.hex()},
                  {"name", layer.name},
                  {"packs", layer.packs},
                  {"known", layer.known},
                  {"missing", layer.missing}}
                 .dump()
          << '\n';
    rows.push_back({printable(layer.name, 200), std::to_string(layer.packs),
                    std::to_string(layer.known), std::to_string(layer.missing)});
  }
  for (const std::string& refused : done->refused)
    if (command.as_json)
      out << json{{"refused", refused}}.dump(-1, ' ', false, json::error_handler_t::replace)
          << '\n';
    else
      out << "refused: " << printable(refused, 400) << '\n';
  if (!command.as_json) {
    cli::write_table(out, rows);
    out << to_text(done->written)
        << (command.dry_run ? " would be taken in, if they are sound. Nothing was changed\n"
            : told          ? " taken in; the running node shares what is whole\n"
                            : " taken in; the node takes it into its cache when it starts\n");
  }
  if (!done->refused.empty())
    return fail(ErrorKind::corrupt,
                std::to_string(done->refused.size()) + " files of " + command.directory +
                    (command.dry_run ? " would be refused: export them again"
                                     : " were refused; the rest was taken: export them "
                                       "again"));
  return Done{};
}

}  // namespace lamina::node
