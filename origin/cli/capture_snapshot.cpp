#include "origin/cli/capture_snapshot.hpp"

#include <map>
#include <nlohmann/json.hpp>
#include <unordered_set>

#include "origin/cli/capture_difference.hpp"
#include "origin/cli/capture_rules_file.hpp"
#include "origin/cli/included_stream.hpp"
#include "origin/cli/platform.hpp"
#include "origin/cli/remote_layers.hpp"
#include "origin/cli/remote_policy.hpp"
#include "origin/cli/remote_snapshot.hpp"
#include "origin/cli/session.hpp"
#include "shared/format/path.hpp"
#include "shared/image/delta.hpp"
#include "shared/image/stack.hpp"

namespace lamina::origin::cli {
namespace {

using format::Entry;
using format::EntryKind;

// What a rule left out, or emptied.
struct LeftOutPath {
  std::string rule;
  image::Take take = image::Take::leave_out;
  std::uint64_t files = 0, bytes = 0;
};

// As the walk of a capture does, which stays on one file system.
constexpr const char* kOtherVolume = "other-volume";

// The snapshot as a capture of its tree would have it.
class CapturedSnapshot : public format::EntryStream {
 public:
  // `snapshot`, `rules` and `left_out`, which is filled in, outlive it.
  CapturedSnapshot(RemoteSnapshot& snapshot, std::unique_ptr<format::ManifestReader> entries,
                   const image::CaptureRules& rules, std::map<std::string, LeftOutPath>& left_out)
      : snapshot_(snapshot), entries_(std::move(entries)), rules_(rules), left_out_(left_out) {}

  Result<std::optional<Entry>> next() override {
    for (;;) {
      auto entry = entries_->next();
      if (!entry || !*entry) return entry;
      Entry& here = **entry;
      const bool is_file = here.kind == EntryKind::file;
      if (const auto* volume = format::volume_of(here.path, snapshot_.record().volumes)) {
        LeftOutPath& path = left_out_[*volume];
        path.rule = kOtherVolume;
        count(path, here);
        continue;
      }
      if (hidden_ && format::is_within(here.path, *hidden_)) {
        if (const auto path = left_out_.find(*hidden_); path != left_out_.end())
          count(path->second, here);
        continue;
      }
      const auto decision = rules_.decide(here.path, here.kind == EntryKind::directory);
      if (decision.take != image::Take::keep && !decision.is_runtime) {
        LeftOutPath& path = left_out_[here.path];
        path.rule = decision.rule;
        path.take = decision.take;
        count(path, here);
      }
      if (decision.take == image::Take::leave_out) {
        if (here.kind == EntryKind::directory) hidden_ = here.path;
        continue;
      }
      if (is_file && decision.take == image::Take::make_empty) make_empty(here);
      if (here.kind == EntryKind::hard_link)
        if (auto done = settle_link(here); !done) return fail(std::move(done.error()));
      return entry;
    }
  }

 private:
  static void count(LeftOutPath& path, const Entry& entry) {
    path.files += entry.kind == EntryKind::file ? 1 : 0;
    path.bytes += entry.size;
  }

  static void make_empty(Entry& entry) {
    entry.size = 0;
    entry.sparse = false;
    entry.extents.clear();
    entry.chunks.clear();
  }

  // A link to a name that is left out becomes the file, and later links to that name lead here.
  Status settle_link(Entry& link) {
    if (const auto heir = heirs_.find(link.target); heir != heirs_.end()) {
      link.target = heir->second;
      return Done{};
    }
    if (is_taken(link.target)) return Done{};
    auto first = snapshot_.find(link.target);
    if (!first) return fail(std::move(first.error()).in("a hard link leads there"));
    heirs_.emplace(link.target, link.path);
    const std::string path = std::move(link.path);
    link = std::move(*first);
    link.path = path;
    return Done{};
  }

  bool is_taken(const std::string& path) const {
    for (std::string_view above = path; !above.empty(); above = format::parent_of(above))
      if (rules_.decide(above, above.size() < path.size()).take == image::Take::leave_out)
        return false;
    return true;
  }

  RemoteSnapshot& snapshot_;
  std::unique_ptr<format::ManifestReader> entries_;
  const image::CaptureRules& rules_;
  std::map<std::string, LeftOutPath>& left_out_;
  std::optional<std::string> hidden_;
  std::map<std::string, std::string> heirs_;  // By the name that was left out.
};

// The contents of the layer's files, moved from the CVD where no layer has them.
class ContentMove {
 public:
  ContentMove(const Session& session, const std::string& device, const std::string& spool,
              Upload& upload)
      : content_(session, device, spool), source_(content_.source()), upload_(upload) {}

