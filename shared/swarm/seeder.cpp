#include "shared/swarm/seeder.hpp"

#include <sys/stat.h>

#include <algorithm>

#include "shared/base/log.hpp"

namespace lamina::swarm {
namespace {

// A directory's time has a grain of some milliseconds: what changes just after a look may leave it
// as it was.
constexpr int kLooksAfterChange = 3;

}  // namespace

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

Result<Seeder::Served> Seeder::add(const std::string& name) {
  auto bytes = os::read_file(config_.torrents + '/' + name, kTorrentBytesMax);
  if (!bytes) return fail(std::move(bytes.error()));
  auto content = read_torrent(*bytes);
  if (!content) return fail(std::move(content.error()));
  auto files = PackFiles::open(config_.layers, PackFiles::Access::read);
  if (!files) return fail(std::move(files.error()));
  Served served{.id = content->id, .packs = content->packs, .missing = {}};
  Session::Held held;
  for (const TorrentContent::Pack& pack : content->packs) {
    const auto size = files->size_of(pack.id);
    const bool is_whole = size && *size == pack.size;
    (is_whole ? held.complete : served.missing).insert(pack.id);
  }
  if (auto done = session_->add(*bytes, held, {}); !done) return fail(std::move(done.error()));
  log::info(
      "torrent_served",
      {{"torrent", served.id}, {"packs", served.packs.size()}, {"missing", served.missing.size()}});
  return served;
}

// A pack that goes or comes back takes its torrents out of the session and puts them in again. One
// that did both since the last look is another file of that name: the session has the old one open.
Status Seeder::look_at_packs() {
  struct stat facts {};
  const std::string directory = config_.layers + "/packs";
  if (::stat(directory.c_str(), &facts) != 0) return Done{};  // Nothing was ever published.
  const std::int64_t changed =
      facts.st_mtim.tv_sec * std::int64_t{1'000'000'000} + facts.st_mtim.tv_nsec;
  if (changed != packs_changed_) looks_ = kLooksAfterChange;
  packs_changed_ = changed;
  if (looks_ == 0) return Done{};
  --looks_;
  auto files = os::list_inodes(directory);
  if (!files) return fail(std::move(files.error()));
  std::vector<os::NamedInode> gone;
  std::ranges::set_difference(packs_, *files, std::back_inserter(gone));
  packs_ = std::move(*files);
  const auto is_in = [](const std::vector<os::NamedInode>& list, const PackId& pack) {
    return std::ranges::binary_search(list, pack.hex(), {}, &os::NamedInode::name);
  };
  for (auto it = served_.begin(); it != served_.end();) {
    const Served& served = it->second;
    const bool is_touched =
        std::ranges::any_of(served.missing, [&](const PackId& id) { return is_in(packs_, id); }) ||
        (!gone.empty() && std::ranges::any_of(served.packs, [&](const TorrentContent::Pack& pack) {
          return is_in(gone, pack.id);
        }));
    if (!is_touched) {
      ++it;
      continue;
    }
    session_->remove(served.id);
    auto again = add(it->first);
    if (again) {
      it->second = std::move(*again);
      ++it;
      continue;
    }
    log::warning("torrent_not_served", {{"file", it->first}, {"error", again.error().text()}});
    it = served_.erase(it);  // As one that appears, with the next look.
  }
  return Done{};
}

Status Seeder::rescan() {
  auto names = os::list_directory(config_.torrents);
  if (!names) return fail(std::move(names.error()));
  for (auto it = served_.begin(); it != served_.end();) {
    if (std::ranges::binary_search(*names, it->first)) {
      ++it;
      continue;
    }
    session_->remove(it->second.id);
    it = served_.erase(it);
  }
  std::erase_if(refused_,
                [&](const std::string& name) { return !std::ranges::binary_search(*names, name); });
  if (auto done = look_at_packs(); !done) return done;
  for (const std::string& name : *names) {
    if (!name.ends_with(".torrent") || served_.contains(name) || refused_.contains(name)) continue;
    auto added = add(name);
    if (!added) {
      log::error("torrent_refused", {{"file", name}, {"error", added.error().text()}});
      refused_.insert(name);
      continue;
    }
    served_[name] = std::move(*added);
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
  for (const auto& [name, served] : served_) total += session_->traffic(served.id).sent;
  return total;
}

std::int64_t Seeder::connections() const {
  std::int64_t total = 0;
  for (const auto& [name, served] : served_) total += session_->traffic(served.id).peers;
  return total;
}

std::optional<std::string> Seeder::site_at(const std::string& address) const {
  return session_->site_at(address);
}

void Seeder::use_identity(SwarmIdentity identity) { session_->use_identity(std::move(identity)); }

}  // namespace lamina::swarm
