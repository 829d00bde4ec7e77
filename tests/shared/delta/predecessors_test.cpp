#include "shared/delta/predecessors.hpp"

#include <algorithm>
#include <catch2/catch.hpp>

#include "tests/support/content.hpp"

using namespace lamina;
using tests::noise;

namespace {

std::vector<std::uint64_t> fingerprints(ByteView bytes) {
  delta::Fingerprinter printer;
  printer.update(bytes);
  return printer.finish();
}

// Old contents by path; finds by path and content.
struct Old {
  delta::Predecessors known;
  std::vector<std::string> paths;

  explicit Old(const std::vector<std::pair<std::string, Buffer>>& contents) {
    for (const auto& [path, bytes] : contents) {
      known.add(path, bytes.size(), fingerprints(bytes));
      paths.push_back(path);
    }
    known.seal();
  }
  std::string find(const std::string& path, const Buffer& bytes) const {
    const auto found = known.find(path, bytes.size(), fingerprints(bytes));
    return found ? paths[*found] : "";
  }
};

}  // namespace

TEST_CASE("predecessors: version numbers and compression are left out of paths", "[delta]") {
  CHECK(delta::without_versions("usr/lib/libX.so.1.2.3") ==
        delta::without_versions("usr/lib/libX.so.1.3"));
  CHECK(delta::without_versions("lib/modules/6.1.0-50-amd64/a.ko") ==
        delta::without_versions("lib/modules/6.1.0-56-amd64/a.ko"));
  CHECK(delta::without_versions("doc/NEWS.gz") == "doc/NEWS");
  CHECK(delta::without_versions("a/b-c") == "a/b-c");
}

TEST_CASE("predecessors: same path, then same path in another version, then same name", "[delta]") {
  const Old old({{"lib/libA.so.1", noise(5000, 1)},
                 {"lib/libA.so.2", noise(5000, 2)},
                 {"old/place/tool", noise(5000, 3)}});
  CHECK(old.find("lib/libA.so.2", noise(5000, 9)) == "lib/libA.so.2");
  CHECK(old.find("lib/libA.so.3", noise(5000, 9)) == "lib/libA.so.1");
  CHECK(old.find("new/place/tool", noise(5000, 9)) == "old/place/tool");
  CHECK(old.find("new/place/other", noise(5000, 9)).empty());
}

TEST_CASE("predecessors: content that is clearly more alike wins over the path", "[delta]") {
  const Old old({{"lib/a.so", noise(400'000, 1)}, {"lib/b.so", noise(400'000, 2)}});
  CHECK(old.find("lib/a.so", noise(400'000, 2)) == "lib/b.so");
  CHECK(old.find("elsewhere/c", noise(400'000, 2)) == "lib/b.so");
  // Half of each: the path decides.
  Buffer both = noise(200'000, 1);
  const Buffer half = noise(200'000, 2);
  both.insert(both.end(), half.begin(), half.end());
  CHECK(old.find("lib/a.so", both) == "lib/a.so");
  CHECK(old.find("lib/b.so", both) == "lib/b.so");
}

TEST_CASE("predecessors: fingerprints do not depend on how content arrives", "[delta]") {
  const Buffer bytes = noise(100'000, 7);
  delta::Fingerprinter pieces;
  for (std::size_t at = 0; at < bytes.size(); at += 777)
    pieces.update(ByteView(bytes).subspan(at, std::min<std::size_t>(777, bytes.size() - at)));
  const auto found = pieces.finish();
  CHECK(found == fingerprints(bytes));
  CHECK(found.size() > 100);
  CHECK(found.size() < 300);
  CHECK(pieces.finish().empty());
  CHECK(fingerprints(Buffer(100'000)).size() <= 1);
}
