#include "origin/catalog/rules.hpp"

#include <algorithm>
#include <set>

namespace lamina::origin {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

// Takes the run of digits or of other characters that `text` starts with.
std::string_view take_run(std::string_view& text) {
  std::size_t length = 0;
  while (length < text.size() && is_digit(text[length]) == is_digit(text[0])) ++length;
  const auto run = text.substr(0, length);
  text.remove_prefix(length);
  return run;
}

int compare_runs(std::string_view a, std::string_view b) {
  if (is_digit(a[0]) && is_digit(b[0])) {
    while (a.size() > 1 && a[0] == '0') a.remove_prefix(1);
    while (b.size() > 1 && b[0] == '0') b.remove_prefix(1);
    if (a.size() != b.size()) return a.size() < b.size() ? -1 : 1;
  }
  return a.compare(b);
}

std::string_view major(std::string_view release) { return release.substr(0, release.find('.')); }

std::string name_of(const wire::LayerInfo& layer) { return layer.name + ":" + layer.version; }

Status must_match(const wire::LayerInfo& base, const wire::LayerInfo& layer, std::string_view what,
                  std::string_view have, std::string_view want) {
  if (have == want) return Done{};
  return fail(ErrorKind::refused, "layer " + name_of(layer) + " is for " + std::string(what) +
                                      " '" + printable(have, 64) + "', but the base layer " +
                                      name_of(base) + " is '" + printable(want, 64) +
                                      "'; assign a version made for it");
}

}  // namespace

Status check_name(std::string_view what, std::string_view name) {
  bool ok = !name.empty() && name.size() <= 64 && (is_letter(name[0]) || is_digit(name[0]));
  for (const char c : name)
    ok = ok && (is_letter(c) || is_digit(c) || std::string_view("._+-~").find(c) != name.npos);
  if (ok) return Done{};
  return fail(ErrorKind::invalid, std::string(what) + " '" + printable(name, 80) +
                                      "' must be 1 to 64 letters, digits or . _ + - ~ and start "
                                      "with a letter or digit");
}

int compare_versions(std::string_view a, std::string_view b) {
  while (!a.empty() && !b.empty())
    if (const int order = compare_runs(take_run(a), take_run(b)); order != 0) return order;
  return (a.empty() ? 0 : 1) - (b.empty() ? 0 : 1);
}

Status check_fits(const wire::LayerInfo& base, const wire::LayerInfo& layer) {
  struct {
    std::string_view what, have, want;
  } const facts[] = {
      {"operating system", layer.os_family, base.os_family},
      {"distribution", layer.distribution, base.distribution},
      {"release", major(layer.release), major(base.release)},
      {"architecture", layer.architecture, base.architecture},
  };
  for (const auto& [what, have, want] : facts)
    if (auto same = must_match(base, layer, what, have, want); !same) return same;
  return Done{};
}

Status check_stack(std::span<const wire::LayerInfo> stack) {
  if (stack.empty()) return Done{};
  const wire::LayerInfo& base = stack.front();
  if (base.kind != "base")
    return fail(ErrorKind::refused, "layer " + name_of(base) + " is of kind '" + base.kind +
                                        "' and needs a base layer before it; name one first");
  std::set<std::string_view> names;
  for (const wire::LayerInfo& layer : stack) {
    if (!names.insert(layer.name).second)
      return fail(ErrorKind::refused,
                  "layer " + layer.name + " is named twice; name one version of it");
    if (&layer == &base) continue;
    if (layer.kind == "base")
      return fail(ErrorKind::refused, "layers " + name_of(base) + " and " + name_of(layer) +
                                          " are both base layers; a device has one");
    if (auto fits = check_fits(base, layer); !fits) return fits;
  }
  return Done{};
}

Result<std::vector<std::string>> changed_stack(std::vector<std::string> stack,
                                               std::span<const std::string> add,
                                               std::span<const std::string> remove) {
  const auto name = [](const std::string& layer) { return layer.substr(0, layer.find(':')); };
  for (const std::string& layer : remove)
    if (std::erase_if(
            stack, [&](const std::string& has) { return has == layer || name(has) == layer; }) == 0)
      return fail(ErrorKind::not_found, "layer " + printable(layer, 130) + " is not assigned");
  for (const std::string& layer : add) {
    const auto there = std::ranges::find(stack, name(layer), name);
    if (there == stack.end())
      stack.push_back(layer);
    else
      *there = layer;
  }
  return stack;
}

}  // namespace lamina::origin
