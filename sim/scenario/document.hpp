// A TOML text as plain values with their places; the only door to toml++ of this folder.
//
// Values; any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "shared/base/units.hpp"
#include "sim/scenario/findings.hpp"

namespace lamina::sim {

struct Value;
struct Entry;

// A date with a time and its distance from UTC.
struct Moment {
  WallTime time;
  Duration utc_offset{};
  bool operator==(const Moment&) const = default;
};

struct Value {
  using List = std::vector<Value>;
  using Table = std::vector<Entry>;  // As they stand in the text; each key once.

  // std::monostate: of a kind that no scenario has, such as a date without a time.
  std::variant<std::monostate, std::string, std::int64_t, double, bool, Moment, List, Table> data;
  Place place;

  const List* list() const { return std::get_if<List>(&data); }
  const Table* table() const { return std::get_if<Table>(&data); }
  const Moment* moment() const { return std::get_if<Moment>(&data); }
  // A text, number or boolean as a text; none: it is something else.
  std::optional<std::string> scalar() const;
  // "a list", "a table", "a date"..., for messages.
  std::string_view kind() const;
};

struct Entry {
  std::string key;
  Place place;  // Of the key.
  Value value;
};

inline constexpr Bytes kDocumentMax = 16_MiB;

// The text's top table. A text that is no TOML, or is nested too deep, gives one finding and an
// empty table.
Value parse_document(std::string_view text, const std::string& file, Findings& findings);

// A value given beside the file. `path` names it: "origin.uplink", "rollout.wave.2.percent" (the
// second wave), "rollout.wave.pilot.percent" (the one whose name is that). `value` is what stands
// in TOML behind the "=", or any text without quotes: 20Mbit.
struct Override {
  std::string path;
  std::string value;
  bool operator==(const Override&) const = default;
};
// Puts it in, also where nothing stood; the place of what it puts in is file "--set PATH". A
// finding where the path leads through something that is no table and no list.
void apply_override(Value& top, const Override& given, Findings& findings);

}  // namespace lamina::sim
