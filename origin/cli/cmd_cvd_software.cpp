#include <nlohmann/json.hpp>

#include "origin/cli/cvd_commands.hpp"
#include "origin/cli/remote_snapshot.hpp"
#include "origin/cli/session.hpp"
#include "shared/base/wildcard.hpp"
#include "shared/image/records/packages.hpp"
#include "shared/image/records/record_format.hpp"
#include "shared/wire/admin.hpp"

namespace lamina::origin::cli {
namespace {

struct SoftwareRequest {
  std::vector<std::string> devices;  // None: all.
  std::string snapshot;
  std::string package = "*";
};

Result<std::vector<std::string>> devices_of(Session& s, const SoftwareRequest& request) {
  if (!request.devices.empty()) return request.devices;
  auto body = s.get("/v1/cvds");
  if (!body) return fail(std::move(body.error()));
  auto list = wire::parse_cvd_list(*body);
  if (!list) return fail(std::move(list.error()));
  std::vector<std::string> devices;
  for (const wire::CvdInfo& cvd : list->cvds) devices.push_back(cvd.device.hex());
  return devices;
}

Status software(Session& s, const SoftwareRequest& request) {
  if (request.devices.size() != 1 && !request.snapshot.empty())
    return fail(ErrorKind::invalid, "--snapshot is of one device: name that one");
  auto devices = devices_of(s, request);
  if (!devices) return fail(std::move(devices.error()));
  auto spool = os::TemporaryDirectory::make(os::temporary_root(), "lamina-software-");
  if (!spool) return fail(std::move(spool.error()));
  Session::Rows rows{{"DEVICE", "PACKAGE", "VERSION", "ARCHITECTURE"}};
  std::size_t read = 0;
  for (const std::string& device : *devices) {
    s.progress(std::to_string(++read) + " of " + std::to_string(devices->size()) + " devices");
    auto snapshot = RemoteSnapshot::open(s, device, request.snapshot, spool->path());
    if (!snapshot) return fail(std::move(snapshot.error()));
    auto status = (*snapshot)->read_start(std::string(image::kDpkgStatus), image::kRecordFileMax);
    if (!status) return fail(std::move(status.error()).in("device " + device));
    for (const image::InstalledPackage& one : image::installed_packages(*status)) {
      if (!matches_wildcard(request.package, one.name)) continue;
      const std::string name = printable(one.name, 200), version = printable(one.version, 200);
      const std::string architecture = printable(one.architecture, 40);
      if (s.json)
        *s.out << nlohmann::json{{"device", device},
                                 {"package", name},
                                 {"version", version},
                                 {"architecture", architecture}}
                      .dump()
               << '\n';
      rows.push_back({device, name, version, architecture});
    }
  }
  s.progress("");
  if (!s.json) s.table(rows);
  return Done{};
}

}  // namespace

void add_cvd_software(CLI::App& cvd, Run& run) {
  auto request = std::make_shared<SoftwareRequest>();
  auto* command =
      cvd.add_subcommand("software", "which packages devices have, as their snapshots say");
  command->footer(
      "From dpkg's database in the newest snapshot of each device.\n"
      "Example: lamina cvd software --package 'openssl*'\n"
      "Example: lamina cvd software 00112233445566778899aabbccddeeff --json");
  command->add_option("DEVICE", request->devices, "only these");
  command->add_option("--snapshot", request->snapshot, "of one device: this one, not the newest");
  command->add_option("--package", request->package, "only these; '*' stands for any characters");
  command->callback(
      [&run, request] { run = [request](Session& s) { return software(s, *request); }; });
}

}  // namespace lamina::origin::cli
