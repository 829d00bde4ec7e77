#include "shared/net/certificates.hpp"

#include <arpa/inet.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

#include <ctime>
#include <memory>

#include "shared/net/loop.hpp"

namespace lamina::net {
namespace {

template <auto Free>
struct Freer {
  template <class T>
  void operator()(T* held) const {
    Free(held);
  }
};
using Bio = std::unique_ptr<BIO, Freer<BIO_free_all>>;
using Key = std::unique_ptr<EVP_PKEY, Freer<EVP_PKEY_free>>;
using Cert = std::unique_ptr<X509, Freer<X509_free>>;
using Csr = std::unique_ptr<X509_REQ, Freer<X509_REQ_free>>;
using Extension = std::unique_ptr<X509_EXTENSION, Freer<X509_EXTENSION_free>>;

constexpr std::size_t kPemMax = 64 * 1024;
constexpr long kBackDatedSeconds = 86'400;

// OpenSSL's last word on the failure; its queue is empty afterwards.
Error openssl_error(ErrorKind kind, std::string what) {
  const auto code = ERR_get_error();
  ERR_clear_error();
  if (code != 0) {
    char text[256];
    ERR_error_string_n(code, text, sizeof text);
    what += std::string(" (") + text + ")";
  }
  return Error(kind, std::move(what));
}

Result<Bio> reader(const std::string& pem) {
  if (pem.size() > kPemMax) return fail(ErrorKind::invalid, "PEM text is longer than 64 KiB");
  return Bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
}

// Never asks a terminal for a passphrase.
int no_passphrase(char*, int, int, void*) { return 0; }

Result<Key> parse_key(const std::string& pem) {
  auto bio = reader(pem);
  if (!bio) return fail(std::move(bio.error()));
  Key key(PEM_read_bio_PrivateKey(bio->get(), nullptr, no_passphrase, nullptr));
  if (!key) return fail(openssl_error(ErrorKind::invalid, "not a usable private key in PEM"));
  return key;
}

Result<Cert> parse_certificate(const std::string& pem) {
  auto bio = reader(pem);
  if (!bio) return fail(std::move(bio.error()));
  Cert cert(PEM_read_bio_X509(bio->get(), nullptr, no_passphrase, nullptr));
  if (!cert) return fail(openssl_error(ErrorKind::invalid, "not a usable certificate in PEM"));
  return cert;
}

// A CSR whose self-signature holds: the sender owns the key.
Result<Csr> parse_request(const std::string& pem) {
  auto bio = reader(pem);
  if (!bio) return fail(std::move(bio.error()));
  Csr csr(PEM_read_bio_X509_REQ(bio->get(), nullptr, no_passphrase, nullptr));
  if (!csr) return fail(openssl_error(ErrorKind::invalid, "not a usable CSR in PEM"));
  if (X509_REQ_verify(csr.get(), X509_REQ_get0_pubkey(csr.get())) != 1)
    return fail(openssl_error(ErrorKind::refused, "the CSR is not signed by its own key"));
  return csr;
}

template <class Write>
std::string written(Write write) {
  Bio bio(BIO_new(BIO_s_mem()));
  write(bio.get());
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &data);
  return std::string(data, static_cast<std::size_t>(size));
}

std::string pem_of(EVP_PKEY* key) {
  return written(
      [&](BIO* bio) { PEM_write_bio_PrivateKey(bio, key, nullptr, nullptr, 0, nullptr, nullptr); });
}
std::string pem_of(X509* cert) {
  return written([&](BIO* bio) { PEM_write_bio_X509(bio, cert); });
}

Result<Key> make_key() {
  Key key(EVP_EC_gen("P-256"));
  if (!key) return fail(openssl_error(ErrorKind::unavailable, "making a P-256 key"));
  return key;
}

void set_common_name(X509_NAME* name, const std::string& text) {
  X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8,
                             reinterpret_cast<const unsigned char*>(text.data()),
                             static_cast<int>(text.size()), -1, 0);
}

struct Profile {
  std::string common_name;
  Duration lifetime{};
  std::vector<std::pair<int, std::string>> extensions = {};  // NID, value as in openssl.cnf.
};