  Status add(const Entry& entry) {
    File file{.path = entry.path, .chunks = {}};
    for (const format::ChunkRef& ref : entry.chunks)
      if (seen_.insert(ref.id).second) file.chunks.push_back(ref);
    waiting_chunks_ += file.chunks.size();
    if (!file.chunks.empty()) waiting_.push_back(std::move(file));
    return waiting_chunks_ < kAtOnce ? Status(Done{}) : flush();
  }

  Status flush() {
    std::vector<format::ChunkRef> all;
    for (const File& file : waiting_) all.insert(all.end(), file.chunks.begin(), file.chunks.end());
    auto lacking = upload_.lacking(all);
    if (!lacking) return fail(std::move(lacking.error()));
    std::erase_if(all, [&](const format::ChunkRef& ref) { return !lacking->contains(ref.id); });
    content_.expect(all);
    for (const File& file : waiting_) {
      std::optional<ContentClass> content;
      for (const format::ChunkRef& ref : file.chunks) {
        if (!lacking->contains(ref.id)) continue;
        auto plain = source_(ref);
        if (!plain) return fail(std::move(plain.error()));
        if (!content) content = classify_content(file.path, *plain);
        if (auto done = upload_.add(ref, *plain, *content); !done) return done;
      }
    }
    waiting_.clear();
    waiting_chunks_ = 0;
    return Done{};
  }

 private:
  struct File {
    std::string path;
    std::vector<format::ChunkRef> chunks;
  };
  static constexpr std::size_t kAtOnce = 4096;  // Of 64 KiB on average.

