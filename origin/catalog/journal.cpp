#include "origin/catalog/journal.hpp"

#include <algorithm>
#include <map>

#include "origin/catalog/rows.hpp"
#include "shared/codec/reader.hpp"
#include "shared/os/file.hpp"

namespace lamina::origin {
namespace {

constexpr std::string_view kMagic = "LMchng01";
constexpr std::size_t kBatch = 20'000;  // Rows in one transaction of a rebuild.

std::optional<std::uint64_t> parse_digits(std::string_view text) {
  std::uint64_t number = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), number, 16);
  const bool whole = parsed.ec == std::errc() && parsed.ptr == text.data() + text.size();
  return whole && digits(number) == text ? std::optional(number) : std::nullopt;
}

Error left_out(std::uint64_t number) {
  return Error(ErrorKind::corrupt,
               "the journal has no transaction " + std::to_string(number) + ", and later ones");
}

// Rows that go into a table, many in one transaction.
class Batches {
 public:
  explicit Batches(Kv& kv) : kv_(kv) {}

  Status add(std::string_view key, std::optional<std::string_view> value) {
    if (value)
      pending_.put(key, *value);
    else
      pending_.erase(key);
    return ++count_ < kBatch ? Status(Done{}) : flush();
  }
  // The last of all: `number` is the newest transaction whose changes are in the rows.
  Status finish(std::uint64_t number) {
    if (auto done = flush(); !done) return done;
    return kv_.write([&](Kv::Edit& edit) {
      return edit.put(kJournalRow, journal_row({number, edit.transaction()}));
    });
  }

 private:
  Status flush() {
    auto done = kv_.write([&](Kv::Edit& edit) {
      return for_each_change(pending_.bytes(), [&](std::string_view key, auto value) {
        return value ? edit.put(key, *value) : edit.erase(key);
      });
    });
    pending_.clear();
    count_ = 0;
    return done;
  }

  Kv& kv_;
  RowChanges pending_;
  std::size_t count_ = 0;
};

// Rows in key order, against those of a view.
class Against {
 public:
  explicit Against(const Kv::View& view) : view_(view) {}

  Status has(std::string_view key, std::string_view value) {
    if (difference_ || key == kJournalRow) return Done{};
    ++rows_;
    auto row = view_.get(key);
    if (!row) return fail(std::move(row.error()));
    if (*row != value)
      difference_ =
          (*row ? "has another value for the row " : "lacks the row ") + printable(key, kKeyShown);
    return Done{};
  }
  Result<std::optional<std::string>> end() {
    std::uint64_t rows = 0;
    auto scanned = view_.scan("", [&](std::string_view key, std::string_view) {
      rows += key != kJournalRow ? 1 : 0;
      return true;
    });
    if (!scanned) return fail(std::move(scanned.error()));
    if (!difference_ && rows != rows_)
      difference_ = "has " + std::to_string(rows) + " rows instead of " + std::to_string(rows_);
    return difference_;
  }

 private:
  static constexpr std::size_t kKeyShown = 100;
  const Kv::View& view_;
  std::uint64_t rows_ = 0;
  std::optional<std::string> difference_;
};

}  // namespace

Result<JournalNumber> journal_number(const Rows& rows) {
  auto row = rows.get(kJournalRow);
  if (!row) return fail(std::move(row.error()));
  return *row ? parse_journal_row(**row) : Result<JournalNumber>(JournalNumber{});
}

Result<JournalNumber> parse_journal_row(std::string_view text) {
  const auto number = parse_digits(text.substr(0, 16));
  const auto transaction = parse_digits(text.substr(std::min<std::size_t>(text.size(), 16)));
  if (!number || !transaction) return fail(corrupt_row(kJournalRow));
  return JournalNumber{*number, *transaction};
}

std::string journal_row(const JournalNumber& number) {
  return digits(number.number) + digits(number.transaction);
}

std::string rows_path(const std::string& directory, std::uint64_t number) {
  return directory + "/rows-" + digits(number);
}

std::string changes_path(const std::string& directory, std::uint64_t number) {
  return directory + "/changes-" + digits(number);
}

Result<JournalFiles> list_journal(const std::string& directory) {
  auto names = os::list_directory(directory);
  if (!names) return fail(std::move(names.error()));
  JournalFiles files;
  for (const std::string_view name : *names) {
    const auto number = parse_digits(name.substr(name.find('-') + 1));
    if (number && name.starts_with("rows-")) files.rows.push_back(*number);
    if (number && name.starts_with("changes-")) files.changes.push_back(*number);
  }
  return files;
}

Result<RowFileWriter> create_changes(const std::string& directory, std::uint64_t number) {
  const std::string path = changes_path(directory, number);
  auto file = RowFileWriter::create(path + ".new", kMagic);
  if (!file) return file;
  if (auto done = file->finish(); !done) return fail(std::move(done.error()));
  if (auto done = os::rename_file(path + ".new", path); !done) return fail(std::move(done.error()));
  if (auto done = os::sync_directory(directory); !done) return fail(std::move(done.error()));
  return file;
}

Status add_transaction(RowFileWriter& file, std::uint64_t number, ByteView changes) {
  Writer row;
  row.u8('T');
  row.u64(number);
  row.raw(changes);
  if (auto done = file.add(row.view()); !done) return done;
  return file.finish();
}

