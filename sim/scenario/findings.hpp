// Findings: everything that is wrong with a scenario's files, each with its place.
//
// A reader goes on after a finding, so that whoever wrote the files sees all of them at once; only
// so many are kept. Plain values; one thread at a time.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace lamina::sim {

// Where a value stands. Lines and columns count from 1; 0: of the whole file, or unknown.
struct Place {
  std::string file;
  std::size_t line = 0;
  std::size_t column = 0;
  auto operator<=>(const Place&) const = default;
};
std::string text_of(const Place& place);  // "sites.csv:7:12"

struct Finding {
  Place place;
  std::string text;  // One line, printable.
  auto operator<=>(const Finding&) const = default;
};

class Findings {
 public:
  static constexpr std::size_t kMax = 50;

  void add(Place place, std::string text);

  bool empty() const { return all_.empty(); }
  // Those of one file together, by line; files in the order in which they were found wrong first.
  std::vector<Finding> list() const;
  std::size_t left_out() const { return left_out_; }
  // "scenario.toml:7:3: unknown key 'uplnk'; is it 'uplink'?", a line each, then how many more
  // there are. Every line ends with "\n".
  std::string text() const;

 private:
  std::vector<Finding> all_;
  std::size_t left_out_ = 0;
};

// The one of `known` that `word` was most likely meant to be; empty: none is near.
std::string_view nearest(std::string_view word, const std::vector<std::string_view>& known);
// "; is it 'uplink'?" if one is near, else "; known are ..., ..." when there are a few; else
// nothing.
std::string suggestion(std::string_view word, const std::vector<std::string_view>& known);

}  // namespace lamina::sim
