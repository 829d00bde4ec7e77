// What `lamina layer import` is given, as archives to be read in order: one tar file, or the layers
// of a container image. Nothing is unpacked: the layers inside a `docker save` archive are read
// where they are.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "origin/images/image_tree.hpp"
#include "shared/hash/sha256.hpp"

namespace lamina::origin::images {

enum class Form {
  automatic,  // By what is there.
  tar,        // A tar file that is a tree.
  oci,        // An OCI image layout: a directory, or a tar file of one.
  docker,     // What `docker save` or `podman save` wrote: a tar file, or a directory of one.
};
Result<Form> parse_form(std::string_view text);  // "auto", "tar", "oci", "docker"

struct Blob {
  std::string what;  // For messages.
  std::function<Result<std::unique_ptr<archive::ByteSource>>()> open;
  // Of its bytes, where somebody vouches for them.
  std::optional<Sha256Digest> digest;
};

struct Image {
  std::vector<Blob> layers;  // The lowest first.
  Whiteouts whiteouts = Whiteouts::none;
};

// Whether the directory is an image rather than a tree.
bool is_image_directory(const std::string& path);

// `reference`: which image of several, by "TAG", "ARCHITECTURE" or both with a comma between them;
// "" when there is one. Manifests and configurations are checked against their digests here; the
// layers' own are in the answer.
Result<Image> open_image(const std::string& path, Form form, const std::string& reference);

}  // namespace lamina::origin::images
