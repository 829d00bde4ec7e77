#include "node/state.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "shared/os/errno.hpp"
#include "shared/os/file.hpp"

namespace lamina::node {
namespace {

using nlohmann::json;

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.remove_suffix(1);
  return text;
}

Result<PublicKey> read_key(const std::string& path) {
  auto text = os::read_text(path, 4096);
  if (!text) return fail(std::move(text.error()));
  auto key = PublicKey::parse(trimmed(*text));
  if (!key) return fail(std::move(key.error()).in("key " + path));
  return key;
}

}  // namespace

Status StateDirectory::prepare(const os::User& user) const {
  const auto make = [&](const std::string& path, mode_t mode, uid_t owner, gid_t group) -> Status {
    if (auto made = os::make_directories(path, mode); !made) return made;
    if (os::is_root() && ::chown(path.c_str(), owner, group) != 0)
      return fail(os::last_error("owner of " + path));
    if (::chmod(path.c_str(), mode) != 0) return fail(os::last_error("mode of " + path));
    return Done{};
  };
  struct Place {
    std::string path;
    mode_t mode;
    bool of_user;
  };
  const Place places[] = {
      {root_, 0755, false},     {trust(), 0755, false},   {publishers(), 0755, false},
      {net(), 0700, true},      {cache(), 0755, true},    {packs(), 0755, true},
      {trees(), 0755, true},    {torrents(), 0755, true}, {records(), 0755, true},
      {progress(), 0755, true}, {work(), 0700, false},
  };
  for (const auto& place : places)
    if (auto made = make(place.path, place.mode, place.of_user ? user.uid : 0,
                         place.of_user ? user.gid : 0);
        !made)
      return made;
  // Root's, with the network user's group: it may read the spool, and make its socket in run/.
  if (auto made = make(spool(), 0750, 0, user.gid); !made) return made;
  return make(root_ + "/run", 0770, 0, user.gid);
}

Result<NodeConfig> read_config(const StateDirectory& state) {
  if (!os::exists(state.node_json()))
    return fail(ErrorKind::not_found, "there is no " + state.node_json() +
                                          "; enrol this device first: lamina-node enroll");
  auto text = os::read_text(state.node_json());
  if (!text) return fail(std::move(text.error()));
  const auto parsed = json::parse(*text, nullptr, /*allow_exceptions=*/false);
  const auto broken = [&](const std::string& what) {
    return fail(ErrorKind::invalid,
                state.node_json() + ": " + what + "; enrol again to rewrite it");
  };
  if (!parsed.is_object()) return broken("not a JSON object");
  const auto text_of = [&](const char* name) {
    const auto found = parsed.find(name);
    return found != parsed.end() && found->is_string() ? found->get<std::string>() : "";
  };
  NodeConfig config;
  config.origin_host = text_of("origin_host");
  config.volume = text_of("volume");
  config.user = text_of("user");
  const auto port = parsed.find("origin_port");
  if (config.origin_host.empty() || port == parsed.end() || !port->is_number_unsigned() ||
      port->get<std::uint64_t>() == 0 || port->get<std::uint64_t>() > 65535)
    return broken("origin_host or origin_port is missing or wrong");
  config.origin_port = port->get<std::uint16_t>();
  auto device = DeviceId::parse(text_of("device"));
  if (!device) return broken("device: " + device.error().text());
  config.device = *device;
  if (!config.volume.starts_with('/')) return broken("volume is not an absolute path");
  return config;
}

Status write_config(const StateDirectory& state, const NodeConfig& config) {
  const json out = {{"origin_host", config.origin_host},
                    {"origin_port", config.origin_port},
                    {"device", config.device.hex()},
                    {"volume", config.volume},
                    {"user", config.user}};
  return os::write_file(state.node_json(), as_view(out.dump(2) + '\n'), 0644);
}

Result<TrustedKeys> read_trust(const StateDirectory& state) {
  TrustedKeys keys;
  auto target = read_key(state.target_key());
  if (!target) return fail(std::move(target.error()));
  keys.target = *target;
  auto names = os::list_directory(state.publishers());
  if (!names) return fail(std::move(names.error()));
  for (const auto& name : *names) {
    if (!name.ends_with(".pub")) continue;
    auto key = read_key(state.publishers() + '/' + name);
    if (!key) return fail(std::move(key.error()));
    keys.publishers.push_back(*key);
  }
  return keys;
}

Status write_trust(const StateDirectory& state, const std::string& ca_pem,
                   const TrustedKeys& keys) {
  if (auto written = os::write_file(state.ca(), as_view(ca_pem)); !written) return written;
  if (auto written = os::write_file(state.target_key(), as_view(keys.target.hex() + '\n'));
      !written)
    return written;
  for (const auto& key : keys.publishers)
    if (auto written = os::write_file(state.publishers() + '/' + key.short_hex() + ".pub",
                                      as_view(key.hex() + '\n'));
        !written)
      return written;
  return Done{};
}

}  // namespace lamina::node
