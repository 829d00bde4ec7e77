// JournaledTable: the embedded Table with its journal (journal.hpp), for the one process that
// changes the catalogue.
//
// Every transaction is durable in the journal before the database commits it. So the database need
// not wait for the disk with its last page: what a power failure undoes, or what a kill kept from
// it, is done again at the next open, and a transaction costs as many waits as without a journal.
// When the changes since the last `rows-` file outgrow it, the next one is written by a thread of
// its own, while the table is used; the files before it go.
//
// Any thread: a write waits for the one that is at it.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "origin/catalog/journal.hpp"
#include "origin/catalog/kv_table.hpp"
#include "shared/os/lock.hpp"

namespace lamina::origin {

class JournaledTable : public Table {
 public:
  struct Options {
    // Changes are gathered up to this, or half of the newest rows where that is more: writing all
    // rows anew then costs at most twice what the changes did.
    Bytes changes_max = 64_MiB;
    Bytes map_max = 64_GiB;
  };

  // Of the database in `catalog` and the journal in `journal`, which are made when missing. What
  // the journal knows and the database does not is done again. A journal that is not there, is
  // damaged, or lacks what an earlier release or another program changed, begins anew with all
  // rows. `unavailable` when another process has it; `corrupt` when the database is gone and the
  // journal is not: `lamina-origin rebuild` makes it from that.
  static Result<std::unique_ptr<JournaledTable>> open(const std::string& catalog,
                                                      const std::string& journal, Options options);
  static Result<std::unique_ptr<JournaledTable>> open(const std::string& catalog,
                                                      const std::string& journal) {
    return open(catalog, journal, Options());
  }
  ~JournaledTable() override;

  Status read(const std::function<Status(const Rows&)>& look) const override;
  // `out_of_space`, also when the journal's disk is full. When a failed transaction cannot be taken
  // out of the journal again, this and every later call is `unavailable`.
  Status write(const std::function<Status(Rows&)>& change) override;

  // Waits until no rows are being written.
  void wait_for_rows();

 private:
  JournaledTable(std::string journal, os::FileLock lock, std::unique_ptr<Kv> kv, Options options);

  Status recover();
  Status redo(std::uint64_t after);
  Status begin_anew(std::uint64_t number);
  Status append(std::uint64_t number, ByteView changes);
  void take_back(std::uint64_t size);
  void write_rows_when_due();
  Status write_rows();
  void join_writer();

  std::string journal_;
  os::FileLock lock_;
  std::unique_ptr<Kv> kv_;
  KvTable table_;
  Options options_;
  std::mutex writing_;                    // Over the next three and writer_; taken first.
  std::optional<RowFileWriter> changes_;  // None: unusable after a failure.
  std::uint64_t changes_number_ = 0;      // In its name.
  std::uint64_t number_ = 0;              // Of the newest transaction.
  std::mutex mutex_;                      // Over the next two.
  Bytes rows_size_;
  bool is_writing_ = false;
  std::thread writer_;
};

}  // namespace lamina::origin
