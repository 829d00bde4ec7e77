// ParcelSender: hands what this device uploads to one relay of its site, sealed for the origin.
//
// Seals in the worker pool into a temporary file, sends it over TLS with the swarm's certificates,
// and removes it. Loop thread only; every callback comes once, from the loop, and none after the
// object is gone.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "node/net/relay.hpp"
#include "shared/hash/sealed_box.hpp"

namespace lamina::node {

class ParcelSender {
 public:
  struct Options {
    DeviceId relay;
    std::string address;
    std::uint16_t port = 0;
    SwarmIdentity identity;
    DeviceId device;             // This one...
    std::string device_key_pem;  // ...and the key that it enrolled with.
    BoxPublicKey origin_key;
    std::string directory;       // For sealed files; made when missing, emptied here.
    std::uint64_t sequence = 0;  // Of the snapshot that everything belongs to.
  };
  // The size of what the relay has taken, durably. `out_of_space` and `refused`: it does not want
  // it; `unavailable`: it cannot be reached.
  using Then = std::function<void(Result<Bytes>)>;

  // `invalid` for unusable PEM; the loop outlives the object.
  static Result<std::unique_ptr<ParcelSender>> open(net::Loop& loop, Options options);
  ~ParcelSender();

  // One at a time. The pack at `path` stays until `then`.
  void send_pack(const std::string& path, Then then);
  // Last.
  void send_snapshot(const SnapshotId& snapshot, Buffer record, Then then);

  const DeviceId& relay() const;

 private:
  struct State;
  explicit ParcelSender(std::shared_ptr<State> state);
  std::shared_ptr<State> state_;
};

}  // namespace lamina::node
