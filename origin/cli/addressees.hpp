// For whom a command is: one of --site, --collection and --device.
#pragma once

#include <string>
#include <vector>

#include "shared/wire/admin.hpp"

namespace CLI {
class App;
}

namespace lamina::origin::cli {

struct Session;

struct Addressees {
  std::string site;
  std::string collection;
  std::vector<std::string> devices;

  // The struct must outlive the command.
  void add_options(CLI::App& command);

  // Fills in who is meant. `invalid` names an option that is no device.
  Status put_into(wire::AssignmentRequest& request) const;
};

// What the origin knows of `meant`, in the order of their ids; those that it does not know are left
// out. Asks for all devices, page by page.
Result<std::vector<wire::DeviceInfo>> devices_of(Session& session,
                                                 const std::vector<DeviceId>& meant);

}  // namespace lamina::origin::cli
