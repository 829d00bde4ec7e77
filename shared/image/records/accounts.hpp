// Account ids: layers captured apart gave the same number to different system users, or one user
// different numbers. Names decide: every name has one id on a device, and the layers' account lines
// and files get it (Debian Policy 9.2: ids below 100 and from 60000 are fixed for all systems, 100
// to 999 are given out on each, users follow).
//
//   the device has the name                           its id, always
//   the id is free                                    the layer's
//   another name has it, and it is from 100 to 59999  the lowest that is free: of 100 to 999 for
//                                                     one below 1000, else of 1000 to 59999
//   another name has it otherwise                     the layer's: both have it
// What the layers below say comes first. Names that share an id within a layer go on sharing one.
//
// Pure; any thread.
#pragma once

#include <map>
#include <span>
#include <string>
#include <vector>

#include "shared/format/entry.hpp"
#include "shared/image/records/record_list.hpp"

namespace lamina::image {

// The parsed account files of one layer, or of a device.
struct Accounts {
  RecordList passwd;
  RecordList group;
  RecordList subuid;
  RecordList subgid;
};

// A name that does not get the id that its layer says, or shares it with another name.
struct IdClash {
  enum class Kind { user, group, user_range, group_range };  // Of a range: its first id.
  Kind kind = Kind::user;
  std::string name;
  std::uint32_t wanted = 0;
  std::uint32_t given = 0;
  std::string holder;  // Who has `wanted`; "" when nobody: the device has `name` under `given`.
  bool operator==(const IdClash&) const = default;
};

struct AccountIds {
  std::map<std::string, std::uint32_t> users;
  std::map<std::string, std::uint32_t> groups;
  std::vector<IdClash> clashes;
};

// Settles the ids of all names and writes them into the layers, base first: users, their groups,
// and subordinate ranges that would overlap those of another name (a range moves to the lowest
// place from 100000 on, as useradd(8) does). Names that no layer has in the end are passed over.
// Doing it again with a device that has what came out changes nothing and finds no clash that was
// not there.
AccountIds settle_ids(std::span<Accounts> layers, const Accounts& device);

// Gives an entry of a layer the ids of its owner and group names, as far as those are known.
void renumber(format::Entry& entry, const AccountIds& ids);

}  // namespace lamina::image
