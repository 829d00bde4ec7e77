// Tar files and what a tree makes of their members. The first byte says whether ".wh." removes, and
// a 0xff 0xff 0xff ends the first of two archives. What is accepted are good entries in path order,
// the same when it is read again, and the layers add up to the squashed image.
#include <cstdint>
#include <span>

#include "origin/images/image_import.hpp"
#include "shared/base/assert.hpp"
#include "shared/image/merge.hpp"

using namespace lamina;
using namespace lamina::origin::images;

namespace {

class View : public archive::ByteSource {
 public:
  explicit View(ByteView bytes) : bytes_(bytes) {}
  Result<std::size_t> read(std::span<std::byte> into) override {
    const std::size_t size = std::min(into.size(), bytes_.size());
    std::copy_n(bytes_.begin(), size, into.begin());
    bytes_ = bytes_.subspan(size);
    return size;
  }

 private:
  ByteView bytes_;
};

// Not the decompressors: a byte becomes a thousand there, and they are not ours.
bool is_compressed(ByteView bytes) {
  const std::string_view text = as_text(bytes);
  return text.starts_with("\x1f\x8b") || text.starts_with("\x28\xb5\x2f\xfd") ||
         text.starts_with(
             "\xfd"
             "7zXZ") ||
         text.starts_with("BZh");
}

std::vector<format::Entry> all(format::EntryStream& stream) {
  std::vector<format::Entry> entries;
  for (;;) {
    auto entry = stream.next();
    LAMINA_ASSERT(entry.has_value());
    if (!*entry) return entries;
    LAMINA_ASSERT(format::check_entry(**entry).has_value());
    LAMINA_ASSERT(entries.empty() ||
                  format::compare_paths(entries.back().path, (*entry)->path) < 0);
    entries.push_back(std::move(**entry));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const ByteView input = std::as_bytes(std::span(data, size)).subspan(1);
  const std::size_t border = std::min(as_text(input).find("\xff\xff\xff"), input.size());
  Image image{.layers = {}, .whiteouts = data[0] % 2 == 0 ? Whiteouts::oci : Whiteouts::none};
  std::vector<ByteView> archives = {input.first(border)};
  if (border < input.size()) archives.push_back(input.subspan(border + 3));
  for (const ByteView bytes : archives) {
    if (is_compressed(bytes)) return 0;
    image.layers.push_back({.what = "archive",
                            .open = [bytes]() -> Result<std::unique_ptr<archive::ByteSource>> {
                              return std::make_unique<View>(bytes);
                            },
                            .digest = std::nullopt});
  }
  const auto squashed = ImageImport::read(image, {.squash = true, .allow_devices = true});
  const auto apart = ImageImport::read(image, {.allow_devices = true});
  LAMINA_ASSERT(squashed.has_value() == apart.has_value());
  if (!squashed) return 0;
  std::vector<std::unique_ptr<format::EntryStream>> layers;
  for (std::size_t i = 0; i < (*apart)->layers(); ++i) layers.push_back((*apart)->entries(i));
  image::MergeStream merged(std::move(layers));
  LAMINA_ASSERT(all(merged) == all(*(*squashed)->entries(0)));
  return 0;
}