// Signs `subject_key` under `issuer`, or under itself when `issuer` is null.
Result<std::string> sign(const Profile& profile, EVP_PKEY* subject_key, X509* issuer,
                         EVP_PKEY* issuer_key) {
  Cert cert(X509_new());
  X509_set_version(cert.get(), 2);

  // 126 random bits: positive, and unique without a counter to keep.
  unsigned char serial[16];
  if (RAND_bytes(serial, sizeof serial) != 1)
    return fail(openssl_error(ErrorKind::unavailable, "no random bytes for a serial number"));
  serial[0] = static_cast<unsigned char>((serial[0] & 0x3f) | 0x40);
  std::unique_ptr<BIGNUM, Freer<BN_free>> number(BN_bin2bn(serial, sizeof serial, nullptr));
  BN_to_ASN1_INTEGER(number.get(), X509_get_serialNumber(cert.get()));

  const auto now = static_cast<std::time_t>(Loop::wall_now().ns / 1'000'000'000);
  const auto lifetime = std::chrono::duration_cast<std::chrono::seconds>(profile.lifetime).count();
  ASN1_TIME_set(X509_getm_notBefore(cert.get()), now - kBackDatedSeconds);
  ASN1_TIME_set(X509_getm_notAfter(cert.get()), now + lifetime);
  X509_set_pubkey(cert.get(), subject_key);
  set_common_name(X509_get_subject_name(cert.get()), profile.common_name);
  X509_set_issuer_name(cert.get(), X509_get_subject_name(issuer ? issuer : cert.get()));

  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, issuer ? issuer : cert.get(), cert.get(), nullptr, nullptr, 0);
  for (const auto& [nid, value] : profile.extensions) {
    Extension extension(X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str()));
    if (!extension || X509_add_ext(cert.get(), extension.get(), -1) != 1)
      return fail(openssl_error(ErrorKind::invalid, "certificate extension '" + value + "'"));
  }
  if (X509_sign(cert.get(), issuer_key, EVP_sha256()) == 0)
    return fail(openssl_error(ErrorKind::invalid, "signing a certificate"));
  return pem_of(cert.get());
}

Result<std::string> issue(const KeyAndCertificate& ca, const Profile& profile,
                          EVP_PKEY* subject_key) {
  auto issuer = parse_certificate(ca.certificate_pem);
  if (!issuer) return fail(std::move(issuer.error()).in("the CA's certificate"));
  auto key = parse_key(ca.key_pem);
  if (!key) return fail(std::move(key.error()).in("the CA's key"));
  return sign(profile, subject_key, issuer->get(), key->get());
}

std::string sha256_hex(const unsigned char* data, std::size_t size) {
  unsigned char digest[32];
  unsigned int written_bytes = sizeof digest;
  EVP_Digest(data, size, digest, &written_bytes, EVP_sha256(), nullptr);
  return to_hex(std::as_bytes(std::span(digest)));
}

std::string key_fingerprint(EVP_PKEY* key) {
  unsigned char* der = nullptr;
  const int size = i2d_PUBKEY(key, &der);
  if (size <= 0) return {};
  auto text = sha256_hex(der, static_cast<std::size_t>(size));
  OPENSSL_free(der);
  return text;
}

