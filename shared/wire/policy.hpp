// What a device is told about its policy and its snooze.
//
// Plain values. Parse rules as in enrol.hpp.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "shared/base/ids.hpp"
#include "shared/base/units.hpp"
#include "shared/format/protection.hpp"

namespace lamina::wire {

// Between two snapshots of a device, by its policy.
inline constexpr std::int64_t kSyncIntervalMinMs = 60'000;
inline constexpr std::int64_t kSyncIntervalMaxMs = std::int64_t{31} * 24 * 3'600'000;

inline constexpr std::string_view kFactoryPolicy = "factory";

// One version of a policy: what a device protects, what its users' own is, and how often it makes a
// snapshot.
struct Policy {
  // Names what it says: one that says something else has another. Opaque to devices. "": the
  // factory rules alone.
  std::string id;
  std::string name = std::string(kFactoryPolicy);
  std::uint64_t version = 0;      // From 1; grows with every change.
  format::ProtectionRules rules;  // Fields "unprotected", "user", "volumes".
  std::optional<std::int64_t> interval_ms = std::nullopt;  // Absent: the device's own.
  bool operator==(const Policy&) const = default;
};

// Until then a device makes no snapshots by itself. The number says whose word is newer: every one
// of an administrator has a higher one.
struct Snooze {
  std::uint64_t number = 0;   // Of the last word of an administrator that counts here; 0: none.
  std::int64_t until_ms = 0;  // Since 1970; 0: no snooze.
  bool operator==(const Snooze&) const = default;
};
inline constexpr Duration kSnoozeMax = std::chrono::hours{24};

std::string to_json(const Policy& message);
Result<Policy> parse_policy(std::string_view text);

}  // namespace lamina::wire
