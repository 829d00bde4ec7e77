#include "origin/replay.hpp"

#include <array>
#include <nlohmann/json.hpp>

#include "shared/os/file.hpp"
#include "shared/policy/decision_replay.hpp"

namespace lamina::origin {
namespace {

constexpr std::size_t kLineMax = 8 << 20;  // Far above a line about every pack of a large layer.

}  // namespace

Status run_replay(const std::string& path, bool as_json, std::ostream& out) {
  auto file = os::open_read(path);
  if (!file) return fail(std::move(file.error()));
  policy::DecisionReplay replay;
  std::uint64_t number = 0;
  std::string text;
  const auto name = [&] { return path + ", line " + std::to_string(number + 1); };
  for (std::array<std::byte, 64 * 1024> bytes;;) {
    auto count = os::read_some(file->get(), bytes, path);
    if (!count) return fail(std::move(count.error()));
    if (*count == 0) break;
    text += as_text(ByteView(bytes).first(*count));
    std::size_t begin = 0;
    for (std::size_t end; (end = text.find('\n', begin)) != std::string::npos; begin = end + 1) {
      const auto line = std::string_view(text).substr(begin, end - begin);
      if (auto alike = replay.take(line); !alike) return fail(std::move(alike.error()).in(name()));
      ++number;
    }
    text.erase(0, begin);
    if (text.size() > kLineMax) return fail(ErrorKind::invalid, name() + ": the line is too long");
  }
  if (number == 0) return fail(ErrorKind::invalid, path + " is no decision record: it is empty");
  if (as_json)
    out << nlohmann::json{{"replay", {{"lines", number}, {"decisions", replay.decisions()}}}}.dump()
        << '\n';
  else
    out << replay.decisions() << " decisions, all decided alike\n";
  return Done{};
}

}  // namespace lamina::origin
