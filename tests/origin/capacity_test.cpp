#include "origin/capacity.hpp"

#include "tests/origin/kept.hpp"

using namespace lamina;
using namespace lamina::tests;

namespace {

constexpr std::int64_t kDay = std::int64_t{24} * 3600 * 1'000'000'000;

}  // namespace

TEST_CASE("capacity: growth is the slope of the daily sums", "[origin]") {
  const WallTime now{100 * kDay};
  const auto ago = [&](int days, std::int64_t size) {
    return Arrival{WallTime{now.ns - days * kDay - 1}, Bytes{size}};
  };
  CHECK_FALSE(growth_a_day({}, now));
  CHECK_FALSE(growth_a_day({ago(0, 5), ago(1, 5)}, now));
  // Ten bytes each day.
  std::vector<Arrival> even;
  for (int day = 0; day < 10; ++day) even.push_back(ago(day, 10));
  CHECK(growth_a_day(even, now).value() == Approx(10));
  // What came long before the last 30 days is no growth, however much it is.
  even.push_back(ago(90, 1'000'000));
  std::vector<Arrival> old{ago(90, 1'000'000)};
  CHECK(growth_a_day(old, now).value() == Approx(0).margin(1e-6));
  // Sums 10, 10, 40: the line of least squares rises by 15 a day.
  CHECK(growth_a_day({ago(2, 10), ago(0, 30)}, now).value() == Approx(15));
  // What went was there before: a pack that is written anew is no growth.
  std::vector<Arrival> collected{ago(40, 100)};
  CHECK(growth_a_day(collected, now).value() == Approx(0).margin(1e-6));
  collected.push_back(ago(3, 20));
  CHECK(growth_a_day(collected, now).value() > 0);
  collected.push_back(ago(3, -20));
  CHECK(growth_a_day(collected, now).value() == Approx(0).margin(1e-6));
  collected.push_back(ago(1, -40));
  CHECK(growth_a_day(collected, now).value() < 0);
  // A clock that was wrong.
  CHECK_FALSE(growth_a_day({ago(-5, 10)}, now));
}

TEST_CASE("capacity: layers and devices have what is theirs", "[origin]") {
  Kept kept;
  {
    const auto table = JournaledTable::open(kept.data.catalog(), kept.data.journal()).value();
    Catalog catalog(*table);
    const auto token = catalog.create_token(
        {"test", {1}}, {.name = "t", .kind = "enrol", .uses = 1, .ttl_ms = 1000});
    wire::EnrolRequest request{.token = token->secret};
    request.host_name = "pc1";
    REQUIRE(catalog.enrol({2}, request, kept.device, std::string(64, 'a')));
  }
  const auto report = [&] {
    REQUIRE(kept.run({"capacity", "--data", kept.path.c_str(), "--json"}) == 0);
    return nlohmann::json::parse(kept.out).at("capacity");
  };
  auto before = report();
  CHECK(before.at("spaces").at("layers") > 0);
  CHECK(before.at("spaces").at("catalogue") > 0);
  CHECK(before.at("unneeded_bytes") == 0);
  const auto own = before.at("devices").at(0);
  CHECK(own.at("name").get<std::string>().starts_with("pc1"));
  // Noise: it is stored as it is.
  CHECK(own.at("unique_bytes") >= 5000);
  CHECK(own.at("unique_bytes") < 5100);
  CHECK(own.at("shared_bytes") == 0);
  const auto layer = before.at("layers").at(0).at("unique_bytes").get<std::int64_t>();
  CHECK(layer > 0);
  {
    // A second device with the same content.
    const auto table = JournaledTable::open(kept.data.catalog(), kept.data.journal()).value();
    Catalog catalog(*table);
    const auto token = catalog.create_token(
        {"test", {1}}, {.name = "u", .kind = "enrol", .uses = 1, .ttl_ms = 1000});
    const wire::EnrolRequest request{.token = token->secret};
    const DeviceId other;
    REQUIRE(catalog.enrol({2}, request, other, std::string(64, 'b')));
    REQUIRE(catalog.link_chunks(other, {ref_of(kept.own).id}));
  }
  const auto after = report();
  CHECK(after.at("devices").size() == 2);
  for (const auto& device : after.at("devices")) {
    CHECK(device.at("unique_bytes") == 0);
    CHECK(device.at("shared_bytes") == own.at("unique_bytes"));
  }
  CHECK(kept.run({"capacity", "--data", kept.path.c_str()}) == 0);
  CHECK(kept.out.find("debian:1.0") != std::string::npos);
  CHECK(kept.out.find("not known before") != std::string::npos);
  CHECK(kept.run({"capacity", "--data", "/nowhere"}) == 3);
}
