#include "origin/catalog/upgrade.hpp"

#include <catch2/catch.hpp>

using namespace lamina;
using namespace lamina::origin;

namespace {

wire::LayerInfo layer(const std::string& name, const std::string& version, const std::string& kind,
                      const std::string& release = "12") {
  return {.name = name,
          .version = version,
          .kind = kind,
          .os_family = "linux",
          .distribution = "debian",
          .release = release,
          .architecture = "x86_64"};
}

const std::vector<wire::LayerInfo> kLayers{
    layer("debian", "12", "base"), layer("firefox", "9", "app"), layer("firefox", "10", "app"),
    layer("firefox-esr", "1", "app"), layer("old", "11", "base", "11")};

wire::DeviceInfo device(std::uint8_t number, std::vector<std::string> target) {
  wire::DeviceInfo info;
  info.id = *DeviceId::parse(std::string(30, '0') +
                             to_hex(ByteView({reinterpret_cast<const std::byte*>(&number), 1})));
  info.status = wire::DeviceStatus::assigned;
  info.target = std::move(target);
  return info;
}

}  // namespace

TEST_CASE("upgrade: devices with an older version move, the rest of their stacks stays",
          "[catalog]") {
  std::vector<wire::DeviceInfo> devices{device(1, {"debian:12", "firefox:9", "firefox-esr:1"}),
                                        device(2, {"debian:12", "firefox:10"}),
                                        device(3, {}),
                                        device(4, {"debian:12", "firefox-esr:1"}),
                                        device(5, {"debian:12", "firefox:9", "firefox-esr:1"}),
                                        device(6, {"debian:12", "firefox:9"})};
  devices.push_back(device(7, {"debian:12", "firefox:9"}));
  devices.back().status = wire::DeviceStatus::rejected;
  const auto upgrade = plan_upgrade(kLayers, devices, "firefox", {});
  REQUIRE(upgrade);
  CHECK(upgrade->to == "firefox:10");
  REQUIRE(upgrade->moves.size() == 2);
  CHECK(upgrade->moves[0].devices.size() == 1);
  CHECK(upgrade->moves[0].layers == std::vector<std::string>{"debian:12", "firefox:10"});
  CHECK(upgrade->moves[1].devices.size() == 2);
  CHECK(upgrade->moves[1].from == "firefox:9");
  CHECK(upgrade->moves[1].layers ==
        std::vector<std::string>{"debian:12", "firefox:10", "firefox-esr:1"});
  for (const wire::UpgradeMove& move : upgrade->moves) CHECK_FALSE(move.refused);
}

TEST_CASE("upgrade: a version that does not fit is refused with both values", "[catalog]") {
  const std::vector<wire::DeviceInfo> devices{device(1, {"old:11", "firefox:9"})};
  const auto upgrade = plan_upgrade(kLayers, devices, "firefox", {});
  REQUIRE(upgrade);
  REQUIRE(upgrade->moves.size() == 1);
  REQUIRE(upgrade->moves[0].refused);
  CHECK_THAT(*upgrade->moves[0].refused,
             Catch::Matchers::Contains("'12'") && Catch::Matchers::Contains("'11'"));
}

TEST_CASE("upgrade: a name that no layer has is not found", "[catalog]") {
  const auto upgrade = plan_upgrade(kLayers, {}, "fire", {});
  REQUIRE_FALSE(upgrade);
  CHECK(upgrade.error().kind() == ErrorKind::not_found);
}
