#include <algorithm>
#include <nlohmann/json.hpp>

#include "origin/cli/addressees.hpp"
#include "origin/cli/remote_layers.hpp"
#include "origin/cli/remote_policy.hpp"
#include "origin/cli/remote_snapshot.hpp"
#include "origin/cli/session.hpp"
#include "shared/format/content.hpp"
#include "shared/format/path.hpp"
#include "shared/image/diff.hpp"
#include "shared/image/protection.hpp"
#include "shared/image/records/record_format.hpp"
#include "shared/image/stack.hpp"

namespace lamina::origin::cli {
namespace {

struct Words {
  Addressees to;
  bool keep = false, remove = false, cancel = false, dry_run = false;
};

// What an enforcement would do to a device, by its newest snapshot: printed path by path.
class Preview {
 public:
  Preview(const Session& session, const DeviceId& device, image::Mode mode)
      : session_(session), device_(device), mode_(mode) {}

  Status of(const wire::DeviceInfo& device, Session& session) {
    auto spool = os::TemporaryDirectory::make(os::temporary_root(), "lamina-enforce-");
    if (!spool) return fail(std::move(spool.error()));
    auto snapshot = RemoteSnapshot::open(session, device.id.hex(), "", spool->path());
    if (!snapshot) return fail(std::move(snapshot.error()));
    auto layers = RemoteLayers::open(session, device.target);
    if (!layers) return fail(std::move(layers.error()));
    auto protection = protection_of(session, device.id.hex());
    if (!protection) return fail(std::move(protection.error()));
    protection_ = std::move(*protection);
    auto stack = image::Stack::open((*layers)->records(), (*layers)->source(), {});
    if (!stack) return fail(std::move(stack.error()));
    auto wanted = (*stack)->entries();
    if (!wanted) return fail(std::move(wanted.error()));
    auto there = (*snapshot)->entries();
    if (!there) return fail(std::move(there.error()));
    if (!session.json)
      *session.out << "device " << device.id.hex() << ", by its snapshot of "
                   << to_iso8601((*snapshot)->record().created) << ":\n";
    on_device_ = (*snapshot)->source();
    in_stack_ = (*stack)->source();
    volumes_ = (*snapshot)->record().volumes;
    image::DiffStream differences(std::move(*there), std::move(*wanted));
    for (;;) {
      auto one = differences.next();
      if (!one) return fail(std::move(one.error()));
      if (!*one) return Done{};
      if (auto shown = show(**one); !shown) return shown;
    }
  }

 private:
  Status show(const image::Difference& one) {
    using image::Change;
    const bool is_other = one.change == Change::removed;
    const format::Entry& entry = is_other ? *one.before : *one.after;
    const bool is_directory = entry.kind == format::EntryKind::directory;
    if (one.change == Change::same || protection_.own_rule(entry.path, is_directory) ||
        image::derived_rule(entry.path))
      return Done{};
    if (is_other) {
      const bool is_elsewhere = std::ranges::any_of(volumes_, [&](const std::string& volume) {
        return format::is_within(entry.path, volume);
      });
      if (mode_ == image::Mode::remove_others && !is_elsewhere &&
          !protection_.stays_unowned(entry.path, is_directory))
        print("removes", entry.path);
      return Done{};
    }
    const image::RecordRule* const rule = image::record_rule(entry.path);
    if (one.before && rule != nullptr && one.before->kind == format::EntryKind::file &&
        entry.kind == format::EntryKind::file &&
        (mode_ == image::Mode::enforce || image::holds_accounts(*rule)))
      return show_records(*rule, *one.before, entry);
    print(one.change == Change::added ? "brings back" : "changes", entry.path);
    return Done{};
  }

