#include "node/worker/cached_layer.hpp"

#include <algorithm>

#include "shared/codec/reader.hpp"
#include "shared/codec/writer.hpp"
#include "shared/format/needed_packs.hpp"
#include "shared/format/signed_layer.hpp"
#include "shared/os/file.hpp"

namespace lamina::node {
namespace {

constexpr std::string_view kRebuiltMagic = "LMrb0001";

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
  if (as_text(in.raw(kRebuiltMagic.size())) != kRebuiltMagic) return std::nullopt;
  Rebuilt rebuilt;
  rebuilt.base = in.id<LayerId>();
  for (std::uint64_t left = in.count(PackId::kSize + 1); left > 0 && !in.failed(); --left) {
    const PackId id = in.id<PackId>();
    rebuilt.packs.push_back({.id = id, .size = in.varint(format::kPackBytesMax)});
  }
  for (std::uint64_t left = in.count(PackId::kSize); left > 0 && !in.failed(); --left)
    rebuilt.lacking.insert(in.id<PackId>());
  if (!in.finished()) return std::nullopt;
  return rebuilt;
}

Status write_rebuilt(const StateDirectory& state, const LayerId& layer, const Rebuilt& rebuilt) {
  Writer out;
  out.raw(as_view(kRebuiltMagic));
  out.raw(rebuilt.base.bytes());
  out.varint(rebuilt.packs.size());
  for (const format::DistributedPack& pack : rebuilt.packs) {
    out.raw(pack.id.bytes());
    out.varint(pack.size);
  }
  out.varint(rebuilt.lacking.size());
  for (const PackId& pack : rebuilt.lacking) out.raw(pack.bytes());
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
    if (!rebuilt || rebuilt->lacking.contains(pack.id) ||
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
