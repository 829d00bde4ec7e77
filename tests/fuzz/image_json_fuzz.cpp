// The JSON of container images. The first byte chooses the parser; what is accepted keeps the
// bounds that the parsers promise.
#include <cstdint>
#include <span>

#include "origin/images/image_json.hpp"
#include "shared/base/assert.hpp"

using namespace lamina;
using namespace lamina::origin::images;

namespace {

template <class Answer>
bool is_refused_well(const Result<Answer>& answer) {
  if (answer) return false;
  LAMINA_ASSERT(answer.error().kind() == ErrorKind::invalid && !answer.error().text().empty());
  return true;
}

void check(const Descriptor& descriptor) {
  LAMINA_ASSERT(to_text(descriptor.digest).size() == 71);
  LAMINA_ASSERT(blob_of(descriptor.digest).find("..") == std::string::npos);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view text = as_text(std::as_bytes(std::span(data, size)).subspan(1));
  switch (data[0] % 4) {
    case 0:
      if (const auto index = parse_index(text); !is_refused_well(index)) {
        LAMINA_ASSERT(index->size() <= kImageLayersMax);
        for (const Descriptor& one : *index) check(one);
      }
      break;
    case 1:
      if (const auto manifest = parse_image_manifest(text); !is_refused_well(manifest)) {
        check(manifest->config);
        LAMINA_ASSERT(manifest->layers.size() <= kImageLayersMax);
        for (const Descriptor& layer : manifest->layers) check(layer);
      }
      break;
    case 2:
      if (const auto saved = parse_saved_images(text); !is_refused_well(saved))
        for (const SavedImage& image : *saved)
          LAMINA_ASSERT(image.layers.size() <= kImageLayersMax);
      break;
    default:
      if (const auto ids = parse_diff_ids(text); !is_refused_well(ids))
        LAMINA_ASSERT(ids->size() <= kImageLayersMax);
  }
  return 0;
}
