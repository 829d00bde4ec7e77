#include "shared/format/entry.hpp"

#include <catch2/catch.hpp>

#include "tests/shared/format/samples.hpp"

using namespace lamina;
using namespace lamina::format;

namespace {

Result<Entry> again(const Entry& entry) {
  Writer out;
  encode_entry(entry, "usr/bin/aa", out);
  Reader in(out.view());
  auto read = decode_entry(in, "usr/bin/aa");
  if (read) CHECK(in.finished());
  return read;
}

}  // namespace

TEST_CASE("entry: every kind reads back as it was", "[format]") {
  for (const Entry& entry : samples::every_kind()) {
    CAPTURE(entry.path);
    REQUIRE(check_entry(entry));
    const auto read = again(entry);
    REQUIRE(read);
    CHECK(*read == entry);
  }
}

TEST_CASE("entry: one with record changes reads back, and an old program refuses it", "[format]") {
  Entry entry = samples::file("etc/passwd", 300);
  Writer plain, marked;
  encode_entry(entry, "", plain);
  entry.record_changes = true;
  REQUIRE(check_entry(entry));
  encode_entry(entry, "", marked);
  const auto read = again(entry);
  REQUIRE(read);
  CHECK(*read == entry);
  // They differ in the flags alone, of which a program knew only the lowest bit.
  REQUIRE(plain.size() == marked.size());
  std::size_t differing = 0;
  for (std::size_t i = 0; i < plain.size(); ++i)
    if (plain.view()[i] != marked.view()[i]) {
      ++differing;
      CHECK(marked.view()[i] == std::byte{2});
    }
  CHECK(differing == 1);
}

TEST_CASE("entry: cut off anywhere, it is invalid", "[format]") {
  for (const Entry& entry : samples::every_kind()) {
    Writer out;
    encode_entry(entry, "", out);
    for (std::size_t size = 0; size < out.size(); ++size) {
      Reader in(out.view().first(size));
      CHECK_FALSE(decode_entry(in, ""));
    }
  }
}

TEST_CASE("entry: fields that disagree are refused with the path and the reason", "[format]") {
  const auto refused = [](const char* reason, auto change) {
    Entry entry = samples::file("usr/bin/tool", 1000);
    change(entry);
    CAPTURE(reason);
    const auto good = check_entry(entry);
    REQUIRE_FALSE(good);
    CHECK(good.error().kind() == ErrorKind::invalid);
    CHECK(good.error().text().find(reason) != std::string::npos);
  };
  refused("absolute", [](Entry& e) { e.path = "/etc/passwd"; });
  refused("'..'", [](Entry& e) { e.path = "a/../../etc"; });
  refused("add up", [](Entry& e) { e.size = 999; });
  refused("empty chunk", [](Entry& e) { e.chunks.push_back({}); });
  refused("07777", [](Entry& e) { e.mode = 0100644; });
  refused("no link", [](Entry& e) { e.target = "x"; });
  refused("not sparse", [](Entry& e) { e.extents = {{0, 1000}}; });
  refused("outside", [](Entry& e) { e.sparse = true, e.extents = {{500, 501}}; });
  refused("outside", [](Entry& e) { e.sparse = true, e.extents = {{UINT64_MAX, 2}}; });
  refused("out of order", [](Entry& e) { e.sparse = true, e.extents = {{10, 10}, {5, 1}}; });
  refused("record changes but is sparse", [](Entry& e) {
    e.sparse = e.record_changes = true, e.extents = {{0, 1000}};
  });
  refused("no file", [](Entry& e) {
    e = {.path = "a", .kind = EntryKind::symlink, .record_changes = true, .target = "x"};
  });
  refused("no device", [](Entry& e) { e.device_major = 1; });
  refused("out of order", [](Entry& e) { e.attributes = {{"user.b", ""}, {"user.a", ""}}; });
  refused("bad name", [](Entry& e) { e.attributes = {{"", "x"}}; });
  refused("64 KiB", [](Entry& e) { e.attributes = {{"user.a", std::string(65537, 'x')}}; });
  refused("no file", [](Entry& e) { e.kind = EntryKind::fifo; });
  refused("root", [](Entry& e) { e.path = ""; });
  refused("come before",
          [](Entry& e) { e = {.path = "b", .kind = EntryKind::hard_link, .target = "c"}; });
  refused("cannot have",
          [](Entry& e) { e = {.path = "b", .kind = EntryKind::whiteout, .mode = 1}; });
}

TEST_CASE("entry: a path has one encoding", "[format]") {
  Writer out;
  out.varint(0);  // "usr/bin/ab" shares "usr/bin/a" with the path before.
  out.text("usr/bin/ab");
  out.u8(static_cast<std::uint8_t>(EntryKind::whiteout));
  Reader in(out.view());
  const auto read = decode_entry(in, "usr/bin/aa");
  REQUIRE_FALSE(read);
  CHECK(read.error().text().find("shortest form") != std::string::npos);
}
