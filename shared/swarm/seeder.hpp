// Seeder: serves the origin's packs to lease holders. The engine of `lamina-origin seed`.
//
// Holds no key but its own swarm identity. One thread.
#pragma once

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

  // Takes up torrents that appeared and drops those that went. A broken torrent, or one with a pack
  // that is not here whole, is logged and left out.
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

  Config config_;
  std::unique_ptr<Session> session_;
  std::map<std::string, TorrentId> served_;  // By file name.
  std::set<std::string> refused_;            // Files already complained about.
};

}  // namespace lamina::swarm
