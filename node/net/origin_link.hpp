// OriginLink: the device's calls to its origin, typed. docs/api.md describes them.
//
// Every callback comes once, from the loop, never from inside a call; none comes after the object
// is gone. Failures are those of HttpsClient, and what the origin said. Loop thread only.
#pragma once

#include <functional>
#include <memory>

#include "node/net/layer_files.hpp"
#include "node/net/pack_ranges.hpp"
#include "shared/format/parcel.hpp"
#include "shared/net/https_client.hpp"
#include "shared/wire/enrol.hpp"
#include "shared/wire/node.hpp"

namespace lamina::node {

class OriginLink {
 public:
  template <class T>
  using Then = std::function<void(Result<T>)>;

  // Reads CA, certificate and key from the state directory. The loop outlives the link.
  static Result<std::unique_ptr<OriginLink>> open(net::Loop& loop, const StateDirectory& state,
                                                  const NodeConfig& config);

  void poll(const wire::PollRequest& request, Then<wire::PollReply> then);
  // Answered within four seconds or failed: a lease lives five.
  void renew_lease(const wire::LeaseRequest& request, Then<wire::LeaseReply> then);
  void ask_budget(const wire::BudgetRequest& request, Then<wire::LeaseReply> then);
  void fetch_layer(const LayerId& layer, Then<LayerEnvelopes> then);
  void renew_certificate(const std::string& csr_pem, Then<wire::RenewReply> then);
  void fetch_swarm_certificate(const std::string& csr_pem, Then<wire::SwarmCertificateReply> then);
  void report(const wire::Report& report, Then<Done> then);

  // Which of these chunks the device's CVD and layers do not have. At most 131,072 ids.
  void find_lacking(const std::vector<ChunkId>& ids, Then<std::vector<ChunkId>> then);
  // How fast packs and parcels are sent from now on, those under way too: see net::Pace. While it
  // is stopped sending packs and parcels is `unavailable`.
  net::Pace& upload_pace() { return *upload_pace_; }
  void send_pack(const PackId& pack, const std::string& path, Then<Done> then);
  // A pack of a layer that the origin asked for (wire::WantedPack).
  void send_layer_pack(const LayerId& layer, const PackId& pack, const std::string& path,
                       Then<Done> then);
  // A parcel that this device relays; after a failure it is this device's still.
  void send_parcel(const format::ParcelId& id, const std::string& path,
                   Then<wire::ParcelReply> then);
  // The chunks that the origin lacks for it; none: the snapshot is kept.
  void commit_snapshot(const Buffer& record, Then<std::vector<ChunkId>> then);

  // Ranges of packs, for the lease holder, on connections of their own.
  std::shared_ptr<swarm::PieceSource> pack_ranges() const { return ranges_; }

  // From here on; also for ranges of packs.
  Status use_certificate(const std::string& certificate_pem, const std::string& key_pem);
  // The local address of the connection used last: where the site's peers reach this device.
  std::string local_address() const { return client_->local_address(); }

 private:
  OriginLink(std::unique_ptr<net::HttpsClient> client, std::shared_ptr<PackRanges> ranges)
      : client_(std::move(client)), ranges_(std::move(ranges)) {}
  void put_pack(std::string target, const std::string& path, Then<Done> then);

  std::unique_ptr<net::HttpsClient> client_;
  std::shared_ptr<PackRanges> ranges_;
  std::shared_ptr<net::Pace> upload_pace_ = std::make_shared<net::Pace>();
};

}  // namespace lamina::node
