// An origin that heals: what the scrub sets aside, somebody brings.
#pragma once

#include "origin/scrub.hpp"
#include "tests/origin/worked_origin.hpp"

namespace lamina::tests {

struct HealedOrigin : WorkedOrigin {
  static constexpr const char* kSpaces[] = {"layers", "cvd"};
  std::map<std::string, std::map<PackId, Buffer>> copies;  // Of packs, by space.

  std::string path_of(const std::string& space, const PackId& id) const {
    return path + '/' + space + "/packs/" + id.hex();
  }
  // Ascending.
  std::vector<PackId> packs(const std::string& space) const {
    auto ids = PackFiles::open(path + '/' + space, PackFiles::Access::read).value().list().value();
    std::ranges::sort(ids);
    return ids;
  }
  void copy_packs() {
    for (const std::string space : kSpaces)
      for (const PackId& id : packs(space))
        copies[space][id] = os::read_file(path_of(space, id), 1 << 26).value();
  }

  // A round of the scrub; then everybody brings what is missed; then the scrub looks again.
  std::string heal() {
    Open origin(*this);
    Scrub scrub(*origin.content, origin.catalog,
                {.on_piece = {},
                 .alone =
                     [this] {
                       return os::FileLock::take_directory(data.keys(), os::FileLock::Mode::alone);
                     },
                 .found = {},
                 .is_stopping = {},
                 .on_step = {}});
    if (auto done = scrub.look_at_noted(kStart); !done) return done.error().text();
    ScrubPlace place;
    for (bool has_ended = false; !has_ended;) {
      auto step = scrub.step(place, kStart);
      if (!step) return "scrubbing: " + step.error().text();
      has_ended = *step;
    }
    if (auto done = write_scrub_place(data, place); !done) return done.error().text();
    auto wanted = scrub.wanted();
    if (!wanted) return wanted.error().text();
    for (const auto& [id, layers] : *wanted)
      if (auto done = bring(origin.content->layers(), copies.at("layers").at(id), id); !done)
        return "bringing a pack of a layer: " + done.error().text();
    for (const LostPack& note : origin.content->cvds().lost_packs())
      if (auto done = bring(origin.content->cvds(), copies.at("cvd").at(note.pack), note.pack);
          !done)
        return "bringing a pack of a device: " + done.error().text();
    if (auto done = scrub.look_at_noted(kStart); !done) return done.error().text();
    return "";
  }
  static Status bring(ChunkStore& store, const Buffer& bytes, const PackId& id) {
    auto at = store.files().new_temporary();
    if (!at) return fail(std::move(at.error()));
    if (auto done = os::write_file(*at, bytes); !done) return done;
    auto taken = store.take_in(*at, id);
    return taken ? Status(Done{}) : fail(std::move(taken.error()));
  }
};

}  // namespace lamina::tests
