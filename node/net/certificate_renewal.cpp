#include "node/net/certificate_renewal.hpp"

#include "shared/base/log.hpp"
#include "shared/net/certificates.hpp"
#include "shared/os/file.hpp"

namespace lamina::node {

namespace {

std::optional<Instant> expiry_of(const net::Loop& loop, const std::string& pem) {
  const auto facts = net::certificate_facts(pem);
  if (!facts) return std::nullopt;
  return loop.now() + Duration{facts->not_after.ns - net::Loop::wall_now().ns};
}

}  // namespace

std::optional<Instant> expiry_of_file(const net::Loop& loop, const std::string& path) {
  const auto pem = os::read_text(path);
  return pem ? expiry_of(loop, *pem) : std::nullopt;
}

CertificateRenewal::CertificateRenewal(net::Loop& loop, const StateDirectory& state,
                                       OriginLink& origin, Then then)
    : loop_(loop), state_(state), origin_(origin), then_(std::move(then)) {}

void CertificateRenewal::renew(Certificate which) {
  if (which == Certificate::swarm)
    renew_swarm();
  else
    renew_api();
}

void CertificateRenewal::ended(Certificate which, const Result<Instant>& result) {
  const char* name = which == Certificate::swarm ? "swarm" : "api";
  if (result)
    log::info("certificate_renewed", {{"which", name}});
  else
    log::warning("certificate_not_renewed", {{"which", name}, {"error", result.error().text()}});
  then_(which, result);
}

void CertificateRenewal::renew_api() {
  // Either way ended() is called from the loop.
  const auto end = [this, alive = std::weak_ptr(alive_)](const Result<Instant>& result) {
    if (alive.lock()) ended(Certificate::api, result);
  };
  auto key = os::read_text(state_.device_key());
  auto csr = key ? net::make_request(*key) : Result<std::string>(fail(key.error()));
  if (!csr) return loop_.post([end, error = csr.error()] { end(fail(error)); });
  origin_.renew_certificate(*csr, [this, end, key = *key, alive = std::weak_ptr(alive_)](
                                      const Result<wire::RenewReply>& reply) {
    if (!alive.lock()) return;
    end(reply ? take_api(*reply, key) : fail(reply.error()));
  });
}

Result<Instant> CertificateRenewal::take_api(const wire::RenewReply& reply,
                                             const std::string& key) {
  const auto expires = expiry_of(loop_, reply.certificate_pem);
  if (!expires) return fail(ErrorKind::invalid, "the answer is no certificate");
  auto done = os::write_file(state_.device_certificate(), as_view(reply.certificate_pem), 0600);
  if (done) done = origin_.use_certificate(reply.certificate_pem, key);
  if (!done) return fail(std::move(done.error()));
  check_clock(*expires);
  return *expires;
}

// The origin issues nothing that has run out: then this computer's clock is ahead of it.
void CertificateRenewal::check_clock(Instant expires) {
  const Duration ago = loop_.now() - expires;
  clock_trouble_.clear();
  if (ago < Duration{}) return;
  clock_trouble_ = "a certificate issued just now ran out " + to_text(ago) +
                   " ago by this computer's clock: set the clock";
  log::error("clock_wrong", {{"error", clock_trouble_}});
}

void CertificateRenewal::renew_swarm() {
  const auto end = [this, alive = std::weak_ptr(alive_)](const Result<Instant>& result) {
    if (alive.lock()) ended(Certificate::swarm, result);
  };
  auto made = net::make_key_and_request();
  if (!made) return loop_.post([end, error = made.error()] { end(fail(error)); });
  origin_.fetch_swarm_certificate(made->csr_pem,
                                  [this, end, key = made->key_pem, alive = std::weak_ptr(alive_)](
                                      const Result<wire::SwarmCertificateReply>& reply) {
                                    if (!alive.lock()) return;
                                    end(reply ? take_swarm(*reply, key) : fail(reply.error()));
                                  });
}

Result<Instant> CertificateRenewal::take_swarm(const wire::SwarmCertificateReply& reply,
                                               const std::string& key) {
  const auto expires = expiry_of(loop_, reply.certificate_pem);
  if (!expires) return fail(ErrorKind::invalid, "the answer is no certificate");
  // The certificate last: without it the pair does not count.
  static_cast<void>(os::remove_file(state_.swarm_certificate()));
  for (const auto& [path, text] :
       {std::pair{state_.swarm_key(), key}, std::pair{state_.swarm_ca(), reply.swarm_ca_pem},
        std::pair{state_.swarm_certificate(), reply.certificate_pem}})
    if (auto done = os::write_file(path, as_view(text), 0600); !done)
      return fail(std::move(done.error()));
  swarm_ = {reply.certificate_pem, key};
  return *expires;
}

}  // namespace lamina::node
