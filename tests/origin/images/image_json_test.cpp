#include "origin/images/image_json.hpp"

#include <catch2/catch.hpp>

using namespace lamina;
using namespace lamina::origin::images;

namespace {
const std::string kDigest = "sha256:" + std::string(64, 'a');
const std::string kDescriptor = R"({"mediaType":"m","digest":")" + kDigest + R"(","size":5})";
}  // namespace

TEST_CASE("image json: an index tells of images by tag and machine", "[images]") {
  const auto index = parse_index(R"({"manifests":[{"mediaType":"m","digest":")" + kDigest +
                                 R"(","size":7,"annotations":{"org.opencontainers.image.ref.name":)"
                                 R"("v1"},"platform":{"architecture":"arm","variant":"v7"}},)" +
                                 kDescriptor + "]}");
  REQUIRE(index);
  REQUIRE(index->size() == 2);
  CHECK((*index)[0].reference == "v1");
  CHECK((*index)[0].architecture == "arm/v7");
  CHECK((*index)[0].size == 7);
  CHECK(to_text((*index)[0].digest) == kDigest);
  CHECK(blob_of((*index)[0].digest) == "blobs/sha256/" + std::string(64, 'a'));
  CHECK((*index)[1].reference.empty());
}

TEST_CASE("image json: a manifest has a configuration and layers", "[images]") {
  const auto manifest = parse_image_manifest(R"({"config":)" + kDescriptor + R"(,"layers":[)" +
                                             kDescriptor + "," + kDescriptor + "]}");
  REQUIRE(manifest);
  CHECK(manifest->layers.size() == 2);
}

TEST_CASE("image json: what docker save writes", "[images]") {
  const auto saved =
      parse_saved_images(R"([{"Config":"c.json","RepoTags":["a:1"],"Layers":["x/layer.tar"]},)"
                         R"({"Config":"d.json","RepoTags":null,"Layers":[]}])");
  REQUIRE(saved);
  REQUIRE(saved->size() == 2);
  CHECK((*saved)[0].tags == std::vector<std::string>{"a:1"});
  CHECK((*saved)[1].tags.empty());
  const auto ids =
      parse_diff_ids(R"({"rootfs":{"type":"layers","diff_ids":[")" + kDigest + "\"]}}");
  REQUIRE(ids);
  CHECK(ids->size() == 1);
}

TEST_CASE("image json: what is missing or of another type is named", "[images]") {
  const auto said = [](const auto& result) {
    REQUIRE_FALSE(result);
    CHECK(result.error().kind() == ErrorKind::invalid);
    return result.error().text();
  };
  using Catch::Matchers::Contains;
  CHECK_THAT(said(parse_index("{")), Contains("no JSON"));
  CHECK_THAT(said(parse_index("[]")), Contains("manifests is no list"));
  CHECK_THAT(said(parse_index(R"({"manifests":[{"size":1}]})")), Contains("digest is no text"));
  CHECK_THAT(said(parse_index(R"({"manifests":[{"digest":"sha512:00","size":1}]})")),
             Contains("no sha256"));
  CHECK_THAT(said(parse_index(R"({"manifests":[{"digest":"sha256:zz","size":1}]})")),
             Contains("64 hex digits"));
  CHECK_THAT(said(parse_index(R"({"manifests":[{"digest":")" + kDigest + R"(","size":-1}]})")),
             Contains("size is no number"));
  CHECK_THAT(said(parse_image_manifest(R"({"layers":[]})")), Contains("config is missing"));
  CHECK_THAT(said(parse_saved_images("{}")), Contains("no list of images"));
  CHECK_THAT(said(parse_saved_images(R"([{"Config":"c","Layers":[1]}])")), Contains("Layers"));
  CHECK_THAT(said(parse_diff_ids("{}")), Contains("rootfs is missing"));
  std::string many = R"({"manifests":[)" + kDescriptor;
  for (std::size_t i = 0; i < kImageLayersMax; ++i) many += "," + kDescriptor;
  CHECK_THAT(said(parse_index(many + "]}")), Contains("more than 1024"));
  CHECK_THAT(said(parse_index(std::string(kImageJsonMax + 1, ' '))), Contains("4 MiB"));
}
