#include "shared/net/swarm_proof.hpp"

#include <ctime>

#include "shared/net/key_signature.hpp"
#include "shared/net/openssl.hpp"

namespace lamina::net {
namespace {

Held<X509> from_pem(const std::string& pem) {
  const Held<BIO> bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  return Held<X509>(PEM_read_bio_X509(bio.get(), nullptr, no_password, nullptr));
}

template <class T>
Buffer der_of(T* object, int (*write)(const T*, unsigned char**)) {
  const int size = write(object, nullptr);
  if (size <= 0) return {};
  Buffer der(static_cast<std::size_t>(size));
  auto* at = reinterpret_cast<unsigned char*>(der.data());
  write(object, &at);
  return der;
}

// Whether a time of a certificate lies before `at`.
bool is_before(const ASN1_TIME* time, std::int64_t at_seconds) {
  auto at = static_cast<std::time_t>(at_seconds);
  return X509_cmp_time(time, &at) < 0;
}

}  // namespace

Result<Buffer> certificate_der(const std::string& pem) {
  const auto certificate = from_pem(pem);
  if (!certificate) return openssl_failed(ErrorKind::invalid, "not a usable certificate in PEM");
  return der_of<X509>(certificate.get(), i2d_X509);
}

Result<SwarmProof> check_swarm_certificate(ByteView der, const std::string& ca_pem, WallTime now,
                                           Duration tolerance) {
  const unsigned char* at = raw(der);
  const Held<X509> certificate(d2i_X509(nullptr, &at, static_cast<long>(der.size())));
  if (!certificate || at != raw(der) + der.size())
    return openssl_failed(ErrorKind::refused, "not a certificate");
  const auto ca = from_pem(ca_pem);
  if (!ca)
    return openssl_failed(ErrorKind::invalid, "the swarm's CA is not a usable certificate in PEM");

  const Held<X509_STORE> store(X509_STORE_new());
  const Held<X509_STORE_CTX> context(X509_STORE_CTX_new());
  if (!store || !context || X509_STORE_add_cert(store.get(), ca.get()) != 1 ||
      X509_STORE_CTX_init(context.get(), store.get(), certificate.get(), nullptr) != 1)
    return openssl_failed(ErrorKind::refused, "the certificate cannot be checked");
  X509_STORE_CTX_set_flags(context.get(), X509_V_FLAG_NO_CHECK_TIME);
  X509_STORE_CTX_set_purpose(context.get(), X509_PURPOSE_SSL_CLIENT);
  if (X509_verify_cert(context.get()) != 1)
    return openssl_failed(ErrorKind::refused, "the certificate is none of this swarm");
  const std::int64_t second = now.ns / 1'000'000'000, slack = tolerance / std::chrono::seconds{1};
  if (is_before(X509_get0_notAfter(certificate.get()), second - slack))
    return openssl_failed(ErrorKind::refused, "the certificate has run out");
  if (!is_before(X509_get0_notBefore(certificate.get()), second + slack))
    return openssl_failed(ErrorKind::refused,
                          "the certificate is not valid yet: is the clock right?");

  char name[64] = {};
  X509_NAME_get_text_by_NID(X509_get_subject_name(certificate.get()), NID_commonName, name,
                            sizeof name);
  auto device = DeviceId::parse(name);
  if (!device) return openssl_failed(ErrorKind::refused, "the certificate names no device");
  SwarmProof proof{*device, der_of<EVP_PKEY>(X509_get0_pubkey(certificate.get()), i2d_PUBKEY)};
  ERR_clear_error();
  return proof;
}

Status check_swarm_signature(const SwarmProof& proof, ByteView signature, ByteView message) {
  if (!fits_public_key(proof.key, signature, message))
    return fail(ErrorKind::refused, "the signature does not fit the certificate");
  return Done{};
}

}  // namespace lamina::net
