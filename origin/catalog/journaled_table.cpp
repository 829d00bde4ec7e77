#include "origin/catalog/journaled_table.hpp"

#include <algorithm>

#include "shared/base/log.hpp"
#include "shared/os/file.hpp"

namespace lamina::origin {
namespace {

// Hands changes on and notes them.
class NotedRows : public Rows {
 public:
  NotedRows(Rows& rows, RowChanges& changes) : rows_(rows), changes_(changes) {}

  Result<std::optional<std::string>> get(std::string_view key) const override {
    return rows_.get(key);
  }
  Status scan(std::string_view prefix, const Visit& visit, std::string_view from) const override {
    return rows_.scan(prefix, visit, from);
  }
  Result<std::optional<std::string>> last_key(std::string_view prefix) const override {
    return rows_.last_key(prefix);
  }
  Status put(std::string_view key, std::string_view value) override {
    changes_.put(key, value);
    return rows_.put(key, value);
  }
  Status erase(std::string_view key) override {
    changes_.erase(key);
    return rows_.erase(key);
  }

 private:
  Rows& rows_;
  RowChanges& changes_;
};

bool has_rows(const std::string& journal) {
  const auto files = list_journal(journal);
  return files && !files->rows.empty();
}

}  // namespace

JournaledTable::JournaledTable(std::string journal, os::FileLock lock, std::unique_ptr<Kv> kv,
                               Options options)
    : journal_(std::move(journal)),
      lock_(std::move(lock)),
      kv_(std::move(kv)),
      table_(*kv_),
      options_(options) {}

JournaledTable::~JournaledTable() { wait_for_rows(); }

Result<std::unique_ptr<JournaledTable>> JournaledTable::open(const std::string& catalog,
                                                             const std::string& journal,
                                                             Options options) {
  // A new one would know nobody.
  if (!os::exists(catalog + "/data.mdb") && has_rows(journal))
    return fail(ErrorKind::corrupt, "the catalogue in " + printable(catalog) +
                                        " is gone: `lamina-origin rebuild` makes it from the "
                                        "journal");
  for (const std::string& directory : {catalog, journal})
    if (auto done = os::make_directories(directory, 0700); !done)
      return fail(std::move(done.error()));
  auto lock = os::FileLock::take(journal + "/lock");
  if (!lock) return fail(std::move(lock.error()));
  auto kv = Kv::open(catalog, options.map_max, Kv::Durable::but_the_last);
  if (!kv) return fail(std::move(kv.error()));
  std::unique_ptr<JournaledTable> table(
      new JournaledTable(journal, std::move(*lock), std::move(*kv), options));
  if (auto done = table->recover(); !done)
    return fail(std::move(done.error()).in("opening the catalogue's journal"));
  return table;
}

// One of: the two agree; the journal has transactions more; the journal is of no use.
Status JournaledTable::recover() {
  JournalNumber known;
  std::uint64_t newest = 0;
  auto looked = kv_->read([&](const Kv::View& view) -> Status {
    auto row = view.get(kJournalRow);
    if (!row) return fail(std::move(row.error()));
    auto number = *row ? parse_journal_row(**row) : Result<JournalNumber>(JournalNumber{});
    if (!number) return fail(std::move(number.error()));
    known = *number;
    newest = view.transaction();
    return Done{};
  });
  if (!looked) return looked;
  auto files = list_journal(journal_);
  if (!files) return fail(std::move(files.error()));
  std::string why;
  if (files->rows.empty() || known.number == 0)
    why = "there is none yet";
  else if (known.transaction != newest)
    why = "the catalogue was changed without it";
  if (why.empty() && known.number < files->rows.back())
    return fail(ErrorKind::corrupt,
                "the catalogue is older than its journal: move its directory away, then "
                "`lamina-origin rebuild` makes it from the journal");
  if (why.empty()) {
    auto end = read_changes_after(journal_, files->rows.back(),
                                  [](std::uint64_t, ByteView) -> Status { return Done{}; });
    if (!end && end.error().kind() != ErrorKind::corrupt &&
        end.error().kind() != ErrorKind::not_found)
      return fail(std::move(end.error()));
    if (!end)
      why = end.error().text();
    else if (end->number < known.number)
      why = "it ends before the catalogue does";
    else {
      number_ = end->number;
      changes_number_ = files->changes.back();
      if (number_ > known.number)
        if (auto done = redo(known.number); !done) return done;
      auto file = RowFileWriter::append(changes_path(journal_, changes_number_), end->offset);
      if (!file) return fail(std::move(file.error()));
      changes_ = std::move(*file);
      const std::string path = rows_path(journal_, files->rows.back());
      auto rows = os::open_read(path);
      if (!rows) return fail(std::move(rows.error()));
      auto size = os::file_size(rows->get(), path);
      if (!size) return fail(std::move(size.error()));
      rows_size_ = Bytes{static_cast<std::int64_t>(*size)};
      return Done{};
    }
  }
  if (!files->rows.empty()) log::warning("journal_begins_anew", {{"why", why}});
  std::uint64_t last = known.number;
  for (const auto* numbers : {&files->rows, &files->changes})
    if (!numbers->empty()) last = std::max(last, numbers->back());
  return begin_anew(last + 1);
}

// What the database was not told of, or what a power failure took from it.
Status JournaledTable::redo(std::uint64_t after) {
  std::uint64_t count = 0;
  auto end = read_changes_after(journal_, after, [&](std::uint64_t number, ByteView changes) {
    ++count;
    return kv_->write([&](Kv::Edit& edit) {
      auto put = for_each_change(changes, [&](std::string_view key, auto value) {
        return value ? edit.put(key, *value) : edit.erase(key);
      });
      if (!put) return put;
      return edit.put(kJournalRow, journal_row({number, edit.transaction()}));
    });
  });
  if (!end) return fail(std::move(end.error()));
  log::info("journal_redone", {{"transactions", count}});
  return Done{};
}

// With all rows, as transaction `number`; what was there before goes only then.
Status JournaledTable::begin_anew(std::uint64_t number) {
  auto noted = kv_->write([&](Kv::Edit& edit) {
    return edit.put(kJournalRow, journal_row({number, edit.transaction()}));
  });
  if (!noted) return noted;
  auto file = create_changes(journal_, number);
  if (!file) return fail(std::move(file.error()));
  changes_ = std::move(*file);
  changes_number_ = number_ = number;
  return write_rows();
}

Status JournaledTable::read(const std::function<Status(const Rows&)>& look) const {
  return table_.read(look);
}

Status JournaledTable::write(const std::function<Status(Rows&)>& change) {
  const std::lock_guard writing(writing_);
  if (!changes_)
    return fail(ErrorKind::unavailable,
                "the catalogue's journal failed before: start `lamina-origin serve` anew");
  RowChanges changes;
  const std::uint64_t size = changes_->size();
  bool is_appended = false;
  auto done = kv_->write([&](Kv::Edit& edit) -> Status {
    auto changed = change_rows(edit, [&](Rows& rows) {
      NotedRows noted(rows, changes);
      return change(noted);
    });
    if (!changed || changes.empty()) return changed;
    auto put = edit.put(kJournalRow, journal_row({number_ + 1, edit.transaction()}));
    if (!put) return put;
    is_appended = true;
    return add_transaction(*changes_, number_ + 1, changes.bytes());
  });
  if (!done && is_appended) take_back(size);
  if (!done || !is_appended) return done;
  ++number_;
  write_rows_when_due();
  return done;
}

// A transaction that failed must not be done again.
void JournaledTable::take_back(std::uint64_t size) {
  changes_.reset();
  auto file = RowFileWriter::append(changes_path(journal_, changes_number_), size);
  if (file)
    if (auto synced = file->finish(); !synced) file = fail(std::move(synced.error()));
  if (!file) {
    log::error("journal_failed", {{"error", file.error().text()}});
    return;
  }
  changes_ = std::move(*file);
}

void JournaledTable::write_rows_when_due() {
  {
    const std::lock_guard lock(mutex_);
    const Bytes limit = std::max(options_.changes_max, Bytes{rows_size_.count / 2});
    if (is_writing_ || Bytes{static_cast<std::int64_t>(changes_->size())} < limit) return;
  }
  // Rows that are written now have everything that stands in the files before this one.
  auto file = create_changes(journal_, number_);
  if (!file) {
    log::warning("journal_grows", {{"error", file.error().text()}});
    return;
  }
  changes_ = std::move(*file);
  changes_number_ = number_;
  join_writer();  // The thread is at its end already.
  {
    const std::lock_guard lock(mutex_);
    is_writing_ = true;
  }
  writer_ = std::thread([this] {
    auto done = write_rows();
    if (!done) log::warning("journal_grows", {{"error", done.error().text()}});
    const std::lock_guard lock(mutex_);
    is_writing_ = false;
  });
}

Status JournaledTable::write_rows() {
  // Before changes go that a power failure could still ask for.
  if (auto done = kv_->sync(); !done) return done;
  const std::string path = journal_ + "/rows.new";
  DumpFacts facts;
  auto done = table_.read([&](const Rows& rows) -> Status {
    auto dump = write_dump(path, rows);
    if (!dump) return fail(std::move(dump.error()));
    facts = *dump;
    return Done{};
  });
  if (done) done = os::rename_file(path, rows_path(journal_, facts.number));
  if (done) done = os::sync_directory(journal_);
  if (!done) return done;
  {
    const std::lock_guard lock(mutex_);
    rows_size_ = Bytes{static_cast<std::int64_t>(facts.size)};
  }
  auto files = list_journal(journal_);
  if (!files) return fail(std::move(files.error()));
  for (const std::uint64_t number : files->rows)
    if (number < facts.number)
      if (auto gone = os::remove_file(rows_path(journal_, number)); !gone) return gone;
  // The last file that begins at or before the rows is needed still.
  const auto needed = std::ranges::upper_bound(files->changes, facts.number);
  for (auto at = files->changes.begin(); at != needed && std::next(at) != needed; ++at)
    if (auto gone = os::remove_file(changes_path(journal_, *at)); !gone) return gone;
  return Done{};
}

void JournaledTable::wait_for_rows() {
  const std::lock_guard writing(writing_);
  join_writer();
}

void JournaledTable::join_writer() {
  if (writer_.joinable()) writer_.join();
}

}  // namespace lamina::origin
