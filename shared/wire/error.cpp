#include "shared/wire/error.hpp"

#include <array>

#include "shared/base/bytes.hpp"
#include "shared/wire/json_fields.hpp"

namespace lamina::wire {
namespace {

struct Body {
  std::string kind;
  std::string text;
};
struct Envelope {
  Body error;
};
template <class A>
void fields(A& a, Body& b) {
  a("kind", b.kind);
  a("text", b.text, 65'536);
}
template <class A>
void fields(A& a, Envelope& e) {
  a("error", e.error);
}

constexpr std::array kKinds{ErrorKind::not_found,    ErrorKind::corrupt, ErrorKind::unavailable,
                            ErrorKind::out_of_space, ErrorKind::invalid, ErrorKind::refused};

ErrorKind kind_of(int status) {
  for (const ErrorKind kind : kKinds)
    if (http_status(kind) == status) return kind;
  if (status == 401 || status == 409 || status == 426) return ErrorKind::refused;
  return status >= 500 || status == 408 || status == 429 ? ErrorKind::unavailable
                                                         : ErrorKind::invalid;
}

}  // namespace

std::string to_json(const Error& error) {
  return write_message(Envelope{{std::string(lamina::name_of(error.kind())), error.text()}});
}

Error parse_error(int status, std::string_view body) {
  if (auto envelope = read_message<Envelope>(body, "error answer"))
    for (const ErrorKind kind : kKinds)
      if (lamina::name_of(kind) == envelope->error.kind)
        return Error(kind, printable(envelope->error.text, 4096));
  return Error(kind_of(status), "HTTP " + std::to_string(status) +
                                    (body.empty() ? "" : ": " + printable(body, 200)));
}

int http_status(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::not_found: return 404;
    case ErrorKind::corrupt: return 422;
    case ErrorKind::unavailable: return 503;
    case ErrorKind::out_of_space: return 507;
    case ErrorKind::invalid: return 400;
    case ErrorKind::refused: return 403;
  }
  return 500;
}

}  // namespace lamina::wire
