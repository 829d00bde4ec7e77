// The names behind a tree's numeric owners, from its own etc/passwd and etc/group: the machine that
// reads the tree may have other accounts. Values; any thread.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "shared/os/beneath.hpp"

namespace lamina {

class AccountNames {
 public:
  // Missing or broken files give no names; that is no error.
  static AccountNames of_tree(const os::Root& root);
  // From the texts of etc/passwd and etc/group.
  static AccountNames of_texts(std::string_view passwd, std::string_view group);

  // "" when the tree has no such account.
  const std::string& user(std::uint32_t uid) const;
  const std::string& group(std::uint32_t gid) const;

  // The id behind a name; nothing for "" and for names that the tree does not have.
  std::optional<std::uint32_t> user_id(const std::string& name) const;
  std::optional<std::uint32_t> group_id(const std::string& name) const;

 private:
  // The first account of an id gives its name, and of a name its id, as the C library has it.
  struct Accounts {
    std::map<std::uint32_t, std::string> names;
    std::map<std::string, std::uint32_t> ids;
  };
  static Accounts parse(std::string_view text);

  Accounts users_;
  Accounts groups_;
};

}  // namespace lamina
