// The journal: the catalogue a second time, as files that say by themselves what they hold, so that
// it can be made anew when the database is lost.
//
//   <directory>/rows-<number>      all rows as transaction <number> left them (row_dump.hpp)
//   <directory>/changes-<number>   what the transactions after <number> changed
//   <directory>/lock               of the process that writes
//
//   changes = magic "LMchng01", then checked rows (shared/store/row_file.hpp)
//   row     = 'T' number:u64 changes (row_changes.hpp)
//
// Numbers are 16 hex digits. Transactions are numbered without a gap; the row "journal" of the
// catalogue says which is the newest that it has. The newest `rows-` and every transaction after
// it, from one or more `changes-`, are the catalogue. One thread at a time.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "origin/catalog/row_changes.hpp"
#include "origin/catalog/row_dump.hpp"
#include "origin/catalog/table.hpp"
#include "shared/store/kv.hpp"
#include "shared/store/row_file.hpp"

namespace lamina::origin {

// What the row "journal" says.
inline constexpr std::string_view kJournalRow = "journal";
struct JournalNumber {
  std::uint64_t number = 0;       // 0: there is no such row.
  std::uint64_t transaction = 0;  // Of the database when it was written: later ones are foreign.
};
Result<JournalNumber> journal_number(const Rows& rows);
Result<JournalNumber> parse_journal_row(std::string_view row);
std::string journal_row(const JournalNumber& number);

// The names of what a journal's directory holds. `not_found` when there is no directory.
struct JournalFiles {
  std::vector<std::uint64_t> rows;     // Oldest first...
  std::vector<std::uint64_t> changes;  // ...both.
};
Result<JournalFiles> list_journal(const std::string& directory);
std::string rows_path(const std::string& directory, std::uint64_t number);
std::string changes_path(const std::string& directory, std::uint64_t number);

// A new file for the transactions after `number`; its name is durable.
Result<RowFileWriter> create_changes(const std::string& directory, std::uint64_t number);
// Durable when it returns success.
Status add_transaction(RowFileWriter& file, std::uint64_t number, ByteView changes);

// What reading a file of changes found.
struct ChangesEnd {
  std::uint64_t number = 0;  // The newest transaction; that of the file's name when it has none.
  std::uint64_t offset = 0;  // Where it ends.
  bool is_torn = false;      // Something that a crash left lies behind it.
};
// Gives every transaction of `changes-<number>` to `visit`, in order. `corrupt` when one is damaged
// that others follow, or when numbers are left out.
using VisitTransaction = std::function<Status(std::uint64_t number, ByteView changes)>;
Result<ChangesEnd> read_changes(const std::string& directory, std::uint64_t number,
                                const VisitTransaction& visit);

// Every transaction after `number`, from all files. The end is that of the newest file. `not_found`
// when transactions are left out between `number` and the first file.
Result<ChangesEnd> read_changes_after(const std::string& directory, std::uint64_t number,
                                      const VisitTransaction& visit);

// Reads all that a rebuild would, and gives the newest transaction.
Result<std::uint64_t> newest_of_journal(const std::string& directory);

// Holds the rows that `view` sees against those that the journal has of the same transaction:
// LMDB's pages carry no checksums. Text: which row differs first; nothing: none. `unavailable` when
// the journal went on meanwhile: a newer view helps. Memory: what changed since the newest `rows-`.
Result<std::optional<std::string>> row_that_differs(const std::string& directory,
                                                    const Kv::View& view);

// What a rebuilt catalogue came from.
struct Rebuilt {
  std::uint64_t number = 0;        // The newest transaction.
  std::uint64_t rows = 0;          // In the newest `rows-`.
  std::uint64_t transactions = 0;  // After it.
  bool is_torn = false;  // The end of the changes was cut off: a transaction nobody was told of.
};
// Puts the journal's rows into `kv`, which must be empty. `corrupt` names what is damaged; then
// the database holds a part.
Result<Rebuilt> rebuild_rows(const std::string& directory, Kv& kv);

}  // namespace lamina::origin
