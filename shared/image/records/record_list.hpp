// Records: what a structured file consists of, and layering by record instead of by file.
//
// A RecordList is to one such file what a tree is to a volume: records are its paths, a record
// without a value is a whiteout, and the same words hold: the last layer wins, a layer is what a
// capture changed, and a plan makes a device's file equal to the new stack where the stacks differ
// and keeps what the device has elsewhere (plan.hpp). Comments, blank lines and what no format
// understands are records too, keyed by their text, so nothing of a file is ever lost.
//
// Pure values; any thread. A list is held in memory as a whole: such files are a few megabytes.
#pragma once

#include <compare>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "shared/image/diff.hpp"
#include "shared/image/plan.hpp"

namespace lamina::image {

struct RecordKey {
  enum class Part : std::uint8_t {
    record,         // One record: an account, a package, a diversion.
    administrator,  // Of the set of a group's administrators: `name` is the group.
    member,         // Of the set of members of record or frame `name`.
    frame,          // What the file says about itself: the mode of an alternative, its link.
    text,           // A comment, a blank line, what is not understood: `name` is the text.
    whole,          // A file of which nothing is understood: the value is all of it.
  };
  std::string name;
  Part part = Part::record;
  std::string member;
  std::uint32_t nth = 0;  // Of several with the same name in one file.
  auto operator<=>(const RecordKey&) const = default;
};

// For reports: "postgres", "ssl-cert: member postgres", "text '# local users'".
std::string text_of(const RecordKey& key);

struct Record {
  RecordKey key;
  std::optional<std::string> value;  // None: a whiteout. Any bytes, the end of the line left out.
  bool operator==(const Record&) const = default;
};

// Keys are unique. The order is that of the file.
struct RecordList {
  std::vector<Record> records;
  std::uint8_t missing_end = 0;  // Bytes that the end of the last line, or stanza, lacks.

  bool operator==(const RecordList&) const = default;
  // False for a file of which nothing is understood.
  bool is_understood() const;
};

// Where each key stands in a list. The list must not change meanwhile.
std::map<RecordKey, std::size_t> index_of(const RecordList& list);

// Two layers as one, whiteouts kept: of a key that both have the upper one's value counts, and it
// stays where the lower one has it; what only the upper one has follows. Associative, and a list
// without records changes nothing.
RecordList merge(const RecordList& lower, const RecordList& upper);

// The layer that makes `after` of `before`: merging it into `before` gives the records of `after`,
// the order left out. Neither has whiteouts.
RecordList changes(const RecordList& before, const RecordList& after);

struct RecordDifference {
  Change change = Change::changed;  // Never `same`.
  RecordKey key;
  std::optional<std::string> before;
  std::optional<std::string> after;
  bool operator==(const RecordDifference&) const = default;
};

// What differs, ascending by key. A whiteout is no record.
std::vector<RecordDifference> diff(const RecordList& before, const RecordList& after);

// A record of one layer that another one hides, by another value or a whiteout.
struct RecordConflict {
  RecordKey key;
  std::size_t hidden = 0;  // Indexes of the layers.
  std::size_t winner = 0;
  bool operator==(const RecordConflict&) const = default;
};

// Ascending by key, then by `hidden`. Layers that say the same do not conflict.
std::vector<RecordConflict> conflicts(std::span<const RecordList> layers);

// What an apply does to one record.
struct RecordAction {
  ActionKind kind = ActionKind::keep;  // Never `metadata`.
  Reason reason = Reason::unchanged;
  RecordKey key;
  bool operator==(const RecordAction&) const = default;
};

}  // namespace lamina::image
