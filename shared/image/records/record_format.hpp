// RecordFormat: how a structured file becomes records and bytes again, and which files are such.
//
// A new format is one class and a line in record_rules(). A format whose files are not text (a
// registry hive) fits in by the same two functions: keys are paths, members are values. Pure; any
// thread.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "shared/image/records/record_list.hpp"

namespace lamina::image {

class RecordFormat {
 public:
  virtual ~RecordFormat() = default;

  // Takes any bytes: what is not understood becomes text. write(parse(bytes)) == bytes.
  virtual RecordList parse(std::string_view bytes) const = 0;
  // Whiteouts, and members of records that are not there, are left out.
  virtual std::string write(const RecordList& list) const = 0;

  // The value that a record gets for which the layers say `target`, where the device has `device`;
  // `previous` is that of the stack applied before. Usually `target`; a record may have fields that
  // are the device's own.
  virtual std::string own(const RecordKey& key, const std::string* previous,
                          const std::string& target, const std::string& device) const;
};

struct RecordRule {
  std::string_view name;     // "passwd", "dpkg-status"; stands in reports.
  std::string_view pattern;  // As in rules.hpp.
  const RecordFormat& format;
};

std::span<const RecordRule> record_rules();

// The rule of a file that is merged by record, or none.
const RecordRule* record_rule(std::string_view path);

// Whether its files hold accounts: a device's own ones stay, whatever else is removed.
bool holds_accounts(const RecordRule& rule);

// Whether files that are merged by record may stand in the directory `path` or beneath it.
bool has_record_rules_beneath(std::string_view path);

// No file of more bytes is merged by record.
constexpr std::size_t kRecordFileMax = std::size_t{64} << 20;

struct RecordPlan {
  // One for each record of either stack: those of the new one in its order, then what leaves. None
  // where the files are compared as wholes.
  std::vector<RecordAction> actions;
  std::optional<std::string> result;  // The device's file as it shall be; none: no file.
};

// The three-way plan of one file: what the device has, and the files that the stack applied before
// and the new stack add up to; none where there is no such file. With `apply`, records that the
// stacks have in common are kept as the device has them; `enforce` makes those equal too.
//
// A device that has what the stack applied before says gets the new one's very bytes, and one on
// which nothing is to be done keeps its own. A file goes when the new stack has none and no record
// is left in it. Where a file is missing on the device, or one of the three is not understood, they
// are compared as whole files.
RecordPlan plan_records(const RecordFormat& format, std::optional<std::string_view> device,
                        std::optional<std::string_view> previous,
                        std::optional<std::string_view> target, Mode mode);

// The file that layers add up to, base first. A layer that has all of a file, as the base does, is
// what parse() gives; one that changed it is what changes() gave at its capture.
std::string merged_file(const RecordFormat& format, std::span<const RecordList> layers);

}  // namespace lamina::image
