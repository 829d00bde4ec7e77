#include "shared/swarm/seeder.hpp"

#include <algorithm>

#include "shared/base/log.hpp"

namespace lamina::swarm {

Result<Seeder> Seeder::start(Config config, std::function<void()> notify) {
  auto session = Session::start({.kind = Session::Kind::seeder,
                                 .listen = config.listen,
                                 .directory = config.layers,
                                 .identity = config.identity,
                                 .connections_max = 2000,
                                 .send_max = config.send_max,
                                 .check_lease = config.check_lease,
                                 .clock = config.clock},
                                std::move(notify));
  if (!session) return fail(std::move(session.error()));
  return Seeder(std::move(config), std::move(*session));
}

Status Seeder::rescan() {
  auto names = os::list_directory(config_.torrents);
  if (!names) return fail(std::move(names.error()));
  auto files = PackFiles::open(config_.layers, PackFiles::Access::read);
  if (!files) return fail(std::move(files.error()));
  for (auto it = served_.begin(); it != served_.end();) {
    if (std::ranges::binary_search(*names, it->first)) {
      ++it;
      continue;
    }
    session_->remove(it->second);
    it = served_.erase(it);
  }
  std::erase_if(refused_,
                [&](const std::string& name) { return !std::ranges::binary_search(*names, name); });
  for (const std::string& name : *names) {
    if (!name.ends_with(".torrent") || served_.contains(name) || refused_.contains(name)) continue;
    auto bytes = os::read_file(config_.torrents + '/' + name, kTorrentBytesMax);
    auto content = bytes ? read_torrent(*bytes) : Result<TorrentContent>(fail(bytes.error()));
    Status good = content ? Status(Done{}) : Status(fail(content.error()));
    Session::Held held;
    if (content)
      for (const TorrentContent::Pack& pack : content->packs) {
        const auto size = files->size_of(pack.id);
        if (!size || *size != pack.size)
          good = fail(ErrorKind::not_found, "pack " + pack.id.short_hex() + " is not here whole");
        held.complete.insert(pack.id);
      }
    if (good) good = session_->add(*bytes, held, {});
    if (!good) {
      log::error("torrent_refused", {{"file", name}, {"error", good.error().text()}});
      refused_.insert(name);
      continue;
    }
    log::info("torrent_served", {{"torrent", content->id}, {"packs", content->packs.size()}});
    served_[name] = content->id;
  }
  return Done{};
}

void Seeder::step() {
  for (const Event& event : session_->take_events()) {
    if (const auto* trouble = std::get_if<Trouble>(&event))
      log::error("swarm_trouble", {{"torrent", trouble->torrent}, {"error", trouble->text}});
    if (const auto* left = std::get_if<PeerLeft>(&event))
      log::debug("peer_left", {{"peer", left->peer}, {"reason", left->reason}});
  }
}

Bytes Seeder::sent() const {
  Bytes total;
  for (const auto& [name, id] : served_) total += session_->traffic(id).sent;
  return total;
}

std::int64_t Seeder::connections() const {
  std::int64_t total = 0;
  for (const auto& [name, id] : served_) total += session_->traffic(id).peers;
  return total;
}

std::optional<std::string> Seeder::site_at(const std::string& address) const {
  return session_->site_at(address);
}

void Seeder::use_identity(SwarmIdentity identity) { session_->use_identity(std::move(identity)); }

}  // namespace lamina::swarm
