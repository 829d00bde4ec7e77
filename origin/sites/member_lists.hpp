// MemberLists: the signed list of each site's devices, which they go by while the origin cannot be
// reached.
//
// A list says who belongs to the site by the registry, up or not, with the address and ports that
// each said last. It is signed anew when that differs, at most every `settle` for a site, with a
// sequence that only grows: past the last one and past the wall clock, so that a registry restored
// from a backup does not issue numbers again. It is in the catalogue before anybody sees it.
//
// Loop thread only.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "origin/catalog/catalog.hpp"
#include "shared/format/record.hpp"
#include "shared/hash/ed25519.hpp"

namespace lamina::origin {

class MemberLists {
 public:
  // While many devices of a site start, each would change the list for all the others.
  static constexpr Duration kSettle = std::chrono::seconds{5};

  // Both outlive this.
  MemberLists(Catalog& catalog, const PrivateKey& key) : catalog_(catalog), key_(key) {}

  // How a device stands in the registry now.
  void note(const wire::DeviceInfo& device);
  // It is in the registry no more, or cannot be read.
  void forget(const DeviceId& device);

  // The list of the site for `device` when that holds another sequence than `known`; none: it has
  // the newest, or the newest does not name it yet. Fails with the catalogue's errors.
  Result<std::optional<Buffer>> newer(const std::string& site, const DeviceId& device,
                                      std::uint64_t known, Instant now, WallTime wall);

  // The sequence of the site's newest list; 0: there is none.
  std::uint64_t issued(const std::string& site) const;

 private:
  struct Site {
    std::map<DeviceId, format::SiteMember> members;
    bool is_dirty = true;
    format::SiteMembers issued;  // Sequence 0: none yet.
    Buffer envelope;
    std::optional<Instant> signed_at;
  };

  Status load();
  void put(const wire::DeviceInfo& device);
  Status renew(const std::string& name, Site& site, Instant now, WallTime wall);

  Catalog& catalog_;
  const PrivateKey& key_;
  bool is_loaded_ = false;
  std::map<std::string, Site> sites_;
  std::map<DeviceId, std::string> places_;
};

}  // namespace lamina::origin
