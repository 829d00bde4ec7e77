#include "origin/replay.hpp"

#include <sstream>

#include "origin/sites/sites.hpp"
#include "shared/os/line_file.hpp"
#include "tests/origin/run.hpp"
#include "tests/support/memory_table.hpp"
#include "tests/support/scratch.hpp"

using namespace lamina;
using namespace lamina::origin;
using tests::Scratch;

namespace {

DeviceId device(int number) {
  std::array<std::byte, 16> bytes{};
  bytes[0] = static_cast<std::byte>(number);
  return DeviceId(bytes);
}

Moment at(int seconds) {
  return {Instant{std::chrono::seconds{seconds}}, WallTime{seconds * std::int64_t{1'000'000'000}}};
}

// A site whose holder is granted the lease, renews it once and dies; the next one takes over.
void record_a_takeover(const std::string& path) {
  MemoryTable table;
  Catalog catalog(table);
  auto file = os::LineFile::create(path, 1_MiB);
  REQUIRE(file);
  policy::DecisionLog log([&](std::string_view line) { file->add(line); });
  Sites sites(catalog, PrivateKey::generate().value(), {.record = &log});
  const std::vector<wire::Want> wants{{LayerId(), 1000}};
  REQUIRE(sites.reported("shop", device(1), {.wants = wants}, at(1)));
  REQUIRE(sites.reported("shop", device(2), {.wants = wants}, at(2)));
  REQUIRE(sites.renewed("shop", device(1), {.epoch = 1, .wants = wants}, at(3)));
  REQUIRE(sites.tick(at(9)));
  CHECK(sites.lease_holders("shop") == std::vector{device(2)});
}

int replay(const std::string& path, std::string& out, std::string& err) {
  return run({"replay", path.c_str()}, out, err);
}

}  // namespace

TEST_CASE("replay: a site's recorded decisions are decided alike", "[origin]") {
  const Scratch scratch;
  const std::string path = scratch / "record";
  record_a_takeover(path);
  std::string out;
  std::string err;
  CHECK(replay(path, out, err) == 0);
  CHECK(out == "4 decisions, all decided alike\n");
  std::ostringstream json;
  REQUIRE(run_replay(path, true, json));
  CHECK(json.str() == "{\"replay\":{\"decisions\":4,\"lines\":6}}\n");

  // Killed in the middle of a line.
  const std::string text = os::read_text(path).value();
  REQUIRE(os::write_file(path, as_view(text + "site-lease shop at 9")));
  CHECK(replay(path, out, err) == 0);
}

TEST_CASE("replay: the first decision that differs is named with its line", "[origin]") {
  const Scratch scratch;
  const std::string path = scratch / "record";
  record_a_takeover(path);
  std::string text = os::read_text(path).value();
  const std::size_t granted = text.find(" granted ");
  REQUIRE(granted != std::string::npos);
  text[granted + 9] = 'f';  // To another device.
  REQUIRE(os::write_file(path, as_view(text)));
  std::string out;
  std::string err;
  CHECK(replay(path, out, err) == 6);
  CHECK(err.find("line 3: ") != std::string::npos);
  CHECK(out.empty());
  CHECK(replay(scratch / "none", out, err) == 3);
  REQUIRE(os::write_file(path, {}));
  CHECK(replay(path, out, err) == 2);
}
