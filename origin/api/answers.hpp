// What became of a call, as an answer; private to the .cpp files of this folder.
#pragma once

#include <utility>
#include <vector>

#include "shared/net/http.hpp"
#include "shared/wire/admin.hpp"

namespace lamina::origin {

template <class Message>
Result<net::Response> as_json(Result<Message> message, int status = 200) {
  if (!message) return fail(std::move(message.error()));
  return net::json_response(to_json(*message), status);
}

template <class List, class Element>
Result<net::Response> as_list(Result<std::vector<Element>> elements) {
  if (!elements) return fail(std::move(elements.error()));
  return net::json_response(to_json(List{std::move(*elements)}));
}

inline Result<net::Response> as_done(Status status, int code = 200) {
  if (!status) return fail(std::move(status.error()));
  return net::json_response("{}", code);
}

}  // namespace lamina::origin
