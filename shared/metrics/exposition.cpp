#include "shared/metrics/exposition.hpp"

#include <limits>

#include "shared/base/assert.hpp"

namespace lamina::metrics {
namespace {

bool is_name(std::string_view name) {
  if (name.empty() || (name[0] >= '0' && name[0] <= '9')) return false;
  for (const char c : name)
    if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_'))
      return false;
  return true;
}

// A help text has no quotes around it, a label's value has.
std::string escaped(std::string_view text, bool quoted) {
  std::string out;
  for (const char c : text) {
    if (c == '\n')
      out += "\\n";
    else if (c == '\\' || (c == '"' && quoted))
      out += {'\\', c};
    else
      out += c;
  }
  return out;
}

std::string to_text(const Labels& labels) {
  if (labels.empty()) return {};
  std::string text;
  for (const auto& [name, value] : labels)
    text += (text.empty() ? "{" : ",") + name + "=\"" + escaped(value, true) + '"';
  return text + '}';
}

}  // namespace

void Counter::add(std::int64_t by) {
  LAMINA_ASSERT(by >= 0);
  constexpr auto max = std::numeric_limits<std::int64_t>::max();
  value_ = by > max - value_ ? max : value_ + by;
}

void Exposition::counter(const std::string& name, std::string help, Samples samples) {
  LAMINA_ASSERT(name.ends_with("_total"));
  for (const auto& [labels, value] : samples) LAMINA_ASSERT(value >= 0);
  add(name, {"counter", std::move(help), std::move(samples)});
}

void Exposition::gauge(const std::string& name, std::string help, Samples samples) {
  LAMINA_ASSERT(!name.ends_with("_total"));
  add(name, {"gauge", std::move(help), std::move(samples)});
}

void Exposition::add(const std::string& name, Family family) {
  LAMINA_ASSERT(is_name(name));
  for (const auto& [labels, value] : family.samples)
    for (const auto& [label, text] : labels)
      LAMINA_ASSERT(is_name(label) && !label.starts_with("__"));
  LAMINA_ASSERT(families_.emplace(name, std::move(family)).second);
}

std::string Exposition::text() const {
  std::string text;
  for (const auto& [name, family] : families_) {
    text += "# HELP " + name + ' ' + escaped(family.help, false) + '\n';
    text += "# TYPE " + name + ' ' + std::string(family.type) + '\n';
    for (const auto& [labels, value] : family.samples)
      text += name + to_text(labels) + ' ' + std::to_string(value) + '\n';
  }
  return text;
}

}  // namespace lamina::metrics
