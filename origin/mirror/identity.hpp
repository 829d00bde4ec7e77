// How a machine becomes a seeder of an origin elsewhere, and what it keeps of that.
//
// Plain values and files below the data directory; join() blocks. Any thread, one at a time.
#pragma once

#include "origin/data_directory.hpp"
#include "origin/mirror/layer_objects.hpp"

namespace lamina::origin {

struct MirrorConfig {
  std::string origin_host;
  std::uint16_t origin_port = 0;
  DeviceId id;
  std::string name;
  std::string listen;  // "ADDRESS:PORT"
  std::string
      advertise;  // "ADDRESS:PORT" for lease holders; empty: as the origin sees this machine.
};

struct JoinOptions {
  std::string origin;  // "HOST:PORT"
  std::string ca_fingerprint;
  std::string token;
  std::string listen;
  std::string advertise;
};

// Whether the directory is one of a machine that has joined.
bool has_joined(const DataDirectory& data);
Result<MirrorConfig> read_mirror_config(const DataDirectory& data);
// The keys that records are checked with.
Result<MirrorKeys> read_mirror_keys(const DataDirectory& data);

// Asks the origin for an identity and keeps it; the configuration comes last, so that a join that
// was broken off is done again, with the same keys. A machine that has joined this origin already
// stays as it is. `refused`: another origin's, the origin's own directory, a bad token, another CA;
// failures are those of HttpsClient otherwise.
Result<MirrorConfig> join(const DataDirectory& data, const JoinOptions& how);

// Listens and is dialled elsewhere from now on, also after a restart. Empty: as before. `invalid`:
// no address, and nothing has changed.
Status move_mirror(const DataDirectory& data, MirrorConfig& config, const std::string& listen,
                   const std::string& advertise);

// Both certificates, to keep; the keys stay.
Status keep_certificates(const DataDirectory& data, const std::string& certificate_pem,
                         const std::string& swarm_certificate_pem);

// What the seeder says of its address: that of `advertise`, or none and the port of `listen`.
struct Place {
  std::string address;
  std::uint16_t port = 0;
};
Result<Place> place_of(const std::string& advertise, const std::string& listen);

}  // namespace lamina::origin
