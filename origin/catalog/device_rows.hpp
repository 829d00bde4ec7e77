// Rows that are one device's, and lists that name it; private to the .cpp files of this folder.
#pragma once

#include "origin/catalog/rows.hpp"

namespace lamina::origin {

inline constexpr std::string_view kChunks = "cvd-chunk/";
inline constexpr std::string_view kSnapshotIds = "snapshot-id/";
inline constexpr std::string_view kDeviceLayers = "device-layer/";
// What is the device's own, each followed by its id.
inline constexpr std::string_view kCvdRows[] = {kChunks, "snapshot/", kSnapshotIds, kDeviceLayers};
inline constexpr std::string_view kDeviceRows[] = {
    "device/",    "device-key/",   "device-target/", "transaction/",
    "retention/", "quota/device/", "cvd-moves/",     "policy-assigned/device/"};

inline std::string place_of(std::string_view kind, const DeviceId& id) {
  return std::string(kind) + id.hex();
}
Result<std::vector<std::string>> keys_of(const Rows& rows, const std::string& place);
// Takes all rows of that kind away; `into`: they go on under this kind, empty. How many they were.
Result<std::int64_t> take_rows(Rows& rows, const DeviceId& id, std::string_view kind,
                               std::string_view into = "");
// Out of all lists of collections; `left` gets their names. `successor` takes its place there.
Status leave_collections(Rows& rows, const DeviceId& id, std::vector<std::string>& left,
                         const std::optional<DeviceId>& successor = {});
// Likewise of the reflectors that come first in sites.
Status leave_reflectors(Rows& rows, const DeviceId& id, std::vector<std::string>& left);
// All of the archived CVD of `from` to `into`, in the caller's transaction: as
// Catalog::reassign_cvd.
Status move_archived(Rows& rows, const Act& act, const DeviceId& from, const DeviceId& into,
                     wire::MoveReply& reply);

}  // namespace lamina::origin
