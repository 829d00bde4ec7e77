// take_update(): a layer's chunks, from another layer that is here whole, or none, and the update
// from it.
//
// Nothing is believed of an update: every chunk that comes out of it has the digest that the new
// layer's manifest says, which the publisher signed, before it is kept. What does not come out
// right, because a reference is damaged here, an encoder is missing or a pack is, is lacking in
// full: the result says which chunks these are and where they are to be had, and everything else is
// kept.
//
// Memory: a frame's contents and the reference of its largest stream, 4 MiB each by habit and as
// much as one file and its predecessor for a large one; of the old layer's containers one at a
// time, of one that is closed a member.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "shared/delta/recompress.hpp"
#include "shared/format/manifest.hpp"
#include "shared/store/pack_files.hpp"

namespace lamina::update {

struct TakeOrder {
  std::optional<format::ManifestRef> old;  // None: the update is from nothing.
  format::ManifestRef next;
  // Chunks of the old layer, digests checked. One thread.
  format::ChunkSource source;
  std::vector<std::string> metadata_packs;  // Files of the update's packs.
  std::vector<std::string> packs;
  std::string directory;  // For packs of what comes out, and files in between. It is empty.
  delta::Programs programs;
  // Containers that take long to close (delta::is_costly) are not closed: TakenUpdate::left.
  bool leaves_costly = false;
};

struct TakenUpdate {
  std::uint64_t chunks = 0;  // That came out of it...
  std::uint64_t bytes = 0;   // ...and theirs, plain.
  struct Lacking {
    std::set<ChunkId> chunks;
    std::uint64_t bytes = 0;  // Theirs, plain.
  };
  // What did not, by the packs that have it in full.
  std::map<PackId, Lacking> lacking;
  std::uint64_t lacking_chunks = 0;   // All of them...
  std::uint64_t lacking_bytes = 0;    // ...and theirs.
  std::vector<std::string> troubles;  // Why, a few; for people.
  // What is in containers that take long to close, and what is made of these: the packs with that
  // and nothing else...
  std::set<PackId> costly;
  // ...or, where it was left, these chunks. They are not among those that are lacking.
  std::set<ChunkId> left;
};

// The chunks of the new layer that the old one lacks are in `directory`/packs afterwards, durable.
// `corrupt` or `invalid`: nothing can be made of it. Other errors are those of the disk.
Result<TakenUpdate> take_update(const TakeOrder& order);

}  // namespace lamina::update
