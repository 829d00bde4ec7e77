#include "origin/cli/cvd_commands.hpp"
#include "origin/cli/session.hpp"
#include "shared/wire/device_life.hpp"

namespace lamina::origin::cli {
namespace {

Status archive(Session& s, const std::string& device, bool archived) {
  auto body = s.call("POST", "/v1/cvds/" + encoded(device) + "/archive",
                     wire::to_json(wire::ArchiveRequest{archived}));
  if (!body) return fail(std::move(body.error()));
  s.tell(*body, "the CVD of " + device +
                    (archived ? " is archived: its snapshots stay, and none is added"
                              : " goes on: the device synchronizes again"));
  return Done{};
}

Status reassign(Session& s, const std::string& device, const std::string& to) {
  auto into = DeviceId::parse(to);
  if (!into) return fail(std::move(into.error()).in("--to"));
  auto body = s.call("POST", "/v1/cvds/" + encoded(device) + "/reassign",
                     wire::to_json(wire::MoveRequest{.into = *into}));
  if (!body) return fail(std::move(body.error()));
  auto reply = wire::parse_move_reply(*body);
  if (!reply) return fail(std::move(reply.error()));
  s.tell(*body, std::to_string(reply->snapshots) + " snapshots are the CVD of " + to +
                    " now; put them onto its disk with `lamina cvd restore " + to +
                    " --onto /mnt`");
  return Done{};
}

Status remove(Session& s, const std::string& device) {
  auto body = s.call("POST", "/v1/cvds/" + encoded(device) + "/delete", "{}");
  if (!body) return fail(std::move(body.error()));
  auto reply = wire::parse_decommission_reply(*body);
  if (!reply) return fail(std::move(reply.error()));
  s.tell(*body, "the CVD is being erased: " + std::to_string(reply->snapshots) + " snapshots, " +
                    std::to_string(reply->chunks) + " chunks; `lamina device proof " + device +
                    "` says when nothing is left");
  return Done{};
}

Status verify(Session& s, const std::string& device, bool read_data) {
  auto body =
      s.get("/v1/cvds/" + encoded(device) + "/integrity" + (read_data ? "?read-data=1" : ""));
  if (!body) return fail(std::move(body.error()));
  auto report = wire::parse_integrity_report(*body);
  if (!report) return fail(std::move(report.error()));
  if (s.json)
    *s.out << *body << '\n';
  else
    *s.out << report->snapshots << " snapshots, " << report->chunks << " chunks with "
           << to_text(Bytes{report->plain_bytes})
           << (report->data_was_read ? ", each read and compared with its id\n"
                                     : ", each looked for; --read-data reads them\n");
  if (report->findings.empty()) return Done{};
  if (!s.json)
    for (const wire::IntegrityFinding& finding : report->findings)
      *s.out << "snapshot " << finding.number << " (" << finding.snapshot.short_hex()
             << "): " << printable(finding.text, 300) << '\n';
  return fail(ErrorKind::corrupt, "the CVD of device " + device +
                                      " is not whole: `lamina-origin "
                                      "check` says where it was damaged and what to do");
}

}  // namespace

void add_cvd_life(CLI::App& cvd, Run& run) {
  auto device = std::make_shared<std::string>();
  const auto command = [&](const char* name, const char* what, const std::string& help) {
    auto* added = cvd.add_subcommand(name, what);
    added->add_option("DEVICE", *device, "32 hex digits")->required();
    added->footer(help);
    return added;
  };
  const std::string example = " 00112233445566778899aabbccddeeff";
  command("archive", "keep a CVD as it is",
          "No rule removes its snapshots, and the device makes none until `lamina cvd activate`; "
          "layers\nreach it as ever.\nExit codes: 3 no such device, 5 the device is "
          "decommissioned.\nExample: lamina cvd archive" +
              example)
      ->callback(
          [&run, device] { run = [device](Session& s) { return archive(s, *device, true); }; });
  command("activate", "have the device of an archived CVD synchronize again",
          "Exit codes: 3 no such device, 5 the device is decommissioned.\n"
          "Example: lamina cvd activate" +
              example)
      ->callback(
          [&run, device] { run = [device](Session& s) { return archive(s, *device, false); }; });
  auto to = std::make_shared<std::string>();
  auto* move = command(
      "reassign", "give an archived CVD to another device, as its replacement",
      "All of its snapshots become those of the other device, in one time line with what that "
      "has;\n"
      "numbers begin at 1 again, ids stay. The host name, keys and other identity of the machine "
      "are\nin the snapshots: a restore of the whole device brings them.\n"
      "Exit codes: 3 no such device, 5 the CVD is in use, or the other device not in service.\n"
      "Example: lamina cvd reassign" +
          example + " --to ffeeddccbbaa99887766554433221100");
  move->add_option("--to", *to, "the device that gets it")->required();
  move->callback(
      [&run, device, to] { run = [device, to](Session& s) { return reassign(s, *device, *to); }; });
  command("delete", "erase an archived CVD; the device stays",
          "As `lamina device decommission --erase` does with the CVD; `lamina device proof` shows "
          "it.\nExit codes: 3 no such device, 5 the CVD is in use, or being erased.\n"
          "Example: lamina cvd delete" +
              example)
      ->callback([&run, device] { run = [device](Session& s) { return remove(s, *device); }; });
  auto read_data = std::make_shared<bool>(false);
  auto* check = command("verify", "whether all that the snapshots of a CVD need is there",
                        "Reads records and manifests, and looks for every chunk. Exit codes: 3 no "
                        "such device, 6 something\nis lost or damaged.\nExample: lamina cvd "
                        "verify --read-data" +
                            example);
  check->add_flag("--read-data", *read_data, "read every chunk, and compare it with its id");
  check->callback([&run, device, read_data] {
    run = [device, read_data](Session& s) { return verify(s, *device, *read_data); };
  });
}

}  // namespace lamina::origin::cli
