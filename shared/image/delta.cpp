#include "shared/image/delta.hpp"

#include <algorithm>

#include "shared/format/path.hpp"
#include "shared/image/records/record_changes.hpp"
#include "shared/image/records/record_format.hpp"

namespace lamina::image {

using format::Entry;
using format::EntryKind;

Result<std::optional<Entry>> DeltaStream::next() {
  for (;;) {
    auto found = differences_.next();
    if (!found) return fail(std::move(found.error()));
    if (!*found) return std::optional<Entry>();
    Difference& difference = **found;
    if (difference.change == Change::same) continue;
    if (difference.after) {
      if (difference.after->kind != EntryKind::directory) hidden_ = difference.path();
      if (auto done = take_changes(difference); !done) return fail(std::move(done.error()));
      return std::move(difference.after);
    }
    if (hidden_ && format::is_within(difference.path(), *hidden_)) continue;
    hidden_ = difference.path();
    return std::optional(Entry{.path = difference.path(), .kind = EntryKind::whiteout});
  }
}

Status DeltaStream::take_changes(Difference& difference) {
  Entry& entry = *difference.after;
  const RecordRule* const rule = entry.kind == EntryKind::file ? record_rule(entry.path) : nullptr;
  if (!records_ || rule == nullptr || entry.size > kRecordFileMax) return Done{};
  const auto parsed = [&](const Entry& file,
                          const format::ChunkSource& chunks) -> Result<RecordList> {
    auto bytes = format::read_content(file, chunks, kRecordFileMax);
    if (!bytes) return fail(std::move(bytes.error()));
    return rule->format.parse(*bytes);
  };
  RecordList before;
  if (difference.before && difference.before->kind == EntryKind::file) {
    auto list = parsed(*difference.before, records_->before);
    if (!list) return fail(std::move(list.error()).in("in the layers below"));
    before = std::move(*list);
  }
  auto after = parsed(entry, records_->after);
  if (!after) return fail(std::move(after.error()));
  const RecordList changed = changes(before, *after);
  const bool fits = std::ranges::all_of(changed.records, [](const Record& record) {
    return record.key.name.size() <= kRecordNameMax && record.key.member.size() <= kRecordNameMax;
  });
  if (!fits)
    return fail(ErrorKind::invalid,
                "'" + printable(entry.path, 200) + "' has a line of more than " +
                    std::to_string(kRecordNameMax) + " bytes where a name is expected: shorten it");
  records_->made.set(entry, as_text(encode_changes(changed)));
  entry.record_changes = true;
  has_record_changes_ = true;
  return Done{};
}

}  // namespace lamina::image
