#include "shared/image/records/record_changes.hpp"

#include <set>

#include "shared/base/assert.hpp"
#include "shared/codec/reader.hpp"
#include "shared/codec/writer.hpp"

namespace lamina::image {
namespace {

using Part = RecordKey::Part;

constexpr std::string_view kMagic = "LMrc0001";
// Part, name, member, nth, and whether there is a value: a byte each at least.
constexpr std::size_t kLeast = 5;

}  // namespace

Buffer encode_changes(const RecordList& changes) {
  LAMINA_ASSERT(changes.missing_end == 0);
  Writer out;
  out.raw(as_view(kMagic));
  out.varint(changes.records.size());
  for (const auto& [key, value] : changes.records) {
    LAMINA_ASSERT(key.name.size() <= kRecordNameMax && key.member.size() <= kRecordNameMax &&
                  (!value || value->size() <= kRecordValueMax));
    out.u8(static_cast<std::uint8_t>(key.part));
    out.text(key.name);
    out.text(key.member);
    out.varint(key.nth);
    out.u8(value ? 1 : 0);
    if (value) out.text(*value);
  }
  return out.take();
}

Result<RecordList> parse_changes(ByteView bytes) {
  Reader in(bytes);
  if (as_text(in.raw(kMagic.size())) != kMagic)
    return fail(ErrorKind::invalid, "these are no record changes of version 1");
  RecordList changes;
  std::set<RecordKey> seen;
  for (std::uint64_t left = in.count(kLeast); left > 0 && !in.failed(); --left) {
    const std::uint8_t part = in.u8();
    Record record{{.name = in.text(kRecordNameMax),
                   .part = static_cast<Part>(part),
                   .member = in.text(kRecordNameMax),
                   .nth = static_cast<std::uint32_t>(in.varint(UINT32_MAX))},
                  std::nullopt};
    const std::uint8_t has_value = in.u8();
    if (has_value == 1) record.value = in.text(kRecordValueMax);
    if (part > static_cast<std::uint8_t>(Part::whole) || has_value > 1 ||
        !seen.insert(record.key).second)
      in.set_failed();
    changes.records.push_back(std::move(record));
  }
  if (!in.finished()) return fail(ErrorKind::invalid, "the record changes are damaged");
  return changes;
}

}  // namespace lamina::image
