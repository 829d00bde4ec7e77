// HeldPolicy: the policy that this device keeps to, in work/policy.
//
// No file: the factory rules alone, as on a device that never had one. A file that cannot be read
// is no such device: until the origin's word comes anew, nothing may be scanned or applied, because
// what is the users' own is not known. Single-threaded.
#pragma once

#include <optional>
#include <string>

#include "shared/image/protection.hpp"
#include "shared/wire/policy.hpp"

namespace lamina::node {

class HeldPolicy {
 public:
  explicit HeldPolicy(std::string path);

  // Written down first. On an error (`invalid`: what is wrong with it) the one before stays.
  Result<image::Protection> take(const wire::Policy& policy);

  // With trouble, the id is one that no policy has.
  const wire::Policy& policy() const { return policy_; }
  // `unavailable` as long as none is known.
  Status known() const;
  // Of a policy that is known.
  Result<image::Protection> protection() const { return image::Protection::make(policy_.rules); }

 private:
  Status load();

  std::string path_;
  wire::Policy policy_;
  std::optional<Error> trouble_;
};

}  // namespace lamina::node
