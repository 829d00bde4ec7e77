#include "shared/store/pack_look.hpp"

#include <algorithm>

namespace lamina {
namespace {

constexpr std::size_t kRunsShown = 6;

}  // namespace

std::string text_of_blocks(const std::vector<std::uint32_t>& blocks, std::size_t of) {
  std::string text = blocks.size() == 1 ? "block " : "blocks ";
  std::size_t runs = 0;
  for (std::size_t i = 0; i < blocks.size();) {
    std::size_t last = i;
    while (last + 1 < blocks.size() && blocks[last + 1] == blocks[last] + 1) ++last;
    if (runs++ == kRunsShown) return text + " and more of " + std::to_string(of);
    text += (i == 0 ? "" : ", ") + std::to_string(blocks[i]);
    if (last > i) text += '-' + std::to_string(blocks[last]);
    i = last + 1;
  }
  return text + " of " + std::to_string(of);
}

Result<PackLook> look_at_pack(const PackFiles& files, const PackId& id,
                              const std::function<Status(Bytes read)>& on_piece) {
  const std::string what = "pack " + id.hex();
  bool was_told_to_stop = false;
  os::forget_cached(files.path_of(id));  // What memory has says nothing of the disk.
  auto identity = identify(files.path_of(id), [&](ByteView piece) -> Status {
    if (!on_piece) return Done{};
    auto going = on_piece(Bytes{static_cast<std::int64_t>(piece.size())});
    was_told_to_stop = !going;
    return going;
  });
  if (was_told_to_stop) return fail(std::move(identity.error()));
  auto hashes = files.block_hashes(id);
  PackLook look;
  if (!identity) {
    switch (identity.error().kind()) {
      case ErrorKind::not_found: look.state = PackLook::State::lost; break;
      case ErrorKind::corrupt:  // Empty, or the disk cannot read it.
      case ErrorKind::invalid: look.state = PackLook::State::broken; break;
      default: return fail(std::move(identity.error()));
    }
    look.text = identity.error().text();
    return look;
  }
  look.size = identity->size;
  if (identity->id == id) {
    look.are_hashes_wrong = !hashes;
    look.block_hashes = std::move(identity->block_hashes);
    return look;
  }
  look.state = PackLook::State::broken;
  look.text = what + " has other bytes than its name says";
  if (!hashes) return look;
  const std::size_t blocks = std::max(hashes->size(), identity->block_hashes.size());
  for (std::size_t i = 0; i < blocks; ++i)
    if (i >= hashes->size() || i >= identity->block_hashes.size() ||
        (*hashes)[i] != identity->block_hashes[i])
      look.wrong_blocks.push_back(static_cast<std::uint32_t>(i));
  look.text += ": " + text_of_blocks(look.wrong_blocks, hashes->size());
  return look;
}

}  // namespace lamina
