// Packs of patches, as a node that knows a device's former chunks sends them.
#pragma once

#include <catch2/catch.hpp>
#include <string>
#include <vector>

#include "shared/store/patch_writer.hpp"
#include "tests/support/content.hpp"

namespace lamina::tests {

// Sends a patch of each chunk: its first byte is another one.
struct PatchSender {
  std::vector<std::string> packs;
  PackFiles files;
  PatchWriter writer;

  explicit PatchSender(const std::string& directory)
      : files(PackFiles::open(directory, PackFiles::Access::spool).value()),
        writer(files, 3, [this](const format::PackSummary& pack) -> Status {
          packs.push_back(files.path_of(pack.id));
          return Done{};
        }) {}

  Buffer change(const Buffer& before, unsigned char first) {
    Buffer after = before;
    after[0] = std::byte{first};
    const format::Same same{1, static_cast<std::uint32_t>(after.size() - 1), ref_of(before), 1};
    CHECK(writer.add(ref_of(after), after, {&same, 1}).value());
    return after;
  }
};

}  // namespace lamina::tests
