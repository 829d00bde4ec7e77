#include "origin/catalog/row_dump.hpp"

#include "origin/catalog/journal.hpp"
#include "shared/codec/reader.hpp"
#include "shared/store/row_file.hpp"

namespace lamina::origin {
namespace {

constexpr std::string_view kMagic = "LMrows01";
constexpr std::size_t kPiece = std::size_t{64} << 10;

class DumpWriter {
 public:
  explicit DumpWriter(RowFileWriter file) : file_(std::move(file)) {}

  Status add(std::string_view key, std::string_view value) {
    ++rows_;
    changes_.put(key, value);
    return changes_.bytes().size() < kPiece ? Status(Done{}) : flush();
  }

  Result<DumpFacts> finish(std::uint64_t number) {
    if (auto done = flush(); !done) return fail(std::move(done.error()));
    Writer end;
    end.u8('E');
    end.u64(number);
    end.u64(rows_);
    if (auto done = file_.add(end.view()); !done) return fail(std::move(done.error()));
    if (auto done = file_.finish(); !done) return fail(std::move(done.error()));
    return DumpFacts{number, rows_, file_.size()};
  }

 private:
  Status flush() {
    if (changes_.empty()) return Done{};
    Writer row;
    row.u8('R');
    row.raw(changes_.bytes());
    changes_.clear();
    return file_.add(row.view());
  }

  RowFileWriter file_;
  RowChanges changes_;
  std::uint64_t rows_ = 0;
};

}  // namespace

Result<DumpFacts> write_dump(const std::string& path, const Rows& rows) {
  auto number = journal_number(rows);
  if (!number) return fail(std::move(number.error()));
  auto file = RowFileWriter::create(path, kMagic);
  if (!file) return fail(std::move(file.error()));
  DumpWriter dump(std::move(*file));
  Status written = Done{};
  auto scanned = rows.scan("", [&](std::string_view key, std::string_view value) {
    written = dump.add(key, value);
    return written.has_value();
  });
  if (!scanned) return fail(std::move(scanned.error()));
  if (!written) return fail(std::move(written.error()));
  return dump.finish(number->number);
}

Result<DumpFacts> read_dump(const std::string& path, const VisitChange& visit) {
  auto file = RowFileReader::open(path, kMagic);
  if (!file) return fail(std::move(file.error()));
  DumpFacts facts;
  for (;;) {
    auto row = file->next();
    if (!row) return fail(std::move(row.error()));
    if (!*row) return fail(ErrorKind::corrupt, printable(path) + " is cut off");
    Reader in(**row);
    const auto kind = in.u8();
    if (kind == 'E') {
      facts.number = in.u64();
      const auto rows = in.u64();
      facts.size = file->offset();
      if (in.finished() && rows == facts.rows) return facts;
    }
    if (kind != 'R') return fail(ErrorKind::corrupt, printable(path) + " does not parse");
    auto done = for_each_change((*row)->subspan(1), [&](std::string_view key, auto value) {
      ++facts.rows;
      return visit(key, value);
    });
    if (!done) return fail(std::move(done.error()).in(printable(path)));
  }
}

std::vector<NeededObject> objects_of(std::string_view key) {
  constexpr std::string_view kLayer = "layer/";
  constexpr std::string_view kSnapshot = "snapshot-id/";
  if (key.starts_with(kLayer)) {
    const std::string hex(key.substr(kLayer.size()));
    return {{"layers", hex}, {"distributions", hex}, {"torrents", hex}};
  }
  if (key.starts_with(kSnapshot) && key.size() == kSnapshot.size() + 96)
    return {{"snapshots", std::string(key.substr(key.size() - 64))}};
  return {};
}

}  // namespace lamina::origin
