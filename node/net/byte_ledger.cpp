#include "node/net/byte_ledger.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "shared/base/log.hpp"
#include "shared/os/file.hpp"

namespace lamina::node {
namespace {

using nlohmann::json;

constexpr std::size_t kFileMax = 64 << 10;

// What is new in a figure that starts anew at 0 when its session does.
std::int64_t growth(Bytes now, Bytes before) {
  return now >= before ? now.count - before.count : now.count;
}

}  // namespace

void ByteLedger::add(const char* source, std::int64_t bytes) {
  if (bytes > 0) counts_.by_source[source] += bytes;
}

void ByteLedger::count(const LayerSwarm::Sources& sources,
                       const std::vector<LayerSwarm::PeerBytes>& peers,
                       const std::set<std::string>& reflectors, bool by_budget) {
  const std::int64_t lan = growth(sources.lan, seen_.lan);
  std::int64_t from_reflector = 0;
  std::map<std::string, Bytes> connections;
  for (const LayerSwarm::PeerBytes& peer : peers) {
    const auto before = connections_.find(peer.connection);
    const Bytes known = before == connections_.end() ? Bytes{} : before->second;
    if (reflectors.contains(peer.address)) from_reflector += growth(peer.received, known);
    connections[peer.connection] = peer.received;
  }
  connections_ = std::move(connections);
  from_reflector = std::min(from_reflector, lan);
  add("reflector", from_reflector);
  add("lan-peer", lan - from_reflector);
  add(by_budget ? "origin-by-budget" : "origin-by-lease", growth(sources.origin, seen_.origin));
  add("origin-by-https", growth(sources.https, seen_.https));
  sent_ += Bytes{growth(sources.sent, seen_.sent)};
  seen_ = sources;
}

std::map<std::string, std::int64_t> ByteLedger::close_transaction(Bytes stack) {
  std::map<std::string, std::int64_t> cost;
  std::int64_t received = 0;
  for (const auto& [source, bytes] : counts_.by_source) {
    if (source == "local-cache") continue;
    const std::int64_t new_bytes = bytes - at_last_apply_[source];
    if (new_bytes > 0) cost[source] = new_bytes;
    received += new_bytes;
  }
  const std::int64_t had = std::max<std::int64_t>(0, stack.count - received);
  if (had > 0) cost["local-cache"] = had;
  add("local-cache", had);
  at_last_apply_ = counts_.by_source;
  return cost;
}

std::string ByteLedger::to_json() const {
  return json{{"since_ms", counts_.since_ms},
              {"sent", sent_.count},
              {"by_source", counts_.by_source},
              {"at_last_apply", at_last_apply_}}
      .dump();
}

Result<ByteLedger> ByteLedger::parse(std::string_view text) {
  const json object = json::parse(text, nullptr, /*allow_exceptions=*/false);
  const auto wrong = [] { return fail(ErrorKind::invalid, "this is no ledger of bytes"); };
  const auto is_map = [&](const char* name) {
    return object.contains(name) && object[name].is_object() && object[name].size() <= 16 &&
           std::ranges::all_of(object[name],
                               [](const json& value) { return value.is_number_unsigned(); });
  };
  if (!object.is_object() || !object.contains("since_ms") ||
      !object["since_ms"].is_number_unsigned() || !is_map("by_source") || !is_map("at_last_apply"))
    return wrong();
  ByteLedger ledger(WallTime{});
  ledger.counts_.since_ms = object["since_ms"].get<std::int64_t>();
  ledger.counts_.by_source = object["by_source"].get<std::map<std::string, std::int64_t>>();
  if (const auto sent = object.find("sent"); sent != object.end()) {
    if (!sent->is_number_unsigned()) return wrong();
    ledger.sent_ = Bytes{sent->get<std::int64_t>()};
  }
  ledger.at_last_apply_ = object["at_last_apply"].get<std::map<std::string, std::int64_t>>();
  return ledger;
}

LedgerFile::LedgerFile(const StateDirectory& state, WallTime now)
    : path_(state.net() + "/bytes.json"), ledger_(now) {
  auto text = os::read_text(path_, kFileMax);
  auto known = text ? ByteLedger::parse(*text) : Result<ByteLedger>(fail(std::move(text.error())));
  if (known)
    ledger_ = std::move(*known);
  else if (known.error().kind() != ErrorKind::not_found)
    log::warning("bytes_counted_anew", {{"error", known.error().text()}});
  kept_ = ledger_.totals();
  kept_sent_ = ledger_.sent();
}

void LedgerFile::count(const LayerSwarm& swarm, const std::set<std::string>& reflectors,
                       bool by_budget) {
  ledger_.count(swarm.sources(), swarm.lan_peers(), reflectors, by_budget);
  if (!(ledger_.totals() == kept_) || ledger_.sent() != kept_sent_) keep();
}

std::map<std::string, std::int64_t> LedgerFile::close_transaction(Bytes stack) {
  auto cost = ledger_.close_transaction(stack);
  keep();
  return cost;
}

void LedgerFile::keep() {
  if (auto done = os::write_file(path_, as_view(ledger_.to_json() + '\n'), 0600); !done)
    return log::error("bytes_not_noted", {{"error", done.error().text()}});
  kept_ = ledger_.totals();
  kept_sent_ = ledger_.sent();
}

}  // namespace lamina::node
