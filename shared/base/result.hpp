// Result: how a function says that it could not do its work.
//
// No exceptions cross a module border. A failure is a kind, which callers act on, and a text, which
// people read; the text grows outward: "reading layer 4f2a91c0: pack 77e1: checksum mismatch".
// Values, no shared state; usable from any thread.
#pragma once

#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <utility>

namespace lamina {

// A kind exists only if some caller does something different on seeing it. Everything else is told
// apart by the text.
enum class ErrorKind {
  not_found,     // The named thing does not exist. Retrying here won't help.
  corrupt,       // Bytes failed a check: discard them and fetch elsewhere.
  unavailable,   // A peer, disk or lock is busy or gone: retry with back-off.
  out_of_space,  // The disk or a configured limit is full: make room, then retry.
  invalid,       // The input (config, argument, message) breaks its format.
  refused,       // The other side understood and said no: do not retry.
};

// The kind's name as it stands in logs and JSON: "not_found", "corrupt", ...
std::string_view name_of(ErrorKind kind);

class [[nodiscard]] Error {
 public:
  Error(ErrorKind kind, std::string text) : kind_(kind), text_(std::move(text)) {}

  ErrorKind kind() const { return kind_; }
  const std::string& text() const { return text_; }

  // Prefixes the text with what the caller was doing; the kind is unchanged.
  Error in(std::string_view doing) && {
    text_.insert(0, ": ").insert(0, doing);
    return std::move(*this);
  }

 private:
  ErrorKind kind_;
  std::string text_;
};

template <class T>
using Result = tl::expected<T, Error>;

struct Done {};
using Status = Result<Done>;

// Makes the failed side of any Result: `return fail(ErrorKind::invalid, "empty path");`
inline tl::unexpected<Error> fail(ErrorKind kind, std::string text) {
  return tl::unexpected<Error>(Error(kind, std::move(text)));
}

// Passes an error on, optionally with what was being done:
//   if (!place) return fail(std::move(place.error()).in("reading chunk " + id.short_hex()));
inline tl::unexpected<Error> fail(Error error) { return tl::unexpected<Error>(std::move(error)); }

}  // namespace lamina
