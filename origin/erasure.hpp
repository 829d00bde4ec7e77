// Erasures: what is left of a CVD that is to be gone, and the proof that nothing is.
//
// A collection of garbage (garbage.hpp) carries erasures out: chunks that only the device had leave
// the store without a grace, packs in which one of them lies are written anew, records and what the
// scrub set aside are removed. It ends an erasure only when the proof holds.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "origin/catalog/catalog.hpp"
#include "origin/content/content.hpp"

namespace lamina::origin {

// The chunks of an erased device: those that no other device has, and those that others have, too.
// Both ascending. What layers have lies in packs of its own, and is no device's.
struct ErasedChunks {
  std::vector<ChunkId> only;
  std::vector<ChunkId> shared;
};
Result<ErasedChunks> split_erased(const Catalog& catalog, std::vector<ChunkId> chunks);

// (slow) Looks at rows, records, the index and every pack of CVDs for what is left of the device.
// `not_found` when nothing of it was ever erased.
Result<wire::ErasureProof> prove_erasure(const Content& content, const Catalog& catalog,
                                         const DeviceId& device,
                                         const std::function<bool()>& is_stopping);

// Where `lamina-origin backup` wrote the content of the data directory to, the newest time of each.
// The note is a file that everybody may read: who backs up need not be who serves.
struct BackupPlace {
  std::string path;
  std::int64_t made_ms = 0;
};
Result<std::vector<BackupPlace>> backup_places(const std::string& data);
Status note_backup(const std::string& data, const BackupPlace& place);

}  // namespace lamina::origin
