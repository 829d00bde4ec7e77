// Scanner: the device's own content on its way to the origin.
//
// Walks the volume, packs the chunks that the origin cannot have yet, and hands over one pack after
// the other; of a file that was changed in place only the changed pages, as patches; then the
// manifest's new chunks, and last the snapshot record. What "counts" is kept in the work directory
// and replaced only when the origin has committed the snapshot:
//
//   scan            what the last counted scan saw of each file (shared/tree/scan_state)
//   pages           the signatures of its large files' pages (shared/tree/page_signatures)
//   manifest-ids    the metadata chunks of the last counted snapshot
//   *.held          the same of a snapshot that a relay has; `held` names it. Counts once settled
// One thread at a time.
#pragma once

#include <functional>

#include "node/worker/transaction.hpp"
#include "shared/format/record.hpp"
#include "shared/store/pack_writer.hpp"
#include "shared/tree/walker.hpp"

namespace lamina::node {

struct ScanRequest {
  DeviceId device;
  std::uint64_t sequence = 0;  // Of the snapshot that is made.
  SnapshotId parent;
  std::string reason;
  WallTime started;
  // Ignore what earlier scans left: read everything and send everything but the layers' chunks.
  bool full = false;
  // What the device's policy leaves out, as the transaction's protection has it: for the record.
  std::vector<format::ProtectionRule> unprotected = {};
  // Packs of layers of this device that hold manifests: the origin has their chunks too. Packs that
  // cannot be read are passed over.
  std::vector<std::string> manifest_packs = {};
};

struct ScanResult {
  Buffer record;  // The snapshot record's bytes.
  SnapshotId snapshot;
  std::uint64_t files_read = 0;
  std::uint64_t files_reused = 0;
  std::uint64_t bytes_read = 0;
  std::uint64_t packs = 0;
  std::vector<Note> notes;
  std::uint64_t notes_total = 0;
};

class Scanner {
 public:
  // Whoever takes the packs. The scan goes on while one is on its way.
  struct Outlet {
    // Called with each pack once it is durable in `spool`/packs.
    std::function<Status(const format::PackSummary&, bool is_metadata)> offer;
    // Waits until the pack that was offered last is taken; it is removed then, also on an error.
    // Called once for each pack, before the next one is offered or the scan ends, however it ends.
    std::function<Status()> taken = [] { return Done{}; };
  };

  // `work` and `spool` are directories that exist. `transaction` must outlive the scanner.
  Scanner(const Transaction& transaction, std::string work, std::string spool)
      : transaction_(transaction), work_(std::move(work)), spool_(std::move(spool)) {}

  Result<ScanResult> scan(const ScanRequest& request, const Outlet& outlet);
  // The origin has the snapshot: the next scan starts from here.
  Status count();
  // It has not: what the scan left is removed.
  Status abandon();
  // A relay has it: what the scan left is put aside, in place of what was held before.
  Status hold(const SnapshotId& snapshot);
  // The origin has the held snapshot: the next scan starts from it. Another one, or none, is held:
  // nothing happens, a later one counts already.
  Status settle(const SnapshotId& snapshot);

 private:
  class Outgoing;

  Result<ScanResult> scan_into(const ScanRequest& request, Outgoing& outgoing);
  Status take_over(const char* suffix);
  Status release();

  const Transaction& transaction_;
  std::string work_;
  std::string spool_;
};

}  // namespace lamina::node
