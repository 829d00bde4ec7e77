// The node's state directory: where things are, who owns them, and node.json.
//
//   node.json, trust/   root's: what the worker believes
//   net/, cache/        the network user's
//   spool/              root writes, the network user reads
//   work/               root's: applied stack, scan state, journal
//   run/                the local sockets
// Plain values; any thread.
#pragma once

#include <string>
#include <vector>

#include "shared/base/ids.hpp"
#include "shared/hash/ed25519.hpp"
#include "shared/os/user.hpp"

namespace lamina::node {

class StateDirectory {
 public:
  explicit StateDirectory(std::string root) : root_(std::move(root)) {}

  const std::string& root() const { return root_; }
  std::string node_json() const { return root_ + "/node.json"; }
  std::string trust() const { return root_ + "/trust"; }
  std::string ca() const { return root_ + "/trust/ca.pem"; }
  std::string target_key() const { return root_ + "/trust/target.pub"; }
  std::string publishers() const { return root_ + "/trust/publishers"; }
  std::string net() const { return root_ + "/net"; }
  std::string device_key() const { return root_ + "/net/device.key"; }
  std::string device_certificate() const { return root_ + "/net/device.pem"; }
  std::string swarm_key() const { return root_ + "/net/swarm.key"; }
  std::string swarm_certificate() const { return root_ + "/net/swarm.pem"; }
  std::string swarm_ca() const { return root_ + "/net/swarm-ca.pem"; }
  std::string bandwidth_rules() const { return root_ + "/net/rules.json"; }
  std::string snooze() const { return root_ + "/net/snooze.json"; }
  std::string reflector_settings() const { return root_ + "/net/reflector.json"; }
  std::string cache() const { return root_ + "/cache"; }
  std::string packs() const { return root_ + "/cache/packs"; }
  std::string trees() const { return root_ + "/cache/trees"; }
  std::string torrents() const { return root_ + "/cache/torrents"; }
  std::string records() const { return root_ + "/cache/records"; }
  std::string progress() const { return root_ + "/cache/state"; }
  std::string relay() const { return root_ + "/cache/relay"; }        // Held for others.
  std::string outgoing() const { return root_ + "/cache/outgoing"; }  // Sealed, on its way.
  std::string spool() const { return root_ + "/spool"; }
  std::string work() const { return root_ + "/work"; }
  std::string worker_socket() const { return root_ + "/run/worker.sock"; }
  std::string node_socket() const { return root_ + "/run/node.sock"; }

  // Makes every directory with its owner and mode. `user` owns what the network process writes;
  // without root everything belongs to the caller.
  Status prepare(const os::User& user) const;

 private:
  std::string root_;
};

// node.json
struct NodeConfig {
  std::string origin_host;
  std::uint16_t origin_port = 0;
  DeviceId device;
  std::string volume;  // Absolute path of the directory that Lamina manages.
  std::string user;    // Of the network process.
};
// `not_found` says to enrol first; `invalid` names the field.
Result<NodeConfig> read_config(const StateDirectory& state);
Status write_config(const StateDirectory& state, const NodeConfig& config);

// The keys that this device believes, one per file, 64 hex digits.
struct TrustedKeys {
  PublicKey target;
  std::vector<PublicKey> publishers;
};
Result<TrustedKeys> read_trust(const StateDirectory& state);
Status write_trust(const StateDirectory& state, const std::string& ca_pem, const TrustedKeys& keys);

}  // namespace lamina::node