  // Those of the device that are in no layer stay.
  Status show_records(const image::RecordRule& rule, const format::Entry& before,
                      const format::Entry& after) {
    auto device = format::read_content(before, on_device_, image::kRecordFileMax);
    if (!device) return fail(std::move(device.error()));
    auto target = format::read_content(after, in_stack_, image::kRecordFileMax);
    if (!target) return fail(std::move(target.error()));
    const auto plan = image::plan_records(rule.format, *device, *target, *target, mode_);
    if (plan.result && *plan.result != *device) print("changes", after.path);
    return Done{};
  }

  void print(const char* change, const std::string& path) const {
    if (session_.json)
      *session_.out << nlohmann::json{{"device", device_.hex()},
                                      {"change", change},
                                      {"path", printable(path, format::kPathMax)}}
                           .dump()
                    << '\n';
    else
      *session_.out << "  " << change << ' ' << printable(path, format::kPathMax) << '\n';
  }

  const Session& session_;
  DeviceId device_;
  image::Mode mode_;
  image::Protection protection_;
  std::vector<std::string> volumes_;  // Beside the first one, which layers are of.
  format::ChunkSource on_device_, in_stack_;
};

Status preview(Session& s, const std::vector<DeviceId>& meant, image::Mode mode) {
  auto devices = devices_of(s, meant);
  if (!devices) return fail(std::move(devices.error()));
  for (const wire::DeviceInfo& device : *devices) {
    const auto done = Preview(s, device.id, mode).of(device, s);
    if (done) continue;
    // One that never synchronized cannot be foreseen; the others can.
    if (done.error().kind() != ErrorKind::not_found) return done;
    *s.err << "lamina: device " << device.id.hex() << ": " << done.error().text() << '\n';
  }
  return Done{};
}

Status enforce(Session& s, const Words& words) {
  wire::AssignmentRequest request;
  if (auto good = words.to.put_into(request); !good) return good;
  request.enforce = words.cancel ? "none"
                                 : format::name_of(words.remove ? format::Enforce::remove_user_apps
                                                                : format::Enforce::keep_user_apps);
  s.dry_run = s.dry_run || words.dry_run;
  auto body = s.call("POST", "/v1/assignments/enforce", wire::to_json(request));
  if (!body) return fail(std::move(body.error()));
  auto reply = wire::parse_assignment_reply(*body);
  if (!reply) return fail(std::move(reply.error()));
  if (words.cancel) {
    s.tell(*body, "what they have not enforced yet, they need not");
    return Done{};
  }
  if (s.dry_run)
    return preview(s, reply->devices,
                   words.remove ? image::Mode::remove_others : image::Mode::enforce);
  s.tell(*body, std::to_string(reply->devices.size()) +
                    " devices are made equal to their layers, each once");
  return Done{};
}

}  // namespace

void add_enforce(CLI::App& app, Run& run) {
  auto words = std::make_shared<Words>();
  auto* command =
      app.add_subcommand("enforce", "make devices equal to their layers again, where they drifted");
  command->footer(
      "A device fetches what it lacks of its layers, as a rule nothing. What is its own (users' "
      "files, accounts,\nnames, keys, how it starts, Lamina's files) stays. It makes a snapshot "
      "first, and `lamina-node revert` brings\nback what was there. A dry run shows what differs "
      "in "
      "each device's newest snapshot: what the device has made\nsince is not known to it.\n"
      "Example: lamina enforce --collection tills --keep-user-apps --dry-run");
  words->to.add_options(*command);
  auto* how = command->add_option_group("how")->require_option(1);
  how->add_flag("--keep-user-apps", words->keep, "what is in no layer stays");
  how->add_flag("--remove-user-apps", words->remove,
                "what is in no layer goes, packages' records included");
  how->add_flag("--cancel", words->cancel, "devices that have not enforced yet need not");
  command->add_flag("--dry-run", words->dry_run,
                    "ask the origin whether it would, and show what would change and go");
  command->callback([&run, words] { run = [words](Session& s) { return enforce(s, *words); }; });
}

}  // namespace lamina::origin::cli
