// Calibration: what was measured of the real programs, as a file that scenarios name.
//
//   format = "lamina-sim-calibration"
//   version = 1
//   goodput = { mean = 0.9497, lowest = 0.9491, highest = 0.9502, runs = 4 }
//   start_takes = { mean = "850ms", lowest = "790ms", highest = "910ms", runs = 4 }
//   efficiency = [{ peers = 10, pieces = 153, mean = 0.29, lowest = 0.27, highest = 0.31, runs = 2
//   }]
//
// A scenario takes the means, where it does not say the value itself; the spread is for people.
// Plain values; any thread.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace lamina::sim {

inline constexpr std::string_view kCalibrationFormat = "lamina-sim-calibration";
inline constexpr int kCalibrationVersion = 1;

struct Factor {
  double mean = 0;
  double lowest = 0;
  double highest = 0;
  int runs = 0;  // That told it. At least 1.
  bool operator==(const Factor&) const = default;
};
Factor factor_of(const std::vector<double>& values);  // At least one value.

struct Calibration {
  std::optional<Factor> goodput;      // Tcp::goodput.
  std::optional<Factor> unevenness;   // Tcp::unevenness.
  std::optional<Factor> start_takes;  // Seconds, Rollout::start_takes; the next two likewise.
  std::optional<Factor> rules_take;
  std::optional<Factor> takeover;
  struct Eta {  // As Efficiency.
    int peers = 0;
    int pieces = 0;
    Factor eta;
    bool operator==(const Eta&) const = default;
  };
  std::vector<Eta> efficiency;  // Ascending by peers, then pieces.
  bool operator==(const Calibration&) const = default;
};

// The file's text, without a comment.
std::string to_toml(const Calibration& calibration);

}  // namespace lamina::sim
