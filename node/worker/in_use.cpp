#include "node/worker/in_use.hpp"

#include <algorithm>

#include "shared/os/file.hpp"

namespace lamina::node {
namespace {

// Of a program with a thousand libraries.
constexpr std::size_t kMapsMax = std::size_t{4} << 20;

}  // namespace

std::vector<std::string> processes_using(const std::string& path) {
  std::vector<std::string> found;
  const auto names = os::list_directory("/proc");
  if (!names) return found;
  const std::string mark = ' ' + path + '/';
  for (const std::string& name : *names) {
    if (!std::ranges::all_of(name, [](char c) { return c >= '0' && c <= '9'; })) continue;
    const auto maps = os::read_text("/proc/" + name + "/maps", kMapsMax);
    if (!maps || maps->find(mark) == std::string::npos) continue;
    auto program = os::read_text("/proc/" + name + "/comm", 64);
    std::string text = program ? *program : "";
    while (!text.empty() && text.back() == '\n') text.pop_back();
    found.push_back(printable(text, 32) + " (pid " + name + ')');
  }
  return found;
}

}  // namespace lamina::node
