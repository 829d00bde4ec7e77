// Chunks that reach a store of the origin as they do from a client: in packs made elsewhere.
#pragma once

#include <catch2/catch.hpp>
#include <map>

#include "shared/store/chunk_store.hpp"
#include "tests/support/content.hpp"

namespace lamina::tests {

// A copy of one of `made`.
inline void take_in(ChunkStore& store, const PackFiles& made, const PackId& id) {
  const std::string path = store.files().new_temporary().value();
  REQUIRE(os::write_file(path, os::read_file(made.path_of(id), 1 << 26).value()));
  REQUIRE(store.take_in(path, id));
}

// `elsewhere` is a directory of the client's, made when missing.
inline void send(ChunkStore& store, const std::map<ChunkId, Buffer>& chunks,
                 const std::string& elsewhere) {
  const auto files = PackFiles::open(elsewhere, PackFiles::Access::write).value();
  PackWriter writer(files, {.level = 1}, [&](const format::PackSummary& pack) -> Status {
    take_in(store, files, pack.id);
    return Done{};
  });
  for (const auto& [id, plain] : chunks)
    REQUIRE(writer.add(ref_of(plain), plain, ContentClass::data));
  REQUIRE(writer.finish());
}

}  // namespace lamina::tests
