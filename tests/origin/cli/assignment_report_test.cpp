#include "origin/cli/assignment_report.hpp"

#include <catch2/catch.hpp>

#include "shared/format/needed_packs.hpp"
#include "tests/shared/image/layers.hpp"
#include "tests/support/ids.hpp"

using namespace lamina;
using namespace lamina::origin::cli;
using lamina::tests::id_of;
using lamina::tests::Layers;

namespace {

using Packs = std::map<LayerId, LayerPacks>;

const LayerId kOld = id_of<LayerId>(1), kNew = id_of<LayerId>(2), kApp = id_of<LayerId>(3);

format::DistributedPack pack(int n, std::uint64_t size, std::vector<LayerId> unless = {}) {
  return {.id = id_of<PackId>(n), .size = size, .unless = std::move(unless)};
}

constexpr std::int64_t kDayMs = std::int64_t{24} * 3600 * 1000;
const WallTime kNow{100 * kDayMs * 1'000'000};

wire::DeviceInfo till() {
  return {.id = id_of<DeviceId>(1),
          .attributes = {{"architecture", "x86_64"}},
          .seen_ms = 99 * kDayMs,
          .disk = wire::DiskSpace{.free_bytes = std::int64_t{10} << 30, .total_bytes = 1}};
}

}  // namespace

TEST_CASE("assignment report: what two stacks differ in, without what is the device's own",
          "[cli]") {
  Layers layers;
  const auto base = layers.add("base", {{"bin/sh", "shell"},
                                        {"etc/issue", "one"},
                                        {"etc/hostname", "reference"},
                                        {"etc/old", "old"},
                                        {"opt/kept", "same"}});
  const auto next = layers.add("base", {{"bin/sh", "shell"},
                                        {"etc/issue", "two, longer"},
                                        {"etc/hostname", "other"},
                                        {"etc/new", "new"},
                                        {"opt/kept", "same", 0600}});
  std::map<std::string, PathChange> paths;
  const auto change =
      compare_stacks({base}, {next}, layers.source(), {},
                     [&](PathChange what, const std::string& path) { paths.emplace(path, what); });
  REQUIRE(change);
  CHECK(paths == std::map<std::string, PathChange>{{"etc/issue", PathChange::replaces},
                                                   {"etc/new", PathChange::adds},
                                                   {"etc/old", PathChange::removes},
                                                   {"opt/kept", PathChange::metadata}});
  CHECK((change->adds == 1 && change->replaces == 1 && change->metadata == 1 &&
         change->removes == 1));
  CHECK(change->to_write == Bytes{14});
  CHECK(space_for(*change) == Bytes{14 + 2 * 4096 + (64 << 20)});

  const auto first = compare_stacks({}, {base}, layers.source(), {}, [](auto, const auto&) {});
  REQUIRE(first);
  CHECK(first->removes == 0);
  const auto none = compare_stacks({base}, {base}, layers.source(), {}, [](auto, const auto&) {});
  CHECK(none.value() == StackChange{});
}

TEST_CASE("assignment report: a pack is fetched once, and none that the device has", "[cli]") {
  const LayerPacks old = {pack(1, 100), pack(2, 50)};
  CHECK(to_download({{kOld, old}}, {}) == Bytes{150});
  CHECK(to_download({{kOld, old}, {kApp, {pack(2, 50), pack(3, 7)}}}, {}) == Bytes{157});
  CHECK(to_download({{kNew, {pack(1, 100), pack(4, 9)}}}, {{kOld, old}}) == Bytes{9});
  // Written anew for those without the old layer.
  const Packs fresh{{kNew, {pack(5, 80, {kOld}), pack(6, 4)}}};
  CHECK(to_download(fresh, {}) == Bytes{84});
  CHECK(to_download(fresh, {{kOld, old}}) == Bytes{4});
}

TEST_CASE("assignment report: a device with the version before fetches the update", "[cli]") {
  const LayerPacks old = {pack(1, 100), pack(2, 50)};
  LayerPacks next = {pack(1, 100), pack(7, 60), pack(8, 40), pack(9, 6)};
  next[1].unless_updated = {kOld};
  next[3].update_from = {kOld};
  CHECK(to_download({{kNew, next}}, {}) == Bytes{200});
  CHECK(to_download({{kNew, next}}, {{kOld, old}}) == Bytes{46});
  CHECK(to_download({{kNew, next}}, {{kApp, {pack(8, 40)}}}) == Bytes{160});
  // With nothing, and less of it to save for who has the version before.
  next.push_back(pack(10, 70));
  next[4].update_from = {format::kNoLayer};
  next[0].unless_updated = {format::kNoLayer};
  next[1].unless_updated = {format::kNoLayer, kOld};
  CHECK(to_download({{kNew, next}}, {}) == Bytes{110});
  CHECK(to_download({{kNew, next}}, {{kOld, old}}) == Bytes{46});
  // What the update stands for is there already.
  CHECK(to_download({{kNew, next}}, {{kOld, old}, {kApp, {pack(7, 60)}}}) == Bytes{40});
}

TEST_CASE("assignment report: what to know before", "[cli]") {
  const wire::LayerInfo base{.name = "debian", .version = "12", .architecture = "x86_64"};
  CHECK(warnings_for(till(), Bytes{1000}, &base, kNow).empty());
  const auto only = [&](const wire::DeviceInfo& device, const char* word, Bytes download = Bytes{1},
                        const wire::LayerInfo* of = nullptr) {
    const auto warnings = warnings_for(device, download, of, kNow);
    REQUIRE(warnings.size() == 1);
    CHECK_THAT(warnings[0], Catch::Contains(word));
  };
  auto device = till();
  device.seen_ms = 0;
  only(device, "never heard of");
  device.seen_ms = 80 * kDayMs;
  only(device, "not heard of for");
  device = till();
  device.waiting = "10.0.0.9 is in no site's networks";
  only(device, "10.0.0.9");
  device = till();
  device.target = {"debian:12"};
  device.target_sequence = 2;
  device.applied_sequence = 1;
  only(device, "not applied its last assignment");
  const wire::LayerInfo arm{.name = "debian", .version = "12", .architecture = "aarch64"};
  only(till(), "architecture 'x86_64', and layer debian:12 is for 'aarch64'", Bytes{1}, &arm);
  only(till(), "the disk of its cache", Bytes{std::int64_t{11} << 30});
}
