// Seeder: serves the origin's packs to lease holders. The engine of `lamina-origin seed`.
//
// Holds no key but its own swarm identity. One thread.
#pragma once

#include "shared/os/inodes.hpp"
#include "shared/store/pack_files.hpp"
#include "shared/swarm/session.hpp"

namespace lamina::swarm {

class Seeder {
 public:
  struct Config {
    std::string layers;    // Directory with packs/ and trees/.
    std::string torrents;  // Directory of <torrent id>.torrent files.
    std::string listen;
    SwarmIdentity identity;
    CheckLease check_lease;
    BitRate send_max = {};  // 0: no limit.
    const os::Clock* clock = nullptr;
  };

  static Result<Seeder> start(Config config, std::function<void()> notify);

  // Takes up torrents that appeared and drops those that went; a broken one is logged and left out.
  // Of a torrent with packs that are not here whole the others are served, and those once they are
  // here: a damaged pack is set aside, and may come back.
  Status rescan();
  // Logs what happened since the last call.
  void step();

  std::size_t torrents() const { return served_.size(); }
  std::uint16_t port() const { return session_->port(); }
  Bytes sent() const;
  // Of lease holders, one for each torrent that they fetch.
  std::int64_t connections() const;
  // The site of the newest valid lease that was shown from this address.
  std::optional<std::string> site_at(const std::string& address) const;
  // A renewed certificate, for connections from now on.
  void use_identity(SwarmIdentity identity);

 private:
  Seeder(Config config, std::unique_ptr<Session> session)
      : config_(std::move(config)), session_(std::move(session)) {}

  struct Served {
    TorrentId id;
    std::vector<TorrentContent::Pack> packs;
    std::set<PackId> missing;
  };
  Result<Served> add(const std::string& name);
  Status look_at_packs();

  Config config_;
  std::unique_ptr<Session> session_;
  std::map<std::string, Served> served_;  // By file name.
  std::set<std::string> refused_;         // Files already complained about.
  std::vector<os::NamedInode> packs_;     // As of the last look; sorted.
  std::int64_t packs_changed_ = 0;        // When their directory was, at that look.
  int looks_ = 0;                         // To be made even if it was not.
};

}  // namespace lamina::swarm
