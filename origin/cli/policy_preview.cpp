#include "origin/cli/policy_preview.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "origin/cli/remote_snapshot.hpp"
#include "origin/cli/session.hpp"
#include "shared/format/path.hpp"
#include "shared/image/protection.hpp"

namespace lamina::origin::cli {
namespace {

using nlohmann::json;
using Sum = image::ProtectionChange::Sum;

std::string size_text(std::uint64_t bytes) {
  return to_text(Bytes{static_cast<std::int64_t>(bytes)});
}

std::string name_of(const wire::Policy& policy) {
  return policy.version == 0 ? policy.name : policy.name + ' ' + std::to_string(policy.version);
}

json to_json(const Sum& sum) {
  json examples = json::array();
  for (const std::string& path : sum.examples)
    examples.push_back(printable(path, format::kPathMax));
  return {{"entries", sum.entries}, {"bytes", sum.bytes}, {"examples", examples}};
}

void tell(const Session& s, const std::string& what, const Sum& sum) {
  if (sum.entries == 0) return;
  *s.out << "  " << what << ": " << sum.entries << " entries, " << size_text(sum.bytes) << '\n';
  for (const std::string& path : sum.examples)
    *s.out << "    " << printable(path, format::kPathMax) << '\n';
  if (sum.entries > sum.examples.size()) *s.out << "    ...\n";
}

// The patterns by which snapshots leave something out now that they would hold then. What lies
// there is in no snapshot, so that nobody can count it here.
std::vector<std::string> no_longer_left_out(const format::ProtectionRules& before,
                                            const format::ProtectionRules& after) {
  std::vector<std::string> patterns;
  for (const format::ProtectionRule& rule : before.unprotected)
    for (const std::string& pattern : rule.paths)
      if (std::ranges::none_of(after.unprotected, [&](const format::ProtectionRule& other) {
            return other.except == rule.except &&
                   std::ranges::find(other.paths, pattern) != other.paths.end();
          }))
        patterns.push_back(pattern);
  return patterns;
}

// Protected then, and not in the snapshot: its content cannot be counted either.
std::vector<std::string> volumes_to_come(const image::Protection& after,
                                         const format::SnapshotRecord& record) {
  std::vector<std::string> come;
  for (const std::string& volume : after.volumes())
    if (std::ranges::find(record.volumes, volume) == record.volumes.end()) come.push_back(volume);
  return come;
}

Status preview(Session& s, const DeviceId& device, const wire::Policy& before,
               const wire::Policy& after) {
  auto now = image::Protection::make(before.rules);
  if (!now) return fail(std::move(now.error()));
  auto then = image::Protection::make(after.rules);
  if (!then) return fail(std::move(then.error()));
  auto spool = os::TemporaryDirectory::make(os::temporary_root(), "lamina-policy-");
  if (!spool) return fail(std::move(spool.error()));
  auto snapshot = RemoteSnapshot::open(s, device.hex(), "", spool->path());
  if (!snapshot) return fail(std::move(snapshot.error()));
  auto entries = (*snapshot)->entries();
  if (!entries) return fail(std::move(entries.error()));
  image::ProtectionChange change(*now, *then, (*snapshot)->record().volumes);
  for (std::uint64_t count = 1;; ++count) {
    auto entry = (*entries)->next();
    if (!entry) return fail(std::move(entry.error()));
    if (!*entry) break;
    change.add(**entry);
    if (count % 4096 == 0) s.progress(device.hex() + ": " + std::to_string(count) + " entries");
  }
  s.progress("");
  const auto patterns = no_longer_left_out(before.rules, after.rules);
  const auto volumes = volumes_to_come(*then, (*snapshot)->record());
  if (s.json) {
    json leaves = json::object();
    for (const auto& [rule, sum] : change.leaves()) leaves[rule] = to_json(sum);
    json volumes_leave = json::object();
    for (const auto& [volume, sum] : change.volumes_leave())
      volumes_leave[printable(volume, format::kPathMax)] = to_json(sum);
    *s.out << json{{"device", device.hex()},
                   {"snapshot", (*snapshot)->id().hex()},
                   {"before", {{"name", before.name}, {"version", before.version}}},
                   {"after", {{"name", after.name}, {"version", after.version}}},
                   {"held", to_json(change.held())},
                   {"leaves", leaves},
                   {"comes", to_json(change.comes())},
                   {"no_longer_left_out", patterns},
                   {"volumes_leave", volumes_leave},
                   {"volumes_come", volumes},
                   {"becomes_user", to_json(change.becomes_user())},
                   {"becomes_machine", to_json(change.becomes_machine())}}
                  .dump()
           << '\n';
    return Done{};
  }
  *s.out << "device " << device.hex() << ", by its snapshot of "
         << to_iso8601((*snapshot)->record().created) << " (" << change.held().entries
         << " entries, " << size_text(change.held().bytes) << "), from " << name_of(before)
         << " to " << name_of(after) << ":\n";
  for (const auto& [rule, sum] : change.leaves())
    tell(s, "not protected any more, by rule " + rule, sum);
  for (const auto& [volume, sum] : change.volumes_leave())
    tell(s, "not protected any more, volume " + printable(volume, 200), sum);
  tell(s, "protected again", change.comes());
  tell(s, "becomes the users'", change.becomes_user());
  tell(s, "becomes the machine's", change.becomes_machine());
  for (const std::string& pattern : patterns)
    *s.out << "  protected again, but in no snapshot yet, so not counted: " << pattern << '\n';
  for (const std::string& volume : volumes)
    *s.out << "  protected where a file system is mounted there, and in no snapshot yet, so not "
              "counted: volume "
           << printable(volume, 200) << '\n';
  if (change.leaves().empty() && change.volumes_leave().empty() && volumes.empty() &&
      change.comes().entries == 0 && patterns.empty() && change.becomes_user().entries == 0 &&
      change.becomes_machine().entries == 0)
    *s.out << "  nothing changes\n";
  return Done{};
}

Result<wire::Policy> policy_of(Session& s, const DeviceId& device) {
  auto body = s.get("/v1/devices/" + device.hex() + "/policy");
  if (!body) return fail(std::move(body.error()));
  auto policy = wire::parse_device_policy(*body);
  if (!policy) return fail(std::move(policy.error()));
  return std::move(policy->policy);
}

}  // namespace

Status preview_policies(Session& s, const std::map<DeviceId, wire::Policy>& after) {
  for (const auto& [device, policy] : after) {
    auto before = policy_of(s, device);
    if (!before) return fail(std::move(before.error()));
    const auto done = preview(s, device, *before, policy);
    if (done) continue;
    // One that never synchronized cannot be foreseen; the others can.
    if (done.error().kind() != ErrorKind::not_found) return done;
    *s.err << "lamina: device " << device.hex() << ": " << done.error().text() << '\n';
  }
  if (after.empty() && !s.json) *s.out << "no device's policy changes\n";
  return Done{};
}

}  // namespace lamina::origin::cli
