#include <fcntl.h>
#include <stdlib.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "origin/cli/capture_difference.hpp"
#include "origin/cli/capture_layer.hpp"
#include "origin/cli/capture_rules_file.hpp"
#include "origin/cli/layer_commands.hpp"
#include "origin/cli/platform.hpp"
#include "origin/cli/session.hpp"
#include "origin/cli/tree_state.hpp"
#include "shared/format/path.hpp"
#include "shared/image/delta.hpp"

namespace lamina::origin::cli {
namespace {

struct StartRequest {
  std::string tree;
  std::string state;
  std::string rules;
};

struct FinishRequest {
  LayerOrder order;
  std::string state;
  bool dry_run = false;
};

Result<std::string> absolute(const std::string& path) {
  const std::unique_ptr<char, void (*)(void*)> real(realpath(path.c_str(), nullptr), free);
  if (!real) return fail(ErrorKind::not_found, "there is no directory " + printable(path));
  return std::string(real.get());
}

// Looks at the whole tree; what is in its files is hashed and goes nowhere, but for those that are
// merged by record.
Result<CaptureResult> look(const Session& s, const os::Root& tree, LeftOut& left_out,
                           const std::string& old_files, const std::string& new_files,
                           EntryStore& entries) {
  CaptureOptions options = capture_options(s, left_out);
  options.scan_state = old_files;
  options.new_scan_state = new_files;
  auto captured = capture_tree(
      tree, options, [](const ContentChunk&) { return Status(Done{}); }, entries.sink());
  s.progress("");
  if (!captured) return captured;
  auto records = capture_tree(tree, records_only(options), entries.content_sink(),
                              [](const ChunkId&, ByteView) { return Status(Done{}); });
  if (!records) return records;
  if (auto done = entries.finish(); !done) return fail(std::move(done.error()));
  return captured;
}

Status start(Session& s, const StartRequest& request) {
  auto tree = absolute(request.tree);
  if (!tree) return fail(std::move(tree.error()));
  auto root = os::Root::open(*tree);
  if (!root) return fail(std::move(root.error()));
  if (os::exists(request.state))
    return fail(ErrorKind::refused,
                printable(request.state) + " is there already: name a new directory");
  std::string own;
  if (!request.rules.empty()) {
    auto text = os::read_text(request.rules);
    if (!text) return fail(std::move(text.error()).in("reading the capture rules"));
    own = std::move(*text);
  }
  auto rules = parse_capture_rules(own, request.rules);
  if (!rules) return fail(std::move(rules.error()));
  LeftOut left_out(std::move(*rules));
  auto entries = EntryStore::create(entries_of(request.state));
  if (!entries) return fail(std::move(entries.error()));
  if (auto done = os::write_file(rules_of(request.state), as_view(own)); !done) return done;
  auto captured = look(s, *root, left_out, "", files_of(request.state), **entries);
  if (!captured) return fail(std::move(captured.error()));
  auto done = write_tree_state(request.state, {.tree = *tree, .manifest = captured->manifest});
  if (!done) return done;
  if (s.json)
    *s.out << nlohmann::json{{"entries", captured->manifest.entries},
                             {"bytes", captured->manifest.content_bytes}}
                  .dump()
           << '\n';
  else
    *s.out << "remembered " << captured->manifest.entries
           << " entries; install now, then: lamina layer capture finish --state "
           << printable(request.state) << " --name NAME --key KEY\n";
  return Done{};
}

// The content of a changed file, as it was when the entry was made.
Status send_content(const os::Root& root, const format::Entry& entry, Upload& upload) {
  if (entry.chunks.empty()) return Done{};
  const Error changed(ErrorKind::unavailable,
                      "'" + printable(entry.path) + "' changes while it is read: finish again");
  auto file = root.open_at(entry.path, O_RDONLY | O_NONBLOCK);
  if (!file) return fail(std::move(file.error()));
  std::vector<format::Extent> runs = entry.extents;
  if (!entry.sparse) runs.assign(1, {0, entry.size});
  std::size_t run = 0;
  std::uint64_t done = 0;  // Of the run.
  std::optional<ContentClass> content;
  for (const format::ChunkRef& chunk : entry.chunks) {
    Buffer plain;
    while (plain.size() < chunk.length) {
      const std::uint64_t size =
          std::min<std::uint64_t>(chunk.length - plain.size(), runs[run].length - done);
      auto bytes = os::read_at(file->get(), runs[run].offset + done, size, printable(entry.path));
      if (!bytes) return fail(changed);
      plain.insert(plain.end(), bytes->begin(), bytes->end());
      done += size;
      if (done == runs[run].length) ++run, done = 0;
    }
    if (digest<ChunkId>(plain) != chunk.id) return fail(changed);
    if (!content)
      content = classify_content(entry.path,
                                 ByteView(plain).first(std::min<std::size_t>(16, plain.size())));
    if (auto sent = upload.add(chunk, plain, *content); !sent) return sent;
  }
  return Done{};
}

void tell(const Session& s, const format::Entry& entry) {
  const bool is_removed = entry.kind == format::EntryKind::whiteout;
  if (s.json)
    *s.out << nlohmann::json{{"path", printable(entry.path, format::kPathMax)},
                             {"kind", name_of(entry.kind)},
                             {"bytes", entry.size}}
                  .dump()
           << '\n';
  else
    *s.out << (is_removed ? "- " : "+ ") << printable(entry.path, format::kPathMax) << '\n';
}

Status finish(Session& s, FinishRequest request) {
  auto before = read_tree_state(request.state);
  if (!before) return fail(std::move(before.error()));
  auto rules = read_capture_rules(rules_of(request.state));
  if (!rules) return fail(std::move(rules.error()));
  LeftOut left_out(std::move(*rules));
  auto root = os::Root::open(before->tree);
  if (!root) return fail(std::move(root.error()));
  std::optional<Publication> layer;
  if (!request.dry_run) {
    if (auto good = complete(request.order.platform, platform_of(*root)); !good) return good;
    auto prepared = Publication::prepare(s, std::move(request.order));
    if (!prepared) return fail(std::move(prepared.error()));
    layer.emplace(std::move(*prepared));
  }
  auto spool = os::TemporaryDirectory::make(os::temporary_root(), "lamina-capture-");
  if (!spool) return fail(std::move(spool.error()));
  auto old_entries = EntryStore::open(entries_of(request.state));
  if (!old_entries) return fail(std::move(old_entries.error()));
  auto new_entries = EntryStore::create(spool->path());
  if (!new_entries) return fail(std::move(new_entries.error()));
  auto captured = look(s, *root, left_out, files_of(request.state), "", **new_entries);
  if (!captured) return fail(std::move(captured.error()));
  auto old_reader = (*old_entries)->read(before->manifest);
  if (!old_reader) return fail(std::move(old_reader.error()));
  auto new_reader = (*new_entries)->read(captured->manifest);
  if (!new_reader) return fail(std::move(new_reader.error()));
  format::MadeContent made;
  image::DeltaStream delta(
      std::move(*old_reader), std::move(*new_reader),
      {.before = (*old_entries)->source(), .after = (*new_entries)->source(), .made = made});
  const auto changes = made.source((*new_entries)->source());

  format::ManifestWriter manifest([&](const ChunkId& id, ByteView plain) -> Status {
    if (!layer) return Done{};
    return layer->upload().add_metadata({id, static_cast<std::uint32_t>(plain.size())}, plain);
  });
  for (;;) {
    auto entry = delta.next();
    if (!entry) return fail(std::move(entry.error()));
    if (!*entry) break;
    if (auto done = manifest.add(**entry); !done) return done;
    if (!layer) {
      tell(s, **entry);
      continue;
    }
    Upload& upload = layer->upload();
    if (auto done = (*entry)->record_changes ? send_record_changes(**entry, changes, upload)
                                             : send_content(*root, **entry, upload);
        !done)
      return done;
  }
  auto ref = manifest.finish();
  if (!ref) return fail(std::move(ref.error()));
  if (ref->entries == 0)
    return fail(ErrorKind::refused, "nothing has changed in " + printable(before->tree) +
                                        " since the start: there is no layer to make");
  if (!layer) return report_left_out(s, *root, left_out, *captured);
  if (auto done = layer->publish({.manifest = *ref,
                                  .rules = left_out.rules().names(),
                                  .has_record_changes = delta.has_record_changes()});
      !done)
    return done;
  return report_left_out(s, *root, left_out, *captured);
}

}  // namespace

void add_capture_difference(CLI::App& capture, Run& run) {
  auto begin = std::make_shared<StartRequest>();
  auto* first = capture.add_subcommand(
      "start", "remember what a reference device is, before an application is installed");
  first->footer(
      "Needs no origin. Names, metadata and digests are kept in the directory, and the contents of "
      "account\nfiles and package databases: of them a layer holds the records that change.\n"
      "Example: lamina layer capture start --tree / --state /var/tmp/before");
  first->add_option("--tree", begin->tree, "the reference device's tree")->required();
  first->add_option("--state", begin->state, "a new directory, outside of what is captured")
      ->required();
  first->add_option("--rules", begin->rules, "own rules, for `finish` too");
  first->callback([&run, begin] { run = [begin](Session& s) { return start(s, *begin); }; });

  auto end = std::make_shared<FinishRequest>();
  auto* second = capture.add_subcommand(
      "finish", "publish what has changed since the start as an app layer; removals as whiteouts");
  second->footer(
      "Unchanged files are not read again. The directory of the start stays: remove it when the "
      "layer "
      "is good.\n"
      "Example: lamina layer capture finish --state /var/tmp/before --name nginx --key "
      "publisher.key");
  second->add_option("--state", end->state, "the directory of the start")->required();
  add_layer_options(*second, end->order, "app");
  second->add_flag("--dry-run", end->dry_run, "list what the layer would hold; send nothing");
  second->callback([&run, end] { run = [end](Session& s) { return finish(s, *end); }; });
}

}  // namespace lamina::origin::cli
