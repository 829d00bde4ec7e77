#include "node/worker/scripts.hpp"

#include <algorithm>

#include "node/worker/journal.hpp"
#include "shared/base/log.hpp"
#include "shared/os/command.hpp"

namespace lamina::node {
namespace {

// A script that restarts the machine, or ends the worker, must not do so for ever.
constexpr std::uint8_t kStartsMax = 3;

// Its lines, each printable.
std::string shown(std::string_view output) {
  std::string text;
  while (!output.empty() && text.size() < wire::kScriptOutputMax) {
    const std::size_t end = std::min(output.find('\n'), output.size());
    text += printable(output.substr(0, end), wire::kScriptOutputMax);
    if (end < output.size()) text += '\n';
    output.remove_prefix(std::min(end + 1, output.size()));
  }
  return text.substr(0, wire::kScriptOutputMax);
}

wire::ScriptEnd run(const os::Root& volume, const DueScript& due) {
  wire::ScriptEnd end{.layer = due.layer, .name = due.script.name};
  // Where only root can write; the kernel goes by the first line, and without one sh runs it.
  const std::string file = std::string(kHome) + "/script";
  const std::string path = volume.path() + '/' + file;
  if (auto written = os::write_file(path, as_view(due.script.text), 0700); !written) {
    end.trouble = printable(written.error().text(), 250);
    return end;
  }
  const std::size_t blank = due.layer.find(' ');
  const auto ended =
      os::run_command(volume, {'/' + file},
                      {.time = std::chrono::seconds{due.script.limit},
                       .output = wire::kScriptOutputMax,
                       .environment = {"LAMINA_LAYER=" + due.layer.substr(0, blank),
                                       "LAMINA_LAYER_VERSION=" + due.layer.substr(blank + 1),
                                       "LAMINA_SCRIPT=" + due.script.name}});
  if (auto removed = os::remove_file(path); !removed)
    log::warning("script_left", {{"path", path}, {"error", removed.error().text()}});
  if (!ended) {
    end.trouble = printable(ended.error().text(), 250);
  } else if (ended->is_absent) {
    end.trouble = "the volume lacks the program that its first line names, or sh";
  } else {
    end.code = ended->code;
    if (ended->is_late) end.late = true;
    end.output = shown(ended->output);
  }
  return end;
}

}  // namespace

Status run_scripts(Transaction& transaction) {
  auto aftermath = transaction.aftermath();
  if (!aftermath) return fail(std::move(aftermath.error()));
  for (DueScript& due : aftermath->scripts) {
    if (due.end) continue;
    if (due.starts == kStartsMax) {
      due.end = wire::ScriptEnd{.layer = due.layer, .name = due.script.name};
      due.end->trouble = "it was begun " + std::to_string(kStartsMax) +
                         " times, and the worker or the machine ended before it did";
    } else {
      ++due.starts;
      if (auto kept = transaction.keep_aftermath(*aftermath); !kept) return kept;
      due.end = run(transaction.volume(), due);
      // What it did is on the disk before it counts as done.
      if (auto done = transaction.sync_volume(); !done) return done;
    }
    due.script.text.clear();
    log::info("script_ended", {{"layer", due.layer},
                               {"script", due.script.name},
                               {"code", due.end->code},
                               {"good", due.end->is_good()}});
    if (auto kept = transaction.keep_aftermath(*aftermath); !kept) return kept;
  }
  return Done{};
}

}  // namespace lamina::node
