#include "shared/policy/site_placement.hpp"

#include <algorithm>
#include <catch2/catch.hpp>

using namespace lamina::policy;

namespace {

Subnet net(const char* text) { return parse_subnet(text).value(); }

// Two branches behind one provider address, one of its own with the same inner subnet, one by hand.
const std::vector<SiteNetworks> kSites{
    {"north", {net("192.168.1.0/24")}, {net("203.0.113.7")}, true, false},
    {"annex", {net("192.168.2.0/24")}, {net("203.0.113.7")}, true, true},
    {"south", {net("192.168.1.0/24")}, {net("198.51.100.0/28")}, true, false},
    {"vault", {net("10.9.0.0/16"), net("2001:db8::/64")}, {net("203.0.113.9")}, false, true},
    {"twin", {net("192.168.2.0/25")}, {net("203.0.113.0/24")}, true, false},
    {"plain", {}, {}, false, false},
};

struct Case {
  const char* name;
  PlacedBy by;
  const char* site;
  const char* public_address;
  const char* lan_address;
  const char* result;  // A site; "" for Stay; "?" and a word of the reason.
};

const Case kCases[] = {
    // Never placed.
    {"one site fits", PlacedBy::nobody, "", "203.0.113.7", "192.168.1.5", "north"},
    {"same subnet, other line", PlacedBy::nobody, "", "198.51.100.3", "192.168.1.5", "south"},
    {"several fit", PlacedBy::nobody, "", "203.0.113.7", "192.168.2.5", "?annex, twin"},
    {"half fits", PlacedBy::nobody, "", "203.0.113.7", "192.168.7.5", "?no site"},
    {"other half fits", PlacedBy::nobody, "", "192.0.2.1", "192.168.1.5", "?no site"},
    {"a site that is not automatic", PlacedBy::nobody, "", "203.0.113.9", "10.9.1.1", "?no site"},
    {"address unknown", PlacedBy::nobody, "", "203.0.113.7", "", ""},
    {"public address unknown", PlacedBy::nobody, "", "", "192.168.1.5", ""},
    // Placed by its network.
    {"stays", PlacedBy::network, "north", "203.0.113.7", "192.168.1.6", "north"},
    {"roams", PlacedBy::network, "north", "198.51.100.3", "192.168.1.5", "south"},
    {"roams to where several fit", PlacedBy::network, "north", "203.0.113.7", "192.168.2.5",
     "?several"},
    {"is in one of several", PlacedBy::network, "twin", "203.0.113.7", "192.168.2.5", "twin"},
    {"is in a strange network", PlacedBy::network, "north", "192.0.2.1", "192.168.1.5",
     "?192.0.2.1"},
    {"does not know where it is yet", PlacedBy::network, "north", "192.0.2.1", "", ""},
    {"its site is gone", PlacedBy::network, "old", "203.0.113.7", "192.168.1.5", "north"},
    // Placed by a person.
    {"anywhere, where the site does not enforce", PlacedBy::person, "north", "192.0.2.1",
     "172.16.0.1", "north"},
    {"never moved", PlacedBy::person, "north", "198.51.100.3", "192.168.1.5", "north"},
    {"in a site without networks", PlacedBy::person, "plain", "192.0.2.1", "172.16.0.1", "plain"},
    {"at an enforcing site", PlacedBy::person, "vault", "203.0.113.9", "10.9.200.1", "vault"},
    {"at it by IPv6", PlacedBy::person, "vault", "203.0.113.9", "2001:db8::5", "vault"},
    {"away from it", PlacedBy::person, "vault", "203.0.113.9", "10.8.0.1", "?vault"},
    {"behind another line", PlacedBy::person, "vault", "203.0.113.7", "10.9.0.1", "?vault"},
    {"away, at another site", PlacedBy::person, "annex", "198.51.100.3", "192.168.1.5", "?annex"},
};

}  // namespace

TEST_CASE("site placement: each case, whatever the order of the sites", "[policy]") {
  for (const Case& c : kCases) {
    const PlacementQuestion question{.by = c.by,
                                     .site = c.site,
                                     .public_address = parse_address(c.public_address),
                                     .lan_address = parse_address(c.lan_address)};
    auto sites = kSites;
    for (int turn = 0; turn < 2; ++turn, std::ranges::reverse(sites)) {
      INFO(c.name << ", turn " << turn);
      const Placement placement = place(sites, question);
      const std::string expected = c.result;
      if (expected.empty()) {
        CHECK(placement == Placement(Stay{}));
      } else if (expected.front() == '?') {
        REQUIRE(std::holds_alternative<Wait>(placement));
        const std::string& why = std::get<Wait>(placement).why;
        CHECK(why.find(expected.substr(1)) != std::string::npos);
        // Both values and the next step.
        CHECK(why.find(c.public_address) != std::string::npos);
        CHECK(why.find(c.lan_address) != std::string::npos);
        CHECK(why.find("`lamina site edit") != std::string::npos);
      } else {
        CHECK(placement == Placement(GoTo{expected}));
      }
    }
  }
}

TEST_CASE("site placement: where no site is automatic a new device waits for a person",
          "[policy]") {
  const PlacementQuestion question{.public_address = parse_address("203.0.113.7"),
                                   .lan_address = parse_address("192.168.1.5")};
  CHECK(place({}, question) == Placement(Stay{}));
  auto sites = kSites;
  for (SiteNetworks& site : sites) site.automatic = false;
  CHECK(place(sites, question) == Placement(Stay{}));
}

TEST_CASE("subnet: addresses and networks in their one form", "[policy]") {
  CHECK(text_of(net("10.1.4.0/24")) == "10.1.4.0/24");
  CHECK(text_of(net("10.1.4.7/32")) == "10.1.4.7");
  CHECK(text_of(net("2001:DB8:0::/48")) == "2001:db8::/48");
  CHECK(contains(net("0.0.0.0/0"), net("10.1.4.7")));
  CHECK_FALSE(contains(net("0.0.0.0/0"), net("::1")));
  for (const char* bad : {"", "/", "10.1.4.0/", "10.1.4.0/33", "10.1.4.7/24", "10.1.4", "::1/129",
                          "10.1.4.0/-1", "10.1.4.0/2x", "fe80::1%eth0", "[::1]"}) {
    INFO(bad);
    CHECK_FALSE(parse_subnet(bad));
  }
}
