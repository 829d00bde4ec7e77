// The files in a directory that `emulate` wrote beside its reports. Names and format; any thread.
#pragma once

#include <string_view>

namespace lamina::sim {

inline constexpr std::string_view kRequestFile = "/request.json";    // To the lab.
inline constexpr std::string_view kMeasuredFile = "/measured.json";  // Its answer.
// Which scenario it was: {"format", "version", "scenario": the file, "set": [...], "input_hash"}.
inline constexpr std::string_view kEmulatedFile = "/emulated.json";
inline constexpr std::string_view kEmulatedFormat = "lamina-sim-emulated";
inline constexpr int kEmulatedVersion = 1;

}  // namespace lamina::sim
