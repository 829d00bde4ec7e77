#include "origin/cli/session.hpp"
#include "shared/wire/device_life.hpp"

namespace lamina::origin::cli {
namespace {

struct Request {
  std::string device;
  std::string collection;
  std::string warn_bytes;
  std::string hard_bytes;
  std::int64_t warn_snapshots = 0;
  std::int64_t hard_snapshots = 0;
  bool none = false;
};

std::string level(std::int64_t warn, std::int64_t hard, bool is_bytes) {
  const auto text = [&](std::int64_t value) {
    return value == 0 ? "-" : is_bytes ? to_text(Bytes{value}) : std::to_string(value);
  };
  return text(warn) + " / " + text(hard);
}

Status list(Session& s) {
  auto body = s.get("/v1/quotas");
  if (!body) return fail(std::move(body.error()));
  auto quotas = wire::parse_quota_list(*body);
  if (!quotas) return fail(std::move(quotas.error()));
  if (s.json) return *s.out << *body << '\n', Done{};
  Session::Rows rows{{"OF", "LEVEL", "BYTES", "WARN / HARD", "SNAPSHOTS", "WARN / HARD"}};
  for (const wire::QuotaStanding& i : quotas->quotas)
    rows.push_back({i.device ? i.device->hex() : "collection " + *i.collection, i.level,
                    to_text(Bytes{i.bytes}), level(i.rule.warn_bytes, i.rule.hard_bytes, true),
                    std::to_string(i.snapshots),
                    level(i.rule.warn_snapshots, i.rule.hard_snapshots, false)});
  s.table(rows);
  return Done{};
}

Result<std::int64_t> bytes_of(const std::string& text, const char* option) {
  if (text.empty()) return 0;
  auto bytes = parse_bytes(text);
  if (!bytes) return fail(std::move(bytes.error()).in(option));
  return bytes->count;
}

Status set(Session& s, const Request& request) {
  wire::QuotaRequest message;
  if (!request.collection.empty()) message.collection = request.collection;
  if (!request.device.empty()) {
    auto device = DeviceId::parse(request.device);
    if (!device) return fail(std::move(device.error()).in("--device"));
    message.device = *device;
  }
  wire::QuotaRule rule{.warn_snapshots = request.warn_snapshots,
                       .hard_snapshots = request.hard_snapshots};
  auto warn = bytes_of(request.warn_bytes, "--warn-bytes");
  if (!warn) return fail(std::move(warn.error()));
  auto hard = bytes_of(request.hard_bytes, "--hard-bytes");
  if (!hard) return fail(std::move(hard.error()));
  rule.warn_bytes = *warn;
  rule.hard_bytes = *hard;
  if (request.none && rule != wire::QuotaRule())
    return fail(ErrorKind::invalid, "--none takes the quota away: give it without levels");
  if (!request.none) message.rule = rule;
  auto body = s.call("PUT", "/v1/quotas", wire::to_json(message));
  if (!body) return fail(std::move(body.error()));
  s.tell(*body, request.none ? "the quota is taken away" : "the quota is set");
  return Done{};
}

}  // namespace

void add_quota(CLI::App& app, Run& run) {
  auto* quota = app.add_subcommand("quota", "how much CVDs may come to");
  quota->require_subcommand(1);
  const char* example =
      "Example: lamina quota set --collection tills --warn-bytes '400 GiB' --hard-bytes '500 GiB'";
  quota->footer(example);
  quota->add_subcommand("ls", "list the quotas, and how far each is used up")
      ->footer("Example: lamina quota ls --json")
      ->callback([&run] { run = list; });
  auto request = std::make_shared<Request>();
  auto* change =
      quota->add_subcommand("set", "set or take away the quota of a device or collection");
  auto* device = change->add_option("--device", request->device, "of this device, 32 hex digits");
  change->add_option("--collection", request->collection, "of all its members together")
      ->excludes(device);
  change->add_option("--warn-bytes", request->warn_bytes, "from here on it is listed as a warning");
  change->add_option("--hard-bytes", request->hard_bytes, "from here on uploads wait");
  change->add_option("--warn-snapshots", request->warn_snapshots, "likewise, of snapshots")
      ->check(CLI::NonNegativeNumber);
  change->add_option("--hard-snapshots", request->hard_snapshots, "likewise")
      ->check(CLI::NonNegativeNumber);
  change->add_flag("--none", request->none, "take it away");
  change->footer(
      std::string("Bytes are the plain content of the newest snapshots. While a hard level is "
                  "reached the devices\nmake no snapshots and say why; nothing is lost, and they "
                  "go on when it is not reached any more.\nExit codes: 2 the levels make no sense, "
                  "3 no such device or collection.\n") +
      example);
  change->callback([&run, request] { run = [request](Session& s) { return set(s, *request); }; });
}

}  // namespace lamina::origin::cli
