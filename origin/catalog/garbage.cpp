// What the catalogue knows of garbage. A device's own chunk that no snapshot of it needs any more
// keeps its row for a grace: the row's value says since when (milliseconds since 1970); an empty
// one, that somebody needs it or that nobody looked yet. Catalog::lacks wipes the value away when
// it answers that the origin has the chunk, and link_chunks does.
#include <algorithm>

#include "origin/catalog/rows.hpp"
#include "shared/codec/reader.hpp"

namespace lamina::origin {
namespace {

constexpr std::size_t kRowsTogether = 4096;  // In one transaction: the API waits for it.

std::optional<std::int64_t> number_of(std::string_view value, int base = 10) {
  std::int64_t number = 0;
  const char* const end = value.data() + value.size();
  const auto read = std::from_chars(value.data(), end, number, base);
  if (read.ec != std::errc() || read.ptr != end) return std::nullopt;
  return number;
}

// The chunk that a key ends with.
std::optional<ChunkId> chunk_in(std::string_view key, std::size_t prefix) {
  Reader in(as_view(key.substr(std::min(key.size(), prefix))));
  const auto id = in.id<ChunkId>();
  return in.finished() ? std::optional(id) : std::nullopt;
}

// Every chunk in the rows that begin with `place`, until `visit` says no.
Status scan_chunks(const Rows& rows, const std::string& place, std::size_t id_at,
                   const std::function<bool(const ChunkId&)>& visit) {
  Status parsed = Done{};
  auto scanned = rows.scan(place, [&](std::string_view key, std::string_view) {
    const auto id = chunk_in(key, id_at);
    if (!id) return parsed = fail(corrupt_row(key)), false;
    return visit(*id);
  });
  return scanned ? parsed : scanned;
}

struct Change {
  std::string key;
  std::string seen;                  // Its value; another one is left alone.
  std::optional<std::string> value;  // None: the row goes.
};

Result<std::vector<std::string>> removed_layers_in(const Rows& rows) {
  std::vector<std::string> layers;
  auto scanned = rows.scan("layer-removed/", [&](std::string_view, std::string_view id) {
    layers.emplace_back(id);
    return true;
  });
  if (!scanned) return fail(std::move(scanned.error()));
  return layers;
}

// The chunks of these, whose ids begin with `first`; ascending, each once.
Result<std::vector<ChunkId>> in_order(const Rows& rows, const std::string& kind,
                                      const std::vector<std::string>& owners, std::uint8_t first) {
  std::vector<ChunkId> ids;
  std::size_t sorted = 0;
  const auto sort = [&] {
    std::ranges::sort(ids);
    ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
    sorted = ids.size();
  };
  for (const std::string& owner : owners) {
    const std::string place = kind + owner;
    auto scanned =
        scan_chunks(rows, place + static_cast<char>(first), place.size(), [&](const ChunkId& id) {
          ids.push_back(id);
          return true;
        });
    if (!scanned) return fail(std::move(scanned.error()));
    // What many devices have in common is not held for each of them.
    if (ids.size() > 2 * sorted + 65'536) sort();
  }
  sort();
  return ids;
}

constexpr std::string_view kCollected = "collected/";

Result<std::vector<Catalog::CollectionNote>> load_collections(const Rows& rows) {
  std::vector<Catalog::CollectionNote> all;
  Status parsed = Done{};
  auto scanned = rows.scan(kCollected, [&](std::string_view key, std::string_view value) {
    const auto at = number_of(key.substr(kCollected.size()), 16);
    const auto removed = number_of(value);
    if (!at || !removed) return parsed = fail(corrupt_row(key)), false;
    all.push_back({WallTime{*at * 1'000'000}, Bytes{*removed}});
    return true;
  });
  if (!scanned) return fail(std::move(scanned.error()));
  if (!parsed) return fail(std::move(parsed.error()));
  return all;
}

std::string collected_key(WallTime at) {
  return std::string(kCollected) + digits(static_cast<std::uint64_t>(ms(at)));
}

}  // namespace

Result<Catalog::SweptLinks> Catalog::sweep_links(
    const DeviceId& id, const std::function<bool(const ChunkId&)>& is_needed, WallTime now,
    Duration grace, bool dry_run) {
  SweptLinks swept;
  const std::string place = "cvd-chunk/" + id.hex();
  const std::int64_t now_ms = ms(now);
  const std::int64_t grace_ms =
      std::chrono::duration_cast<std::chrono::milliseconds>(grace).count();
  for (int first = 0; first < 256; ++first) {
    std::vector<Change> changes;
    Status parsed = Done{};
    const auto look = [&](std::string_view key, std::string_view value) {
      const auto chunk = chunk_in(key, place.size());
      const auto since = number_of(value);
      if (!chunk || (!value.empty() && !since)) return parsed = fail(corrupt_row(key)), false;
      ++swept.links;
      if (is_needed(*chunk)) {
        if (since) changes.push_back({std::string(key), std::string(value), ""});
      } else if (since.value_or(now_ms) + grace_ms <= now_ms) {
        changes.push_back({std::string(key), std::string(value), std::nullopt});
      } else {
        ++swept.unneeded;
        if (!since) changes.push_back({std::string(key), "", std::to_string(now_ms)});
      }
      return true;
    };
    auto looked = table_.read(
        [&](const Rows& rows) { return rows.scan(place + static_cast<char>(first), look); });
    if (!looked) return fail(std::move(looked.error()));
    if (!parsed) return fail(std::move(parsed.error()));
    for (std::size_t from = 0; from < changes.size(); from += kRowsTogether) {
      std::uint64_t gone = 0;
      const auto change = [&](Rows& rows) -> Status {
        for (std::size_t i = from; i < std::min(from + kRowsTogether, changes.size()); ++i) {
          const Change& one = changes[i];
          auto value = rows.get(one.key);
          if (!value) return fail(std::move(value.error()));
          // Told of, or sent again, since it was looked at.
          if (!*value || **value != one.seen) continue;
          gone += one.value ? 0 : 1;
          if (auto done = one.value ? rows.put(one.key, *one.value) : rows.erase(one.key); !done)
            return done;
        }
        return Done{};
      };
      if (dry_run)
        for (const Change& one : changes) gone += one.value ? 0 : 1;
      else if (auto done = table_.write(change); !done)
        return fail(std::move(done.error()));
      swept.removed += gone;
      if (dry_run) break;
    }
  }
  return swept;
}

Result<std::vector<LayerId>> Catalog::removed_layers() const {
  using Ids = std::vector<LayerId>;
  return reading<Ids>(table_, [](const Rows& rows) -> Result<Ids> {
    auto removed = removed_layers_in(rows);
    if (!removed) return fail(std::move(removed.error()));
    Ids ids;
    for (const std::string& hex : *removed) {
      auto id = LayerId::parse(hex);
      if (!id) return fail(std::move(id.error()).in("a removed layer of the catalogue"));
      ids.push_back(*id);
    }
    return ids;
  });
}

Result<std::uint64_t> Catalog::release_layers(const DeviceId& id,
                                              const std::vector<LayerId>& removed,
                                              const std::function<bool(const ChunkId&)>& is_needed,
                                              bool dry_run, std::uint64_t moves) {
  // Rests on it: a chunk that a snapshot needs is there, and is neither the device's own nor in a
  // layer that stays.
  const auto rests_on = [&](const Rows& rows, const std::string& layer,
                            const std::vector<std::string>& others) -> Result<bool> {
    bool rests = false;
    Status looked = Done{};
    const std::string place = "layer-chunk/" + layer;
    auto scanned = scan_chunks(rows, place, place.size(), [&](const ChunkId& chunk) {
      if (!is_needed(chunk)) return true;
      bool elsewhere = false;
      for (const std::string& other : others) {
        auto held = rows.get(other + raw(chunk));
        if (!held) return looked = fail(std::move(held.error())), false;
        if ((elsewhere = held->has_value())) break;
      }
      rests = !elsewhere;
      return elsewhere;
    });
    if (!scanned) return fail(std::move(scanned.error()));
    if (!looked) return fail(std::move(looked.error()));
    return rests;
  };
  std::vector<std::string> free;
  std::set<std::string> removed_hex;
  for (const LayerId& layer : removed) removed_hex.insert(layer.hex());
  auto looked = table_.read([&](const Rows& rows) -> Status {
    std::vector<std::string> had, others{"cvd-chunk/" + id.hex()};
    const std::string assigned = device_layer_prefix(id);
    auto scanned = rows.scan(assigned, [&](std::string_view key, std::string_view) {
      std::string layer(key.substr(assigned.size()));
      if (removed_hex.contains(layer))
        had.push_back(std::move(layer));
      else
        others.push_back("layer-chunk/" + layer);
      return true;
    });
    if (!scanned) return scanned;
    for (const std::string& layer : had) {
      auto rests = rests_on(rows, layer, others);
      if (!rests) return fail(std::move(rests.error()));
      if (*rests)
        others.push_back("layer-chunk/" + layer);  // It stays: others need not be kept for that.
      else
        free.push_back(layer);
    }
    return Done{};
  });
  if (!looked) return fail(std::move(looked.error()));
  if (dry_run || free.empty()) return free.size();
  // Since then nothing new came to rest on them: lacks() leaves them out.
  std::uint64_t released = 0;
  auto done = table_.write([&](Rows& rows) -> Status {
    // A CVD that moved in may rest on them.
    auto now = load_cvd_moves(rows, id);
    if (!now) return fail(std::move(now.error()));
    if (*now != moves) return Done{};
    for (const std::string& layer : free)
      if (auto erased = rows.erase(device_layer_prefix(id) + layer); !erased) return erased;
    released = free.size();
    return Done{};
  });
  if (!done) return fail(std::move(done.error()));
  return released;
}

Result<std::uint64_t> Catalog::sweep_removed_layers(bool dry_run) {
  // Those that no device's snapshots rest on, and some of their rows at a time.
  std::set<std::string> rested;
  std::vector<std::string> removed;
  auto looked = table_.read([&](const Rows& rows) -> Status {
    auto all = removed_layers_in(rows);
    if (!all) return fail(std::move(all.error()));
    removed = std::move(*all);
    return rows.scan("device-layer/", [&](std::string_view key, std::string_view) {
      rested.emplace(key.substr(key.rfind('/') + 1));
      return true;
    });
  });
  if (!looked) return fail(std::move(looked.error()));
  std::uint64_t gone = 0;
  for (const std::string& layer : removed) {
    if (rested.contains(layer)) continue;
    const std::string place = "layer-chunk/" + layer;
    for (bool is_done = false; !is_done;) {
      std::vector<std::string> keys;
      auto scanned = table_.read([&](const Rows& rows) {
        return rows.scan(place, [&](std::string_view key, std::string_view) {
          keys.emplace_back(key);
          return dry_run || keys.size() < kRowsTogether;
        });
      });
      if (!scanned) return fail(std::move(scanned.error()));
      is_done = dry_run || keys.size() < kRowsTogether;
      gone += keys.size();
      if (dry_run || keys.empty()) continue;
      auto erased = table_.write([&](Rows& rows) -> Status {
        for (const std::string& key : keys)
          if (auto done = rows.erase(key); !done) return done;
        return Done{};
      });
      if (!erased) return fail(std::move(erased.error()));
    }
  }
  return gone;
}

Result<std::vector<ChunkId>> Catalog::needed_by_layers(std::uint8_t first) const {
  using Ids = std::vector<ChunkId>;
  return reading<Ids>(table_, [&](const Rows& rows) -> Result<Ids> {
    std::vector<std::string> layers;
    auto listed = rows.scan("layer/", [&](std::string_view key, std::string_view) {
      layers.emplace_back(key.substr(key.find('/') + 1));
      return true;
    });
    if (!listed) return fail(std::move(listed.error()));
    auto removed = removed_layers_in(rows);
    if (!removed) return fail(std::move(removed.error()));
    layers.insert(layers.end(), removed->begin(), removed->end());
    return in_order(rows, "layer-chunk/", layers, first);
  });
}

Result<std::vector<ChunkId>> Catalog::needed_by_devices(std::uint8_t first) const {
  using Ids = std::vector<ChunkId>;
  return reading<Ids>(table_, [&](const Rows& rows) -> Result<Ids> {
    std::vector<std::string> devices;
    auto listed = rows.scan("device/", [&](std::string_view key, std::string_view) {
      devices.emplace_back(key.substr(key.find('/') + 1));
      return true;
    });
    if (!listed) return fail(std::move(listed.error()));
    return in_order(rows, "cvd-chunk/", devices, first);
  });
}

Status Catalog::note_collection(const CollectionNote& note) {
  return table_.write([&](Rows& rows) -> Status {
    auto all = load_collections(rows);
    if (!all) return fail(std::move(all.error()));
    Bytes removed = note.removed;
    for (const CollectionNote& one : *all) {
      if (ms(one.at) == ms(note.at)) removed += one.removed;
      if (one.at.ns + kCollectionsKept.count() >= note.at.ns) continue;
      if (auto gone = rows.erase(collected_key(one.at)); !gone) return gone;
    }
    return rows.put(collected_key(note.at), std::to_string(removed.count));
  });
}

Result<std::vector<Catalog::CollectionNote>> Catalog::collections() const {
  return reading<std::vector<CollectionNote>>(table_, load_collections);
}

}  // namespace lamina::origin
