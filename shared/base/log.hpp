// Log events, one logfmt line each on stderr:
//   2026-03-01T12:00:00.123Z info layer_ready layer=4f2a91c0 took=3.2s
//
// Error: an operator must act. Warning: look before trusting the result. Info: state changes.
// Debug: only with LAMINA_LOG=debug in the environment. Policies do not log; the shell logs what
// they decide. Thread-safe: a line is one write(2).
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include "shared/base/units.hpp"

namespace lamina::log {

enum class Level { debug, info, warning, error };

struct Field {
  Field(std::string_view k, std::string_view v) : key(k), value(v) {}
  Field(std::string_view k, const char* v) : key(k), value(v) {}
  Field(std::string_view k, const std::string& v) : key(k), value(v) {}
  Field(std::string_view k, bool v) : key(k), value(v ? "yes" : "no") {}
  template <class Number>
  requires std::is_arithmetic_v<Number> Field(std::string_view k, Number v)
      : key(k), value(std::to_string(v)) {}
  Field(std::string_view k, Bytes v) : key(k), value(std::to_string(v.count)) {}
  Field(std::string_view k, Duration v) : key(k), value(to_text(v)) {}
  template <class Id>
  requires requires(const Id& id) { id.short_hex(); }
  Field(std::string_view k, const Id& id) : key(k), value(id.short_hex()) {}

  std::string key;
  std::string value;  // Quoted on output when it holds spaces, quotes or control characters.
};
using Fields = std::initializer_list<Field>;

// Lines below `level` are dropped. Default: info, or what the environment says.
void set_level(Level level);

void write(Level level, std::string_view event, Fields fields);
inline void debug(std::string_view event, Fields fields = {}) {
  write(Level::debug, event, fields);
}
inline void info(std::string_view event, Fields fields = {}) { write(Level::info, event, fields); }
inline void warning(std::string_view event, Fields fields = {}) {
  write(Level::warning, event, fields);
}
inline void error(std::string_view event, Fields fields = {}) {
  write(Level::error, event, fields);
}

}  // namespace lamina::log
