// What the TOML files of administrators are read with: every key known, every mistake with its
// line. Included by .cpp files of this folder only. One thread per object.
#pragma once

#include <toml++/toml.h>

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "shared/base/ids.hpp"
#include "shared/base/units.hpp"

namespace lamina::origin::cli {

// `invalid` names file and line. `file` is for messages.
inline Result<toml::table> parse_toml(std::string_view text, const std::string& file) {
  try {
    return toml::parse(text, file);
  } catch (const toml::parse_error& error) {
    return fail(ErrorKind::invalid, file + ':' + std::to_string(error.source().begin.line) + ": " +
                                        printable(error.description(), 300));
  }
}

// Reads tables key by key and keeps the first thing that is wrong.
class TomlReader {
 public:
  explicit TomlReader(const std::string& file) : file_(file) {}

  const std::optional<Error>& error() const { return error_; }

  void wrong(const toml::node& node, const std::string& text) {
    if (error_) return;
    error_ = Error(ErrorKind::invalid,
                   file_ + ':' + std::to_string(node.source().begin.line) + ": " + where_ + text);
  }

  using Take = std::function<void(const toml::node&)>;
  // Every key of `table` must be one of `known`.
  void table(const toml::table& table, const std::map<std::string, Take>& known) {
    for (const auto& [key, node] : table) {
      const auto found = known.find(std::string(key.str()));
      if (found == known.end())
        wrong(node, "unknown key '" + printable(key.str(), 60) + "'; known are " + names(known));
      else
        found->second(node);
    }
  }
  void needs(const toml::table& table, const char* key) {
    if (!table.contains(key)) wrong(table, std::string("'") + key + "' is missing");
  }
  // What stands in front of the messages from now on.
  void set_where(std::string where) { where_ = std::move(where); }

  Take text(std::string& value) {
    return [this, &value](const toml::node& node) {
      if (const auto* text = node.as_string())
        value = text->get();
      else
        wrong(node, "a text in quotes is needed");
    };
  }
  Take optional_text(std::optional<std::string>& value) {
    return [this, &value](const toml::node& node) { text(value.emplace())(node); };
  }
  Take texts(std::vector<std::string>& values) {
    return [this, &values](const toml::node& node) {
      each(node, "a list of texts is needed",
           [this, &values](const toml::node& element) { text(values.emplace_back())(element); });
    };
  }
  Take devices(std::vector<DeviceId>& values) {
    return [this, &values](const toml::node& node) {
      each(node, "a list of device ids is needed", [this, &values](const toml::node& element) {
        std::string hex;
        text(hex)(element);
        auto id = DeviceId::parse(hex);
        if (id)
          values.push_back(*id);
        else
          wrong(element, "device: " + id.error().text());
      });
    };
  }
  Take number(int& value, int least, int most) {
    return [this, &value, least, most](const toml::node& node) {
      const auto* number = node.as_integer();
      if (number == nullptr || number->get() < least || number->get() > most)
        return wrong(node, "a whole number from " + std::to_string(least) + " to " +
                               std::to_string(most) + " is needed");
      value = static_cast<int>(number->get());
    };
  }
  Take duration(std::int64_t& value_ms) {
    return [this, &value_ms](const toml::node& node) {
      std::string words;
      text(words)(node);
      const auto duration = parse_duration(words);
      if (!duration) return wrong(node, duration.error().text());
      value_ms = duration->count() / 1'000'000;
    };
  }
  void each(const toml::node& node, const char* needed, const Take& take) {
    const auto* list = node.as_array();
    if (list == nullptr) return wrong(node, needed);
    for (const toml::node& element : *list) take(element);
  }

 private:
  static std::string names(const std::map<std::string, Take>& known) {
    std::string all;
    for (const auto& [name, take] : known) all += (all.empty() ? "" : ", ") + name;
    return all;
  }

  std::string file_;
  std::string where_;
  std::optional<Error> error_;
};

}  // namespace lamina::origin::cli
