// Which site a device belongs to, by the networks that it is in.
//
// A site declares public addresses (what the origin sees its devices come from) and subnets (their
// own addresses). A device is *at* a site when both fit; a site that lacks either has nobody at it
// by its networks. Two steps of trust come before: the device was enrolled with a token, and an
// administrator let the site take devices by itself (`automatic`) or keep to its networks
// (`enforce`). A site that does neither goes by what a person said alone.
//
// Pure; any thread.
#pragma once

#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "shared/policy/subnet.hpp"

namespace lamina::policy {

struct SiteNetworks {
  std::string site;
  std::vector<Subnet> subnets;
  std::vector<Subnet> publics;
  bool automatic = false;
  bool enforce = false;
};

// How a device came to the site that it has.
enum class PlacedBy { nobody, person, network };

struct PlacementQuestion {
  PlacedBy by = PlacedBy::nobody;
  std::string site;  // That it has; empty: none.
  // Nothing: not known yet, which moves nobody.
  std::optional<Subnet> public_address;
  std::optional<Subnet> lan_address;
};

// What to do: all stays, or it goes to a site (back to its own too), or it waits: no peers and no
// lease until it is at a site, with the reason for people.
struct Stay {
  bool operator==(const Stay&) const = default;
};
struct GoTo {
  std::string site;
  bool operator==(const GoTo&) const = default;
};
struct Wait {
  std::string why;  // Both addresses, what they fit, and the next step.
  bool operator==(const Wait&) const = default;
};
using Placement = std::variant<Stay, GoTo, Wait>;

// The order of `sites` decides nothing.
Placement place(const std::vector<SiteNetworks>& sites, const PlacementQuestion& question);

}  // namespace lamina::policy
