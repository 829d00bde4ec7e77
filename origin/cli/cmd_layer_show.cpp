#include "origin/cli/session.hpp"
#include "origin/cli/verify.hpp"
#include "shared/cli/progress.hpp"
#include "shared/format/signed_layer.hpp"
#include "shared/os/clock.hpp"

namespace lamina::origin::cli {
namespace {

struct VerifyRequest {
  std::string layer;
  std::string publisher;  // A file; "" = none.
};

Result<wire::LayerInfo> layer_of(Session& s, const std::string& text) {
  auto body = s.get("/v1/layers");
  if (!body) return fail(std::move(body.error()));
  auto list = wire::parse_layer_list(*body);
  if (!list) return fail(std::move(list.error()));
  return find_layer(*list, text);
}

Status show(Session& s, const std::string& text) {
  auto layer = layer_of(s, text);
  if (!layer) return fail(std::move(layer.error()));
  if (s.json) return *s.out << wire::to_json(*layer) << '\n', Done{};
  const auto listed = [](const std::optional<std::vector<std::string>>& names) {
    std::string text;
    for (const std::string& name : names.value_or(std::vector<std::string>{}))
      text += (text.empty() ? "" : " ") + printable(name, 255);
    return text.empty() ? std::string("-") : text;
  };
  s.table({{"layer", layer->name + ":" + layer->version},
           {"id", layer->id.hex()},
           {"kind", layer->kind},
           {"system", printable(layer->os_family + " " + layer->distribution + " " +
                                layer->release + " " + layer->architecture)},
           {"files", std::to_string(layer->files)},
           {"size", to_text(Bytes{layer->plain_bytes})},
           {"stored", packs_text(*layer) + "; " + std::to_string(layer->chunks) + " chunks"},
           {"scripts", listed(layer->scripts)},
           {"stops", listed(layer->services)},
           {"restart", layer->needs_restart.value_or(false) ? "needed" : "-"},
           {"created", to_iso8601(WallTime{layer->created_ms * 1000000})},
           {"published", to_iso8601(WallTime{layer->published_ms * 1000000})}});
  return Done{};
}

Result<std::optional<PublicKey>> read_publisher(const std::string& path) {
  if (path.empty()) return std::optional<PublicKey>();
  auto text = os::read_text(path, 4096);
  if (!text) return fail(std::move(text.error()).in("reading the publisher's public key"));
  auto key =
      PublicKey::parse(std::string_view(*text).substr(0, text->find_last_not_of(" \r\n") + 1));
  if (!key) return fail(std::move(key.error()).in(path));
  return std::optional<PublicKey>(*key);
}

Result<std::vector<format::DistributedPack>> packs_of(Session& s, const wire::LayerInfo& layer) {
  auto envelope = s.get("/v1/layers/" + layer.id.hex() + "/distribution");
  if (!envelope) return fail(std::move(envelope.error()));
  auto record = format::open_distribution(layer.id, as_view(*envelope));
  if (!record) return fail(std::move(record.error()));
  return std::move(record->packs);
}

// Fetches `packs` into `directory` and adds them to `set`; each must be what its name says.
Status fetch(Session& s, const std::vector<format::DistributedPack>& packs,
             const std::string& directory, PackSet& set) {
  Bytes total;
  for (const auto& pack : packs) total += Bytes{static_cast<std::int64_t>(pack.size)};
  auto space = os::space_of(directory);
  if (!space) return fail(std::move(space.error()));
  if (space->free < total)
    return fail(ErrorKind::out_of_space, "the layer's packs need " + to_text(total) + " in " +
                                             directory + ", which has " + to_text(space->free) +
                                             ": set TMPDIR to a larger disk");
  lamina::cli::Progress progress(*s.err, lamina::cli::stderr_is_terminal());
  Bytes done;
  for (const auto& pack : packs) {
    const std::string what = "pack " + pack.id.short_hex();
    const std::string path = directory + "/" + pack.id.hex();
    net::Call call{.target = "/v1/layers/packs/" + pack.id.hex()};
    call.download_to = path;
    call.reply_max = Bytes{static_cast<std::int64_t>(format::kPackBytesMax)};
    call.progress = [&](Bytes moved) {
      progress.show(done + moved, total, os::system_clock().now());
    };
    auto reply = s.send(std::move(call));
    if (!reply) return fail(std::move(reply.error()).in("fetching " + what));
    auto identity = identify(path);
    if (!identity) return fail(std::move(identity.error()));
    if (identity->id != pack.id)
      return fail(ErrorKind::corrupt, what +
                                          " has other bytes than its name says: the origin's "
                                          "store is damaged");
    if (auto added = set.add(path, what); !added) return added;
    done += Bytes{static_cast<std::int64_t>(identity->size)};
  }
  set.seal();
  return Done{};
}

Status verify_layer(Session& s, const VerifyRequest& request) {
  auto publisher = read_publisher(request.publisher);
  if (!publisher) return fail(std::move(publisher.error()));
  auto info = layer_of(s, request.layer);
  if (!info) return fail(std::move(info.error()));
  auto envelope = s.get("/v1/layers/" + info->id.hex() + "/record");
  if (!envelope) return fail(std::move(envelope.error()));
  auto layer = open_layer(as_view(*envelope), *info, *publisher);
  if (!layer) return fail(std::move(layer.error()));
  auto packs = packs_of(s, *info);
  if (!packs) return fail(std::move(packs.error()));
  auto spool = os::TemporaryDirectory::make(os::temporary_root(), "lamina-verify-");
  if (!spool) return fail(std::move(spool.error()));
  PackSet set;
  if (auto done = fetch(s, *packs, spool->path(), set); !done) return done;
  auto content = verify_content(layer->record.manifest, set, [&](const VerifiedContent& seen) {
    s.progress("checked " + std::to_string(seen.chunks) + " chunks");
  });
  s.progress("");
  const std::string name = info->name + ":" + info->version;
  if (!content) return fail(std::move(content.error()).in("verifying " + name));
  if (s.json) {
    *s.out << "{\"layer\":\"" << info->id.hex() << "\",\"signer\":\"" << layer->signer.hex()
           << "\",\"publisher_compared\":" << (*publisher ? "true" : "false")
           << ",\"entries\":" << layer->record.manifest.entries << ",\"packs\":" << packs->size()
           << ",\"chunks\":" << content->chunks << ",\"bytes\":" << content->bytes << "}\n";
    return Done{};
  }
  *s.out << "verified " << name << "  " << info->id.hex() << '\n'
         << layer->record.manifest.entries << " entries, " << content->chunks << " chunks, "
         << to_text(Bytes{static_cast<std::int64_t>(content->bytes)}) << " in " << packs->size()
         << " packs\nsigned by " << layer->signer.hex()
         << (*publisher ? ", the given publisher" : " (give --publisher to have it compared)")
         << '\n';
  return Done{};
}

}  // namespace

void add_layer_show(CLI::App& layer, Run& run) {
  auto request = std::make_shared<VerifyRequest>();
  auto* show_command = layer.add_subcommand("show", "one layer, in full");
  show_command->footer("Example: lamina layer show debian:12.11");
  show_command->add_option("LAYER", request->layer, "NAME:VERSION or the layer's id")->required();
  show_command->callback(
      [&run, request] { run = [request](Session& s) { return show(s, request->layer); }; });
  auto* verify_command = layer.add_subcommand(
      "verify", "fetch a layer and check its signature, its manifest and every chunk");
  verify_command->footer("Example: lamina layer verify debian:12.11 --publisher publisher.pub");
  verify_command->add_option("LAYER", request->layer, "NAME:VERSION or the layer's id")->required();
  verify_command->add_option("--publisher", request->publisher,
                             "file with the publisher's public key, which must have signed");
  verify_command->callback(
      [&run, request] { run = [request](Session& s) { return verify_layer(s, *request); }; });
}

}  // namespace lamina::origin::cli
