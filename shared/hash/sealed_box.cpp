#include "shared/hash/sealed_box.hpp"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>

#include <algorithm>
#include <optional>

#include "shared/base/assert.hpp"
#include "shared/hash/raw_key.hpp"

namespace lamina {
namespace {

struct Free {
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
  void operator()(EVP_PKEY_CTX* context) const { EVP_PKEY_CTX_free(context); }
  void operator()(EVP_CIPHER_CTX* context) const { EVP_CIPHER_CTX_free(context); }
  void operator()(EVP_KDF* kdf) const { EVP_KDF_free(kdf); }
  void operator()(EVP_KDF_CTX* context) const { EVP_KDF_CTX_free(context); }
};
template <class T>
using Held = std::unique_ptr<T, Free>;

constexpr std::string_view kHead{"LMsb\x01\0\0\0", 8};  // Magic, version, required features.
constexpr std::string_view kDomain = "lamina sealed box v1";
constexpr std::size_t kBoxHeadSize = kHead.size() + BoxPublicKey::kSize;
constexpr std::size_t kTag = 16;

using Secret = std::array<std::byte, 32>;

const unsigned char* raw(ByteView bytes) {
  return reinterpret_cast<const unsigned char*>(bytes.data());
}
unsigned char* raw(std::byte* bytes) { return reinterpret_cast<unsigned char*>(bytes); }

// False when `open` is no point that gives a secret.
bool agree(const Secret& secret, const BoxPublicKey& open, Secret& shared) {
  const Held<EVP_PKEY> mine(
      EVP_PKEY_new_raw_private_key(EVP_PKEY_X25519, nullptr, raw(secret), secret.size()));
  const Held<EVP_PKEY> theirs(EVP_PKEY_new_raw_public_key(EVP_PKEY_X25519, nullptr,
                                                          raw(open.bytes()), BoxPublicKey::kSize));
  if (!mine || !theirs) return false;
  const Held<EVP_PKEY_CTX> context(EVP_PKEY_CTX_new(mine.get(), nullptr));
  std::size_t size = shared.size();
  // Points of low order give zero, which OpenSSL refuses.
  return context && EVP_PKEY_derive_init(context.get()) == 1 &&
         EVP_PKEY_derive_set_peer(context.get(), theirs.get()) == 1 &&
         EVP_PKEY_derive(context.get(), raw(shared.data()), &size) == 1 && size == shared.size();
}

Secret key_of(const Secret& shared, const BoxPublicKey& sender, const BoxPublicKey& recipient,
              ByteView context) {
  Buffer salt = to_buffer(kHead);
  for (const BoxPublicKey* key : {&sender, &recipient})
    salt.insert(salt.end(), key->bytes().begin(), key->bytes().end());
  Buffer info = to_buffer(kDomain);
  info.insert(info.end(), context.begin(), context.end());
  char digest[] = "SHA256";
  const OSSL_PARAM parameters[] = {
      OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest, 0),
      OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, const_cast<std::byte*>(shared.data()),
                                        shared.size()),
      OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, salt.data(), salt.size()),
      OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, info.data(), info.size()),
      OSSL_PARAM_construct_end()};
  const Held<EVP_KDF> kdf(EVP_KDF_fetch(nullptr, "HKDF", nullptr));
  LAMINA_ASSERT(kdf != nullptr);
  const Held<EVP_KDF_CTX> derive(EVP_KDF_CTX_new(kdf.get()));
  Secret key;
  LAMINA_ASSERT(derive != nullptr &&
                EVP_KDF_derive(derive.get(), raw(key.data()), key.size(), parameters) == 1);
  return key;
}

// One direction of AES-256-GCM, segment by segment.
class Segments {
 public:
  enum class Way { seal, open };

  Segments(Way way, const Secret& key) : context_(EVP_CIPHER_CTX_new()), way_(way) {
    LAMINA_ASSERT(context_ && EVP_CipherInit_ex(context_.get(), EVP_aes_256_gcm(), nullptr,
                                                raw(key), nullptr, way == Way::seal ? 1 : 0) == 1);
  }

