#include "shared/base/log.hpp"

#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <ctime>

#include "shared/base/bytes.hpp"

namespace lamina::log {
namespace {

Level level_of_environment() {
  const char* name = std::getenv("LAMINA_LOG");
  return name != nullptr && std::string_view(name) == "debug" ? Level::debug : Level::info;
}

std::atomic<Level> lowest{level_of_environment()};

std::string_view name_of(Level level) {
  switch (level) {
    case Level::debug: return "debug";
    case Level::info: return "info";
    case Level::warning: return "warning";
    case Level::error: return "error";
  }
  return "error";
}

std::string timestamp() {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  tm parts{};
  gmtime_r(&now.tv_sec, &parts);
  char text[40];
  const std::size_t used = std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &parts);
  const auto millis = std::to_string(1000 + now.tv_nsec / 1000000);
  return std::string(text, used) + '.' + millis.substr(1) + 'Z';
}

bool needs_quotes(std::string_view value) {
  if (value.empty()) return true;
  for (const char c : value)
    if (static_cast<unsigned char>(c) <= 0x20 || c == '"' || c == '=' || c == 0x7f) return true;
  return false;
}

void append_quoted(std::string& line, std::string_view value) {
  line += '"';
  for (const char c : value) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      line += '\\';
      line += c;
    } else if (byte < 0x20 || byte == 0x7f) {
      line += printable(std::string_view(&c, 1));
    } else {
      line += c;
    }
  }
  line += '"';
}

}  // namespace

void set_level(Level level) { lowest = level; }

void write(Level level, std::string_view event, Fields fields) {
  if (level < lowest.load()) return;
  std::string line = timestamp();
  line += ' ';
  line += name_of(level);
  line += ' ';
  line += event;
  for (const Field& field : fields) {
    line += ' ';
    line += field.key;
    line += '=';
    if (needs_quotes(field.value))
      append_quoted(line, field.value);
    else
      line += field.value;
  }
  line += '\n';
  // A log that cannot be written must not stop the program, and has nowhere to complain.
  [[maybe_unused]] const auto written = ::write(STDERR_FILENO, line.data(), line.size());
}

}  // namespace lamina::log
