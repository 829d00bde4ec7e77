#include "origin/catalog/row_changes.hpp"

#include <algorithm>

#include "shared/codec/reader.hpp"
#include "shared/store/kv.hpp"

namespace lamina::origin {
namespace {

constexpr std::size_t kValueMax = std::size_t{1} << 30;

}  // namespace

void RowChanges::key(std::string_view key) {
  const auto differs = std::ranges::mismatch(last_, key);
  const auto shared = static_cast<std::size_t>(differs.in1 - last_.begin());
  bytes_.varint(shared);
  bytes_.text(key.substr(shared));
  last_ = key;
}

void RowChanges::put(std::string_view k, std::string_view value) {
  key(k);
  bytes_.varint(value.size() + 1);
  bytes_.raw(as_view(value));
}

void RowChanges::erase(std::string_view k) {
  key(k);
  bytes_.varint(0);
}

void RowChanges::clear() {
  bytes_.clear();
  last_.clear();
}

Status for_each_change(ByteView bytes, const VisitChange& visit) {
  Reader in(bytes);
  std::string key;
  while (in.remaining() > 0) {
    const auto shared = in.varint(Kv::kKeyMax);
    const std::string_view rest = as_text(in.bytes(Kv::kKeyMax));
    const auto size = in.varint(kValueMax + 1);
    const std::string_view value = as_text(in.raw(size == 0 ? 0 : size - 1));
    if (in.failed() || shared > key.size())
      return fail(ErrorKind::corrupt, "changes of the catalogue do not parse");
    key.resize(shared);
    key += rest;
    if (auto done = visit(key, size == 0 ? std::nullopt : std::optional(value)); !done) return done;
  }
  return Done{};
}

}  // namespace lamina::origin
