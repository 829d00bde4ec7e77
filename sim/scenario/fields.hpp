// Fields reads one table of a document key by key, notes what is wrong and goes on.
//
// The names that are asked for are the known ones: done() notes all others. A value that is wrong
// leaves what it was read into unchanged. One thread.
#pragma once

#include <map>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "sim/scenario/document.hpp"
#include "sim/scenario/scenario.hpp"

namespace lamina::sim {

// Names of things that other tables point at.
class Names {
 public:
  explicit Names(std::string kind) : kind_(std::move(kind)) {}  // "region", for messages.

  // False: it is there already.
  bool add(std::string name, Index index) { return all_.emplace(std::move(name), index).second; }
  bool empty() const { return all_.empty(); }
  // `invalid` says which ones there are, or which was meant.
  Result<Index> find(std::string_view name) const;

 private:
  std::string kind_;
  std::map<std::string, Index, std::less<>> all_;
};

class Fields {
 public:
  // `what` stands in front of messages: "region 'east'"; empty: nothing. A value that is no table
  // is a finding. Both must outlive it.
  Fields(const Value& value, std::string what, Findings& findings);

  // The value of the key; nullptr: it is not there.
  const Value* find(const char* key);
  bool has(const char* key) { return find(key) != nullptr; }
  // A finding if the key is not there.
  bool needs(const char* key);

  // Reads the key, if it is there, with one of the functions of quantities.hpp:
  //   fields.read("uplink", origin.uplink, parse_rate)
  template <class T, class Parse, class... Bounds>
  void read(const char* key, T& into, const Parse& parse, const Bounds&... bounds) {
    const Value* value = find(key);
    if (value == nullptr) return;
    const auto text = scalar(*value, key);
    if (!text) return;
    auto parsed = parse(*text, bounds...);
    if (parsed)
      into = static_cast<T>(std::move(*parsed));
    else
      wrong(*value, std::string(key) + ": " + parsed.error().text());
  }
  void text(const char* key, std::string& into);

  // The elements of a list of tables or texts; none if it is not there, a finding if it is no list.
  const Value::List& list(const char* key);

  void wrong(const Value& value, const std::string& text) { wrong(value.place, text); }
  void wrong(const Place& place, const std::string& text);
  void wrong(const std::string& text) { wrong(value_.place, text); }

  // Notes the keys that nobody asked for.
  void done();

 private:
  std::optional<std::string> scalar(const Value& value, const char* key);

  const Value& value_;
  std::string what_;
  Findings& findings_;
  std::map<std::string_view, const Entry*> entries_;
  std::vector<std::string_view> known_;
};

// "name", which has to be there and be new; what is wrong is noted. What may stand in a name: 1 to
// 64 printable ASCII characters.
std::string read_name(Fields& fields, Names& names, Index index);

}  // namespace lamina::sim
