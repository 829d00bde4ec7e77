// Images in memory, for the tests.
#pragma once

#include <catch2/catch.hpp>

#include "origin/images/image_import.hpp"
#include "tests/support/tar_bytes.hpp"

namespace lamina::origin::images {

class MemorySource : public archive::ByteSource {
 public:
  explicit MemorySource(std::string bytes) : bytes_(std::move(bytes)) {}
  Result<std::size_t> read(std::span<std::byte> into) override {
    const std::size_t size = std::min(into.size(), bytes_.size() - at_);
    std::copy_n(as_view(bytes_).begin() + static_cast<std::ptrdiff_t>(at_), size, into.begin());
    at_ += size;
    return size;
  }

 private:
  std::string bytes_;
  std::size_t at_ = 0;
};

inline Image image_of(const std::vector<std::string>& archives,
                      Whiteouts whiteouts = Whiteouts::oci) {
  Image image{.layers = {}, .whiteouts = whiteouts};
  for (const std::string& bytes : archives)
    image.layers.push_back({.what = "layer " + std::to_string(image.layers.size() + 1),
                            .open = [bytes]() -> Result<std::unique_ptr<archive::ByteSource>> {
                              return std::make_unique<MemorySource>(bytes);
                            },
                            .digest = sha256(as_view(bytes))});
  return image;
}

inline std::vector<format::Entry> all(format::EntryStream& stream) {
  std::vector<format::Entry> entries;
  for (;;) {
    auto entry = stream.next();
    REQUIRE(entry);
    if (!*entry) return entries;
    entries.push_back(std::move(**entry));
  }
}

}  // namespace lamina::origin::images
