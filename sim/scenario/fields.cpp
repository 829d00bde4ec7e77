#include "sim/scenario/fields.hpp"

#include <algorithm>

#include "shared/base/bytes.hpp"

namespace lamina::sim {
namespace {

constexpr std::size_t kNameMax = 64;

bool is_name(std::string_view text) {
  return !text.empty() && text.size() <= kNameMax && text.front() != ' ' && text.back() != ' ' &&
         std::ranges::all_of(text, [](char c) { return c >= ' ' && c <= '~'; });
}

}  // namespace

Result<Index> Names::find(std::string_view name) const {
  if (const auto at = all_.find(name); at != all_.end()) return at->second;
  std::vector<std::string_view> known;
  for (const auto& [one, index] : all_) known.push_back(one);
  return fail(ErrorKind::invalid,
              "there is no " + kind_ + " '" + printable(name, 80) + '\'' + suggestion(name, known));
}

Fields::Fields(const Value& value, std::string what, Findings& findings)
    : value_(value), what_(std::move(what)), findings_(findings) {
  if (const auto* table = value.table())
    for (const Entry& entry : *table) entries_.emplace(entry.key, &entry);
  else
    wrong(std::string(value.kind()) + " stands where a table belongs");
}

const Value* Fields::find(const char* key) {
  if (std::ranges::find(known_, key) == known_.end()) known_.push_back(key);
  const auto at = entries_.find(key);
  return at == entries_.end() ? nullptr : &at->second->value;
}

bool Fields::needs(const char* key) {
  if (has(key)) return true;
  // A table that is none was noted already.
  if (value_.table() != nullptr) wrong("'" + std::string(key) + "' is missing");
  return false;
}

void Fields::text(const char* key, std::string& into) {
  const Value* value = find(key);
  if (value == nullptr) return;
  if (const auto* text = std::get_if<std::string>(&value->data))
    into = *text;
  else
    wrong(*value, std::string(key) + ": a text in quotes is needed");
}

const Value::List& Fields::list(const char* key) {
  static const Value::List none;
  const Value* value = find(key);
  if (value == nullptr) return none;
  if (value->list() != nullptr) return *value->list();
  wrong(*value,
        std::string(key) + ": " + std::string(value->kind()) + " stands where a list belongs");
  return none;
}

void Fields::wrong(const Place& place, const std::string& text) {
  findings_.add(place, what_.empty() ? text : what_ + ": " + text);
}

void Fields::done() {
  for (const auto& [key, entry] : entries_)
    if (std::ranges::find(known_, key) == known_.end())
      wrong(entry->place, "unknown key '" + printable(key, 60) + '\'' + suggestion(key, known_));
}

std::optional<std::string> Fields::scalar(const Value& value, const char* key) {
  auto text = value.scalar();
  if (!text)
    wrong(value,
          std::string(key) + ": " + std::string(value.kind()) + " stands where one value belongs");
  return text;
}

std::string read_name(Fields& fields, Names& names, Index index) {
  std::string name;
  if (!fields.needs("name")) return name;
  const Value& value = *fields.find("name");
  fields.text("name", name);
  if (std::get_if<std::string>(&value.data) == nullptr) return name;
  if (!is_name(name))
    fields.wrong(value, "a name is 1 to 64 printable characters, without blanks at its ends");
  else if (!names.add(name, index))
    fields.wrong(value, "the name '" + name + "' is there already");
  return name;
}

}  // namespace lamina::sim
