#include "origin/catalog/rows.hpp"

namespace lamina::origin {
namespace {

constexpr std::string_view kRow = "restored";
// Of sequences that a device may claim to have seen: no clock in milliseconds gets there.
constexpr std::uint64_t kSeenMax = std::uint64_t{1} << 52;

}  // namespace

Result<std::uint64_t> load_floor(const Rows& rows) {
  auto value = rows.get(kRow);
  if (!value) return fail(std::move(value.error()));
  std::uint64_t floor = 0;
  if (!*value) return floor;
  const char* end = (*value)->data() + (*value)->size();
  if (std::from_chars((*value)->data(), end, floor).ptr != end) return fail(corrupt_row(kRow));
  return floor;
}

// One by one, sequences and epochs grow by far less than one a millisecond, so the clock is above
// all of them, and above those that began at the clock of an earlier restore.
Status Catalog::note_restored(const Act& act, std::int64_t made_ms) {
  return table_.write([&](Rows& rows) -> Status {
    auto floor = load_floor(rows);
    if (!floor) return fail(std::move(floor.error()));
    const auto now = static_cast<std::uint64_t>(std::max<std::int64_t>(ms(act.now), 1));
    if (auto put = rows.put(kRow, std::to_string(std::max(now, *floor + 1))); !put) return put;
    return append_audit(rows, act, "origin.restored", "origin",
                        "backup of " + to_iso8601(WallTime{made_ms * 1'000'000}));
  });
}

Status Catalog::renew_target(const Act& act, const DeviceId& id, std::uint64_t seen,
                             const SignAnew& sign) {
  return table_.write([&](Rows& rows) -> Status {
    auto device = load_device(rows, id);
    if (!device) return fail(std::move(device.error()));
    auto floor = load_floor(rows);
    if (!floor) return fail(std::move(floor.error()));
    auto envelope = rows.get("device-target/" + id.hex());
    if (!envelope) return fail(std::move(envelope.error()));
    if (*floor == 0 || !*envelope || seen <= device->target_sequence || seen > kSeenMax)
      return Done{};
    device->target_sequence = std::max(seen + 1, *floor);
    auto target = sign(to_buffer(std::string_view(**envelope)), device->target_sequence);
    if (!target) return fail(std::move(target.error()));
    if (auto put = rows.put("device-target/" + id.hex(), as_text(*target)); !put) return put;
    if (auto put = store_device(rows, *device); !put) return put;
    return append_audit(rows, act, "device.target", "device:" + id.hex(),
                        "sequence=" + std::to_string(device->target_sequence) +
                            " as before the restore, for a device that has a newer one");
  });
}

}  // namespace lamina::origin
