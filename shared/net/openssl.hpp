// What the files here that sign and verify share of OpenSSL; private to this folder.
#pragma once

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <memory>

#include "shared/base/bytes.hpp"

namespace lamina::net {

struct OpensslFree {
  void operator()(BIO* bio) const { BIO_free_all(bio); }
  void operator()(X509* certificate) const { X509_free(certificate); }
  void operator()(X509_STORE* store) const { X509_STORE_free(store); }
  void operator()(X509_STORE_CTX* context) const { X509_STORE_CTX_free(context); }
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
  void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
};
template <class T>
using Held = std::unique_ptr<T, OpensslFree>;

inline const unsigned char* raw(ByteView bytes) {
  return reinterpret_cast<const unsigned char*>(bytes.data());
}

// For PEM that is not encrypted: asks nobody.
inline int no_password(char*, int, int, void*) { return -1; }

// Leaves nothing of a failure in OpenSSL's queue, where the next caller would find it.
inline tl::unexpected<Error> openssl_failed(ErrorKind kind, std::string what) {
  ERR_clear_error();
  return fail(kind, std::move(what));
}

}  // namespace lamina::net
