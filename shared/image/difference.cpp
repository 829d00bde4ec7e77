#include "shared/image/difference.hpp"

#include <algorithm>

#include "shared/format/path.hpp"
#include "shared/image/records/record_changes.hpp"
#include "shared/image/records/record_format.hpp"

namespace lamina::image {

using format::Entry;
using format::EntryKind;

DifferenceStream::DifferenceStream(std::unique_ptr<format::EntryStream> before,
                                   format::ChunkSource before_chunks,
                                   std::unique_ptr<format::EntryStream> after,
                                   format::ChunkSource after_chunks, format::MadeContent& made)
    : difference_(std::move(before), std::move(after)),
      before_chunks_(std::move(before_chunks)),
      after_chunks_(std::move(after_chunks)),
      made_(made) {}

Result<std::optional<Entry>> DifferenceStream::next() {
  for (;;) {
    auto difference = difference_.next();
    if (!difference) return fail(std::move(difference.error()));
    if (!*difference) return std::optional<Entry>();
    if ((*difference)->change == Change::same) continue;
    const std::string& path = (*difference)->path();
    if ((*difference)->change == Change::removed) {
      if (!covered_.empty() && format::is_within(path, covered_)) continue;
      covered_ = path;
      return std::optional(Entry{.path = path, .kind = EntryKind::whiteout});
    }
    if ((*difference)->after->kind != EntryKind::directory) covered_ = path;
    if (auto done = take_changes(**difference); !done) return fail(std::move(done.error()));
    return std::move((*difference)->after);
  }
}

Status DifferenceStream::take_changes(Difference& difference) {
  Entry& entry = *difference.after;
  const RecordRule* const rule = entry.kind == EntryKind::file ? record_rule(entry.path) : nullptr;
  if (rule == nullptr || entry.size > kRecordFileMax) return Done{};
  const auto parsed = [&](const Entry& file,
                          const format::ChunkSource& chunks) -> Result<RecordList> {
    auto bytes = format::read_content(file, chunks, kRecordFileMax);
    if (!bytes) return fail(std::move(bytes.error()));
    return rule->format.parse(*bytes);
  };
  RecordList before;
  if (difference.before && difference.before->kind == EntryKind::file) {
    auto list = parsed(*difference.before, before_chunks_);
    if (!list) return fail(std::move(list.error()).in("in the layers below"));
    before = std::move(*list);
  }
  auto after = parsed(entry, after_chunks_);
  if (!after) return fail(std::move(after.error()));
  const RecordList changed = changes(before, *after);
  const bool fits = std::ranges::all_of(changed.records, [](const Record& record) {
    return record.key.name.size() <= kRecordNameMax && record.key.member.size() <= kRecordNameMax;
  });
  if (!fits)
    return fail(ErrorKind::invalid,
                "'" + printable(entry.path, 200) + "' has a line of more than " +
                    std::to_string(kRecordNameMax) + " bytes where a name is expected: shorten it");
  made_.set(entry, as_text(encode_changes(changed)));
  entry.record_changes = true;
  has_record_changes_ = true;
  return Done{};
}

}  // namespace lamina::image
