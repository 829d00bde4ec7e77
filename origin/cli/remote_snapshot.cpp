#include "origin/cli/remote_snapshot.hpp"

#include <algorithm>

#include "origin/cli/session.hpp"
#include "shared/format/path.hpp"
#include "shared/wire/admin.hpp"

namespace lamina::origin::cli {
namespace {

constexpr std::ptrdiff_t kAheadMax = 256;  // Chunks of about 16 KiB.

Result<SnapshotId> newest(Session& s, const std::string& device) {
  auto body = s.get("/v1/cvds/" + encoded(device) + "/snapshots");
  if (!body) return fail(std::move(body.error()));
  auto list = wire::parse_snapshot_list(*body);
  if (!list) return fail(std::move(list.error()));
  if (list->snapshots.empty())
    return fail(ErrorKind::not_found, "device " + device + " has no snapshot yet");
  return std::ranges::max_element(list->snapshots, {}, &wire::SnapshotInfo::number)->id;
}

}  // namespace

RemoteSnapshot::RemoteSnapshot(Session& session, const std::string& device,
                               const std::string& spool)
    : session_(session),
      entries_(cvd_chunks(device), spool + "/manifest"),
      other_(cvd_chunks(device), spool + "/chunk") {}

Result<std::unique_ptr<RemoteSnapshot>> RemoteSnapshot::open(Session& session,
                                                             const std::string& device,
                                                             const std::string& snapshot,
                                                             const std::string& spool) {
  if (auto good = DeviceId::parse(device); !good) return fail(std::move(good.error()));
  auto id = snapshot.empty() ? newest(session, device) : SnapshotId::parse(snapshot);
  if (!id) return fail(std::move(id.error()));
  auto bytes = session.get("/v1/cvds/" + device + "/snapshots/" + id->hex() + "/record");
  if (!bytes) return fail(std::move(bytes.error()));
  if (format::snapshot_id(as_view(*bytes)) != *id)
    return fail(ErrorKind::corrupt,
                "the origin sent another record than snapshot " + id->short_hex());
  auto record = format::parse_snapshot(as_view(*bytes));
  if (!record) return fail(std::move(record.error()));
  std::unique_ptr<RemoteSnapshot> opened(new RemoteSnapshot(session, device, spool));
  opened->id_ = *id;
  opened->record_ = std::move(*record);
  return opened;
}

// A chunk of entries, and if those behind it are asked for as well, ever more at a time.
Result<Buffer> RemoteSnapshot::read(const format::ChunkRef& ref) {
  if (entries_.has(ref.id)) return entries_.read(ref);
  const auto at = std::ranges::find(order_, ref);
  const bool is_other = at == order_.end();
  if (is_other && other_.has(ref.id)) return other_.read(ref);
  std::vector<format::ChunkRef> refs = {ref};
  if (!is_other) {
    ahead_ = at - order_.begin() == next_ ? std::min(ahead_ * 4, kAheadMax) : 1;
    refs.assign(at, at + std::min(ahead_, order_.end() - at));
    next_ = at - order_.begin() + static_cast<std::ptrdiff_t>(refs.size());
  }
  RemoteBatch& batch = is_other ? other_ : entries_;
  if (auto done = batch.fetch(session_, refs); !done) return fail(std::move(done.error()));
  return batch.read(ref);
}

format::ChunkSource RemoteSnapshot::source() {
  return [this](const format::ChunkRef& ref) { return read(ref); };
}

Result<std::unique_ptr<format::ManifestReader>> RemoteSnapshot::entries() {
  auto reader = format::ManifestReader::open(record_.manifest, source());
  if (reader) order_ = (*reader)->entry_chunks();
  return reader;
}

Result<format::Entry> RemoteSnapshot::find(const std::string& path) {
  if (!finder_) {
    auto opened = format::ManifestReader::open(record_.manifest, source());
    if (!opened) return fail(std::move(opened.error()));
    finder_ = std::move(*opened);
  }
  if (auto done = finder_->seek(path); !done) return fail(std::move(done.error()));
  auto entry = finder_->next();
  if (!entry) return fail(std::move(entry.error()));
  if (!*entry || (*entry)->path != path)
    return fail(ErrorKind::not_found,
                "snapshot " + id_.short_hex() + " has no '" + printable(path, 200) + "'");
  return std::move(**entry);
}

Result<std::string> RemoteSnapshot::read_start(const std::string& path, std::size_t most) {
  constexpr int kLinksMax = 40;   // As Linux follows (path_resolution(7)).
  std::vector<std::string> rest;  // Components still to go, the next one last.
  const auto push = [&](std::string_view text) {
    std::vector<std::string> parts;
    for (std::size_t begin = 0; begin <= text.size();) {
      const std::size_t end = std::min(text.find('/', begin), text.size());
      parts.emplace_back(text.substr(begin, end - begin));
      begin = end + 1;
    }
    rest.insert(rest.end(), parts.rbegin(), parts.rend());
  };
  push(path);
  std::string at;
  int links = 0;
  while (!rest.empty()) {
    const std::string name = std::move(rest.back());
    rest.pop_back();
    if (name.empty() || name == ".") continue;
    if (name == "..") {
      at = format::parent_of(at);
      continue;
    }
    const std::string here = at.empty() ? name : at + '/' + name;
    auto entry = find(here);
    if (entry && entry->kind == format::EntryKind::hard_link) entry = find(entry->target);
    if (!entry && entry.error().kind() == ErrorKind::not_found) return std::string();
    if (!entry) return fail(std::move(entry.error()));
    if (entry->kind == format::EntryKind::symlink) {
      if (++links > kLinksMax) return std::string();
      if (entry->target.starts_with('/')) at.clear();
      push(entry->target);
      continue;
    }
    at = here;
    if (!rest.empty()) continue;
    if (entry->kind != format::EntryKind::file || entry->sparse) return std::string();
    std::string text;
    for (const format::ChunkRef& ref : entry->chunks) {
      if (text.size() >= most) break;
      auto bytes = read(ref);
      if (!bytes) return fail(std::move(bytes.error()));
      text += as_text(*bytes);
    }
    text.resize(std::min(text.size(), most));
    return text;
  }
  return std::string();
}

}  // namespace lamina::origin::cli
