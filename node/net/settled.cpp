#include "node/net/settled.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "shared/base/log.hpp"
#include "shared/os/file.hpp"

namespace lamina::node {

using nlohmann::json;

Settled::Settled(std::string path) : path_(std::move(path)) {
  if (auto done = load(); !done && done.error().kind() != ErrorKind::not_found)
    log::warning("reflector_settings_ignored", {{"error", done.error().text()}});
}

Status Settled::load() {
  auto text = os::read_text(path_);
  if (!text) return fail(std::move(text.error()));
  const auto wrong = [&](const std::string& why) {
    return fail(ErrorKind::invalid, path_ + ": " + why);
  };
  const json object = json::parse(*text, nullptr, /*allow_exceptions=*/false);
  if (!object.is_object() || !object.contains("settings") || !object.contains("command_done") ||
      !object["command_done"].is_number_unsigned())
    return wrong("this is no file of settings");
  auto settings = wire::parse_reflector_settings(object["settings"].dump());
  if (!settings) return wrong(settings.error().text());
  settings_ = std::move(*settings);
  command_done_ = object["command_done"].get<std::uint64_t>();
  return Done{};
}

void Settled::keep() const {
  const json object{{"settings", json::parse(wire::to_json(settings_))},
                    {"command_done", command_done_}};
  if (auto done = os::write_file(path_, as_view(object.dump() + '\n'), 0600); !done)
    log::error("reflector_settings_not_kept", {{"error", done.error().text()}});
}

bool Settled::heard(const wire::ReflectorSettings& settings) {
  if (settings == settings_) return false;
  settings_ = settings;
  // An origin that was restored from a backup counts on from an older number.
  command_done_ = std::min(command_done_, settings_.last_command);
  keep();
  return true;
}

std::vector<wire::Peer> Settled::accepted(std::vector<wire::Peer> peers) const {
  std::erase_if(peers, [&](const wire::Peer& peer) {
    return std::ranges::find(settings_.rejected, peer.device) != settings_.rejected.end();
  });
  return peers;
}

std::optional<wire::ReflectorCommand> Settled::next_command() const {
  std::optional<wire::ReflectorCommand> oldest;
  for (const wire::ReflectorCommand& command : settings_.commands)
    if (command.number > command_done_ && (!oldest || command.number < oldest->number))
      oldest = command;
  return oldest;
}

void Settled::carried_out(std::uint64_t number) {
  command_done_ = std::max(command_done_, number);
  keep();
}

}  // namespace lamina::node
