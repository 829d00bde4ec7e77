#include "origin/images/image_files.hpp"

#include <fcntl.h>

#include <algorithm>
#include <map>

#include "origin/images/image_json.hpp"
#include "shared/os/beneath.hpp"

namespace lamina::origin::images {
namespace {

using archive::ByteSource;
using Source = std::unique_ptr<ByteSource>;

constexpr std::size_t kMembersMax = 100'000;  // Of an archive of images: a few per layer.
constexpr int kNestedMax = 4;                 // Indexes within indexes.
constexpr int kAliasesMax = 8;
constexpr std::string_view kLayerTypes[] = {
    "application/vnd.oci.image.layer.v1.tar",
    "application/vnd.oci.image.layer.nondistributable.v1.tar",
    "application/vnd.docker.image.rootfs.diff.tar",
    "application/vnd.docker.image.rootfs.foreign.diff.tar"};
constexpr std::string_view kIndexTypes[] = {
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json"};

// Named files: a directory, or a tar file of one.
class Files {
 public:
  virtual ~Files() = default;
  virtual bool has(const std::string& name) const = 0;
  virtual Result<Source> open(const std::string& name) const = 0;
};

class Directory : public Files {
 public:
  explicit Directory(os::Root root) : root_(std::move(root)) {}
  bool has(const std::string& name) const override {
    return root_.open_in_root(name, O_PATH).has_value();
  }
  Result<Source> open(const std::string& name) const override {
    auto file = root_.open_in_root(name, O_RDONLY | O_NONBLOCK);
    if (!file) return fail(std::move(file.error()));
    return archive::open_source("/proc/self/fd/" + std::to_string(file->get()), name);
  }

 private:
  os::Root root_;
};

std::string plain_name(std::string_view name) {
  while (name.starts_with("./")) name.remove_prefix(2);
  return std::string(name);
}

class TarFile : public Files {
 public:
  // Whether an archive whose first members have these names may be one of images.
  static bool may_be_image(const std::string& name) {
    const std::string_view top = std::string_view(name).substr(0, name.find('/'));
    const bool is_id = top.size() >= 64 && from_hex(top.substr(0, 64)).has_value();
    return is_id || name.empty() || top == "blobs" || top == "oci-layout" || top == "index.json" ||
           top == "manifest.json" || top == "repositories";
  }

  // Reads the names. With `give_up` only until there is one that no image has: then it has none.
  static Result<std::unique_ptr<TarFile>> open_file(const std::string& path, bool give_up) {
    auto file = std::unique_ptr<TarFile>(new TarFile(path));
    auto source = archive::open_source(path, path);
    if (!source) return fail(std::move(source.error()));
    auto tar = archive::TarReader::open(**source, path);
    if (!tar) return fail(std::move(tar.error()));
    for (;;) {
      auto member = tar->next();
      if (!member) return fail(std::move(member.error()));
      if (!*member) return file;
      const std::string name = plain_name((*member)->name);
      if (give_up && !may_be_image(name)) {
        file->members_.clear();
        return file;
      }
      if (file->members_.size() >= kMembersMax)
        return fail(ErrorKind::invalid, path + " has more members than an archive of images has");
      const auto& entry = (*member)->entry;
      file->members_.try_emplace(
          name, entry.kind == format::EntryKind::symlink ? entry.target : std::string());
    }
  }

  bool has(const std::string& name) const override { return members_.contains(name); }

  Result<Source> open(const std::string& name) const override {
    std::string place = name;
    for (int aliases = 0;; ++aliases) {
      const auto member = members_.find(place);
      if (member == members_.end() || aliases > kAliasesMax)
        return fail(ErrorKind::not_found, path_ + " has no '" + printable(place, 200) + "'");
      if (member->second.empty()) break;
      // A layer that another image has too: "../ID/layer.tar".
      std::string target = member->second;
      std::string directory(format::parent_of(place));
      while (target.starts_with("../")) {
        target.erase(0, 3);
        directory = std::string(format::parent_of(directory));
      }
      place = directory.empty() ? target : directory + '/' + target;
    }
    auto source = archive::open_source(path_, path_);
    if (!source) return fail(std::move(source.error()));
    auto tar = archive::TarReader::open(**source, path_);
    if (!tar) return fail(std::move(tar.error()));
    for (;;) {
      auto member = tar->next();
      if (!member) return fail(std::move(member.error()));
      if (!*member)
        return fail(ErrorKind::corrupt,
                    path_ + " has no '" + printable(place, 200) + "' any more: it was changed");
      if (plain_name((*member)->name) == place)
        return std::make_unique<Inner>(std::move(*source), std::move(*tar));
    }
  }

 private:
  explicit TarFile(std::string path) : path_(std::move(path)) {}

  class Inner : public ByteSource {
   public:
    Inner(Source file, archive::TarReader tar)
        : file_(std::move(file)), tar_(std::move(tar)), content_(tar_.content()) {}
    Result<std::size_t> read(std::span<std::byte> into) override { return content_->read(into); }

   private:
    Source file_;
    archive::TarReader tar_;
    Source content_;
  };

  std::string path_;
  std::map<std::string, std::string> members_;  // To the target of a symlink, or "".
};

// A small file of the image, which has `digest` if it is given.
Result<std::string> read_small(const Files& files, const std::string& name,
                               const std::optional<Sha256Digest>& digest) {
  auto source = files.open(name);
  if (!source) return fail(std::move(source.error()));
  Buffer bytes(kImageJsonMax + 1);
  std::size_t size = 0;
  while (size < bytes.size()) {
    auto more = (*source)->read(std::span(bytes).subspan(size));
    if (!more) return fail(std::move(more.error()));
    if (*more == 0) break;
    size += *more;
  }
  if (size > kImageJsonMax) return fail(ErrorKind::invalid, name + " is larger than 4 MiB");
  bytes.resize(size);
  if (digest && sha256(bytes) != *digest)
    return fail(ErrorKind::corrupt, name + " is damaged: its digest is another one");
  return std::string(as_text(bytes));
}

bool is_one_of(const std::string& type, std::span<const std::string_view> types) {
  const std::string_view plain = std::string_view(type).substr(0, type.find('+'));
  const std::string_view dotted =
      type.ends_with(".gzip") ? std::string_view(type).substr(0, type.size() - 5) : plain;
  return std::ranges::any_of(
      types, [&](std::string_view one) { return one == type || one == plain || one == dotted; });
}

Status check_layer_type(const std::string& type) {
  const std::size_t plus = type.find('+');
  const std::string_view coder =
      plus == std::string::npos ? std::string_view() : std::string_view(type).substr(plus + 1);
  if (is_one_of(type, kLayerTypes) && (coder.empty() || coder == "gzip" || coder == "zstd"))
    return Done{};
  return fail(ErrorKind::invalid, "a layer is of type '" + printable(type, 100) +
                                      "': only tar files, plain or by gzip or zstd, are known");
}

// Whether `name` is one of the words of "TAG,ARCHITECTURE".
bool is_named(std::string_view name, std::string_view words) {
  while (!words.empty()) {
    const std::string_view word = words.substr(0, words.find(','));
    words.remove_prefix(std::min(words.size(), word.size() + 1));
    if (!word.empty() && word == name) return true;
  }
  return false;
}

// The one of several that is meant.
Result<Descriptor> choose(const std::vector<Descriptor>& found, const std::string& reference) {
  std::vector<const Descriptor*> meant;
  std::string known;
  for (const Descriptor& one : found) {
    // What build tools attach to an image, under a platform of that name.
    if (one.architecture == "unknown") continue;
    known +=
        (known.empty() ? "" : ", ") + (one.reference.empty() ? one.architecture : one.reference);
    if (reference.empty() || is_named(one.reference, reference) ||
        is_named(one.architecture, reference))
      meant.push_back(&one);
  }
  if (meant.size() == 1) return *meant.front();
  return fail(ErrorKind::invalid,
              (meant.empty() ? "there is no such image" : "there are several images") +
                  std::string(": name one by --image (") + printable(known, 400) + ")");
}

Blob blob(std::shared_ptr<const Files> files, const std::string& name, std::string what,
          const Sha256Digest& digest) {
  return {.what = std::move(what),
          .open = [files = std::move(files), name] { return files->open(name); },
          .digest = digest};
}

Result<Image> open_oci(const std::shared_ptr<const Files>& files, const std::string& reference) {
  auto text = read_small(*files, "index.json", std::nullopt);
  if (!text) return fail(std::move(text.error()));
  auto list = parse_index(*text);
  std::string name = "index.json";
  Descriptor chosen;
  for (int depth = 0;; ++depth) {
    if (!list) return fail(std::move(list.error()).in(name));
    // A tag chooses among images, an architecture among those of one tag.
    auto one = list->size() == 1 ? Result<Descriptor>(list->front()) : choose(*list, reference);
    if (!one) return fail(std::move(one.error()));
    chosen = std::move(*one);
    name = blob_of(chosen.digest);
    text = read_small(*files, name, chosen.digest);
    if (!text) return fail(std::move(text.error()));
    if (!is_one_of(chosen.media_type, kIndexTypes)) break;
    if (depth == kNestedMax) return fail(ErrorKind::invalid, "index.json is nested too deep");
    list = parse_index(*text);
  }
  auto manifest = parse_image_manifest(*text);
  if (!manifest) return fail(std::move(manifest.error()).in(name));
  Image image{.layers = {}, .whiteouts = Whiteouts::oci};
  for (const Descriptor& layer : manifest->layers) {
    if (auto good = check_layer_type(layer.media_type); !good) return fail(std::move(good.error()));
    image.layers.push_back(
        blob(files, blob_of(layer.digest), "layer " + to_text(layer.digest), layer.digest));
  }
  return image;
}

// The digest that a name stands for: "blobs/sha256/HEX", "HEX.json".
std::optional<Sha256Digest> digest_in(std::string_view name) {
  if (const std::size_t slash = name.rfind('/'); slash != std::string_view::npos)
    name.remove_prefix(slash + 1);
  if (name.ends_with(".json") || name.ends_with(".tar")) name = name.substr(0, name.rfind('.'));
  const auto bytes = from_hex(name);
  Sha256Digest digest;
  if (!bytes || bytes->size() != digest.size()) return std::nullopt;
  std::ranges::copy(*bytes, digest.begin());
  return digest;
}

Result<Image> open_docker(const std::shared_ptr<const Files>& files, const std::string& reference) {
  auto text = read_small(*files, "manifest.json", std::nullopt);
  if (!text) return fail(std::move(text.error()));
  auto images = parse_saved_images(*text);
  if (!images) return fail(std::move(images.error()).in("manifest.json"));
  const SavedImage* chosen = images->size() == 1 ? &images->front() : nullptr;
  std::string known;
  for (const SavedImage& one : *images)
    for (const std::string& tag : one.tags) {
      known += (known.empty() ? "" : ", ") + tag;
      if (tag == reference) chosen = &one;
    }
  if (chosen == nullptr)
    return fail(ErrorKind::invalid, "there are " + std::to_string(images->size()) +
                                        " images: name one by --image (" + printable(known, 400) +
                                        ")");
  auto config = read_small(*files, chosen->config, digest_in(chosen->config));
  if (!config) return fail(std::move(config.error()));
  auto digests = parse_diff_ids(*config);
  if (!digests) return fail(std::move(digests.error()).in(printable(chosen->config, 100)));
  if (digests->size() != chosen->layers.size())
    return fail(ErrorKind::invalid, "manifest.json names " + std::to_string(chosen->layers.size()) +
                                        " layers, the image's configuration " +
                                        std::to_string(digests->size()));
  Image image{.layers = {}, .whiteouts = Whiteouts::oci};
  for (std::size_t i = 0; i < digests->size(); ++i) {
    const std::string& name = chosen->layers[i];
    // A blob's name is the digest of its bytes; other names say nothing, and the file is the tar
    // file that the configuration has the digest of.
    const bool is_blob = name.starts_with("blobs/sha256/");
    image.layers.push_back(blob(files, name, "layer " + printable(name, 120),
                                is_blob ? digest_in(name).value_or((*digests)[i]) : (*digests)[i]));
  }
  return image;
}

Image one_archive(const std::string& path) {
  Image image;
  image.layers.push_back({.what = printable(path),
                          .open = [path] { return archive::open_source(path, printable(path)); },
                          .digest = std::nullopt});
  return image;
}

}  // namespace

Result<Form> parse_form(std::string_view text) {
  if (text == "auto") return Form::automatic;
  if (text == "tar") return Form::tar;
  if (text == "oci") return Form::oci;
  if (text == "docker") return Form::docker;
  return fail(ErrorKind::invalid,
              "'" + printable(text, 40) + "' is no form: it is one of auto, tar, oci, docker");
}

bool is_image_directory(const std::string& path) {
  return os::exists(path + "/oci-layout") || os::exists(path + "/manifest.json");
}

Result<Image> open_image(const std::string& path, Form form, const std::string& reference) {
  if (form == Form::tar) return one_archive(path);
  std::shared_ptr<const Files> files;
  if (auto root = os::Root::open(path); root) {
    files = std::make_shared<Directory>(std::move(*root));
  } else {
    auto tar = TarFile::open_file(path, form == Form::automatic);
    if (!tar) return fail(std::move(tar.error()));
    files = std::move(*tar);
  }
  const bool is_oci = files->has("oci-layout") && files->has("index.json");
  if (form == Form::oci || (form == Form::automatic && is_oci)) return open_oci(files, reference);
  if (form == Form::docker || files->has("manifest.json")) return open_docker(files, reference);
  return one_archive(path);
}

}  // namespace lamina::origin::images
