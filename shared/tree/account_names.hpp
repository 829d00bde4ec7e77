// The names behind a tree's numeric owners, from its own etc/passwd and etc/group: the machine that
// reads the tree may have other accounts. Values; any thread.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "shared/os/beneath.hpp"

namespace lamina {

class AccountNames {
 public:
  // Missing or broken files give no names; that is no error.
  static AccountNames of_tree(const os::Root& root);

  // "" when the tree has no such account.
  const std::string& user(std::uint32_t uid) const;
  const std::string& group(std::uint32_t gid) const;

 private:
  std::map<std::uint32_t, std::string> users_;
  std::map<std::uint32_t, std::string> groups_;
};

}  // namespace lamina
