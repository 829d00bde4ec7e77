// The origin's data directory: what `init` makes once, and `serve` and `seed` read.
//
//   origin.json        names and ports                    keys/    private, mode 0700
//   catalog/           the registry                       layers/ cvd/    packs, trees, index,
//   journal/           what it is made from anew                          unsound (set aside)
//   objects/           signed records as they are         torrents/       what seeders serve
//   scrub.json         where the scrub is               backups.json  where backups were made to
//   seed/              the seeder's own identity: it needs nothing else of this directory but
//                      layers/ and torrents/
// Plain values; any thread.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "shared/hash/ed25519.hpp"
#include "shared/hash/sealed_box.hpp"
#include "shared/net/certificates.hpp"
#include "shared/os/lock.hpp"

namespace lamina::origin {

class DataDirectory {
 public:
  explicit DataDirectory(std::string root) : root_(std::move(root)) {}

  const std::string& root() const { return root_; }
  std::string config() const { return root_ + "/origin.json"; }
  std::string keys() const { return root_ + "/keys"; }
  std::string key(const std::string& name) const { return keys() + '/' + name; }
  std::string catalog() const { return root_ + "/catalog"; }
  std::string journal() const { return root_ + "/journal"; }
  std::string layers() const { return root_ + "/layers"; }
  std::string cvds() const { return root_ + "/cvd"; }
  // `kind`: "layers", "distributions", "torrents", "snapshots".
  std::string object(const std::string& kind, const std::string& hex) const {
    return root_ + "/objects/" + kind + '/' + hex;
  }
  std::string torrents() const { return root_ + "/torrents"; }
  std::string temporary() const { return root_ + "/tmp"; }
  std::string seed(const std::string& name) const { return root_ + "/seed/" + name; }

 private:
  std::string root_;
};

// `not_found` when `data` is no origin's data directory.
Status check_is_origin(const DataDirectory& data);
// `corrupt` when there is no catalogue: who opened it all the same would make an empty one.
Status check_has_catalogue(const DataDirectory& data);

// For who reads all of a data directory beside `serve`, as many as there are: while it is held no
// garbage is collected, and nothing goes that was there. Waits for the collection that is under
// way; `on_wait` is called before. The lock is on keys/, which nobody else can open.
Result<os::FileLock> hold_still(const DataDirectory& data,
                                const std::function<void()>& on_wait = {});

struct OriginConfig {
  std::vector<std::string> names;  // Host names and addresses, the first the one to print.
  std::uint16_t api_port = 8443;
  std::uint16_t swarm_port = 8444;
  // Where lease holders find seeders: every name that is an IP address, with the swarm port.
  std::vector<std::string> seeders() const;
};
Result<OriginConfig> read_config(const DataDirectory& data);

struct OriginKeys {
  net::KeyAndCertificate api_ca;
  net::KeyAndCertificate server;
  net::KeyAndCertificate swarm_ca;
  PrivateKey target;
  PrivateKey lease;
  std::vector<PublicKey> publishers;
  BoxPrivateKey relay;  // Opens what devices hand to the relays of their sites.
};
// `not_found` says to run init first. Makes the relay key where a data directory of an earlier
// release has none.
Result<OriginKeys> read_keys(const DataDirectory& data);

struct Initialized {
  std::string ca_fingerprint;
  std::string token_path;  // The first administrator's token, mode 0600.
  std::string publisher_key_path;
};
// Makes everything. `refused` when the directory holds anything already. What a failure leaves is
// named in the error; nothing in it is in use yet.
Result<Initialized> initialize(const DataDirectory& data, const OriginConfig& config, WallTime now);

}  // namespace lamina::origin
