#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <unordered_set>

#include "origin/cli/capture_layer.hpp"
#include "origin/cli/capture_rules_file.hpp"
#include "origin/cli/layer_commands.hpp"
#include "origin/cli/platform.hpp"
#include "origin/cli/publish.hpp"
#include "origin/cli/session.hpp"
#include "origin/images/image_import.hpp"

namespace lamina::origin::cli {
namespace {

struct ImportRequest {
  LayerOrder order;
  std::string from;
  std::string form = "auto";
  std::string image;
  bool squash = false;
  bool allow_devices = false;
  std::string rules;
  bool dry_run = false;
};

struct Counted {
  std::uint64_t entries = 0;
  std::uint64_t files = 0;
  std::uint64_t whiteouts = 0;
  std::uint64_t bytes = 0;
};

Result<Counted> count(format::EntryStream& entries) {
  Counted counted;
  for (;;) {
    auto entry = entries.next();
    if (!entry) return fail(std::move(entry.error()));
    if (!*entry) return counted;
    ++counted.entries;
    counted.files += (*entry)->kind == format::EntryKind::file ? 1 : 0;
    counted.whiteouts += (*entry)->kind == format::EntryKind::whiteout ? 1 : 0;
    counted.bytes += (*entry)->size;
  }
}

// The layers of a stack need names of their own: NAME, NAME-2, NAME-3, ...
// Scripts, services and a restart belong to the last one, which is applied last.
LayerOrder order_of(const LayerOrder& order, std::size_t layer, std::size_t last) {
  LayerOrder its = order;
  if (layer != last) {
    its.scripts.clear();
    its.running = {};
  }
  if (layer == 0) return its;
  its.name += '-' + std::to_string(layer + 1);
  its.kind = "app";
  its.revision = 0;
  return its;
}

// The number of the last layer that is published: those without entries are not.
Result<std::size_t> last_of(const images::ImageImport& import) {
  for (std::size_t i = import.layers(); i > 0; --i) {
    auto entry = import.entries(i - 1)->next();
    if (!entry) return fail(std::move(entry.error()));
    if (*entry) return i - 1;
  }
  return std::size_t{0};
}

Status report(Session& s, const images::ImageImport& import, const ImportRequest& request) {
  Session::Rows rows{{"LAYER", "KIND", "ENTRIES", "FILES", "REMOVED", "SIZE", "FROM"}};
  for (std::size_t i = 0; i < import.layers(); ++i) {
    const LayerOrder order = order_of(request.order, i, i);
    auto counted = count(*import.entries(i));
    if (!counted) return fail(std::move(counted.error()));
    if (counted->entries == 0) continue;
    if (s.json)
      *s.out << nlohmann::json{{"name", order.name},
                               {"kind", order.kind},
                               {"entries", counted->entries},
                               {"files", counted->files},
                               {"whiteouts", counted->whiteouts},
                               {"bytes", counted->bytes},
                               {"from", import.name_of(i)}}
                    .dump()
             << '\n';
    rows.push_back({order.name, order.kind, std::to_string(counted->entries),
                    std::to_string(counted->files), std::to_string(counted->whiteouts),
                    to_text(Bytes{static_cast<std::int64_t>(counted->bytes)}), import.name_of(i)});
  }
  if (!s.json) s.table(rows);
  return Done{};
}

Status publish_layer(Session& s, const images::ImageImport& import, std::size_t number,
                     const LayerOrder& order, const std::vector<std::string>& rules) {
  auto entries = import.entries(number);
  auto entry = entries->next();
  if (!entry) return fail(std::move(entry.error()));
  // An instruction of a Dockerfile that changes no file makes a layer without any.
  if (!*entry) return Done{};
  auto layer = Publication::prepare(s, order);
  if (!layer) return fail(std::move(layer.error()));
  format::ManifestWriter manifest([&](const ChunkId& id, ByteView plain) {
    return layer->upload().add_metadata({id, static_cast<std::uint32_t>(plain.size())}, plain);
  });
  std::unordered_set<ChunkId, IdHash> wanted;
  while (*entry) {
    for (const format::ChunkRef& chunk : (*entry)->chunks) wanted.insert(chunk.id);
    if (auto done = manifest.add(**entry); !done) return done;
    entry = entries->next();
    if (!entry) return fail(std::move(entry.error()));
  }
  auto ref = manifest.finish();
  if (!ref) return fail(std::move(ref.error()));
  auto sent = import.send(std::move(wanted), [&](const ContentChunk& chunk) {
    return layer->upload().add(chunk.ref, chunk.plain, chunk.content);
  });
  if (!sent) return sent;
  return layer->publish({.manifest = std::move(*ref), .rules = rules});
}

Status import(Session& s, ImportRequest request) {
  auto form = images::parse_form(request.form);
  if (!form) return fail(std::move(form.error()));
  if (*form == images::Form::automatic && os::Root::open(request.from) &&
      !images::is_image_directory(request.from))
    return capture_layer(s, {.order = std::move(request.order),
                             .tree = request.from,
                             .rules = request.rules,
                             .dry_run = request.dry_run});
  auto rules = read_capture_rules(request.rules);
  if (!rules) return fail(std::move(rules.error()));
  auto image = images::open_image(request.from, *form, request.image);
  if (!image) return fail(std::move(image.error()).in("reading " + printable(request.from)));
  std::map<std::string, std::set<std::string>>
      left_out;  // Paths by rule; asked for more than once.
  auto read = images::ImageImport::read(
      std::move(*image), {.include =
                              [&](const std::string& path, bool is_directory) {
                                const auto decision = rules->decide(path, is_directory);
                                if (decision.take != image::Take::keep)
                                  left_out[std::string(decision.rule)].insert(path);
                                return decision.take;
                              },
                          .squash = request.squash,
                          .allow_devices = request.allow_devices,
                          .progress =
                              [&s](std::uint64_t members, std::uint64_t bytes) {
                                s.progress("read " + std::to_string(members) + " members, " +
                                           to_text(Bytes{static_cast<std::int64_t>(bytes)}));
                              }});
  s.progress("");
  if (!read) return fail(std::move(read.error()));
  const images::ImageImport& import = **read;
  const auto found = platform_of([&import](const std::string& path, std::size_t most) {
    return import.read_start(path, most);
  });
  if (auto good = complete(request.order.platform, found); !good) return good;
  if (request.dry_run) {
    if (auto done = report(s, import, request); !done) return done;
  } else {
    auto last = last_of(import);
    if (!last) return fail(std::move(last.error()));
    for (std::size_t i = 0; i < import.layers(); ++i)
      if (auto done =
              publish_layer(s, import, i, order_of(request.order, i, *last), rules->names());
          !done)
        return done;
  }
  for (const std::string& warning : import.warnings()) *s.err << "lamina: " << warning << '\n';
  for (const auto& [rule, paths] : left_out)
    *s.err << "lamina: rule " << rule << " left out " << paths.size() << " paths\n";
  return Done{};
}

}  // namespace

void add_layer_import(CLI::App& layer, Run& run) {
  auto request = std::make_shared<ImportRequest>();
  auto* command = layer.add_subcommand(
      "import",
      "publish a tar file, a container image or a directory as layers; nothing is unpacked");
  command->footer(
      "FROM is a tar file (plain, gzip, zstd, xz, bzip2), an OCI image layout (a directory or a "
      "tar "
      "file)\nor what `docker save` wrote; any other directory is taken as by `lamina layer "
      "capture`. "
      "Each layer\nof an image becomes one: NAME, then app layers NAME-2, NAME-3, ... in the order "
      "in "
      "which to assign\nthem. What the factory rules cover is left out, as in a capture.\n"
      "Scripts, services and --needs-restart are of the last layer.\n"
      "Example: lamina layer import debian.tar --name debian --version 12.11 --squash --key "
      "publisher.key");
  command->add_option("FROM", request->from, "the file or directory")->required();
  add_layer_options(*command, request->order, "base");
  command->add_option("--form", request->form, "auto, tar, oci or docker")->capture_default_str();
  command->add_option("--image", request->image,
                      "which image of several: its tag, its architecture, or TAG,ARCHITECTURE");
  command->add_flag("--squash", request->squash, "one layer: what the image's layers add up to");
  command->add_flag("--allow-devices", request->allow_devices,
                    "take device nodes along; without it an archive that has some is refused");
  command->add_option("--rules", request->rules, "own rules, as of `lamina layer capture`");
  command->add_flag("--dry-run", request->dry_run,
                    "read and check everything, say which layers it would be, send nothing");
  command->callback(
      [&run, request] { run = [request](Session& s) { return import(s, *request); }; });
}

}  // namespace lamina::origin::cli
