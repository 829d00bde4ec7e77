// The JSON of container images: OCI image layouts (opencontainers/image-spec 1.1: image-layout.md,
// image-index.md, manifest.md, config.md) and the manifest.json of `docker save`.
//
// Only what an import needs is read; what is needed and missing or of another type is `invalid`,
// naming the field. Pure; any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "shared/hash/sha256.hpp"

namespace lamina::origin::images {

constexpr std::size_t kImageJsonMax = 4 << 20;  // What registries accept of a manifest.
constexpr std::size_t kImageLayersMax = 1024;   // Docker makes 127 at most.

struct Descriptor {
  std::string media_type;
  Sha256Digest digest{};
  std::uint64_t size = 0;
  std::string reference;     // The tag that an index gives it; mostly "".
  std::string architecture;  // "amd64/v2", "arm64"; "" where it is not told.
};
// "sha256:0123..."
std::string to_text(const Sha256Digest& digest);
// Its file within an image layout.
std::string blob_of(const Sha256Digest& digest);

// index.json, and the indexes that it may name.
Result<std::vector<Descriptor>> parse_index(std::string_view text);

struct ImageManifest {
  Descriptor config;
  std::vector<Descriptor> layers;  // The lowest first.
};
Result<ImageManifest> parse_image_manifest(std::string_view text);

struct SavedImage {
  std::string config;               // Names of files beside manifest.json.
  std::vector<std::string> layers;  // The lowest first.
  std::vector<std::string> tags;
};
Result<std::vector<SavedImage>> parse_saved_images(std::string_view text);

// The digests of the layers' tar files, before they are compressed.
Result<std::vector<Sha256Digest>> parse_diff_ids(std::string_view text);

}  // namespace lamina::origin::images