WallTime wall_time(const ASN1_TIME* time) {
  tm parts{};
  ASN1_TIME_to_tm(time, &parts);
  return {static_cast<std::int64_t>(timegm(&parts)) * 1'000'000'000};
}

// Host names and addresses end up in an extension's text form, where a comma separates.
Result<std::string> alternative_names(const std::vector<std::string>& names) {
  if (names.empty())
    return fail(ErrorKind::invalid, "a server certificate needs at least one host name or address");
  std::string value;
  for (const auto& name : names) {
    unsigned char address[16];
    const bool is_address = inet_pton(AF_INET, name.c_str(), address) == 1 ||
                            inet_pton(AF_INET6, name.c_str(), address) == 1;
    const bool is_name = !name.empty() && name.size() <= 253 &&
                         name.find_first_not_of(
                             "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                             "0123456789-._") == std::string::npos;
    if (!is_address && !is_name)
      return fail(ErrorKind::invalid,
                  "'" + printable(name, 80) + "' is neither a host name nor an IP address");
    value += (value.empty() ? "" : ",") + std::string(is_address ? "IP:" : "DNS:") + name;
  }
  return value;
}

constexpr const char* kLeaf = "critical,CA:FALSE";
constexpr const char* kSignsHandshakes = "critical,digitalSignature";

}  // namespace

Result<KeyAndCertificate> make_ca(const std::string& common_name, Duration lifetime) {
  auto key = make_key();
  if (!key) return fail(std::move(key.error()));
  auto pem = sign({.common_name = common_name,
                   .lifetime = lifetime,
                   .extensions = {{NID_basic_constraints, "critical,CA:TRUE,pathlen:0"},
                                  {NID_key_usage, "critical,keyCertSign,cRLSign"},
                                  {NID_subject_key_identifier, "hash"}}},
                  key->get(), nullptr, key->get());
  if (!pem) return fail(std::move(pem.error()));
  return KeyAndCertificate{pem_of(key->get()), std::move(*pem)};
}

Result<KeyAndCertificate> issue_server_certificate(const KeyAndCertificate& ca,
                                                   const std::vector<std::string>& names,
                                                   Duration lifetime) {
  auto alternatives = alternative_names(names);
  if (!alternatives) return fail(std::move(alternatives.error()));
  auto key = make_key();
  if (!key) return fail(std::move(key.error()));
  auto pem = issue(ca,
                   {.common_name = names.front().substr(0, 64),
                    .lifetime = lifetime,
                    .extensions = {{NID_basic_constraints, kLeaf},
                                   {NID_key_usage, kSignsHandshakes},
                                   {NID_ext_key_usage, "serverAuth"},
                                   {NID_authority_key_identifier, "keyid"},
                                   {NID_subject_alt_name, *alternatives}}},
                   key->get());
  if (!pem) return fail(std::move(pem.error()));
  return KeyAndCertificate{pem_of(key->get()), std::move(*pem)};
}

Result<std::string> issue_device_certificate(const KeyAndCertificate& ca,
                                             const std::string& csr_pem, const DeviceId& device,
                                             Duration lifetime) {
  auto csr = parse_request(csr_pem);
  if (!csr) return fail(std::move(csr.error()));
  return issue(ca,
               {.common_name = device.hex(),
                .lifetime = lifetime,
                .extensions = {{NID_basic_constraints, kLeaf},
                               {NID_key_usage, kSignsHandshakes},
                               {NID_ext_key_usage, "clientAuth"},
                               {NID_authority_key_identifier, "keyid"}}},
               X509_REQ_get0_pubkey(csr->get()));
}

Result<std::string> issue_swarm_certificate(const KeyAndCertificate& ca, const std::string& csr_pem,
                                            const std::string& common_name, Duration lifetime) {
  auto csr = parse_request(csr_pem);
  if (!csr) return fail(std::move(csr.error()));
  return issue(ca,
               {.common_name = common_name,
                .lifetime = lifetime,
                .extensions = {{NID_basic_constraints, kLeaf},
                               {NID_key_usage, kSignsHandshakes},
                               {NID_ext_key_usage, "serverAuth,clientAuth"},
                               {NID_authority_key_identifier, "keyid"},
                               {NID_subject_alt_name, "DNS:packs,DNS:*"}}},
               X509_REQ_get0_pubkey(csr->get()));
}

Result<KeyAndRequest> make_key_and_request() {
  auto key = make_key();
  if (!key) return fail(std::move(key.error()));
  auto key_pem = pem_of(key->get());
  auto csr = make_request(key_pem);
  if (!csr) return fail(std::move(csr.error()));
  return KeyAndRequest{std::move(key_pem), std::move(*csr)};
}

Result<std::string> make_request(const std::string& key_pem) {
  auto key = parse_key(key_pem);
  if (!key) return fail(std::move(key.error()));
  Csr csr(X509_REQ_new());
  X509_REQ_set_version(csr.get(), 0);
  X509_REQ_set_pubkey(csr.get(), key->get());
  set_common_name(X509_REQ_get_subject_name(csr.get()), "lamina");
  if (X509_REQ_sign(csr.get(), key->get(), EVP_sha256()) == 0)
    return fail(openssl_error(ErrorKind::invalid, "signing a CSR"));
  return written([&](BIO* bio) { PEM_write_bio_X509_REQ(bio, csr.get()); });
}

Result<std::string> request_key_fingerprint(const std::string& csr_pem) {
  auto csr = parse_request(csr_pem);
  if (!csr) return fail(std::move(csr.error()));
  return key_fingerprint(X509_REQ_get0_pubkey(csr->get()));
}

Result<CertificateFacts> certificate_facts(const std::string& certificate_pem) {
  auto cert = parse_certificate(certificate_pem);
  if (!cert) return fail(std::move(cert.error()));
  CertificateFacts facts;
  char name[256] = {};
  X509_NAME_get_text_by_NID(X509_get_subject_name(cert->get()), NID_commonName, name, sizeof name);
  facts.common_name = name;
  unsigned char* der = nullptr;
  const int size = i2d_X509(cert->get(), &der);
  if (size <= 0) return fail(openssl_error(ErrorKind::invalid, "encoding a certificate"));
  facts.fingerprint = sha256_hex(der, static_cast<std::size_t>(size));
  OPENSSL_free(der);
  facts.key_fingerprint = key_fingerprint(X509_get0_pubkey(cert->get()));
  facts.not_before = wall_time(X509_get0_notBefore(cert->get()));
  facts.not_after = wall_time(X509_get0_notAfter(cert->get()));
  return facts;
}

}  // namespace lamina::net
