#include "origin/cli/capture_layer.hpp"

#include <nlohmann/json.hpp>

#include "origin/cli/capture_difference.hpp"
#include "origin/cli/capture_rules_file.hpp"
#include "origin/cli/platform.hpp"
#include "origin/cli/session.hpp"
#include "shared/format/path.hpp"
#include "shared/os/clock.hpp"

namespace lamina::origin::cli {
namespace {

std::string size_text(std::uint64_t bytes) {
  return to_text(Bytes{static_cast<std::int64_t>(bytes)});
}

// Which paths the rules leave out of a tree, from its metadata alone.
Status dry_run(Session& s, const os::Root& root, LeftOut& left_out) {
  std::uint64_t entries = 0, bytes = 0, notes = 0;
  Walker walker(
      root,
      [&left_out](const std::string& path, bool is_directory) {
        return left_out.decide(path, is_directory) != image::Take::leave_out;
      },
      [&notes](const Note&) { ++notes; });
  for (;;) {
    auto found = walker.next();
    if (!found) return fail(std::move(found.error()));
    if (!*found) break;
    ++entries;
    bytes += (*found)->entry.size;
  }
  if (auto done = left_out.measure(root); !done) return done;
  for (const LeftOut::Path& path : left_out.paths())
    if (path.take == image::Take::make_empty) bytes -= path.bytes;
  Session::Rows rows{{"PATH", "RULE", "TAKE", "FILES", "SIZE"}};
  for (const LeftOut::Path& path : left_out.paths()) {
    const std::string name = printable(path.path, format::kPathMax);
    if (s.json)
      *s.out << nlohmann::json{{"path", name},
                               {"rule", path.rule},
                               {"take", name_of(path.take)},
                               {"files", path.files},
                               {"bytes", path.bytes}}
                    .dump()
             << '\n';
    rows.push_back({name, path.rule, std::string(name_of(path.take)),
                    path.is_runtime ? "-" : std::to_string(path.files),
                    path.is_runtime ? "-" : size_text(path.bytes)});
  }
  if (s.json) {
    *s.out << nlohmann::json{{"entries", entries}, {"bytes", bytes}, {"notes", notes}}.dump()
           << '\n';
    return Done{};
  }
  s.table(rows);
  *s.out << "the layer would have " << entries << " entries, " << size_text(bytes) << '\n';
  return Done{};
}

// Every entry with all of its content.
Result<CapturedDifference> capture_whole(const os::Root& root, const CaptureOptions& options,
                                         Upload& upload) {
  auto captured = capture_tree(
      root, options,
      [&](const ContentChunk& chunk) { return upload.add(chunk.ref, chunk.plain, chunk.content); },
      [&](const ChunkId& id, ByteView plain) {
        return upload.add_metadata({id, static_cast<std::uint32_t>(plain.size())}, plain);
      });
  if (!captured) return fail(std::move(captured.error()));
  return CapturedDifference{std::move(*captured)};
}

}  // namespace

CaptureOptions capture_options(const Session& session, LeftOut& left_out) {
  return {.include =
              [&left_out](const std::string& path, bool is_directory) {
                return left_out.decide(path, is_directory) != image::Take::leave_out;
              },
          .make_empty =
              [&left_out](const std::string& path) {
                return left_out.rules().decide(path, false).take == image::Take::make_empty;
              },
          .started = os::system_clock().wall(),
          .progress =
              [&session](std::uint64_t entries, std::uint64_t bytes) {
                session.progress(std::to_string(entries) + " entries, " + size_text(bytes));
              }};
}

Status report_left_out(const Session& session, const os::Root& tree, LeftOut& left_out,
                       const CaptureResult& captured) {
  if (auto done = left_out.measure(tree); !done) return done;
  for (const auto& [rule, sum] : left_out.sums())
    *session.err << "lamina: rule " << rule << " left out " << sum.paths << " paths, " << sum.files
                 << " files, " << size_text(sum.bytes) << '\n';
  for (const Note& note : captured.notes)
    *session.err << "lamina: " << name_of(note.kind) << ": '" << printable(note.path)
                 << "': " << note.reason << '\n';
  if (captured.notes_total > captured.notes.size())
    *session.err << "lamina: and " << captured.notes_total - captured.notes.size() << " more\n";
  return Done{};
}

Status capture_layer(Session& s, CaptureRequest request) {
  if (request.order.kind == "base" && !request.over.empty())
    return fail(ErrorKind::invalid,
                "a base layer lies over nothing: give --kind app, or leave --over out");
  auto rules = read_capture_rules(request.rules);
  if (!rules) return fail(std::move(rules.error()));
  LeftOut left_out(std::move(*rules));
  auto root = os::Root::open(request.tree);
  if (!root) return fail(std::move(root.error()));
  if (auto names = os::list_directory(request.tree); !names || names->empty())
    return fail(ErrorKind::invalid, "the tree " + printable(request.tree) + " is empty");
  if (request.dry_run) return dry_run(s, *root, left_out);
  if (auto good = complete(request.order.platform, platform_of(*root)); !good) return good;
  auto layer = Publication::prepare(s, std::move(request.order));
  if (!layer) return fail(std::move(layer.error()));
  const CaptureOptions options = capture_options(s, left_out);
  auto captured = request.over.empty()
                      ? capture_whole(*root, options, layer->upload())
                      : capture_difference(s, split(request.over), *root, options, layer->upload());
  if (!captured) return fail(std::move(captured.error()));
  auto done = layer->publish({.manifest = captured->result.manifest,
                              .rules = left_out.rules().names(),
                              .has_record_changes = captured->has_record_changes});
  if (!done) return done;
  return report_left_out(s, *root, left_out, captured->result);
}

}  // namespace lamina::origin::cli
