// What a sweep takes out of a pack space: chunks that nothing needs, and the packs that held them.
//
// A chunk goes in two steps. The sweep that finds it unneeded writes down since when in its row of
// the index; one that comes a grace later erases the row. Whoever is told in between that the chunk
// is here (ChunkStore::claim, take_in_new) wipes the note away, in the transaction that answers: it
// has at least a grace from then on to refer to the chunk. A pack goes when no row names it any
// more. One of which a good part is dead is written anew with what is needed: frames that are
// needed whole go as they are stored, of others the chunks that are needed are coded again; then
// the rows move, then the old pack goes.
//
// What is to be erased (`at_once`) has no grace to wait for: its rows are noted as unneeded, then
// the sweep waits until whoever took in the same chunks before that has said what needs them
// (`settle`), and what nothing needs then, and nobody was told of since, goes. Every pack in which
// some of it lies, under whatever row, is written anew.
//
// Order: rows, then packs. Killed at any time it leaves a store that is sound, with at worst a pack
// too many that the next sweep removes. It may run while chunks are taken in and read.
//
// Memory: the needed chunks of one 256th of all ids (32 bytes each), the rows there that change
// (about 150 bytes each), some 100 bytes a pack, and one group of packs that are written anew (64
// bytes a chunk of at most kGroupBytes).
#pragma once

#include <cstdint>
#include <functional>
#include <set>
#include <span>
#include <string_view>
#include <vector>

#include "shared/base/ids.hpp"
#include "shared/base/result.hpp"
#include "shared/base/units.hpp"

namespace lamina {

struct SweepOptions {
  WallTime now;
  // From when a chunk was found unneeded until its row goes; 0: at once, when nobody else is there.
  Duration grace{};
  // The chunks that are needed and whose ids begin with this byte; ascending, each once.
  std::function<Result<std::vector<ChunkId>>(std::uint8_t first)> needed;
  // Needed chunks that the index does not have. An error ends the sweep before a pack goes: with a
  // damaged index nobody can say what a pack is good for.
  std::function<Status(std::span<const ChunkId>)> lacking;
  // Packs that neither go nor are written anew: a list that was handed out names them. Asked once,
  // when the rows were looked at. Absent: none.
  std::function<Result<std::set<PackId>>()> named = {};
  // A pack of which so much of the plain bytes is dead is written anew.
  int worn_percent = 40;
  // So many bytes of packs are written anew by one sweep; the rest waits for the next.
  Bytes rewrite_most = 64_GiB;
  // Chunks that go without a grace where nothing needs them; ascending, each once. Not in a dry
  // run.
  std::span<const ChunkId> at_once = {};
  // Returns when all that was taken in before the call is among `needed`, or needed by nobody.
  // Absent: there is nobody else.
  std::function<Status()> settle = {};
  bool dry_run = false;
  // Asked now and then: true ends the sweep with `unavailable`, and a later one goes on.
  std::function<bool()> is_stopping = {};
  // The sweep's steps, for tests that stop it there: "rows", "settling", "written", "moved",
  // "removed".
  std::function<void(std::string_view step)> on_step = {};
};

struct Swept {
  std::uint64_t chunks = 0;    // That the index had.
  std::uint64_t unneeded = 0;  // Found unneeded, and kept for the grace.
  std::uint64_t removed = 0;   // Rows that went.
  std::uint64_t packs = 0;     // That there were.
  std::uint64_t packs_removed = 0;
  std::uint64_t packs_rewritten = 0;  // Among those that were removed.
  Bytes freed;                        // Of packs that were removed...
  Bytes written;                      // ...and of what was written in their place.
  std::vector<PackId> worn_named;     // Named packs that would have been written anew.
  std::vector<PackId> unsound;        // Left alone: they have other bytes than they should.
};

}  // namespace lamina