Result<ChangesEnd> read_changes(const std::string& directory, std::uint64_t number,
                                const VisitTransaction& visit) {
  const std::string path = changes_path(directory, number);
  auto file = RowFileReader::open(path, kMagic);
  if (!file) return fail(std::move(file.error()));
  ChangesEnd end{.number = number, .offset = file->offset()};
  for (;;) {
    auto row = file->next();
    if (!row) {
      if (row.error().kind() != ErrorKind::corrupt) return fail(std::move(row.error()));
      auto torn = file->is_torn();
      if (!torn) return fail(std::move(torn.error()));
      if (!*torn)
        return fail(ErrorKind::corrupt, printable(path) + " is damaged behind transaction " +
                                            std::to_string(end.number));
      end.is_torn = true;
      return end;
    }
    if (!*row) return end;
    Reader in(**row);
    const auto kind = in.u8();
    const auto next = in.u64();
    if (in.failed() || kind != 'T')
      return fail(ErrorKind::corrupt, printable(path) + " does not parse");
    if (next != end.number + 1) return fail(left_out(end.number + 1).in(printable(path)));
    if (auto done = visit(next, (*row)->subspan(in.offset())); !done)
      return fail(std::move(done.error()));
    end.number = next;
    end.offset = file->offset();
  }
}

Result<ChangesEnd> read_changes_after(const std::string& directory, std::uint64_t number,
                                      const VisitTransaction& visit) {
  auto files = list_journal(directory);
  if (!files) return fail(std::move(files.error()));
  // The last file that begins at or before it, and all after that.
  auto first = std::ranges::upper_bound(files->changes, number);
  if (first == files->changes.begin())
    return fail(ErrorKind::not_found, printable(directory) + " has no changes from transaction " +
                                          std::to_string(number) + " on");
  ChangesEnd end{.number = *--first};
  for (auto at = first; at != files->changes.end(); ++at) {
    // A torn end is only where a crash was, and that the next writer cuts off.
    if (*at != end.number || end.is_torn) return fail(left_out(end.number + 1));
    auto read = read_changes(directory, *at, [&](std::uint64_t each, ByteView changes) -> Status {
      return each <= number ? Status(Done{}) : visit(each, changes);
    });
    if (!read) return read;
    end = *read;
  }
  return end;
}

Result<std::uint64_t> newest_of_journal(const std::string& directory) {
  auto files = list_journal(directory);
  if (!files) return fail(std::move(files.error()));
  if (files->rows.empty())
    return fail(ErrorKind::not_found, printable(directory) + " holds no rows of a catalogue");
  auto dump = read_dump(rows_path(directory, files->rows.back()),
                        [](std::string_view, auto) -> Status { return Done{}; });
  if (!dump) return fail(std::move(dump.error()));
  auto end = read_changes_after(directory, dump->number,
                                [](std::uint64_t, ByteView) -> Status { return Done{}; });
  if (!end) return fail(std::move(end.error()));
  return std::max(dump->number, end->number);
}

Result<std::optional<std::string>> row_that_differs(const std::string& directory,
                                                    const Kv::View& view) {
  auto row = view.get(kJournalRow);
  if (!row) return fail(std::move(row.error()));
  const auto known = *row ? parse_journal_row(**row) : Result<JournalNumber>(JournalNumber{});
  if (!known) return fail(known.error());
  auto files = list_journal(directory);
  if (!files) return fail(std::move(files.error()));
  if (files->rows.empty() || files->rows.back() > known->number)
    return fail(ErrorKind::unavailable, "the journal's rows are newer than the catalogue's");
  const std::uint64_t number = files->rows.back();
  std::map<std::string, std::optional<std::string>, std::less<>> changed;
  auto end =
      read_changes_after(directory, number, [&](std::uint64_t each, ByteView changes) -> Status {
        if (each > known->number) return Done{};
        return for_each_change(changes, [&](std::string_view key, auto value) -> Status {
          changed.insert_or_assign(std::string(key),
                                   value ? std::optional(std::string(*value)) : std::nullopt);
          return Done{};
        });
      });
  if (!end) return fail(std::move(end.error()));
  Against against(view);
  auto at = changed.begin();
  const auto give_changed_before = [&](const std::string_view* key) -> Status {
    for (; at != changed.end() && (key == nullptr || at->first < *key); ++at)
      if (at->second)
        if (auto done = against.has(at->first, *at->second); !done) return done;
    return Done{};
  };
  auto dump = read_dump(rows_path(directory, number), [&](std::string_view key, auto value) {
    if (auto done = give_changed_before(&key); !done) return done;
    if (at != changed.end() && at->first == key) return Status(Done{});  // It comes with the next.
    return against.has(key, *value);
  });
  if (!dump) return fail(std::move(dump.error()));
  if (auto done = give_changed_before(nullptr); !done) return fail(std::move(done.error()));
  return against.end();
}

Result<Rebuilt> rebuild_rows(const std::string& directory, Kv& kv) {
  auto files = list_journal(directory);
  if (!files) return fail(std::move(files.error()));
  if (files->rows.empty())
    return fail(ErrorKind::not_found, printable(directory) + " holds no rows of a catalogue");
  const std::uint64_t number = files->rows.back();
  Batches batches(kv);
  auto dump = read_dump(rows_path(directory, number),
                        [&](std::string_view key, auto value) { return batches.add(key, value); });
  if (!dump) return fail(std::move(dump.error()));
  Rebuilt rebuilt{.number = dump->number, .rows = dump->rows};
  auto end = read_changes_after(directory, dump->number, [&](std::uint64_t, ByteView changes) {
    ++rebuilt.transactions;
    return for_each_change(
        changes, [&](std::string_view key, auto value) { return batches.add(key, value); });
  });
  if (!end) return fail(std::move(end.error()));
  // The file of changes may end before the rows, where it was made anew after them.
  rebuilt.number = std::max(rebuilt.number, end->number);
  rebuilt.is_torn = end->is_torn;
  if (auto done = batches.finish(rebuilt.number); !done) return fail(std::move(done.error()));
  return rebuilt;
}

}  // namespace lamina::origin
