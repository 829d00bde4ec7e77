#include "origin/cli/addressees.hpp"

#include <set>

#include "origin/cli/session.hpp"
#include "shared/wire/device_pages.hpp"

namespace lamina::origin::cli {

void Addressees::add_options(CLI::App& command) {
  auto* to = command.add_option_group("to")->require_option(1);
  to->add_option("--site", site, "every device of this site");
  to->add_option("--collection", collection, "every device that is in this collection now");
  to->add_option("--device", devices, "one device, 32 hex digits; several allowed");
}

Status Addressees::put_into(wire::AssignmentRequest& request) const {
  request.site = site;
  if (!collection.empty()) request.collection = collection;
  for (const std::string& word : devices) {
    auto id = DeviceId::parse(word);
    if (!id) return fail(std::move(id.error()).in("--device"));
    request.devices.push_back(*id);
  }
  return Done{};
}

Result<std::vector<wire::DeviceInfo>> devices_of(Session& session,
                                                 const std::vector<DeviceId>& meant) {
  const std::set<DeviceId> ids(meant.begin(), meant.end());
  std::vector<wire::DeviceInfo> devices;
  const auto get = [&](const std::string& path) { return session.get(path); };
  Status listed = wire::for_each_device(get, [&](wire::DeviceInfo&& device) {
    if (ids.contains(device.id)) devices.push_back(std::move(device));
  });
  if (!listed) return fail(std::move(listed.error()));
  return devices;
}

}  // namespace lamina::origin::cli
