#include "origin/images/image_files.hpp"

#include <unistd.h>

#include "origin/images/image_json.hpp"
#include "tests/origin/images/images.hpp"
#include "tests/support/scratch.hpp"

using namespace lamina;
using namespace lamina::origin::images;
using tests::Scratch;
using tests::TarBytes;

namespace {

std::string descriptor(const std::string& bytes, const std::string& type,
                       const std::string& more = "") {
  return R"({"mediaType":")" + type + R"(","digest":")" + to_text(sha256(as_view(bytes))) +
         R"(","size":)" + std::to_string(bytes.size()) + more + "}";
}
constexpr const char* kLayer = "application/vnd.oci.image.layer.v1.tar";
constexpr const char* kManifest = "application/vnd.oci.image.manifest.v1+json";

// An image layout, as files by name.
using Files = std::map<std::string, std::string>;
std::string add_blob(Files& files, const std::string& bytes) {
  return files[blob_of(sha256(as_view(bytes)))] = bytes;
}
std::string add_image(Files& files, const std::vector<std::string>& layers,
                      const std::string& type = kLayer) {
  const std::string config = add_blob(files, "{}");
  std::string list;
  for (const std::string& layer : layers)
    list += (list.empty() ? "" : ",") + descriptor(add_blob(files, layer), type);
  return add_blob(files,
                  R"({"config":)" + descriptor(config, "c") + R"(,"layers":[)" + list + "]}");
}
void add_index(Files& files, const std::string& manifests) {
  files["oci-layout"] = R"({"imageLayoutVersion":"1.0.0"})";
  files["index.json"] = R"({"manifests":[)" + manifests + "]}";
}

void write(const Scratch& scratch, const Files& files) {
  for (const auto& [name, bytes] : files) {
    const std::string path = scratch / name;
    REQUIRE(os::make_directories(path.substr(0, path.rfind('/'))));
    REQUIRE(os::write_file(path, as_view(bytes)));
  }
}
std::string tar_of(const Files& files) {
  TarBytes tar;
  for (const auto& [name, bytes] : files) tar.file(name, bytes);
  return tar.bytes();
}

std::vector<std::string> paths_in(const std::string& path, const std::string& reference = "",
                                  Form form = Form::automatic) {
  auto image = open_image(path, form, reference);
  if (!image) FAIL(image.error().text());
  auto import = ImageImport::read(std::move(*image), {.squash = true});
  if (!import) FAIL(import.error().text());
  std::vector<std::string> paths;
  for (const format::Entry& entry : all(*(*import)->entries(0)))
    if (!entry.path.empty()) paths.push_back(entry.path);
  return paths;
}
using Paths = std::vector<std::string>;

std::string refusal(const std::string& path, const std::string& reference = "",
                    Form form = Form::automatic) {
  auto image = open_image(path, form, reference);
  REQUIRE_FALSE(image);
  return image.error().text();
}

const std::string kOne = TarBytes().file("one").bytes(), kTwo = TarBytes().file("two").bytes();

}  // namespace

TEST_CASE("image files: an image layout, as a directory and as a tar file", "[images]") {
  Files files;
  add_index(files, descriptor(add_image(files, {kOne, kTwo}), kManifest));
  const Scratch scratch;
  write(scratch, files);
  CHECK(is_image_directory(scratch.path()));
  CHECK(paths_in(scratch.path()) == Paths{"one", "two"});
  REQUIRE(os::write_file(scratch / "image.tar", as_view(tar_of(files))));
  CHECK(paths_in(scratch / "image.tar") == Paths{"one", "two"});
  CHECK(paths_in(scratch / "image.tar", "", Form::oci) == Paths{"one", "two"});
}

TEST_CASE("image files: one of several images by tag, by machine, or by both", "[images]") {
  Files files;
  const std::string inner =
      R"({"manifests":[)" +
      descriptor(add_image(files, {kOne}), kManifest, R"(,"platform":{"architecture":"amd64"})") +
      "," +
      descriptor(add_image(files, {kTwo}), kManifest, R"(,"platform":{"architecture":"arm64"})") +
      "]}";
  const auto tag = [](const std::string& name) {
    return R"(,"annotations":{"org.opencontainers.image.ref.name":")" + name + "\"}";
  };
  add_index(files, descriptor(add_blob(files, inner), "application/vnd.oci.image.index.v1+json",
                              tag("v1")) +
                       "," + descriptor(add_image(files, {kOne, kTwo}), kManifest, tag("v2")));
  const Scratch scratch;
  write(scratch, files);
  CHECK(paths_in(scratch.path(), "v1,arm64") == Paths{"two"});
  CHECK(paths_in(scratch.path(), "v1,amd64") == Paths{"one"});
  CHECK(paths_in(scratch.path(), "v2") == Paths{"one", "two"});
  CHECK_THAT(refusal(scratch.path()), Catch::Matchers::Contains("(v1, v2)"));
  CHECK_THAT(refusal(scratch.path(), "v1"), Catch::Matchers::Contains("no such image"));
  CHECK_THAT(refusal(scratch.path(), "v3"), Catch::Matchers::Contains("no such image"));
}

