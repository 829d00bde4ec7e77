#include "shared/image/layer_conflicts.hpp"

#include <algorithm>
#include <map>
#include <memory>

#include "shared/image/conflicts.hpp"
#include "shared/image/records/record_format.hpp"
#include "shared/image/stack.hpp"

namespace lamina::image {
namespace {

using format::Entry;
using format::LayerRecord;

Result<std::unique_ptr<format::ManifestReader>> open_manifest(const LayerRecord& layer,
                                                              const format::ChunkSource& chunks) {
  auto reader = format::ManifestReader::open(layer.manifest, chunks);
  if (!reader) return fail(std::move(reader.error()).in("layer " + layer.name));
  return reader;
}

// Passes a layer's entries on, and keeps those of files that are merged by record.
class RecordFiles : public format::EntryStream {
 public:
  using Found = std::map<std::string, std::vector<std::pair<std::size_t, Entry>>>;
  RecordFiles(std::unique_ptr<format::EntryStream> entries, std::size_t layer, Found& found)
      : entries_(std::move(entries)), layer_(layer), found_(found) {}

  Result<std::optional<Entry>> next() override {
    auto entry = entries_->next();
    if (entry && *entry && (*entry)->kind == format::EntryKind::file && record_rule((*entry)->path))
      found_[(*entry)->path].emplace_back(layer_, **entry);
    return entry;
  }

 private:
  std::unique_ptr<format::EntryStream> entries_;
  std::size_t layer_;
  Found& found_;
};

}  // namespace

Status for_each_conflict(const std::vector<LayerRecord>& layers, const format::ChunkSource& chunks,
                         const std::function<Status(const LayerConflict&)>& visit) {
  RecordFiles::Found files;
  std::vector<std::unique_ptr<format::EntryStream>> streams;
  for (std::size_t i = 0; i < layers.size(); ++i) {
    auto reader = open_manifest(layers[i], chunks);
    if (!reader) return fail(std::move(reader.error()));
    streams.push_back(std::make_unique<RecordFiles>(std::move(*reader), i, files));
  }
  ConflictStream conflicting(std::move(streams));
  for (;;) {
    auto conflict = conflicting.next();
    if (!conflict) return fail(std::move(conflict.error()));
    if (!*conflict) break;
    if (auto done =
            visit({std::move((*conflict)->path), "", (*conflict)->hidden, (*conflict)->winner});
        !done)
      return done;
  }
  for (auto& [path, holders] : files) {
    if (holders.size() < 2) continue;
    // A layer that has less before the file comes to it before those below do.
    std::ranges::sort(holders, {}, &std::pair<std::size_t, Entry>::first);
    std::vector<RecordList> lists;
    for (const auto& [layer, entry] : holders) {
      auto list = records_of(entry, chunks);
      if (!list) return fail(std::move(list.error()).in("layer " + layers[layer].name));
      lists.push_back(std::move(*list));
    }
    for (const RecordConflict& conflict : conflicts(lists))
      if (auto done = visit({path, text_of(conflict.key), holders[conflict.hidden].first,
                             holders[conflict.winner].first});
          !done)
        return done;
  }
  return Done{};
}

}  // namespace lamina::image
