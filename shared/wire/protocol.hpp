// What both ends of the API agree on before the first message: version, names and limits.
#pragma once

#include <cstdint>
#include <string_view>

#include "shared/base/units.hpp"

namespace lamina::wire {

// Sent both ways as `Lamina-Protocol: 1`. An origin that does not speak the asked version answers
// 426 and names the versions it does.
inline constexpr int kProtocol = 1;
inline constexpr std::string_view kProtocolHeader = "Lamina-Protocol";

// The token of the lease on which a device asks for bytes of packs, in hex.
inline constexpr std::string_view kLeaseHeader = "Lamina-Lease";

inline constexpr std::string_view kJson = "application/json";
inline constexpr std::string_view kBinary = "application/octet-stream";

// Limits of one body. Messages and id lists are held in memory; packs are spooled to files.
inline constexpr Bytes kMessageMax = 1_MiB;
inline constexpr Bytes kIdListMax = 4_MiB;      // 131,072 ids; callers split longer lists.
inline constexpr Bytes kPackMax = 32_MiB;       // Packs are cut at 16 MiB; one chunk may exceed.
inline constexpr Bytes kSiteRulesMax = 64_KiB;  // Bandwidth rules of one site, in a poll's answer.
inline constexpr Bytes kRecordMax = 16_MiB;     // A signed layer or snapshot record.

// One range of a pack: a lease may end while it is sent, so it must not last long.
inline constexpr Bytes kPackRangeMax = 4_MiB;

// Snapshots of others that a relay lists in a poll.
inline constexpr std::size_t kRelayedMax = 1000;

// A poll waits no longer, so that it ends before the 60 s after which middleboxes forget.
inline constexpr std::int64_t kPollWaitMaxMs = 55'000;

}  // namespace lamina::wire
