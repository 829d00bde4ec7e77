#include "origin/cli/session.hpp"
#include "shared/wire/admin.hpp"

namespace lamina::origin::cli {

void add_layer(CLI::App& app, Run& run) {
  auto* layer = app.add_subcommand("layer", "the published layers");
  layer->require_subcommand(1);
  layer->footer("Example: lamina layer ls");
  add_layer_capture(*layer, run);
  add_layer_export(*layer, run);
  add_layer_show(*layer, run);
  layer->add_subcommand("ls", "list the layers")->callback([&run] {
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
