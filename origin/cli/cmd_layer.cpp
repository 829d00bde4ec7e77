#include "origin/cli/layer_commands.hpp"
#include "origin/cli/session.hpp"
#include "origin/cli/verify.hpp"
#include "shared/wire/admin.hpp"

namespace lamina::origin::cli {
namespace {

Status remove(Session& s, const std::string& text) {
  auto body = s.get("/v1/layers");
  if (!body) return fail(std::move(body.error()));
  auto list = wire::parse_layer_list(*body);
  if (!list) return fail(std::move(list.error()));
  auto layer = find_layer(*list, text);
  if (!layer) return fail(std::move(layer.error()));
  auto removed = s.call("DELETE", "/v1/layers/" + layer->id.hex(), "");
  if (!removed) return fail(std::move(removed.error()));
  s.tell(*removed, "layer " + layer->name + ':' + layer->version +
                       " is removed; `lamina-origin gc` frees the space");
  return Done{};
}

}  // namespace

void add_layer(CLI::App& app, Run& run) {
  auto* layer = app.add_subcommand("layer", "the published layers");
  layer->require_subcommand(1);
  layer->footer("Example: lamina layer ls");
  add_layer_capture(*layer, run);
  add_layer_compare(*layer, run);
  add_layer_export(*layer, run);
  add_layer_import(*layer, run);
  add_layer_show(*layer, run);
  add_layer_upgrade(*layer, run);
  auto name = std::make_shared<std::string>();
  auto* rm = layer->add_subcommand("rm", "remove a layer that nobody needs any more");
  rm->add_option("LAYER", *name, "NAME:VERSION or the id")->required();
  rm->footer(
      "Refused (exit code 5) while a device has it assigned or staged or a rollout goes on with "
      "it.\nIts version is never given again.\nExample: lamina layer rm debian:1.0");
  rm->callback([&run, name] { run = [name](Session& s) { return remove(s, *name); }; });
  layer->add_subcommand("ls", "list the layers")
      ->footer("Example: lamina layer ls")
      ->callback([&run] {
        run = [](Session& s) -> Status {
          auto body = s.get("/v1/layers");
          if (!body) return fail(std::move(body.error()));
          auto list = wire::parse_layer_list(*body);
          if (!list) return fail(std::move(list.error()));
          Session::Rows rows{{"LAYER", "KIND", "FILES", "SIZE", "STORED", "PUBLISHED"}};
          for (const auto& i : list->layers) {
            if (s.json) *s.out << wire::to_json(i) << '\n';
            rows.push_back({i.name + ":" + i.version, i.kind, std::to_string(i.files),
                            to_text(Bytes{i.plain_bytes}), to_text(Bytes{i.stored_bytes}),
                            to_iso8601(WallTime{i.published_ms * 1000000})});
          }
          if (!s.json) s.table(rows);
          return Done{};
        };
      });
}

}  // namespace lamina::origin::cli
