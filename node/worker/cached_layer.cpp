#include "node/worker/cached_layer.hpp"

#include <algorithm>

#include "shared/codec/reader.hpp"
#include "shared/codec/writer.hpp"
#include "shared/format/needed_packs.hpp"
#include "shared/format/signed_layer.hpp"
#include "shared/os/file.hpp"

namespace lamina::node {
namespace {

// The first ends with `lacking`, and is written where that is all: older programs read it.
constexpr std::string_view kRebuiltMagic = "LMrb0001", kMoreMagic = "LMrb0002";

void write_more(Writer& out, const Rebuilt& rebuilt) {
  const Rebuilt::Figures& figures = rebuilt.figures;
  for (const std::uint64_t figure : {static_cast<std::uint64_t>(figures.started_ms), figures.chunks,
                                     figures.bytes, figures.lacking_chunks, figures.fallback_bytes})
    out.varint(figure);
  out.varint(rebuilt.parts.size());
  for (const auto& [pack, part] : rebuilt.parts) {
    out.raw(pack.bytes());
    out.varint(part.chunks.size());
    for (const ChunkId& chunk : part.chunks) out.raw(chunk.bytes());
    out.varint(part.ranges.size());
    for (const ByteRange& range : part.ranges) {
      out.varint(range.begin);
      out.varint(range.end);
    }
  }
  out.varint(rebuilt.awaited.size());
  for (const ChunkId& chunk : rebuilt.awaited) out.raw(chunk.bytes());
  out.varint(rebuilt.costly.size());
  for (const PackId& pack : rebuilt.costly) out.raw(pack.bytes());
}

void read_more(Reader& in, Rebuilt& rebuilt) {
  Rebuilt::Figures& figures = rebuilt.figures;
  figures.started_ms = static_cast<std::int64_t>(in.varint(INT64_MAX));
  for (std::uint64_t* figure :
       {&figures.chunks, &figures.bytes, &figures.lacking_chunks, &figures.fallback_bytes})
    *figure = in.varint();
  for (std::uint64_t left = in.count(PackId::kSize + 2); left > 0 && !in.failed(); --left) {
    PackPart& part = rebuilt.parts[in.id<PackId>()];
    for (std::uint64_t chunks = in.count(ChunkId::kSize); chunks > 0 && !in.failed(); --chunks)
      part.chunks.insert(in.id<ChunkId>());
    for (std::uint64_t ranges = in.count(2); ranges > 0 && !in.failed(); --ranges) {
      const std::uint64_t begin = in.varint(format::kPackBytesMax);
      part.ranges.push_back({begin, in.varint(format::kPackBytesMax)});
      if (part.ranges.back().end <= begin) in.set_failed();
    }
  }
  for (std::uint64_t left = in.count(ChunkId::kSize); left > 0 && !in.failed(); --left)
    rebuilt.awaited.insert(in.id<ChunkId>());
  for (std::uint64_t left = in.count(PackId::kSize); left > 0 && !in.failed(); --left)
    rebuilt.costly.insert(in.id<PackId>());
}

}  // namespace

std::string record_path(const StateDirectory& state, const LayerId& layer, const char* kind) {
  return state.records() + '/' + layer.hex() + '.' + kind;
}

Result<format::LayerRecord> read_record(const StateDirectory& state, const LayerId& layer,
                                        const TrustedKeys& keys) {
  auto envelope = os::read_file(record_path(state, layer, "layer"), format::kRecordMax);
  auto record = envelope ? format::open_layer(layer, *envelope, keys.publishers)
                         : Result<format::LayerRecord>(fail(std::move(envelope.error())));
  if (!record) return fail(std::move(record.error()).in("layer " + layer.short_hex()));
  return record;
}

Result<format::DistributionRecord> read_distribution(const StateDirectory& state,
                                                     const LayerId& layer,
                                                     const TrustedKeys& keys) {
  auto envelope = os::read_file(record_path(state, layer, "distribution"), format::kRecordMax);
  auto distribution = envelope
                          ? format::open_distribution(layer, *envelope, keys.target)
                          : Result<format::DistributionRecord>(fail(std::move(envelope.error())));
  if (!distribution) return fail(std::move(distribution.error()).in("layer " + layer.short_hex()));
  return distribution;
}

std::optional<Rebuilt> read_rebuilt(const StateDirectory& state, const LayerId& layer) {
  const auto bytes = os::read_file(record_path(state, layer, "rebuilt"), format::kRecordMax);
  if (!bytes) return std::nullopt;
  Reader in(*bytes);
  const std::string magic(as_text(in.raw(kRebuiltMagic.size())));
  if (magic != kRebuiltMagic && magic != kMoreMagic) return std::nullopt;
  Rebuilt rebuilt;
  rebuilt.base = in.id<LayerId>();
  for (std::uint64_t left = in.count(PackId::kSize + 1); left > 0 && !in.failed(); --left) {
    const PackId id = in.id<PackId>();
    rebuilt.packs.push_back({.id = id, .size = in.varint(format::kPackBytesMax)});
  }
  for (std::uint64_t left = in.count(PackId::kSize); left > 0 && !in.failed(); --left)
    rebuilt.lacking.insert(in.id<PackId>());
  if (magic == kMoreMagic) read_more(in, rebuilt);
  if (!in.finished()) return std::nullopt;
  return rebuilt;
}

Status write_rebuilt(const StateDirectory& state, const LayerId& layer, const Rebuilt& rebuilt) {
  Writer out;
  out.raw(as_view(rebuilt.has_more() ? kMoreMagic : kRebuiltMagic));
  out.raw(rebuilt.base.bytes());
  out.varint(rebuilt.packs.size());
  for (const format::DistributedPack& pack : rebuilt.packs) {
    out.raw(pack.id.bytes());
    out.varint(pack.size);
  }
  out.varint(rebuilt.lacking.size());
  for (const PackId& pack : rebuilt.lacking) out.raw(pack.bytes());
  if (rebuilt.has_more()) write_more(out, rebuilt);
  return os::write_file(record_path(state, layer, "rebuilt"), out.view());
}

Status add_packs(const StateDirectory& state, const LayerId& layer, const TrustedKeys& keys,
                 PackSet& set, std::map<LayerId, bool>& added) {
  if (const auto [known, is_new] = added.try_emplace(layer, false); !is_new)
    return known->second
               ? Status(Done{})
               : fail(ErrorKind::not_found, "layer " + layer.short_hex() + " is not whole");
  auto distribution = read_distribution(state, layer, keys);
  if (!distribution) return fail(std::move(distribution.error()));
  const auto stands_in = [&](const LayerId& base) {
    return add_packs(state, base, keys, set, added).has_value();
  };
  const auto add = [&](const PackId& pack) {
    return set.add(state.packs() + '/' + pack.hex(), "pack " + pack.short_hex());
  };
  const auto rebuilt = read_rebuilt(state, layer);
  std::optional<bool> is_rebuilt;  // Not looked at yet.
  const auto by_update = [&](const format::DistributedPack& pack) {
    if (!rebuilt || !rebuilt->awaited.empty() || rebuilt->lacking.contains(pack.id) ||
        rebuilt->parts.contains(pack.id) ||
        std::ranges::find(pack.unless_updated, rebuilt->base) == pack.unless_updated.end())
      return false;
    if (!is_rebuilt)
      is_rebuilt = (rebuilt->base == format::kNoLayer || stands_in(rebuilt->base)) &&
                   std::ranges::all_of(rebuilt->packs, [&](const format::DistributedPack& made) {
                     return add(made.id).has_value();
                   });
    return *is_rebuilt;
  };
  for (const format::DistributedPack& pack : distribution->packs) {
    if (!pack.update_from.empty()) continue;
    // The network process marks a whole pack by its tree.
    const bool may_be_elsewhere = !format::is_for_everyone(pack);
    if (may_be_elsewhere && !os::exists(state.trees() + '/' + pack.id.hex()) &&
        (std::ranges::any_of(pack.unless, stands_in) || by_update(pack)))
      continue;
    if (auto here = add(pack.id); !here) return here;
  }
  added[layer] = true;
  return Done{};
}

}  // namespace lamina::node
