// PackRanges: ranges of packs from the origin's API, for the lease holder where the swarm's port is
// closed on the line. docs/api.md describes the call.
//
// The connections are its own: a waiting poll or an upload never stands before a range, and what is
// kept of them, TCP's window too, is there for the next range. Loop thread only.
#pragma once

#include <memory>

#include "shared/net/https_client.hpp"
#include "shared/swarm/piece_source.hpp"

namespace lamina::node {

class PackRanges : public swarm::PieceSource {
 public:
  // `origin`: place, CA and certificate; how many connections is decided here. The loop outlives
  // the object. `invalid` for unusable PEM.
  static Result<std::shared_ptr<PackRanges>> open(net::Loop& loop, net::ClientOptions origin);

  // A range of more than wire::kPackRangeMax is `invalid`, as the origin would say; so is an answer
  // of another size than asked for. Other failures are those of HttpsClient and what the origin
  // said.
  void fetch(const Range& range, const Buffer& lease_token, Then then) override;
  // Connections on which nothing is under way are kept.
  void stop() override;
  Bytes received() const override { return *received_; }

  // For connections made from here on. `invalid` leaves the old one in use.
  Status use_certificate(const std::string& certificate_pem, const std::string& key_pem);

 private:
  PackRanges(net::Loop& loop, std::unique_ptr<net::HttpsClient> client)
      : loop_(loop), client_(std::move(client)) {}

  net::Loop& loop_;
  std::unique_ptr<net::HttpsClient> client_;
  std::shared_ptr<Bytes> received_ = std::make_shared<Bytes>();
};

}  // namespace lamina::node