TEST_CASE("image files: what docker save writes, layers that two images share included",
          "[images]") {
  const std::string config = R"({"rootfs":{"diff_ids":[")" + to_text(sha256(as_view(kOne))) +
                             "\",\"" + to_text(sha256(as_view(kTwo))) + "\"]}}";
  const std::string config_name = to_hex(sha256(as_view(config))) + ".json";
  const std::string manifest = R"([{"Config":")" + config_name +
                               R"(","RepoTags":["a:1"],"Layers":["1/layer.tar","2/layer.tar"]}])";
  const Scratch scratch;
  const auto save = [&](const std::string& name, const std::string& first) {
    REQUIRE(os::write_file(scratch / name, as_view(TarBytes()
                                                       .file(config_name, config)
                                                       .directory("0/")
                                                       .file("0/layer.tar", first)
                                                       .symlink("1/layer.tar", "../0/layer.tar")
                                                       .file("2/layer.tar", kTwo)
                                                       .file("manifest.json", manifest)
                                                       .bytes())));
    return scratch / name;
  };
  const std::string good = save("good.tar", kOne);
  CHECK(paths_in(good, "", Form::docker) == Paths{"one", "two"});
  // Nobody's name begins with "0/": what is there decides.
  CHECK(paths_in(good) == Paths{"0", "0/layer.tar", "1", "1/layer.tar", "2", "2/layer.tar",
                                config_name, "manifest.json"});
  auto image = open_image(save("bad.tar", kTwo), Form::docker, "");
  REQUIRE(image);
  auto import = ImageImport::read(std::move(*image), {});
  REQUIRE_FALSE(import);
  CHECK(import.error().kind() == ErrorKind::corrupt);
  // Files by digest, as newer ones write it.
  Files files;
  add_blob(files, kOne), add_blob(files, kTwo), add_blob(files, config);
  files["manifest.json"] = R"([{"Config":")" + blob_of(sha256(as_view(config))) +
                           R"(","RepoTags":null,"Layers":[")" + blob_of(sha256(as_view(kOne))) +
                           "\",\"" + blob_of(sha256(as_view(kTwo))) + "\"]}]";
  REQUIRE(os::write_file(scratch / "new.tar", as_view(tar_of(files))));
  CHECK(paths_in(scratch / "new.tar") == Paths{"one", "two"});
}

TEST_CASE("image files: damaged manifests and unknown layers are refused", "[images]") {
  const Scratch scratch;
  Files files;
  const std::string manifest = add_image(files, {kOne});
  add_index(files, descriptor(manifest, kManifest));
  files[blob_of(sha256(as_view(manifest)))] += " ";
  write(scratch, files);
  CHECK_THAT(refusal(scratch.path()), Catch::Matchers::Contains("is damaged"));

  const Scratch other;
  Files encrypted;
  add_index(encrypted, descriptor(add_image(encrypted, {kOne}, std::string(kLayer) + "+encrypted"),
                                  kManifest));
  write(other, encrypted);
  CHECK_THAT(refusal(other.path()), Catch::Matchers::Contains("is of type"));

  const Scratch third;
  Files outside;
  add_index(outside, descriptor(kOne, kManifest));
  write(third, outside);
  REQUIRE(os::make_directories(third / "blobs"));
  REQUIRE(symlink("/etc", (third / "blobs/sha256").c_str()) == 0);
  CHECK_THAT(refusal(third.path()), Catch::Matchers::Contains("blobs/sha256/"));
}

TEST_CASE("image files: a tar file of a tree is one archive", "[images]") {
  const Scratch scratch;
  REQUIRE(os::write_file(scratch / "tree.tar",
                         as_view(TarBytes().directory("etc").file("etc/a").bytes())));
  CHECK(paths_in(scratch / "tree.tar") == Paths{"etc", "etc/a"});
  CHECK_THAT(refusal(scratch / "none.tar"), Catch::Matchers::Contains("none.tar"));
  REQUIRE(os::write_file(scratch / "text", as_view("no archive at all")));
  CHECK_THAT(refusal(scratch / "text"), Catch::Matchers::Contains("text"));
}
