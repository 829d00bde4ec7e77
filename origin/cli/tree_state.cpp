#include "origin/cli/tree_state.hpp"

namespace lamina::origin::cli {
namespace {

constexpr std::string_view kMagic = "LamTree1";
constexpr std::size_t kStateMax = 64 << 20;
constexpr int kLevel = 3;  // Read once more and thrown away.

}  // namespace

std::string files_of(const std::string& directory) { return directory + "/files"; }
std::string entries_of(const std::string& directory) { return directory + "/entries"; }
std::string rules_of(const std::string& directory) { return directory + "/rules.toml"; }

Result<std::unique_ptr<EntryStore>> EntryStore::create(const std::string& directory) {
  if (auto done = os::make_directories(directory, 0700); !done)
    return fail(std::move(done.error()));
  auto files = PackFiles::open(directory, PackFiles::Access::spool);
  if (!files) return fail(std::move(files.error()));
  std::unique_ptr<EntryStore> store(new EntryStore(std::move(*files)));
  store->writer_ =
      std::make_unique<PackWriter>(store->files_, PackWriter::Options{.level = kLevel},
                                   [](const format::PackSummary&) { return Status(Done{}); });
  return store;
}

Result<std::unique_ptr<EntryStore>> EntryStore::open(const std::string& directory) {
  auto files = PackFiles::open(directory, PackFiles::Access::read);
  if (!files) return fail(std::move(files.error()));
  std::unique_ptr<EntryStore> store(new EntryStore(std::move(*files)));
  if (auto done = store->open_packs(); !done) return fail(std::move(done.error()));
  return store;
}

format::ChunkSink EntryStore::sink() {
  return [this](const ChunkId& id, ByteView plain) {
    return writer_->add({id, static_cast<std::uint32_t>(plain.size())}, plain,
                        ContentClass::metadata);
  };
}

ContentSink EntryStore::content_sink() {
  return [this](const ContentChunk& chunk) {
    return writer_->add(chunk.ref, chunk.plain, chunk.content);
  };
}

Status EntryStore::finish() {
  if (auto done = writer_->finish(); !done) return done;
  return open_packs();
}

Status EntryStore::open_packs() {
  auto packs = files_.list();
  if (!packs) return fail(std::move(packs.error()));
  for (const PackId& pack : *packs)
    if (auto done = set_.add(files_.path_of(pack), "pack " + pack.short_hex()); !done) return done;
  set_.seal();
  return Done{};
}

Result<std::unique_ptr<format::ManifestReader>> EntryStore::read(
    const format::ManifestRef& manifest) {
  return format::ManifestReader::open(manifest, set_.source());
}

Result<TreeState> read_tree_state(const std::string& directory) {
  auto bytes = os::read_file(directory + "/state", kStateMax);
  if (!bytes)
    return fail(std::move(bytes.error())
                    .in("reading what `lamina layer capture start` wrote to " + directory));
  Reader in(*bytes);
  const bool is_state = as_text(in.raw(kMagic.size())) == kMagic;
  TreeState state;
  state.tree = in.text(4096);
  state.manifest = format::decode_manifest_ref(in);
  if (!is_state || in.failed() || in.remaining() > 0)
    return fail(ErrorKind::corrupt, directory + "/state is damaged: start again");
  return state;
}

Status write_tree_state(const std::string& directory, const TreeState& state) {
  Writer out;
  out.raw(as_view(kMagic));
  out.text(state.tree);
  format::encode_manifest_ref(state.manifest, out);
  return os::write_file(directory + "/state", out.view(), 0600);
}

}  // namespace lamina::origin::cli
