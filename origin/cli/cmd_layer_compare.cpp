#include <nlohmann/json.hpp>

#include "origin/cli/assignment_report.hpp"
#include "origin/cli/layer_commands.hpp"
#include "origin/cli/remote_layers.hpp"
#include "origin/cli/session.hpp"
#include "shared/format/path.hpp"

namespace lamina::origin::cli {
namespace {

using Names = std::vector<std::string>;

Status show_conflicts(Session& s, const Names& names) {
  auto layers = RemoteLayers::open(s, names);
  if (!layers) return fail(std::move(layers.error()));
  std::size_t count = 0;
  auto done = image::for_each_conflict(
      (*layers)->records(), (*layers)->source(),
      [&](const image::LayerConflict& conflict) -> Status {
        ++count;
        if (s.json)
          *s.out << nlohmann::json{{"path", printable(conflict.path, format::kPathMax)},
                                   {"record", conflict.record},
                                   {"hidden", names[conflict.hidden]},
                                   {"winner", names[conflict.winner]}}
                        .dump()
                 << '\n';
        else
          *s.out << text_of(conflict, names) << '\n';
        return Done{};
      });
  if (!done) return done;
  if (!s.json) *s.out << count << (count == 1 ? " conflict\n" : " conflicts\n");
  return Done{};
}

// What the change costs devices that have the first, and those that have nothing.
Status show_bytes(Session& s, const Names& before, const Names& after) {
  auto update = download_between(s, before, after);
  if (!update) return fail(std::move(update.error()));
  auto fresh = download_between(s, {}, after);
  if (!fresh) return fail(std::move(fresh.error()));
  if (s.json)
    *s.out << nlohmann::json{{"from", before},
                             {"to", after},
                             {"download_bytes", update->count},
                             {"fresh_bytes", fresh->count}}
                  .dump()
           << '\n';
  else
    *s.out << "a device with the first fetches " << to_text(*update) << ", a fresh one "
           << to_text(*fresh) << "; a site once\n";
  return Done{};
}

// Stacks of layers, each "A,B": with what another one is laid over them, they are compared.
Status show_difference(Session& s, const Names& before, const Names& after) {
  auto change = compare_stacks(s, before, after, {}, [&](PathChange what, const std::string& path) {
    if (s.json)
      *s.out << nlohmann::json{{"change", name_of(what)},
                               {"path", printable(path, format::kPathMax)}}
                    .dump()
             << '\n';
    else
      *s.out << name_of(what) << ' ' << printable(path, format::kPathMax) << '\n';
  });
  if (!change) return fail(std::move(change.error()));
  if (!s.json)
    *s.out << change->adds << " added, " << change->replaces << " replaced, " << change->metadata
           << " with other metadata, " << change->removes << " removed; "
           << to_text(change->to_write) << " to write\n";
  return Done{};
}

}  // namespace

void add_layer_compare(CLI::App& layer, Run& run) {
  auto names = std::make_shared<Names>();
  auto* conflicts = layer.add_subcommand(
      "conflicts", "which entries and records of some layers are hidden by others of them");
  conflicts->footer(
      "In the order in which they would be applied: the last one wins. Of account files, package "
      "databases and\nthe like single records are compared.\n"
      "Example: lamina layer conflicts office:4 mail:1");
  conflicts->add_option("LAYERS", *names, "NAME:VERSION or ids, two or more")
      ->required()
      ->expected(2, -1);
  conflicts->callback(
      [&run, names] { run = [names](Session& s) { return show_conflicts(s, *names); }; });
  auto before = std::make_shared<std::string>(), after = std::make_shared<std::string>();
  auto only_bytes = std::make_shared<bool>(false);
  auto* diff = layer.add_subcommand("diff", "what differs between two layers, or two stacks");
  diff->footer(
      "What an apply of the second would do to a device that has the first; what is a device's own "
      "is left out.\n"
      "Example: lamina layer diff debian:12.11 debian:12.12\n"
      "Example: lamina layer diff debian:12.11 debian:12.11,nginx:1");
  diff->add_option("BEFORE", *before, "NAME:VERSION, or several with commas, base first")
      ->required();
  diff->add_option("AFTER", *after, "likewise")->required();
  diff->add_flag("--bytes", *only_bytes,
                 "what a device with the first, and a fresh one, fetches for it; no paths");
  diff->callback([&run, before, after, only_bytes] {
    run = [before, after, only_bytes](Session& s) {
      return (*only_bytes ? show_bytes : show_difference)(s, split(*before), split(*after));
    };
  });
}

}  // namespace lamina::origin::cli