  // Content and tag.
  Buffer seal(ByteView content, bool is_last) {
    Buffer out(content.size() + kTag);
    begin(is_last);
    run(content, out.data());
    LAMINA_ASSERT(EVP_CIPHER_CTX_ctrl(context_.get(), EVP_CTRL_AEAD_GET_TAG, kTag,
                                      out.data() + content.size()) == 1);
    return out;
  }

  // The content; none when the tag does not fit.
  std::optional<Buffer> open(ByteView sealed, bool is_last) {
    const ByteView content = sealed.first(sealed.size() - kTag);
    Buffer out(content.size());
    begin(is_last);
    Buffer tag = to_buffer(sealed.last(kTag));
    LAMINA_ASSERT(EVP_CIPHER_CTX_ctrl(context_.get(), EVP_CTRL_AEAD_SET_TAG, kTag, tag.data()) ==
                  1);
    return run(content, out.data()) ? std::optional(std::move(out)) : std::nullopt;
  }

 private:
  // The nonce: eight bytes of counter, three zeros, the final mark.
  void begin(bool is_last) {
    std::array<std::byte, 12> nonce{};
    for (std::size_t i = 0; i < 8; ++i) nonce[i] = static_cast<std::byte>(counter_ >> (8 * i));
    nonce[11] = std::byte{is_last};
    ++counter_;
    LAMINA_ASSERT(EVP_CipherInit_ex(context_.get(), nullptr, nullptr, nullptr, raw(nonce), -1) ==
                  1);
  }
  bool run(ByteView in, std::byte* out) {
    int done = 0;
    std::byte nothing[kTag];
    if (!in.empty())
      LAMINA_ASSERT(EVP_CipherUpdate(context_.get(), raw(out), &done, raw(in),
                                     static_cast<int>(in.size())) == 1);
    const bool good = EVP_CipherFinal_ex(context_.get(), raw(nothing), &done) == 1;
    LAMINA_ASSERT(good || way_ == Way::open);
    return good;
  }

  Held<EVP_CIPHER_CTX> context_;
  Way way_;
  std::uint64_t counter_ = 0;
};

}  // namespace

Result<BoxPrivateKey> BoxPrivateKey::generate() {
  auto made = make_raw_key(RawKeyKind::x25519);
  if (!made) return fail(std::move(made.error()));
  BoxPrivateKey key;
  key.secret_ = made->secret;
  key.public_key_ = BoxPublicKey(made->open);
  return key;
}

Result<BoxPrivateKey> BoxPrivateKey::from_pem(std::string_view pem) {
  auto read = raw_key_from_pem(RawKeyKind::x25519, pem);
  if (!read) return fail(std::move(read.error()));
  BoxPrivateKey key;
  key.secret_ = read->secret;
  key.public_key_ = BoxPublicKey(read->open);
  return key;
}

BoxPrivateKey::~BoxPrivateKey() { OPENSSL_cleanse(secret_.data(), secret_.size()); }

std::string BoxPrivateKey::to_pem() const { return raw_key_to_pem(RawKeyKind::x25519, secret_); }

std::uint64_t sealed_size(std::uint64_t content) {
  const std::uint64_t segments =
      std::max<std::uint64_t>(1, (content + kBoxSegment - 1) / kBoxSegment);
  return kBoxHeadSize + content + segments * kTag;
}

struct BoxSealer::State {
  State(const Secret& key, BoxSink to) : segments(Segments::Way::seal, key), sink(std::move(to)) {}
  Segments segments;
  BoxSink sink;
  Buffer waiting;  // At most a segment: whether it is the last one is not known yet.
};

BoxSealer::BoxSealer(std::unique_ptr<State> state) : state_(std::move(state)) {}
BoxSealer::BoxSealer(BoxSealer&&) noexcept = default;
BoxSealer::~BoxSealer() = default;

