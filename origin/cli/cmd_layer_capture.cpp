#include <iostream>

#include "origin/cli/platform.hpp"
#include "origin/cli/session.hpp"
#include "origin/cli/upload.hpp"
#include "shared/image/rules.hpp"
#include "shared/os/clock.hpp"
#include "shared/tree/capture.hpp"
#include "shared/wire/admin.hpp"

namespace lamina::origin::cli {
namespace {

// m, 2.05 GB of Debian with a browser and a desktop: level 2 gives 605 MB for 17 s of processor, 3
// 587 MB for 23 s; what is above costs a minute and more. What is small is coded better anyway.
constexpr int kDefaultLevel = 3;

struct CaptureRequest {
  std::string name;
  std::string version;
  std::string kind = "base";
  std::string tree;
  std::string key;
  std::uint64_t revision = 0;  // 0: one above those that exist.
  int level = kDefaultLevel;
  format::Platform platform;  // What is given here is not detected.
};

// One more than the versions of that name that exist: which of two is newer.
Result<std::uint64_t> next_revision(Session& session, const std::string& name) {
  auto body = session.get("/v1/layers");
  if (!body) return fail(std::move(body.error()));
  auto list = wire::parse_layer_list(*body);
  if (!list) return fail(std::move(list.error()));
  std::uint64_t revision = 1;
  for (const wire::LayerInfo& layer : list->layers) revision += layer.name == name ? 1 : 0;
  return revision;
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

Status capture(Session& s, CaptureRequest request) {
  auto kind = format::parse_layer_kind(request.kind);
  if (!kind) return fail(std::move(kind.error()));
  for (const auto& [name, what] :
       {std::pair{request.name, "layer name"}, std::pair{request.version, "layer version"}})
    if (auto good = format::check_name(name, what); !good) return good;
  auto pem = os::read_text(request.key, 1 << 16);
  if (!pem) return fail(std::move(pem.error()).in("reading the publisher's key"));
  auto key = PrivateKey::from_pem(*pem);
  if (!key) return fail(std::move(key.error()).in(request.key));
  auto root = os::Root::open(request.tree);
  if (!root) return fail(std::move(root.error()));
  if (auto names = os::list_directory(request.tree); !names || names->empty())
    return fail(ErrorKind::invalid, "the tree " + printable(request.tree) + " is empty");
  if (auto good = complete(request.platform, platform_of(*root)); !good) return good;
  auto revision = request.revision > 0 ? Result<std::uint64_t>(request.revision)
                                       : next_revision(s, request.name);
  if (!revision) return fail(std::move(revision.error()));

  Upload upload(s, request.level);
  const CaptureOptions options{
      .include = [](const std::string& path,
                    bool is_directory) { return image::in_capture(path, is_directory); },
      .started = os::system_clock().wall(),
      .progress =
          [&s](std::uint64_t entries, std::uint64_t bytes) {
            s.progress(std::to_string(entries) + " entries, " +
                       to_text(Bytes{static_cast<std::int64_t>(bytes)}));
          }};
  auto captured = capture_tree(
      *root, options,
      [&](const ContentChunk& chunk) { return upload.add(chunk.ref, chunk.plain, chunk.content); },
      [&](const ChunkId& id, ByteView plain) {
        return upload.add_metadata({id, static_cast<std::uint32_t>(plain.size())}, plain);
      });
  if (!captured) return fail(std::move(captured.error()));
  if (auto done = upload.finish(); !done) return done;
  s.progress("");

  format::LayerRecord record{.name = request.name,
                             .version = request.version,
                             .revision = *revision,
                             .kind = *kind,
                             .platform = request.platform,
                             .manifest = captured->manifest,
                             .created = os::system_clock().wall(),
                             .capture_rules = {"factory"}};
  const Buffer envelope =
      format::sign_record(format::RecordType::layer, format::encode(record), *key);
  net::Call call{.method = "POST", .target = "/v1/layers"};
  call.content_type = "application/octet-stream";
  call.body = std::string(as_text(envelope));
  auto reply = s.send(std::move(call));
  if (!reply) return fail(std::move(reply.error()).in("publishing the layer"));
  for (const Note& note : captured->notes)
    *s.err << "lamina: " << name_of(note.kind) << ": '" << printable(note.path)
           << "': " << note.reason << '\n';
  if (captured->notes_total > captured->notes.size())
    *s.err << "lamina: and " << captured->notes_total - captured->notes.size() << " more\n";
  if (s.json) return *s.out << reply->body << '\n', Done{};
  *s.out << "published " << request.name << ':' << request.version << "  "
         << format::layer_id(envelope).hex() << '\n'
         << captured->manifest.entries << " entries, "
         << to_text(Bytes{static_cast<std::int64_t>(captured->manifest.content_bytes)}) << "; sent "
         << upload.packs_sent() << " packs, "
         << to_text(Bytes{static_cast<std::int64_t>(upload.bytes_sent())}) << '\n';
  return Done{};
}

}  // namespace

void add_layer_capture(CLI::App& layer, Run& run) {
  auto request = std::make_shared<CaptureRequest>();
  auto* command = layer.add_subcommand("capture", "capture a directory tree and publish it");
  command->footer(
      "Example: lamina layer capture --name debian --version 1.0 --kind base --tree /srv/reference "
      "--key publisher.key");
  command->add_option("--name", request->name, "the layer's name")->required();
  command->add_option("--version", request->version, "newer than every version of that name")
      ->required();
  command->add_option("--kind", request->kind, "base, app or driver")->capture_default_str();
  command->add_option("--tree", request->tree, "the directory to capture")->required();
  command->add_option("--key", request->key, "the publisher's private key")->required();
  command
      ->add_option("--revision", request->revision,
                   "which of two versions is newer; one above those that exist if not given")
      ->check(CLI::PositiveNumber);
  command
      ->add_option("--level", request->level,
                   "of zstd, 1 to 19: a higher one costs this computer minutes and saves bytes on "
                   "every line")
      ->check(CLI::Range(1, 19))
      ->capture_default_str();
  command->add_option("--os-family", request->platform.os_family, "instead of what the tree says");
  command->add_option("--distribution", request->platform.distribution, "likewise");
  command->add_option("--release", request->platform.release, "likewise: the major release");
  command->add_option("--architecture", request->platform.architecture, "likewise");
  command->callback(
      [&run, request] { run = [request](Session& s) { return capture(s, *request); }; });
}

}  // namespace lamina::origin::cli
