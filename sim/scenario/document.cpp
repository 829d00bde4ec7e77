#include "sim/scenario/document.hpp"

#include <toml++/toml.h>
#include <algorithm>
#include <charconv>

#include "shared/base/bytes.hpp"
#include "shared/base/csv.hpp"

namespace lamina::sim {
namespace {

// Far more than a scenario needs. toml++ destroys nested tables by recursion, and dotted keys nest
// them without a bound of its own.
constexpr int kDepthMax = 16;
constexpr int kDotsMax = 32;

Place place_of(const toml::source_region& region, const std::string& file) {
  return {file, region.begin.line, region.begin.column};
}

// Where the string ends that begins at `at`: behind its quotes, or where nothing closes it.
std::size_t end_of_string(std::string_view text, std::size_t at) {
  const char quote = text[at];
  const std::string three(3, quote);
  const bool is_long = text.substr(at, 3) == three;
  const std::string_view closing = is_long ? std::string_view(three) : text.substr(at, 1);
  for (at += closing.size(); at < text.size(); ++at) {
    if (quote == '"' && text[at] == '\\') {
      ++at;
    } else if (text.substr(at, closing.size()) == closing) {
      return at + closing.size();
    } else if (!is_long && text[at] == '\n') {
      return at;
    }
  }
  return text.size();
}

// Where brackets stand deeper in each other, or a key has more dots, than allowed; the end:
// nowhere. What is no TOML at all is for the parser to say.
std::size_t too_deep(std::string_view text) {
  int depth = 0;
  int dots = 0;
  for (std::size_t at = 0; at < text.size(); ++at) {
    switch (text[at]) {
      case '#': at = std::min(text.find('\n', at), text.size()) - 1; break;
      case '"':
      case '\'': at = end_of_string(text, at) - 1; break;
      case '[':
      case '{': ++depth; break;
      case ']':
      case '}': depth = std::max(depth - 1, 0); break;
      case '.': ++dots; break;
      case '\n':
      case ',':
      case '=': dots = 0; break;
      default: break;
    }
    if (depth > kDepthMax || dots > kDotsMax) return at;
  }
  return text.size();
}

Place place_at(std::string_view text, std::size_t at, const std::string& file) {
  const auto before = text.substr(0, at);
  const auto line = static_cast<std::size_t>(std::ranges::count(before, '\n'));
  const auto start = before.rfind('\n');
  return {file, line + 1, at - (start == before.npos ? 0 : start + 1) + 1};
}

std::variant<std::monostate, Moment> moment_of(const toml::date_time& when) {
  if (!when.offset || when.date.year < 1970 || when.date.year > 2200) return {};
  const auto days =
      std::chrono::sys_days(std::chrono::year(when.date.year) /
                            std::chrono::month(when.date.month) / std::chrono::day(when.date.day));
  const Duration offset = std::chrono::minutes(when.offset->minutes);
  const Duration local = days.time_since_epoch() + std::chrono::hours(when.time.hour) +
                         std::chrono::minutes(when.time.minute) +
                         std::chrono::seconds(when.time.second) +
                         std::chrono::nanoseconds(when.time.nanosecond);
  return Moment{{(local - offset).count()}, offset};
}

Value value_of(const toml::node& node, const std::string& file);

Value::Table table_of(const toml::table& table, const std::string& file) {
  Value::Table entries;
  for (const auto& [key, node] : table)
    entries.push_back({std::string(key.str()), place_of(key.source(), file), value_of(node, file)});
  std::ranges::stable_sort(entries, {}, &Entry::place);
  return entries;
}

Value value_of(const toml::node& node, const std::string& file) {
  Value value;
  value.place = place_of(node.source(), file);
  if (const auto* text = node.as_string()) {
    value.data = text->get();
  } else if (const auto* number = node.as_integer()) {
    value.data = number->get();
  } else if (const auto* real = node.as_floating_point()) {
    value.data = real->get();
  } else if (const auto* boolean = node.as_boolean()) {
    value.data = boolean->get();
  } else if (const auto* when = node.as_date_time()) {
    std::visit([&](const auto& moment) { value.data = moment; }, moment_of(when->get()));
  } else if (const auto* array = node.as_array()) {
    auto& list = value.data.emplace<Value::List>();
    for (const toml::node& element : *array) list.push_back(value_of(element, file));
  } else if (const auto* table = node.as_table()) {
    value.data = table_of(*table, file);
  }
  return value;
}

// What was typed behind the "=" on a command line.
Value typed(const std::string& text, const std::string& file) {
  if (text.find_first_of("\r\n") == text.npos) {
    Findings ignored;  // What is no TOML is a plain text.
    Value top = parse_document("v = " + text, file, ignored);
    if (ignored.empty() && top.table()->size() == 1) return (*top.table()).front().value;
  }
  Value value;
  value.data = text;
  return value;
}

void set_place(Value& value, const Place& place) {
  value.place = place;
  if (auto* list = std::get_if<Value::List>(&value.data))
    for (Value& element : *list) set_place(element, place);
  if (auto* table = std::get_if<Value::Table>(&value.data))
    for (Entry& entry : *table) {
      entry.place = place;
      set_place(entry.value, place);
    }
}

// The element of a list that `step` names, by its number from 1 or by its name; none: no such.
Value* element_of(Value::List& list, std::string_view step) {
  std::size_t number = 0;
  const auto [stop, error] = std::from_chars(step.data(), step.data() + step.size(), number);
  if (error == std::errc{} && stop == step.data() + step.size())
    return number >= 1 && number <= list.size() ? &list[number - 1] : nullptr;
  for (Value& element : list)
    if (const auto* table = element.table())
      for (const Entry& entry : *table)
        if (entry.key == "name" && entry.value.scalar() == std::string(step)) return &element;
  return nullptr;
}

Value* member_of(Value::Table& table, std::string_view key) {
  const auto at = std::ranges::find(table, key, &Entry::key);
  return at == table.end() ? nullptr : &at->value;
}

}  // namespace

std::optional<std::string> Value::scalar() const {
  if (const auto* text = std::get_if<std::string>(&data)) return *text;
  if (const auto* number = std::get_if<std::int64_t>(&data)) return std::to_string(*number);
  if (const auto* boolean = std::get_if<bool>(&data)) return *boolean ? "true" : "false";
  if (const auto* real = std::get_if<double>(&data)) {
    char text[40];
    const auto [end, error] = std::to_chars(text, text + sizeof text, *real);
    return std::string(text, end);
  }
  return std::nullopt;
}

std::string_view Value::kind() const {
  if (list() != nullptr) return "a list";
  if (table() != nullptr) return "a table";
  if (moment() != nullptr) return "a date";
  return scalar() ? "a value" : "a date or time that says too little";
}

Value parse_document(std::string_view text, const std::string& file, Findings& findings) {
  Value top;
  top.data = Value::Table{};
  top.place = {file, 0, 0};
  if (text.size() > static_cast<std::size_t>(kDocumentMax.count)) {
    findings.add(top.place, "it has more than " + to_text(kDocumentMax) +
                                ": many sites belong into a table, sites = \"sites.csv\"");
    return top;
  }
  if (CsvLines::is_utf16(text)) {
    findings.add(top.place, "it is written in UTF-16: save it in UTF-8");
    return top;
  }
  if (const auto at = text.find('\0'); at != text.npos) {
    findings.add(place_at(text, at, file), "a zero byte: this is no text");
    return top;
  }
  if (const auto at = too_deep(text); at < text.size()) {
    findings.add(place_at(text, at, file), "too many brackets or dots in each other");
    return top;
  }
  try {
    top.data = table_of(toml::parse(text, file), file);
  } catch (const toml::parse_error& error) {
    findings.add(place_of(error.source(), file), printable(error.description(), 300));
  }
  return top;
}

void apply_override(Value& top, const Override& given, Findings& findings) {
  const Place place{"--set " + given.path, 0, 0};
  Value* at = &top;
  std::string done;
  for (std::string_view rest = given.path;;) {
    const auto dot = std::min(rest.find('.'), rest.size());
    const std::string step(rest.substr(0, dot));
    if (step.empty()) return findings.add(place, "a path is names with dots between them");
    if (auto* list = std::get_if<Value::List>(&at->data)) {
      at = element_of(*list, step);
      if (at == nullptr)
        return findings.add(place, "'" + printable(done, 80) + "' has no element '" +
                                       printable(step, 80) + "': give its number or its name");
    } else if (auto* table = std::get_if<Value::Table>(&at->data)) {
      at = member_of(*table, step);
      if (at == nullptr) {
        table->push_back({step, place, {}});
        at = &table->back().value;
        if (dot < rest.size()) at->data = Value::Table{};
        at->place = place;
      }
    } else {
      return findings.add(place, "'" + printable(done, 80) + "' is no table");
    }
    done += (done.empty() ? "" : ".") + step;
    if (dot == rest.size()) break;
    rest.remove_prefix(dot + 1);
  }
  *at = typed(given.value, place.file);
  set_place(*at, place);
}

}  // namespace lamina::sim
