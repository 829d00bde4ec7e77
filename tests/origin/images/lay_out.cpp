// Lays an image out as a directory, through the layers that an import would publish: for
// tests/e2e/import_test.py, which compares it with what other programs unpack.
//
// usage: lay_out FROM TO [--squash]
#include <iostream>
#include <map>

#include "origin/images/image_import.hpp"
#include "shared/image/merge.hpp"
#include "shared/os/user.hpp"
#include "shared/tree/materialize.hpp"

using namespace lamina;
using namespace lamina::origin::images;

namespace {

Status lay_out(const std::string& from, const std::string& to, bool squash) {
  auto image = open_image(from, Form::automatic, "");
  if (!image) return fail(std::move(image.error()));
  auto import = ImageImport::read(std::move(*image), {.squash = squash, .allow_devices = true});
  if (!import) return fail(std::move(import.error()));
  std::map<ChunkId, Buffer> content;
  std::vector<std::unique_ptr<format::EntryStream>> layers;
  for (std::size_t i = 0; i < (*import)->layers(); ++i) {
    std::unordered_set<ChunkId, IdHash> wanted;
    const auto entries = (*import)->entries(i);
    for (auto entry = entries->next(); entry && *entry; entry = entries->next())
      for (const format::ChunkRef& chunk : (*entry)->chunks) wanted.insert(chunk.id);
    auto sent = (*import)->send(std::move(wanted), [&content](const ContentChunk& chunk) -> Status {
      content[chunk.ref.id] = to_buffer(chunk.plain);
      return Done{};
    });
    if (!sent) return sent;
    layers.push_back((*import)->entries(i));
  }
  if (auto done = os::make_directories(to); !done) return done;
  auto root = os::Root::open(to);
  if (!root) return fail(std::move(root.error()));
  TreeWriter writer(*root, "",
                    [&content](const format::ChunkRef& ref) -> Result<Buffer> {
                      const auto chunk = content.find(ref.id);
                      if (chunk == content.end())
                        return fail(ErrorKind::not_found, "no " + ref.id.hex());
                      return chunk->second;
                    },
                    {.set_owner = os::is_root()});
  image::MergeStream merged(std::move(layers));
  for (;;) {
    auto entry = merged.next();
    if (!entry) return fail(std::move(entry.error()));
    if (!*entry) return writer.finish();
    if (auto done = writer.write(**entry); !done) return done;
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) {
    std::cerr << "usage: lay_out FROM TO [--squash]\n";
    return 2;
  }
  if (auto done = lay_out(argv[1], argv[2], argc > 3); !done) {
    std::cerr << done.error().text() << '\n';
    return 1;
  }
  return 0;
}
