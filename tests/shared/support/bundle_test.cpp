#include "shared/support/bundle.hpp"

#include <archive.h>
#include <archive_entry.h>
#include <sys/stat.h>

#include <catch2/catch.hpp>

#include "shared/net/certificates.hpp"
#include "tests/support/scratch.hpp"

using namespace lamina;
using namespace lamina::support;

namespace {

constexpr WallTime kNow{1'700'000'000'000'000'000};

// The entries of a tar file.
std::map<std::string, std::string> read_tar(const std::string& path) {
  std::map<std::string, std::string> entries;
  ::archive* in = archive_read_new();
  archive_read_support_format_tar(in);
  REQUIRE(archive_read_open_filename(in, path.c_str(), 65536) == ARCHIVE_OK);
  archive_entry* entry = nullptr;
  while (archive_read_next_header(in, &entry) == ARCHIVE_OK) {
    std::string text(static_cast<std::size_t>(archive_entry_size(entry)), '\0');
    REQUIRE(archive_read_data(in, text.data(), text.size()) ==
            static_cast<la_ssize_t>(text.size()));
    CHECK(archive_entry_mtime(entry) == kNow.ns / 1'000'000'000);
    entries[archive_entry_pathname(entry)] = text;
  }
  archive_read_free(in);
  return entries;
}

}  // namespace

TEST_CASE("bundle: its parts are read back, and it is its owner's only", "[support]") {
  const tests::Scratch scratch;
  const std::string path = scratch / "bundle.tar";
  auto bundle = Bundle::create(path, "lamina-test", kNow);
  REQUIRE(bundle);
  const std::string large(3'000'000, 'x');
  REQUIRE(bundle->add("large.txt", large));
  REQUIRE(bundle->add_or_note("known.txt", std::string("yes\n")));
  REQUIRE(bundle->add_or_note("unknown.txt", fail(ErrorKind::not_found, "it is\nnowhere")));
  REQUIRE(bundle->finish());
  struct stat facts {};
  REQUIRE(::stat(path.c_str(), &facts) == 0);
  CHECK((facts.st_mode & 07777) == 0600);
  const auto entries = read_tar(path);
  CHECK(entries.at("large.txt") == large);
  CHECK(entries.at("known.txt") == "yes\n");
  CHECK_FALSE(entries.contains("unknown.txt"));
  CHECK(entries.at("problems.txt") == "unknown.txt: it is\\x0anowhere\n");
  CHECK_THAT(entries.at("versions.txt"), Catch::StartsWith("lamina-test " LAMINA_VERSION));
}

TEST_CASE("bundle: an existing file is left alone, and an unfinished one goes", "[support]") {
  const tests::Scratch scratch;
  const std::string path = scratch / "bundle.tar";
  REQUIRE(os::write_file(path, as_view(std::string_view("mine"))));
  const auto taken = Bundle::create(path, "lamina-test", kNow);
  REQUIRE_FALSE(taken);
  CHECK(taken.error().kind() == ErrorKind::refused);
  CHECK(os::read_text(path).value() == "mine");
  { auto unfinished = Bundle::create(scratch / "other.tar", "lamina-test", kNow); }
  CHECK_FALSE(os::exists(scratch / "other.tar"));
}

TEST_CASE("bundle: sizes and permissions without the files' content", "[support]") {
  const tests::Scratch scratch;
  for (const char* folder : {"data/keys", "data/packs/a/b/c"})
    REQUIRE(os::make_directories(scratch / folder, 0750));
  const auto write = [&](const std::string& name, const std::string& text, mode_t mode) {
    REQUIRE(os::write_file(scratch / ("data/" + name), as_view(text), mode));
  };
  write("settings", "public", 0644);
  write("keys/a.key", "SECRETSECRET", 0600);
  write("packs/one", "12345", 0644);
  write("packs/a/b/c/two", "1234567", 0644);
  auto bundle = Bundle::create(scratch / "bundle.tar", "lamina-test", kNow);
  REQUIRE(bundle);
  REQUIRE(bundle->add_sizes(scratch / "data", {"keys"}));
  REQUIRE(bundle->finish());
  const auto text = read_tar(scratch / "bundle.tar").at("sizes.txt");
  CHECK_THAT(text, Catch::Contains("0600 ") && Catch::Contains(" 12 ") &&
                       Catch::Contains("keys/a.key\n") && Catch::Contains("settings\n") &&
                       Catch::Contains("packs/\n  2 files, 12 bytes in all\n"));
  CHECK_THAT(text, !Catch::Contains("SECRET") && !Catch::Contains("packs/one") &&
                       !Catch::Contains("b/c/"));
}

TEST_CASE("bundle: of certificates the facts, of what is none a problem", "[support]") {
  const tests::Scratch scratch;
  const auto ca = net::make_ca("Test CA");
  REQUIRE(ca);
  REQUIRE(os::write_file(scratch / "ca.pem", as_view(ca->certificate_pem)));
  REQUIRE(os::write_file(scratch / "ca.key", as_view(ca->key_pem)));
  auto bundle = Bundle::create(scratch / "bundle.tar", "lamina-test", kNow);
  REQUIRE(bundle);
  REQUIRE(bundle->add_certificates(
      {{"ca", scratch / "ca.pem"}, {"key", scratch / "ca.key"}, {"none", scratch / "none.pem"}}));
  REQUIRE(bundle->finish());
  const auto entries = read_tar(scratch / "bundle.tar");
  CHECK_THAT(entries.at("certificates.json"), Catch::Contains("Test CA"));
  CHECK_THAT(entries.at("problems.txt"), Catch::Contains("the certificate of key: ") &&
                                             Catch::Contains("the certificate of none: "));
  for (const auto& [name, text] : entries) CHECK_THAT(text, !Catch::Contains("-----"));
}
