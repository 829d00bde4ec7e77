#include "node/net/pack_ranges.hpp"

#include <algorithm>

#include "shared/wire/protocol.hpp"

namespace lamina::node {
namespace {

using namespace std::chrono_literals;

// As many as the reflector has runs under way.
constexpr int kConnectionsMax = 3;
// Above the 8 s after which TCP has sent a lost packet three times.
constexpr Duration kStall = 10s;
constexpr Bytes kErrorMax = 64_KiB;

}  // namespace

Result<std::shared_ptr<PackRanges>> PackRanges::open(net::Loop& loop, net::ClientOptions origin) {
  origin.connections_max = kConnectionsMax;
  origin.stall_timeout = kStall;
  auto client = net::HttpsClient::create(loop, std::move(origin));
  if (!client) return fail(std::move(client.error()));
  return std::shared_ptr<PackRanges>(new PackRanges(loop, std::move(*client)));
}

void PackRanges::fetch(const Range& range, const Buffer& lease_token, Then then) {
  if (range.size == 0 || range.size > static_cast<std::uint64_t>(wire::kPackRangeMax.count)) {
    loop_.post([then = std::move(then), size = range.size] {
      then(fail(ErrorKind::invalid, "a range of " + std::to_string(size) + " bytes, not of 1 to " +
                                        to_text(wire::kPackRangeMax)));
    });
    return;
  }
  net::Call call{.target = "/v1/node/layers/" + range.layer.hex() + "/packs/" + range.pack.hex()};
  call.headers.add(std::string(wire::kLeaseHeader), to_hex(lease_token));
  call.headers.add("Range", "bytes=" + std::to_string(range.offset) + '-' +
                                std::to_string(range.offset + range.size - 1));
  const Bytes size{static_cast<std::int64_t>(range.size)};
  call.reply_max = std::max(size, kErrorMax);
  call.progress = [sum = received_, before = Bytes{}](Bytes moved) mutable {
    *sum += moved - before;
    before = moved;
  };
  client_->send(std::move(call), [size, then = std::move(then)](Result<net::Reply> reply) {
    auto good = net::check(std::move(reply));
    if (!good) return then(fail(std::move(good.error())));
    if (good->status != 206 || good->body_size != size)
      return then(fail(ErrorKind::invalid, "the origin answered " + std::to_string(good->status) +
                                               " with " + to_text(good->body_size) +
                                               " to a range of " + to_text(size)));
    then(to_buffer(good->body));
  });
}

void PackRanges::stop() { client_->cancel_all(); }

Status PackRanges::use_certificate(const std::string& certificate_pem, const std::string& key_pem) {
  return client_->use_certificate(certificate_pem, key_pem);
}

}  // namespace lamina::node
