#include "origin/cli/session.hpp"
#include "shared/wire/device_life.hpp"

namespace lamina::origin::cli {
namespace {

Status decommission(Session& s, const std::string& id, bool erase) {
  const wire::DecommissionRequest request{erase ? "erase" : "archive"};
  auto body =
      s.call("POST", "/v1/devices/" + encoded(id) + "/decommission", wire::to_json(request));
  if (!body) return fail(std::move(body.error()));
  auto reply = wire::parse_decommission_reply(*body);
  if (!reply) return fail(std::move(reply.error()));
  std::string text = id + " is out of service; ";
  if (erase)
    text += "its CVD is being erased: " + std::to_string(reply->snapshots) + " snapshots, " +
            std::to_string(reply->chunks) + " chunks; `lamina device proof " + id +
            "` says when nothing is left";
  else
    text += "its CVD is archived with " + std::to_string(reply->snapshots) + " snapshots";
  for (const std::string& name : reply->collections) text += "\nit leaves collection " + name;
  for (const std::string& name : reply->sites)
    text += "\nit is no reflector of site " + name + " any more";
  s.tell(*body, text);
  return Done{};
}

Status proof(Session& s, const std::string& id) {
  auto body = s.get("/v1/devices/" + encoded(id) + "/proof");
  if (!body) return fail(std::move(body.error()));
  auto proof = wire::parse_erasure_proof(*body);
  if (!proof) return fail(std::move(proof.error()));
  const wire::ErasureInfo& erasure = proof->erasure;
  if (s.json) {
    *s.out << *body << '\n';
  } else {
    *s.out << "device     " << erasure.device.hex() << '\n'
           << "asked for  " << to_iso8601(WallTime{erasure.requested_ms * 1'000'000}) << " by "
           << printable(erasure.by, 256) << '\n';
    if (erasure.state == wire::kErased)
      *s.out << "erased     " << to_iso8601(WallTime{erasure.erased_ms * 1'000'000}) << ": "
             << erasure.snapshots << " snapshots, " << erasure.chunks_erased << " chunks with "
             << to_text(Bytes{erasure.plain_bytes}) << " that no other device had; "
             << erasure.chunks_shared << " chunks stay: other devices have them, too\n"
             << "digests    snapshots " << erasure.snapshots_digest << "\n           chunks    "
             << erasure.chunks_digest << '\n';
    Session::Rows rows{{"LOOKED FOR IT IN", "HOW MANY", "FOUND", ""}};
    for (const wire::ErasureCheck& check : proof->checks)
      rows.push_back({check.what, std::to_string(check.looked_at), std::to_string(check.found),
                      printable(check.text, 200)});
    s.table(rows);
    for (const std::string& place : proof->out_of_reach)
      *s.out << "out of reach: " << printable(place, 400) << '\n';
  }
  if (proof->holds) return Done{};
  if (erasure.state != wire::kErased)
    return fail(ErrorKind::unavailable,
                "the erasure is under way: the next collection of garbage goes on with it "
                "(`serve` begins one at once, `lamina-origin gc` without it)");
  return fail(ErrorKind::corrupt, "something of device " + id + " is left: see what was found");
}

Status merge(Session& s, const std::string& id, const std::string& into, bool force) {
  auto target = DeviceId::parse(into);
  if (!target) return fail(std::move(target.error()).in("--into"));
  auto body = s.call("POST", "/v1/devices/" + encoded(id) + "/merge",
                     wire::to_json(wire::MoveRequest{*target, force}));
  if (!body) return fail(std::move(body.error()));
  auto reply = wire::parse_move_reply(*body);
  if (!reply) return fail(std::move(reply.error()));
  std::string text = std::to_string(reply->snapshots) + " snapshots are in one time line of " +
                     std::to_string(reply->total) + " with those of " + into + "; " + id +
                     " is let in nowhere any more";
  for (const std::string& name : reply->collections)
    text += "\n" + into + " takes its place in collection " + name;
  for (const std::string& name : reply->sites)
    text += "\nit is no reflector of site " + name + " any more";
  s.tell(*body, text);
  return Done{};
}

Status proposals(Session& s) {
  auto body = s.get("/v1/proposals");
  if (!body) return fail(std::move(body.error()));
  auto list = wire::parse_proposal_list(*body);
  if (!list) return fail(std::move(list.error()));
  if (s.json) return *s.out << *body << '\n', Done{};
  Session::Rows rows{{"DEVICE", "HOST", "CVD OF", "HOST", "STATE", "SNAPSHOTS", "NEWEST", "SEEN"}};
  for (const wire::CvdProposal& i : list->proposals)
    rows.push_back({i.device.hex(), printable(i.host_name), i.cvd.hex(), printable(i.cvd_host_name),
                    i.state, std::to_string(i.snapshots),
                    to_iso8601(WallTime{i.newest_ms * 1'000'000}),
                    i.seen_ms == 0 ? "never" : to_iso8601(WallTime{i.seen_ms * 1'000'000})});
  s.table(rows);
  for (const wire::CvdProposal& i : list->proposals)
    *s.out << "if it is the same machine: " << printable(i.confirm, 256) << '\n';
  return Done{};
}

}  // namespace

void add_device_life(CLI::App& device, Run& run) {
  auto id = std::make_shared<std::string>();
  auto* out = device.add_subcommand("decommission", "take a device out of service for good");
  out->add_option("id", *id, "32 hex digits")->required();
  auto archive = std::make_shared<bool>(false);
  auto erase = std::make_shared<bool>(false);
  auto* archived = out->add_flag("--archive", *archive, "keep its CVD: nothing of it is removed");
  out->add_flag("--erase", *erase,
                "remove its CVD and all that is known of it; packs are written anew without it")
      ->excludes(archived);
  out->footer(
      "It is let in nowhere from now on, and leaves its site, collections and rollouts. With\n"
      "--erase the audit log keeps its id, what was erased and the digests of the ids.\n"
      "Exit codes: 3 no such device, 5 it is decommissioned already, or being erased.\n"
      "Example: lamina device decommission 00112233445566778899aabbccddeeff --erase");
  out->callback([&run, id, archive, erase] {
    if (*archive == *erase) throw CLI::RequiredError("--archive or --erase");
    run = [id, erase](Session& s) { return decommission(s, *id, *erase); };
  });
  auto into = std::make_shared<std::string>();
  auto force = std::make_shared<bool>(false);
  auto* merged =
      device.add_subcommand("merge", "make two enrolments of one machine into one device");
  merged->add_option("id", *id, "the one that goes, 32 hex digits")->required();
  merged->add_option("--into", *into, "the one that stays")->required();
  merged->add_flag("--force", *force, "although their hardware UUIDs differ");
  merged->footer(
      "The snapshots of both become one time line, in the order in which they were made; numbers\n"
      "begin at 1 again, ids stay. The one that goes is let in nowhere any more; the other takes "
      "its\nplace in collections. What would happen: --dry-run.\n"
      "Exit codes: 3 no such device, 5 they do not look like one machine.\n"
      "Example: lamina device merge 00112233445566778899aabbccddeeff --into "
      "ffeeddccbbaa99887766554433221100");
  merged->callback([&run, id, into, force] {
    run = [id, into, force](Session& s) { return merge(s, *id, *into, *force); };
  });
  device
      .add_subcommand("proposals",
                      "devices without a snapshot that may be machines which are known already")
      ->footer(
          "By the hardware UUID that they sent when they enrolled. UUIDs are public and can be\n"
          "forged: look at the machine before you confirm one with the command that is printed.\n"
          "Example: lamina device proposals")
      ->callback([&run] { run = proposals; });
  auto off = std::make_shared<bool>(false);
  auto* reference =
      device.add_subcommand("reference", "make a device one that layers are captured from");
  reference->add_option("id", *id, "32 hex digits")->required();
  reference->add_flag("--off", *off, "make it one of its site's again");
  reference->footer(
      "Assignments to sites and collections, upgrades and rollouts leave it alone; it gets what\n"
      "is assigned to it by its id.\n"
      "Example: lamina device reference 00112233445566778899aabbccddeeff");
  reference->callback([&run, id, off] {
    run = [id, off](Session& s) -> Status {
      auto body = s.call("POST", "/v1/devices/" + encoded(*id) + "/reference",
                         wire::to_json(wire::ReferenceRequest{!*off}));
      if (!body) return fail(std::move(body.error()));
      s.tell(*body, *id + (*off ? " is no reference device" : " is a reference device"));
      return Done{};
    };
  });
  auto* prove = device.add_subcommand("proof", "whether anything of an erased device is left");
  prove->add_option("id", *id, "32 hex digits")->required();
  prove->footer(
      "Looks at the rows of the catalogue, all records of snapshots and all packs, each time "
      "anew.\n"
      "Exit codes: 3 nothing of it was ever erased, 4 the erasure is under way, 6 something is "
      "left.\n"
      "Example: lamina device proof 00112233445566778899aabbccddeeff");
  prove->callback([&run, id] { run = [id](Session& s) { return proof(s, *id); }; });
}

}  // namespace lamina::origin::cli
