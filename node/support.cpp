#include "node/support.hpp"

#include <nlohmann/json.hpp>

#include "node/net/control.hpp"
#include "shared/os/file.hpp"
#include "shared/support/bundle.hpp"

namespace lamina::node {
namespace {

using nlohmann::json;

constexpr Duration kAnswerWithin = std::chrono::seconds{10};
constexpr std::size_t kNoteMax = 64 << 10;

std::string settings_of(const NodeConfig& config) {
  return json{{"device", config.device.hex()},
              {"origin", config.origin_host + ':' + std::to_string(config.origin_port)},
              {"volume", config.volume},
              {"user", config.user}}
             .dump(2, ' ', false, json::error_handler_t::replace) +
         '\n';
}

Result<std::string> answer_of(const StateDirectory& state, const std::string& request) {
  auto answer = ask_service(state, {.what = request}, kAnswerWithin);
  if (!answer) return answer;
  const json object = json::parse(*answer);
  return request == "metrics" ? object.value("text", "") : object.dump(2) + '\n';
}

}  // namespace

Status write_support_bundle(const StateDirectory& state, const std::string& path, WallTime now) {
  auto config = read_config(state);
  if (!config) return fail(std::move(config.error()));
  auto bundle = support::Bundle::create(path, "lamina-node", now);
  if (!bundle) return fail(std::move(bundle.error()));
  if (auto done = bundle->add("settings.json", settings_of(*config)); !done) return done;
  for (const auto& [name, request] :
       {std::pair{"status.json", "status"}, std::pair{"metrics.txt", "metrics"}})
    if (auto done = bundle->add_or_note(name, answer_of(state, request)); !done) return done;
  for (const char* name : {"bytes.json", "budget.json", "snapshot.json"})
    if (os::exists(state.net() + '/' + name))
      if (auto done = bundle->add_or_note(name, os::read_text(state.net() + '/' + name, kNoteMax));
          !done)
        return done;
  if (auto done = bundle->add_certificates({{"device", state.device_certificate()},
                                            {"swarm", state.swarm_certificate()},
                                            {"swarm-ca", state.swarm_ca()},
                                            {"api-ca", state.ca()}});
      !done)
    return done;
  if (auto done = bundle->add_sizes(
          state.root(), {"trust", "trust/publishers", "net", "cache/records", "work", "run"});
      !done)
    return done;
  return bundle->finish();
}

}  // namespace lamina::node
