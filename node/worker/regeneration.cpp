#include "node/worker/regeneration.hpp"

#include "shared/base/log.hpp"
#include "shared/os/command.hpp"

namespace lamina::node {
namespace {

// Initramfs images of several kernels on a slow disk: a minute each.
constexpr Duration kTime = std::chrono::minutes{10};

std::string joined(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) (text += text.empty() ? "" : " ") += word;
  return text;
}

}  // namespace

Result<std::vector<std::string>> regenerate(Transaction& transaction) {
  auto due = transaction.due_commands();
  if (!due) return fail(std::move(due.error()));
  std::vector<std::string> remarks;
  std::string absent;
  for (const std::vector<std::string>& command : *due) {
    const std::string name = joined(command);
    const auto ended = os::run_command(transaction.volume(), command, {.time = kTime});
    std::string trouble;
    if (!ended && ended.error().kind() == ErrorKind::refused) {
      // What this process may not do for one it may not do for any.
      remarks.push_back("derived files stay as the layers have them: " + ended.error().text());
      break;
    }
    if (!ended) {
      trouble = ended.error().text();
    } else if (ended->is_absent) {
      absent += (absent.empty() ? "" : ", ") + command.front();
    } else if (ended->is_late || ended->code != 0) {
      trouble = (ended->is_late ? std::string("took too long")
                                : "exit code " + std::to_string(ended->code)) +
                ": " + printable(ended->output, 200);
    } else {
      log::info("regenerated", {{"command", name}});
    }
    if (trouble.empty()) continue;
    log::warning("regeneration_failed", {{"command", name}, {"error", trouble}});
    remarks.push_back("'" + name + "' was due and failed: " + trouble);
  }
  if (!absent.empty())
    remarks.push_back("derived files stay as the layers have them, for the volume lacks: " +
                      absent);
  if (auto done = transaction.regenerated(); !done) return fail(std::move(done.error()));
  return remarks;
}

}  // namespace lamina::node
