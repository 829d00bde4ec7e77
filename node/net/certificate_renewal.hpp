// CertificateRenewal: gets the device's certificates anew from the origin and puts them in the
// state directory. When, the Agent decides.
//
// Loop thread only. Callbacks come from the loop, never from inside a call, and none after the
// object is gone.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "node/net/layer_swarm.hpp"
#include "node/net/origin_link.hpp"

namespace lamina::node {

enum class Certificate { api, swarm };

class CertificateRenewal {
 public:
  // The new certificate ends at this instant of the loop's clock, or why there is none. Of the
  // swarm's certificate it comes once key and certificate are on disk.
  using Then = std::function<void(Certificate, const Result<Instant>&)>;

  // All of them outlive the object.
  CertificateRenewal(net::Loop& loop, const StateDirectory& state, OriginLink& origin, Then then);

  void renew(Certificate which);

  // The swarm's certificate and key that were fetched last; only once they were.
  const LayerSwarm::Identity& swarm_identity() const { return *swarm_; }

  // What is wrong with this computer's clock, seen at the last renewal; empty: nothing.
  const std::string& clock_trouble() const { return clock_trouble_; }

 private:
  void renew_api();
  void renew_swarm();
  void ended(Certificate which, const Result<Instant>& result);
  Result<Instant> take_api(const wire::RenewReply& reply, const std::string& key);
  Result<Instant> take_swarm(const wire::SwarmCertificateReply& reply, const std::string& key);
  void check_clock(Instant expires);

  net::Loop& loop_;
  const StateDirectory& state_;
  OriginLink& origin_;
  Then then_;
  std::optional<LayerSwarm::Identity> swarm_;
  std::string clock_trouble_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);  // Ends with the object.
};

// When the certificate in a file ends, on the loop's timeline; nothing when there is none.
std::optional<Instant> expiry_of_file(const net::Loop& loop, const std::string& path);

}  // namespace lamina::node
