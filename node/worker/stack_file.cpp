#include "node/worker/stack_file.hpp"

#include "shared/image/records/record_format.hpp"

namespace lamina::node {
namespace {

using format::Entry;

constexpr std::string_view kMagic = "LMst0002";
constexpr std::string_view kMagicWithoutContents = "LMst0001";

bool is_merged_by_record(const Entry& entry) {
  return entry.kind == format::EntryKind::file && entry.size <= image::kRecordFileMax &&
         image::record_rule(entry.path) != nullptr;
}

}  // namespace

Result<std::unique_ptr<StackReader>> StackReader::open(const std::string& path,
                                                       RecordFiles* contents) {
  const auto make = [&](RowFileReader rows, bool has_contents) {
    return std::unique_ptr<StackReader>(new StackReader(std::move(rows), has_contents, contents));
  };
  if (!os::exists(path)) return make(RowFileReader(), true);
  auto rows = RowFileReader::open(path, kMagic);
  if (rows) return make(std::move(*rows), true);
  if (rows.error().kind() != ErrorKind::corrupt) return fail(std::move(rows.error()));
  auto older = RowFileReader::open(path, kMagicWithoutContents);
  if (!older) return fail(std::move(rows.error()));
  return make(std::move(*older), false);
}

Result<std::optional<Entry>> StackReader::next() {
  auto row = rows_.next();
  if (!row) return fail(std::move(row.error()));
  if (!*row) return std::optional<Entry>();
  Reader in(**row);
  auto entry = format::decode_entry(in, "");
  if (!entry) return fail(std::move(entry.error()));
  if (has_contents_ && is_merged_by_record(*entry)) {
    std::string content = in.text(image::kRecordFileMax);
    if (contents_ != nullptr) contents_->insert_or_assign(entry->path, std::move(content));
  }
  if (!in.finished()) return fail(ErrorKind::corrupt, "a row of the applied stack is damaged");
  return std::optional(std::move(*entry));
}

Result<RowFileWriter> StackRecorder::create_rows(const std::string& path) {
  return RowFileWriter::create(path, kMagic);
}

Result<std::optional<Entry>> StackRecorder::next() {
  auto entry = inner_->next();
  if (!entry || !*entry) return entry;
  Writer row;
  format::encode_entry(**entry, "", row);
  if (is_merged_by_record(**entry)) {
    auto content = format::read_content(**entry, source_, image::kRecordFileMax);
    if (!content) return fail(std::move(content.error()));
    row.text(*content);
    contents_.insert_or_assign((*entry)->path, std::move(*content));
  }
  if (rows_ != nullptr)
    if (auto done = rows_->add(row.view()); !done) return fail(std::move(done.error()));
  return entry;
}

}  // namespace lamina::node
