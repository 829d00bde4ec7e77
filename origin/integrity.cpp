#include "origin/integrity.hpp"

#include <unordered_map>

namespace lamina::origin {
namespace {

class IntegrityCheck {
 public:
  IntegrityCheck(Content& content, bool read_data, const std::function<bool()>& is_stopping,
                 wire::IntegrityReport& report)
      : content_(content),
        source_(content.source()),
        read_data_(read_data),
        is_stopping_(is_stopping),
        report_(report) {}

  Status look_at(const wire::SnapshotInfo& snapshot);

 private:
  // Nothing: it is sound.
  Result<std::optional<std::string>> trouble_of(const format::ChunkRef& chunk);
  void found(const wire::SnapshotInfo& snapshot, const std::string& text) {
    if (report_.findings.size() < wire::kFindingsMax)
      report_.findings.push_back({snapshot.number, snapshot.id, text});
  }

  Content& content_;
  format::ChunkSource source_;
  bool read_data_;
  const std::function<bool()>& is_stopping_;
  wire::IntegrityReport& report_;
  // Of every chunk that was looked at.
  std::unordered_map<ChunkId, std::optional<std::string>, IdHash> looked_at_;
};

Result<std::optional<std::string>> IntegrityCheck::trouble_of(const format::ChunkRef& chunk) {
  if (read_data_) {
    auto bytes = source_(chunk);
    if (bytes) return std::optional<std::string>();
    if (bytes.error().kind() == ErrorKind::not_found || bytes.error().kind() == ErrorKind::corrupt)
      return std::optional(bytes.error().text());
    return fail(std::move(bytes.error()));
  }
  for (const ChunkStore* store : {&content_.cvds(), &content_.layers()}) {
    auto has = store->has(chunk.id);
    if (!has) return fail(std::move(has.error()));
    if (*has) return std::optional<std::string>();
  }
  return std::optional("chunk " + chunk.id.hex() + " is not there");
}

Status IntegrityCheck::look_at(const wire::SnapshotInfo& snapshot) {
  ++report_.snapshots;
  auto bytes = content_.snapshot_record(snapshot.id);
  auto record = bytes ? format::parse_snapshot(*bytes)
                      : Result<format::SnapshotRecord>(fail(std::move(bytes.error())));
  if (!record) {
    found(snapshot, "its record: " + record.error().text());
    return Done{};
  }
  const auto look = [&](const format::ChunkRef& chunk) -> Status {
    if (is_stopping_()) return fail(ErrorKind::unavailable, "the check was told to stop");
    auto [known, is_new] = looked_at_.try_emplace(chunk.id);
    if (is_new) {
      auto trouble = trouble_of(chunk);
      if (!trouble) return fail(std::move(trouble.error()));
      known->second = std::move(*trouble);
      ++report_.chunks;
      report_.plain_bytes += chunk.length;
    }
    if (known->second) found(snapshot, *known->second);
    return Done{};
  };
  for (const format::ChunkRef& chunk : record->report)
    if (auto done = look(chunk); !done) return done;
  auto visited = format::for_each_chunk(
      record->manifest, source_, [&](const format::ChunkRef& chunk, bool) { return look(chunk); });
  if (visited) return Done{};
  switch (visited.error().kind()) {
    case ErrorKind::not_found:
    case ErrorKind::corrupt:
    case ErrorKind::invalid:
      // What is behind that part of the manifest is not known.
      found(snapshot, "its manifest: " + visited.error().text());
      return Done{};
    default: return visited;
  }
}

}  // namespace

Result<wire::IntegrityReport> check_cvd(Content& content, const Catalog& catalog,
                                        const DeviceId& device, bool read_data,
                                        const std::function<bool()>& is_stopping) {
  auto snapshots = catalog.snapshots(device);
  if (!snapshots) return fail(std::move(snapshots.error()));
  wire::IntegrityReport report{.device = device, .data_was_read = read_data};
  IntegrityCheck check(content, read_data, is_stopping, report);
  for (const wire::SnapshotInfo& snapshot : *snapshots)
    if (auto done = check.look_at(snapshot); !done) return fail(std::move(done.error()));
  return report;
}

}  // namespace lamina::origin
