#include "origin/images/image_json.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>

namespace lamina::origin::images {
namespace {

using nlohmann::json;

tl::unexpected<Error> wrong(std::string text) { return fail(ErrorKind::invalid, std::move(text)); }

Result<json> parse(std::string_view text) {
  if (text.size() > kImageJsonMax) return wrong("it is larger than 4 MiB");
  json value = json::parse(text, nullptr, false);
  if (value.is_discarded()) return wrong("it is no JSON");
  return value;
}

const json* member(const json& object, const char* key) {
  if (!object.is_object()) return nullptr;
  const auto found = object.find(key);
  return found == object.end() ? nullptr : &*found;
}

Result<std::string> text_of(const json& object, const char* key) {
  const json* value = member(object, key);
  if (value == nullptr || !value->is_string()) return wrong(std::string(key) + " is no text");
  return value->get<std::string>();
}

// "" where there is none.
std::string text_or_none(const json* object, const char* key) {
  const json* value = object == nullptr ? nullptr : member(*object, key);
  return value != nullptr && value->is_string() ? value->get<std::string>() : std::string();
}

Result<const json*> list_of(const json& object, const char* key, std::size_t most) {
  const json* value = member(object, key);
  if (value == nullptr || !value->is_array()) return wrong(std::string(key) + " is no list");
  if (value->size() > most)
    return wrong(std::string(key) + " has more than " + std::to_string(most) + " elements");
  return value;
}

Result<std::vector<std::string>> texts_of(const json& object, const char* key, std::size_t most) {
  auto list = list_of(object, key, most);
  if (!list) return fail(std::move(list.error()));
  std::vector<std::string> texts;
  for (const json& value : **list) {
    if (!value.is_string()) return wrong(std::string(key) + " has an element that is no text");
    texts.push_back(value.get<std::string>());
  }
  return texts;
}

Result<Sha256Digest> digest_of(std::string_view text) {
  constexpr std::string_view kPrefix = "sha256:";
  if (!text.starts_with(kPrefix))
    return wrong("digest '" + printable(text, 80) + "' is no sha256, the only one that is known");
  auto bytes = from_hex(text.substr(kPrefix.size()));
  Sha256Digest digest;
  if (!bytes || bytes->size() != digest.size())
    return wrong("digest '" + printable(text, 80) + "' has no 64 hex digits");
  std::ranges::copy(*bytes, digest.begin());
  return digest;
}

Result<Descriptor> descriptor_of(const json& value) {
  Descriptor descriptor;
  auto digest_text = text_of(value, "digest");
  if (!digest_text) return fail(std::move(digest_text.error()));
  auto digest = digest_of(*digest_text);
  if (!digest) return fail(std::move(digest.error()));
  const json* size = member(value, "size");
  if (size == nullptr || !size->is_number_unsigned()) return wrong("size is no number");
  descriptor.digest = *digest;
  descriptor.size = size->get<std::uint64_t>();
  descriptor.media_type = text_or_none(&value, "mediaType");
  descriptor.reference =
      text_or_none(member(value, "annotations"), "org.opencontainers.image.ref.name");
  const json* platform = member(value, "platform");
  descriptor.architecture = text_or_none(platform, "architecture");
  if (const std::string variant = text_or_none(platform, "variant"); !variant.empty())
    descriptor.architecture += '/' + variant;
  return descriptor;
}

Result<std::vector<Descriptor>> descriptors_of(const json& object, const char* key) {
  auto list = list_of(object, key, kImageLayersMax);
  if (!list) return fail(std::move(list.error()));
  std::vector<Descriptor> descriptors;
  for (const json& value : **list) {
    auto descriptor = descriptor_of(value);
    if (!descriptor) return fail(std::move(descriptor.error()).in(key));
    descriptors.push_back(std::move(*descriptor));
  }
  return descriptors;
}

}  // namespace

std::string to_text(const Sha256Digest& digest) { return "sha256:" + to_hex(digest); }
std::string blob_of(const Sha256Digest& digest) { return "blobs/sha256/" + to_hex(digest); }

Result<std::vector<Descriptor>> parse_index(std::string_view text) {
  auto value = parse(text);
  if (!value) return fail(std::move(value.error()));
  return descriptors_of(*value, "manifests");
}

Result<ImageManifest> parse_image_manifest(std::string_view text) {
  auto value = parse(text);
  if (!value) return fail(std::move(value.error()));
  const json* config = member(*value, "config");
  if (config == nullptr) return wrong("config is missing");
  auto descriptor = descriptor_of(*config);
  if (!descriptor) return fail(std::move(descriptor.error()).in("config"));
  auto layers = descriptors_of(*value, "layers");
  if (!layers) return fail(std::move(layers.error()));
  return ImageManifest{.config = std::move(*descriptor), .layers = std::move(*layers)};
}

Result<std::vector<SavedImage>> parse_saved_images(std::string_view text) {
  auto value = parse(text);
  if (!value) return fail(std::move(value.error()));
  if (!value->is_array()) return wrong("it is no list of images");
  std::vector<SavedImage> images;
  for (const json& image : *value) {
    auto config = text_of(image, "Config");
    if (!config) return fail(std::move(config.error()));
    auto layers = texts_of(image, "Layers", kImageLayersMax);
    if (!layers) return fail(std::move(layers.error()));
    std::vector<std::string> tags;
    if (const json* list = member(image, "RepoTags"); list != nullptr && !list->is_null()) {
      auto texts = texts_of(image, "RepoTags", kImageLayersMax);
      if (!texts) return fail(std::move(texts.error()));
      tags = std::move(*texts);
    }
    images.push_back(
        {.config = std::move(*config), .layers = std::move(*layers), .tags = std::move(tags)});
  }
  return images;
}

Result<std::vector<Sha256Digest>> parse_diff_ids(std::string_view text) {
  auto value = parse(text);
  if (!value) return fail(std::move(value.error()));
  const json* rootfs = member(*value, "rootfs");
  if (rootfs == nullptr) return wrong("rootfs is missing");
  auto texts = texts_of(*rootfs, "diff_ids", kImageLayersMax);
  if (!texts) return fail(std::move(texts.error()));
  std::vector<Sha256Digest> digests;
  for (const std::string& one : *texts) {
    auto digest = digest_of(one);
    if (!digest) return fail(std::move(digest.error()));
    digests.push_back(*digest);
  }
  return digests;
}

}  // namespace lamina::origin::images
