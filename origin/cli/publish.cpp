#include "origin/cli/publish.hpp"

#include <algorithm>

#include "origin/cli/session.hpp"
#include "origin/cli/verify.hpp"
#include "shared/format/needed_packs.hpp"
#include "shared/format/signed_layer.hpp"
#include "shared/os/clock.hpp"

namespace lamina::origin::cli {
namespace {

// Updates of 2 GB from eight versions, with the highest effort, on a machine that has other work.
constexpr Duration kUpdatesWithin = std::chrono::hours{2};

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// Fills in what the origin knows better: which version comes next, and that it is newer.
Status number(Session& session, LayerOrder& order) {
  if (order.revision > 0 && !order.version.empty()) return Done{};
  auto body = session.get("/v1/layers");
  if (!body) return fail(std::move(body.error()));
  auto list = wire::parse_layer_list(*body);
  if (!list) return fail(std::move(list.error()));
  std::string newest;  // The list is sorted by name and version.
  std::uint64_t revision = 1;
  for (const wire::LayerInfo& layer : list->layers) {
    if (layer.name != order.name) continue;
    newest = layer.version;
    ++revision;
  }
  if (order.version.empty()) order.version = version_after(newest);
  if (order.revision == 0) order.revision = revision;
  return Done{};
}

Result<std::vector<format::LayerScript>> read_scripts(const LayerOrder& order) {
  auto limit = parse_duration(order.script_limit);
  if (!limit) return fail(std::move(limit.error()).in("--script-limit"));
  const auto seconds = std::chrono::floor<std::chrono::seconds>(*limit).count();
  if (seconds < 1 || seconds > format::kScriptLimitMax)
    return fail(ErrorKind::invalid, "--script-limit must be between 1 s and 24 h");
  std::vector<format::LayerScript> scripts;
  for (const std::string& file : order.scripts) {
    auto text = os::read_text(file, format::kScriptBytesMax);
    if (!text) return fail(std::move(text.error()).in("reading a post-layer script"));
    scripts.push_back(
        {file.substr(file.rfind('/') + 1), static_cast<std::uint32_t>(seconds), std::move(*text)});
  }
  if (auto good = format::check_scripts(scripts); !good) return fail(std::move(good.error()));
  return scripts;
}

}  // namespace

std::string version_after(const std::string& version) {
  if (version.empty()) return "1";
  std::size_t start = version.size();
  while (start > 0 && is_digit(version[start - 1])) --start;
  if (start == version.size()) return version + (version.ends_with('.') ? "1" : ".1");
  std::string digits = version.substr(start);
  std::size_t at = digits.size();
  while (at > 0 && digits[at - 1] == '9') digits[--at] = '0';
  if (at == 0)
    digits.insert(0, "1");
  else
    ++digits[at - 1];
  return version.substr(0, start) + digits;
}

Status complete(format::Platform& platform, const format::Platform& found) {
  const std::tuple<std::string*, const std::string*, const char*> fields[] = {
      {&platform.os_family, &found.os_family, "--os-family"},
      {&platform.distribution, &found.distribution, "--distribution"},
      {&platform.release, &found.release, "--release"},
      {&platform.architecture, &found.architecture, "--architecture"}};
  for (const auto& [given, detected, option] : fields) {
    if (given->empty()) *given = *detected;
    if (given->empty())
      return fail(ErrorKind::invalid,
                  std::string("the tree does not say what system it is: give ") + option +
                      " (it has no readable os-release or shell)");
  }
  return Done{};
}

Result<Publication> Publication::prepare(Session& session, LayerOrder order) {
  if (order.name.empty() || order.key.empty())
    return fail(ErrorKind::invalid, "--name and --key are needed");
  auto kind = format::parse_layer_kind(order.kind);
  if (!kind) return fail(std::move(kind.error()));
  if (auto good = format::check_name(order.name, "layer name"); !good)
    return fail(std::move(good.error()));
  if (!order.version.empty())
    if (auto good = format::check_name(order.version, "layer version"); !good)
      return fail(std::move(good.error()));
  auto pem = os::read_text(order.key, 1 << 16);
  if (!pem) return fail(std::move(pem.error()).in("reading the publisher's key"));
  auto key = PrivateKey::from_pem(*pem);
  if (!key) return fail(std::move(key.error()).in(order.key));
  auto scripts = read_scripts(order);
  if (!scripts) return fail(std::move(scripts.error()));
  if (auto good = format::check_services(order.running.services); !good)
    return fail(std::move(good.error()).in("--stop-service"));
  if (auto done = number(session, order); !done) return fail(std::move(done.error()));
  Publication publication(session, std::move(order), *kind, std::move(*key));
  publication.scripts_ = std::move(*scripts);
  return publication;
}

Status Publication::publish(Content content) {
  if (auto done = upload_->finish(); !done) return done;
  session_->progress("");
  const format::LayerRecord record{.name = order_.name,
                                   .version = order_.version,
                                   .revision = order_.revision,
                                   .kind = kind_,
                                   .platform = order_.platform,
                                   .manifest = content.manifest,
                                   .created = os::system_clock().wall(),
                                   .capture_rules = std::move(content.rules),
                                   .has_record_changes = content.has_record_changes,
                                   .scripts = scripts_,
                                   .running = order_.running};
  const Buffer envelope =
      format::sign_record(format::RecordType::layer, format::encode(record), key_);
  net::Call call{.method = "POST",
                 .target = "/v1/layers?against=" + encoded(order_.against) +
                           "&effort=" + encoded(order_.effort)};
  call.content_type = "application/octet-stream";
  call.body = std::string(as_text(envelope));
  if (order_.against != "none") session_->progress("the origin makes updates");
  // The origin says nothing until it has made them.
  Session patient(static_cast<const SessionOptions&>(*session_));
  patient.answer_within = kUpdatesWithin;
  auto reply = patient.send(std::move(call));
  session_->progress("");
  if (!reply) return fail(std::move(reply.error()).in("publishing the layer"));
  if (session_->json) return *session_->out << reply->body << '\n', Done{};
  *session_->out << "published " << full_name() << "  " << format::layer_id(envelope).hex() << '\n'
                 << record.manifest.entries << " entries, "
                 << to_text(Bytes{static_cast<std::int64_t>(record.manifest.content_bytes)})
                 << "; sent " << upload_->packs_sent() << " packs, "
                 << to_text(Bytes{static_cast<std::int64_t>(upload_->bytes_sent())}) << '\n';
  auto published = wire::parse_layer_info(reply->body);
  if (!published) return fail(std::move(published.error()).in("the origin's answer"));
  auto distributed = session_->get("/v1/layers/" + published->id.hex() + "/distribution");
  if (!distributed) return fail(std::move(distributed.error()));
  const auto distribution = format::open_distribution(published->id, as_view(*distributed));
  if (!distribution) return fail(distribution.error());
  const auto& packs = distribution->packs;
  const auto fresh = static_cast<std::int64_t>(format::sum_of(format::needed_packs(packs, {}, {})));
  std::int64_t of_updates = 0;
  for (const format::DistributedPack& pack : packs)
    if (!pack.update_from.empty()) of_updates += static_cast<std::int64_t>(pack.size);
  *session_->out << "a fresh device fetches ";
  if (fresh < published->stored_bytes) *session_->out << to_text(Bytes{fresh}) << " instead of ";
  *session_->out << packs_text(*published) << '\n';
  for (const auto& [version, bytes] :
       published->update_bytes.value_or(std::map<std::string, std::int64_t>{}))
    *session_->out << "a device with " << order_.name << ':' << printable(version, 128)
                   << " fetches " << to_text(Bytes{bytes}) << '\n';
  if (of_updates > 0)
    *session_->out << "updates take " << to_text(Bytes{of_updates}) << " of the origin's disk\n";
  if (published->written_anew_bytes.value_or(0) > 0)
    *session_->out << to_text(Bytes{*published->written_anew_bytes})
                   << " of older packs were written anew for it\n";
  return Done{};
}

void add_layer_options(CLI::App& command, LayerOrder& order, const std::string& default_kind) {
  order.kind = default_kind;
  command.add_option("--name", order.name, "the layer's name");
  command.add_option("--version", order.version,
                     "newer than every version of that name; the one after the newest if not "
                     "given");
  command.add_option("--kind", order.kind, "base, app or driver")->capture_default_str();
  command.add_option("--key", order.key, "the publisher's private key");
  command
      .add_option("--revision", order.revision,
                  "which of two versions is newer; one above those that exist if not given")
      ->check(CLI::PositiveNumber);
  command
      .add_option("--level", order.level,
                  "of zstd, 1 to 19: a higher one costs this computer minutes and saves bytes on "
                  "every line")
      ->check(CLI::Range(1, 19))
      ->capture_default_str();
  command.add_option("--post-script", order.scripts,
                     "a program that each device runs as root once the layer was applied there: a "
                     "shell script, or what its first line '#!' names; several allowed, in order");
  command
      .add_option("--script-limit", order.script_limit,
                  "how long each of them may run; then it is killed")
      ->capture_default_str();
  command.add_option("--stop-service", order.running.services,
                     "a unit that is stopped while devices apply the layer, where it runs, and "
                     "started after it; several allowed");
  command.add_flag("--needs-restart", order.running.restart,
                   "devices must be restarted after it: they are shown as such until they were");
  command
      .add_option("--against", order.against,
                  "versions of that name from which devices get an update, V,V...; among them "
                  "nothing: for devices that have none; auto: nothing, and the two newest that "
                  "devices have, else the newest, of up to 8 GiB; or none")
      ->capture_default_str();
  command
      .add_option("--effort", order.effort,
                  "for small updates: fast, default, or high, which takes the origin several times "
                  "as long")
      ->check(CLI::IsMember({"fast", "default", "high"}))
      ->capture_default_str();
  command.add_option("--os-family", order.platform.os_family, "instead of what the tree says");
  command.add_option("--distribution", order.platform.distribution, "likewise");
  command.add_option("--release", order.platform.release, "likewise: the major release");
  command.add_option("--architecture", order.platform.architecture, "likewise");
}

}  // namespace lamina::origin::cli
