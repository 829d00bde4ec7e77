// The words that both sides of a decision record use. For decision_log.cpp and decision_replay.cpp.
#pragma once

#include <string_view>

namespace lamina::policy::record_words {

inline constexpr std::string_view kFirstLine = "lamina-decisions 2";
inline constexpr std::string_view kFirstLineBefore = "lamina-decisions 1";
inline constexpr std::string_view kSiteLease = "site-lease";
inline constexpr std::string_view kLeaseHolder = "lease-holder";
inline constexpr std::string_view kWanPieces = "wan-pieces";
inline constexpr std::string_view kWanTransport = "wan-transport";
inline constexpr std::string_view kShutOut = "shut-out";
inline constexpr std::string_view kWanPacing = "wan-pacing";
inline constexpr std::string_view kWanBudget = "wan-budget";
inline constexpr std::string_view kEligibility = "eligibility";

}  // namespace lamina::policy::record_words
