// look_at_pack(): whether a stored pack still has the bytes that its name says; where not, which.
//
// Reads the whole file. Its block hashes, where they still lead to the pack, name the blocks of
// 16 KiB that are wrong. Any thread.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "shared/store/pack_files.hpp"

namespace lamina {

struct PackLook {
  enum class State {
    sound,
    lost,    // There is no such file.
    broken,  // Other bytes, too few or too many, or some that the disk does not give.
  };
  State state = State::sound;
  std::string text;  // What is wrong; empty: nothing.
  // Numbers of the blocks that are wrong or missing; none where that cannot be told.
  std::vector<std::uint32_t> wrong_blocks;
  // Of a sound pack: its block hashes on disk are not these, and it cannot be seeded.
  bool are_hashes_wrong = false;
  std::vector<Sha256Digest> block_hashes;
  std::uint64_t size = 0;  // Of the file.
};

// `on_piece` is told of the bytes as they are read, 256 KiB at most: who waits there slows it down,
// and its error ends the look and is passed on. Other failures say nothing of the pack: memory,
// rights, too many open files.
Result<PackLook> look_at_pack(const PackFiles& files, const PackId& id,
                              const std::function<Status(Bytes read)>& on_piece = {});

// "blocks 3-5, 9 of 1024", at most a few; for people.
std::string text_of_blocks(const std::vector<std::uint32_t>& blocks, std::size_t of);

}  // namespace lamina
