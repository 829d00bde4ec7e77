// Layers with their manifests and contents in memory, made of a few files.
#pragma once

#include <catch2/catch.hpp>
#include <map>
#include <string>
#include <vector>

#include "shared/format/content.hpp"
#include "shared/format/path.hpp"
#include "shared/format/record.hpp"
#include "shared/hash/sha256.hpp"
#include "shared/image/records/record_changes.hpp"

namespace lamina::tests {

class Layers {
 public:
  struct File {
    std::string path;
    std::string content;
    std::uint32_t mode = 0644;
    bool is_changes = false;  // `content` is what encode_changes() gave.
  };

  // Directories above the files come by themselves.
  format::LayerRecord add(const std::string& name, const std::vector<File>& files,
                          format::LayerKind kind = format::LayerKind::base) {
    std::map<std::string, format::Entry> entries;
    entries[""] = {.kind = format::EntryKind::directory, .mode = 0755};
    for (const File& file : files) {
      for (std::string above(format::parent_of(file.path)); !above.empty();
           above = std::string(format::parent_of(above)))
        entries[above] = {.path = above, .kind = format::EntryKind::directory, .mode = 0755};
      format::Entry entry{.path = file.path, .kind = format::EntryKind::file, .mode = file.mode};
      made_.set(entry, file.content);
      entry.record_changes = file.is_changes;
      entries[file.path] = std::move(entry);
    }
    std::vector<format::Entry> sorted;
    for (auto& [path, entry] : entries) sorted.push_back(std::move(entry));
    std::ranges::sort(sorted, [](const auto& a, const auto& b) {
      return format::compare_paths(a.path, b.path) < 0;
    });
    format::ManifestWriter manifest([&](const ChunkId& id, ByteView plain) -> Status {
      metadata_.insert_or_assign(id, Buffer(plain.begin(), plain.end()));
      return Done{};
    });
    for (const format::Entry& entry : sorted) REQUIRE(manifest.add(entry));
    auto ref = manifest.finish();
    REQUIRE(ref);
    format::LayerRecord record{.name = name, .version = "1", .kind = kind};
    record.manifest = *ref;
    return record;
  }

  // This must outlive it.
  format::ChunkSource source() const {
    return made_.source([this](const format::ChunkRef& ref) -> Result<Buffer> {
      const auto found = metadata_.find(ref.id);
      if (found == metadata_.end())
        return fail(ErrorKind::not_found, "no chunk " + ref.id.short_hex());
      return found->second;
    });
  }

 private:
  format::MadeContent made_;
  std::map<ChunkId, Buffer> metadata_;
};

}  // namespace lamina::tests
