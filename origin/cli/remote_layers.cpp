#include "origin/cli/remote_layers.hpp"

#include "origin/cli/session.hpp"
#include "origin/cli/verify.hpp"

namespace lamina::origin::cli {

RemoteLayers::RemoteLayers(Session& session, os::TemporaryDirectory spool)
    : session_(session),
      spool_(std::move(spool)),
      batch_("/v1/layers/chunks", spool_.path() + "/batch") {}

Result<std::unique_ptr<RemoteLayers>> RemoteLayers::open(Session& session,
                                                         const std::vector<std::string>& names) {
  auto body = session.get("/v1/layers");
  if (!body) return fail(std::move(body.error()));
  auto list = wire::parse_layer_list(*body);
  if (!list) return fail(std::move(list.error()));
  auto spool = os::TemporaryDirectory::make(os::temporary_root(), "lamina-layers-");
  if (!spool) return fail(std::move(spool.error()));
  std::unique_ptr<RemoteLayers> layers(new RemoteLayers(session, std::move(*spool)));
  for (const std::string& name : names) {
    auto info = find_layer(*list, name);
    if (!info) return fail(std::move(info.error()));
    auto envelope = session.get("/v1/layers/" + info->id.hex() + "/record");
    if (!envelope) return fail(std::move(envelope.error()));
    auto layer = open_layer(as_view(*envelope), *info, std::nullopt);
    if (!layer) return fail(std::move(layer.error()));
    auto reader = format::ManifestReader::open(layer->record.manifest, layers->source());
    if (!reader) return fail(std::move(reader.error()).in("layer " + name));
    if (auto done = layers->fetch((*reader)->entry_chunks()); !done)
      return fail(std::move(done.error()).in("layer " + name));
    layers->records_.push_back(std::move(layer->record));
  }
  return layers;
}

Status RemoteLayers::fetch(const std::vector<format::ChunkRef>& refs) {
  for (std::size_t begin = 0; begin < refs.size();) {
    std::vector<format::ChunkRef> some;
    std::uint64_t bytes = 0;
    for (; begin < refs.size(); ++begin) {
      bytes += refs[begin].length;
      if (!some.empty() && bytes > RemoteBatch::kBytesMax) break;
      some.push_back(refs[begin]);
    }
    if (auto done = batch_.fetch(session_, some); !done) return done;
    for (const format::ChunkRef& ref : some) {
      auto chunk = batch_.read(ref);
      if (!chunk) return fail(std::move(chunk.error()));
      held_.insert_or_assign(ref.id, std::move(*chunk));
    }
  }
  return Done{};
}

format::ChunkSource RemoteLayers::source() {
  return [this](const format::ChunkRef& ref) -> Result<Buffer> {
    if (const auto held = held_.find(ref.id); held != held_.end()) return held->second;
    if (auto done = batch_.fetch(session_, {ref}); !done) return fail(std::move(done.error()));
    return batch_.read(ref);
  };
}

}  // namespace lamina::origin::cli
