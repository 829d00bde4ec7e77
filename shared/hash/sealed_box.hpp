// Sealed box: content that one recipient alone can read, made without any key of the sender.
//
//   box  = head, the sender's one-time X25519 key, segments of 64 KiB (the last one shorter)
//   key  = HKDF-SHA256(X25519(one-time, recipient), salt = head and both keys, info = context)
//   segment = AES-256-GCM with a counter and a final mark in its nonce
//
// A box opens only with the context it was sealed with: say there whose content it is, so that
// nobody passes another's box off as his own. Changed, reordered, missing or added bytes are found.
// Who sealed it is not proven. shared/format/FORMAT.md, "Sealed box", has the bytes.
// An object belongs to one thread at a time.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "shared/base/ids.hpp"

namespace lamina {

using BoxPublicKey = ByteId<struct BoxPublicKeyTag, 32>;

class BoxPrivateKey {
 public:
  // From the system's random source. `unavailable` when it fails.
  static Result<BoxPrivateKey> generate();
  // PKCS #8 PEM, unencrypted, as written by to_pem(). `invalid` when it is anything else.
  static Result<BoxPrivateKey> from_pem(std::string_view pem);

  ~BoxPrivateKey();
  BoxPrivateKey(const BoxPrivateKey&) = default;
  BoxPrivateKey& operator=(const BoxPrivateKey&) = default;

  std::string to_pem() const;  // Secret: the caller keeps it at mode 0600.
  const BoxPublicKey& public_key() const { return public_key_; }

 private:
  friend class BoxOpener;
  BoxPrivateKey() = default;

  std::array<std::byte, 32> secret_{};
  BoxPublicKey public_key_;
};

inline constexpr std::size_t kBoxSegment = 64 * 1024;

// The bytes of a box with `content` bytes inside.
std::uint64_t sealed_size(std::uint64_t content);

using BoxSink = std::function<Status(ByteView bytes)>;

class BoxSealer {
 public:
  // The box goes to `sink`, piece by piece; its errors are passed on, drop the object then.
  // `invalid` for a recipient that is no key, `unavailable` without random bytes.
  static Result<BoxSealer> create(const BoxPublicKey& recipient, ByteView context, BoxSink sink);
  BoxSealer(BoxSealer&&) noexcept;
  ~BoxSealer();

  Status update(ByteView content);
  Status finish();  // Once, last.

 private:
  struct State;
  explicit BoxSealer(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

class BoxOpener {
 public:
  // The content goes to `sink`, every piece of it verified; but only after finish() is it known to
  // be whole: discard what came before a failure. `corrupt`: this is no box for this key and
  // context, or its bytes were changed or cut off.
  BoxOpener(const BoxPrivateKey& key, ByteView context, BoxSink sink);
  BoxOpener(BoxOpener&&) noexcept;
  ~BoxOpener();

  Status update(ByteView box);
  Status finish();  // Once, last.

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace lamina
