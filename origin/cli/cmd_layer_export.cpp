#include <sys/stat.h>

#include "origin/cli/session.hpp"
#include "origin/cli/verify.hpp"
#include "shared/cli/progress.hpp"
#include "shared/format/signed_layer.hpp"
#include "shared/os/clock.hpp"
#include "shared/os/file.hpp"
#include "shared/store/pack_files.hpp"

namespace lamina::origin::cli {
namespace {

struct ExportRequest {
  std::string layer;
  std::string to;
  bool dry_run = false;
};

std::string pack_path(const std::string& to, const format::DistributedPack& pack) {
  return to + "/cache/packs/" + pack.id.hex();
}

// The pack under its name in the directory `to`; nothing else is ever there under that name.
Status fetch_pack(Session& s, const format::DistributedPack& pack, const std::string& to,
                  const net::Call& how) {
  const std::string path = pack_path(to, pack);
  if (os::exists(path)) return Done{};
  const Bytes size{static_cast<std::int64_t>(pack.size)};
  const auto space = os::space_of(to);
  if (!space) return fail(space.error());
  if (space->free < size)
    return fail(ErrorKind::out_of_space, to + " has " + to_text(space->free) +
                                             " left, the next pack needs " + to_text(size) +
                                             ": make room and start again");
  net::Call call = how;
  call.target = "/v1/layers/packs/" + pack.id.hex();
  call.download_to = path + ".part";
  call.reply_max = Bytes{static_cast<std::int64_t>(format::kPackBytesMax)};
  auto reply = s.send(std::move(call));
  if (!reply) return fail(std::move(reply.error()).in("fetching pack " + pack.id.short_hex()));
  auto identity = identify(path + ".part");
  if (!identity) return fail(std::move(identity.error()));
  if (identity->id != pack.id)
    return fail(ErrorKind::corrupt, "pack " + pack.id.short_hex() +
                                        " has other bytes than its name says: the origin's store "
                                        "is damaged");
  auto file = os::open_read(path + ".part");
  if (!file) return fail(std::move(file.error()));
  // Whatever user the network process of the device is.
  if (::fchmod(file->get(), 0644) != 0)
    return fail(ErrorKind::unavailable, "the mode of " + path + " cannot be set");
  if (auto done = os::sync_data(file->get(), path); !done) return done;
  return os::rename_file(path + ".part", path);
}

Status rehearse(Session& s, const ExportRequest& request, const wire::LayerInfo& info,
                const std::vector<format::DistributedPack>& packs) {
  Bytes lacking;
  std::size_t count = 0;
  for (const format::DistributedPack& pack : packs) {
    if (os::exists(pack_path(request.to, pack))) continue;
    ++count;
    lacking += Bytes{static_cast<std::int64_t>(pack.size)};
  }
  if (s.json)
    *s.out << "{\"layer\":\"" << info.id.hex() << "\",\"packs\":" << count
           << ",\"bytes\":" << lacking.count << ",\"dry_run\":true}\n";
  else
    *s.out << count << " of " << packs.size() << " packs, " << to_text(lacking)
           << ", would be written to " << request.to << '\n';
  return Done{};
}

// As `lamina-node cache export` does: node/net/layer_transfer.hpp describes the directory.
Status export_layer(Session& s, const ExportRequest& request) {
  auto body = s.get("/v1/layers");
  if (!body) return fail(std::move(body.error()));
  auto list = wire::parse_layer_list(*body);
  if (!list) return fail(std::move(list.error()));
  auto info = find_layer(*list, request.layer);
  if (!info) return fail(std::move(info.error()));
  const std::string path = "/v1/layers/" + info->id.hex();
  auto record = s.get(path + "/record");
  if (!record) return fail(std::move(record.error()));
  if (auto layer = open_layer(as_view(*record), *info, std::nullopt); !layer)
    return fail(std::move(layer.error()));
  auto envelope = s.get(path + "/distribution");
  if (!envelope) return fail(std::move(envelope.error()));
  auto distribution = format::open_distribution(info->id, as_view(*envelope));
  if (!distribution) return fail(std::move(distribution.error()));
  // All of the content: no need for updates.
  std::erase_if(distribution->packs, [](const auto& pack) { return !pack.update_from.empty(); });
  if (request.dry_run) return rehearse(s, request, *info, distribution->packs);
  auto torrent = s.get(path + "/torrent");
  if (!torrent) return fail(std::move(torrent.error()));

  const std::string cache = request.to + "/cache";
  for (const char* name : {"/packs", "/torrents", "/records"})
    if (auto done = os::make_directories(cache + name); !done) return done;
  Bytes total, moved;
  for (const auto& pack : distribution->packs) total += Bytes{static_cast<std::int64_t>(pack.size)};
  lamina::cli::Progress progress(*s.err, lamina::cli::stderr_is_terminal());
  for (const auto& pack : distribution->packs) {
    net::Call how;
    how.progress = [&](Bytes part) {
      progress.show(moved + part, total, os::system_clock().now());
    };
    if (auto done = fetch_pack(s, pack, request.to, how); !done) return done;
    moved += Bytes{static_cast<std::int64_t>(pack.size)};
  }
  if (auto done = os::sync_directory(cache + "/packs"); !done) return done;
  // The records last: with them the layer is there.
  const std::string of_layer = cache + "/records/" + info->id.hex();
  for (const auto& [file, bytes] :
       {std::pair{cache + "/torrents/" + distribution->torrent.hex() + ".torrent", *torrent},
        std::pair{of_layer + ".layer", *record}, std::pair{of_layer + ".distribution", *envelope}})
    if (auto done = os::write_file(file, as_view(bytes)); !done) return done;
  const std::string name = info->name + ':' + info->version;
  if (s.json)
    *s.out << "{\"layer\":\"" << info->id.hex() << "\",\"name\":\"" << name
           << "\",\"packs\":" << distribution->packs.size() << ",\"bytes\":" << total.count
           << "}\n";
  else
    *s.out << name << ": " << distribution->packs.size() << " packs, " << to_text(total) << " in "
           << request.to << '\n';
  return Done{};
}

}  // namespace

void add_layer_export(CLI::App& layer, Run& run) {
  auto request = std::make_shared<ExportRequest>();
  auto* command =
      layer.add_subcommand("export", "write a layer to a disk, for a site behind a very thin line");
  command->footer(
      "What is there already is not fetched again; other layers may be there. A device of the "
      "site\n"
      "takes it with `lamina-node cache import --from DIR`.\n"
      "Example: lamina layer export debian:12.11 --to /media/disk");
  command->add_option("LAYER", request->layer, "NAME:VERSION or the layer's id")->required();
  command->add_option("--to", request->to, "the directory, made if it is missing")->required();
  command->add_flag("--dry-run", request->dry_run, "say what it would write; write nothing");
  command->callback(
      [&run, request] { run = [request](Session& s) { return export_layer(s, *request); }; });
}

}  // namespace lamina::origin::cli