  RemoteContent content_;
  format::ChunkSource source_;
  Upload& upload_;
  std::unordered_set<ChunkId, IdHash> seen_;
  std::vector<File> waiting_;
  std::size_t waiting_chunks_ = 0;
};

std::string size_text(std::uint64_t bytes) {
  return to_text(Bytes{static_cast<std::int64_t>(bytes)});
}

Status dry_run(const Session& s, CapturedSnapshot& entries,
               const std::map<std::string, LeftOutPath>& left_out) {
  std::uint64_t count = 0, bytes = 0;
  for (;; ++count) {
    auto entry = entries.next();
    if (!entry) return fail(std::move(entry.error()));
    if (!*entry) break;
    bytes += (*entry)->size;
  }
  Session::Rows rows{{"PATH", "RULE", "TAKE", "FILES", "SIZE"}};
  for (const auto& [path, sum] : left_out) {
    const std::string name = printable(path, format::kPathMax);
    if (s.json)
      *s.out << nlohmann::json{{"path", name},
                               {"rule", sum.rule},
                               {"take", name_of(sum.take)},
                               {"files", sum.files},
                               {"bytes", sum.bytes}}
                    .dump()
             << '\n';
    rows.push_back({name, sum.rule, std::string(name_of(sum.take)), std::to_string(sum.files),
                    size_text(sum.bytes)});
  }
  if (s.json) {
    *s.out << nlohmann::json{{"entries", count}, {"bytes", bytes}}.dump() << '\n';
    return Done{};
  }
  s.table(rows);
  *s.out << "the layer would have " << count << " entries, " << size_text(bytes) << '\n';
  return Done{};
}

Status write_layer(Session& s, const std::string& device, const std::string& spool,
                   format::EntryStream& entries, const format::ChunkSource& changes,
                   Publication& layer, format::ManifestRef& written) {
  ContentMove content(s, device, spool, layer.upload());
  format::ManifestWriter manifest([&](const ChunkId& id, ByteView plain) {
    return layer.upload().add_metadata({id, static_cast<std::uint32_t>(plain.size())}, plain);
  });
  std::uint64_t count = 0;
  for (;; ++count) {
    auto entry = entries.next();
    if (!entry) return fail(std::move(entry.error()));
    if (!*entry) break;
    auto done = (*entry)->record_changes ? send_record_changes(**entry, changes, layer.upload())
                                         : content.add(**entry);
    if (done) done = manifest.add(**entry);
    if (!done) return done;
    if (count % 1024 == 0) s.progress(std::to_string(count) + " entries");
  }
  if (auto done = content.flush(); !done) return done;
  auto ref = manifest.finish();
  if (!ref) return fail(std::move(ref.error()));
  if (ref->entries == 0)
    return fail(ErrorKind::refused,
                "the snapshot holds nothing that is not in its layers: there is no layer to make");
  written = std::move(*ref);
  return Done{};
}

}  // namespace

Status capture_snapshot(Session& s, CaptureRequest request) {
  const std::size_t colon = request.snapshot.find(':');
  const std::string device = request.snapshot.substr(0, colon);
  auto id = DeviceId::parse(device);
  if (!id) return fail(std::move(id.error()).in("--snapshot"));
  const bool is_base = request.order.kind == "base";
  if (is_base && !request.over.empty())
    return fail(ErrorKind::invalid,
                "a base layer lies over nothing: give --kind app, or leave --over out");
  auto rules = read_capture_rules(request.rules);
  if (!rules) return fail(std::move(rules.error()));
  auto protection = protection_of(s, device);
  if (!protection) return fail(std::move(protection.error()));
  rules->protect(std::move(*protection));
  auto spool = os::TemporaryDirectory::make(os::temporary_root(), "lamina-snapshot-");
  if (!spool) return fail(std::move(spool.error()));
  auto snapshot = RemoteSnapshot::open(
      s, device, colon == std::string::npos ? "" : request.snapshot.substr(colon + 1),
      spool->path());
  if (!snapshot) return fail(std::move(snapshot.error()));
  auto all = (*snapshot)->entries();
  if (!all) return fail(std::move(all.error()));
  std::map<std::string, LeftOutPath> left_out;
  auto taken = std::make_unique<CapturedSnapshot>(**snapshot, std::move(*all), *rules, left_out);
  if (request.dry_run) return dry_run(s, *taken, left_out);

  const auto found = platform_of([&](const std::string& path, std::size_t most) {
    auto text = (*snapshot)->read_start(path, most);
    return text ? std::move(*text) : std::string();
  });
  if (auto good = complete(request.order.platform, found); !good) return good;
  auto layer = Publication::prepare(s, std::move(request.order));
  if (!layer) return fail(std::move(layer.error()));

  const format::ChunkSource on_device = (*snapshot)->source();
  const Walker::Include include = [&](const std::string& path, bool is_directory) {
    return format::volume_of(path, (*snapshot)->record().volumes) == nullptr &&
           rules->decide(path, is_directory).take != image::Take::leave_out;
  };
  format::MadeContent made;
  format::ManifestRef manifest;
  bool has_record_changes = false;
  if (is_base) {
    if (auto done = write_layer(s, device, spool->path(), *taken, on_device, *layer, manifest);
        !done)
      return done;
  } else {
    std::vector<std::string> over = split(request.over);
    if (over.empty())
      for (const LayerId& applied : (*snapshot)->record().stack) over.push_back(applied.hex());
    if (over.empty())
      return fail(ErrorKind::refused,
                  "the device had no layers when the snapshot was taken: name those beneath with "
                  "--over");
    auto layers = RemoteLayers::open(s, over);
    if (!layers) return fail(std::move(layers.error()));
    auto stack = image::Stack::open((*layers)->records(), (*layers)->source(), {});
    if (!stack) return fail(std::move(stack.error()));
    auto before = (*stack)->entries();
    if (!before) return fail(std::move(before.error()));
    image::DeltaStream difference(std::make_unique<IncludedStream>(std::move(*before), include),
                                  std::move(taken),
                                  {.before = (*stack)->source(), .after = on_device, .made = made});
    if (auto done = write_layer(s, device, spool->path(), difference, made.source(on_device),
                                *layer, manifest);
        !done)
      return done;
    has_record_changes = difference.has_record_changes();
  }
  auto done = layer->publish({.manifest = std::move(manifest),
                              .rules = rules->names(),
                              .has_record_changes = has_record_changes});
  if (!done) return done;
  std::map<std::string, LeftOutPath> by_rule;
  for (const auto& [path, sum] : left_out) {
    LeftOutPath& rule = by_rule[sum.rule];
    rule.files += sum.files;
    rule.bytes += sum.bytes;
  }
  for (const auto& [rule, sum] : by_rule)
    *s.err << "lamina: rule " << rule << " left out " << sum.files << " files, "
           << size_text(sum.bytes) << '\n';
  return Done{};
}

}  // namespace lamina::origin::cli
