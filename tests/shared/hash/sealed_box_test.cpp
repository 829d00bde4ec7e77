#include "shared/hash/sealed_box.hpp"

#include <algorithm>
#include <catch2/catch.hpp>

using namespace lamina;

namespace {

Buffer content_of(std::size_t size) {
  Buffer bytes(size);
  for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<std::byte>(i * 31 + i / 251);
  return bytes;
}

BoxSink into(Buffer& buffer) {
  return [&buffer](ByteView bytes) -> Status {
    buffer.insert(buffer.end(), bytes.begin(), bytes.end());
    return Done{};
  };
}

// Fed in steps, so that segment borders fall anywhere.
Buffer seal(const BoxPublicKey& key, std::string_view context, ByteView content,
            std::size_t step = 10'000) {
  Buffer box;
  auto sealer = BoxSealer::create(key, as_view(context), into(box));
  REQUIRE(sealer);
  for (; !content.empty(); content = content.subspan(std::min(step, content.size())))
    REQUIRE(sealer->update(content.first(std::min(step, content.size()))));
  REQUIRE(sealer->finish());
  return box;
}

Result<Buffer> open(const BoxPrivateKey& key, std::string_view context, ByteView box,
                    std::size_t step = 7'000) {
  Buffer content;
  BoxOpener opener(key, as_view(context), into(content));
  for (; !box.empty(); box = box.subspan(std::min(step, box.size())))
    if (auto done = opener.update(box.first(std::min(step, box.size()))); !done)
      return fail(std::move(done.error()));
  if (auto done = opener.finish(); !done) return fail(std::move(done.error()));
  return content;
}

}  // namespace

TEST_CASE("sealed box: opens to the same bytes, for every size around a segment", "[hash]") {
  const auto key = BoxPrivateKey::generate().value();
  for (const std::size_t size : {std::size_t{0}, std::size_t{1}, kBoxSegment - 1, kBoxSegment,
                                 kBoxSegment + 1, 2 * kBoxSegment, 3 * kBoxSegment + 17}) {
    CAPTURE(size);
    const Buffer content = content_of(size);
    const Buffer box = seal(key.public_key(), "ann", content);
    CHECK(box.size() == sealed_size(size));
    const auto opened = open(key, "ann", box);
    REQUIRE(opened);
    CHECK(*opened == content);
    const auto at_once = open(key, "ann", box, box.size());
    REQUIRE(at_once);
    CHECK(*at_once == content);
  }
}

TEST_CASE("sealed box: two boxes of the same content have nothing in common", "[hash]") {
  const auto key = BoxPrivateKey::generate().value();
  const Buffer one = seal(key.public_key(), "ann", content_of(100));
  const Buffer two = seal(key.public_key(), "ann", content_of(100));
  CHECK_FALSE(std::equal(one.begin() + 8, one.begin() + 40, two.begin() + 8));
  CHECK_FALSE(std::equal(one.begin() + 40, one.end(), two.begin() + 40));
  CHECK(std::ranges::search(one, content_of(16)).empty());
}

TEST_CASE("sealed box: another key, or another's context, opens nothing", "[hash]") {
  const auto key = BoxPrivateKey::generate().value();
  const auto other = BoxPrivateKey::generate().value();
  const Buffer box = seal(key.public_key(), "ann", content_of(100));
  CHECK(open(other, "ann", box).error().kind() == ErrorKind::corrupt);
  CHECK(open(key, "bob", box).error().kind() == ErrorKind::corrupt);
  CHECK(open(key, "", box).error().kind() == ErrorKind::corrupt);
  CHECK(open(key, "ann", box));
}

TEST_CASE("sealed box: a changed byte anywhere is found", "[hash]") {
  const auto key = BoxPrivateKey::generate().value();
  const Buffer box = seal(key.public_key(), "ann", content_of(kBoxSegment + 50));
  for (const std::size_t at :
       {std::size_t{0}, std::size_t{4}, std::size_t{6}, std::size_t{8}, std::size_t{39},
        std::size_t{40}, std::size_t{5'000}, kBoxSegment + 41, kBoxSegment + 56, box.size() - 1}) {
    CAPTURE(at);
    Buffer changed = box;
    changed[at] ^= std::byte{1};
    CHECK(open(key, "ann", changed).error().kind() == ErrorKind::corrupt);
  }
}

TEST_CASE("sealed box: cut off, reordered, repeated or extended boxes are found", "[hash]") {
  const auto key = BoxPrivateKey::generate().value();
  const Buffer box = seal(key.public_key(), "ann", content_of(3 * kBoxSegment));
  constexpr std::size_t head = 40, segment = kBoxSegment + 16;
  REQUIRE(box.size() == head + 3 * segment);
  const ByteView all(box);
  for (const std::size_t left : {std::size_t{0}, std::size_t{7}, head, head + 1, head + 16,
                                 head + segment, head + 2 * segment, box.size() - 1}) {
    CAPTURE(left);
    CHECK(open(key, "ann", all.first(left)).error().kind() == ErrorKind::corrupt);
  }
  const auto joined = [&](std::initializer_list<int> order) {
    Buffer made = to_buffer(all.first(head));
    for (const int i : order) {
      const ByteView part = all.subspan(head + static_cast<std::size_t>(i) * segment, segment);
      made.insert(made.end(), part.begin(), part.end());
    }
    return made;
  };
  CHECK(open(key, "ann", joined({0, 1, 2})));
  CHECK_FALSE(open(key, "ann", joined({1, 0, 2})));
  CHECK_FALSE(open(key, "ann", joined({0, 2})));
  CHECK_FALSE(open(key, "ann", joined({0, 1, 1, 2})));
  CHECK_FALSE(open(key, "ann", joined({0, 1, 2, 2})));
  Buffer longer = box;
  longer.push_back(std::byte{0});
  CHECK_FALSE(open(key, "ann", longer));
}

TEST_CASE("sealed box: what the sink says is passed on", "[hash]") {
  const auto key = BoxPrivateKey::generate().value();
  const Buffer box = seal(key.public_key(), "ann", content_of(100));
  BoxOpener opener(key, as_view("ann"),
                   [](ByteView) -> Status { return fail(ErrorKind::out_of_space, "full"); });
  REQUIRE(opener.update(box));
  CHECK(opener.finish().error().kind() == ErrorKind::out_of_space);
}

TEST_CASE("sealed box: a key survives its PEM text; a key of another kind is none", "[hash]") {
  const auto key = BoxPrivateKey::generate().value();
  const auto again = BoxPrivateKey::from_pem(key.to_pem());
  REQUIRE(again);
  CHECK(again->public_key() == key.public_key());
  CHECK(open(*again, "ann", seal(key.public_key(), "ann", content_of(9))));
  const auto wrong = BoxPrivateKey::from_pem(
      "-----BEGIN PRIVATE KEY-----\n"
      "MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n"
      "-----END PRIVATE KEY-----\n");  // Ed25519, RFC 8410.
  REQUIRE_FALSE(wrong);
  CHECK(wrong.error().kind() == ErrorKind::invalid);
  CHECK(BoxSealer::create(BoxPublicKey{}, {}, [](ByteView) -> Status { return Done{}; })
            .error()
            .kind() == ErrorKind::invalid);
}