Result<BoxSealer> BoxSealer::create(const BoxPublicKey& recipient, ByteView context, BoxSink sink) {
  auto once = make_raw_key(RawKeyKind::x25519);
  if (!once) return fail(std::move(once.error()));
  Secret shared;
  if (!agree(once->secret, recipient, shared))
    return fail(ErrorKind::invalid, "the recipient of a sealed box has no usable key");
  const BoxPublicKey sender(once->open);
  Secret key = key_of(shared, sender, recipient, context);
  auto state = std::make_unique<State>(key, std::move(sink));
  OPENSSL_cleanse(shared.data(), shared.size());
  OPENSSL_cleanse(key.data(), key.size());
  Buffer head = to_buffer(kHead);
  head.insert(head.end(), sender.bytes().begin(), sender.bytes().end());
  if (auto done = state->sink(head); !done) return fail(std::move(done.error()));
  return BoxSealer(std::move(state));
}

Status BoxSealer::update(ByteView content) {
  Buffer& waiting = state_->waiting;
  while (!content.empty()) {
    if (waiting.size() == kBoxSegment) {
      if (auto done = state_->sink(state_->segments.seal(waiting, false)); !done) return done;
      waiting.clear();
    }
    const auto taken = content.first(std::min(content.size(), kBoxSegment - waiting.size()));
    waiting.insert(waiting.end(), taken.begin(), taken.end());
    content = content.subspan(taken.size());
  }
  return Done{};
}

Status BoxSealer::finish() { return state_->sink(state_->segments.seal(state_->waiting, true)); }

struct BoxOpener::State {
  Secret secret{};
  BoxPublicKey mine;
  Buffer context;
  BoxSink sink;
  std::optional<Segments> segments;  // Once the head is read.
  Buffer waiting;                    // The head; then at most a segment.
  bool is_broken = false;

  ~State() { OPENSSL_cleanse(secret.data(), secret.size()); }

  Status broken() {
    is_broken = true;
    return fail(ErrorKind::corrupt,
                "the sealed box was changed or cut off, or is not for this key and sender");
  }

  Status open_head() {
    const ByteView head(waiting);
    const auto sender = BoxPublicKey::from_bytes(head.subspan(kHead.size()));
    Secret shared;
    if (as_text(head.first(kHead.size())) != kHead || !sender || !agree(secret, *sender, shared))
      return broken();
    Secret key = key_of(shared, *sender, mine, context);
    segments.emplace(Segments::Way::open, key);
    OPENSSL_cleanse(shared.data(), shared.size());
    OPENSSL_cleanse(key.data(), key.size());
    waiting.clear();
    return Done{};
  }

  Status open_segment(bool is_last) {
    if (waiting.size() < kTag) return broken();
    auto content = segments->open(waiting, is_last);
    if (!content) return broken();
    waiting.clear();
    return content->empty() ? Status(Done{}) : sink(*content);
  }
};

BoxOpener::BoxOpener(const BoxPrivateKey& key, ByteView context, BoxSink sink)
    : state_(std::make_unique<State>()) {
  state_->secret = key.secret_;
  state_->mine = key.public_key_;
  state_->context = to_buffer(context);
  state_->sink = std::move(sink);
}
BoxOpener::BoxOpener(BoxOpener&&) noexcept = default;
BoxOpener::~BoxOpener() = default;

Status BoxOpener::update(ByteView box) {
  State& s = *state_;
  if (s.is_broken) return s.broken();
  while (!box.empty()) {
    const std::size_t full = s.segments ? kBoxSegment + kTag : kBoxHeadSize;
    // A full segment waits for one more byte, which says that it is not the last.
    if (s.waiting.size() == full)
      if (auto done = s.open_segment(false); !done) return done;
    const auto taken = box.first(std::min(box.size(), full - s.waiting.size()));
    s.waiting.insert(s.waiting.end(), taken.begin(), taken.end());
    box = box.subspan(taken.size());
    if (!s.segments && s.waiting.size() == kBoxHeadSize)
      if (auto done = s.open_head(); !done) return done;
  }
  return Done{};
}

Status BoxOpener::finish() {
  if (state_->is_broken || !state_->segments) return state_->broken();
  return state_->open_segment(true);
}

}  // namespace lamina
