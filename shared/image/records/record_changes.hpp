// The bytes in which a layer holds the changes of one file's records; see FORMAT.md, "Record
// changes". Pure; any thread.
#pragma once

#include "shared/base/bytes.hpp"
#include "shared/image/records/record_list.hpp"

namespace lamina::image {

constexpr std::size_t kRecordNameMax = 64 * 1024;
constexpr std::size_t kRecordValueMax = std::size_t{64} << 20;

// Precondition: names and values keep the limits, and missing_end is 0, as in what changes() gives.
Buffer encode_changes(const RecordList& changes);

// `invalid` for what encode_changes() does not give: another version, a key twice, bytes left over.
Result<RecordList> parse_changes(ByteView bytes);

}  // namespace lamina::image
