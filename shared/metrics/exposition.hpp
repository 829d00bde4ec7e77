// Exposition: counters and gauges as text for Prometheus (exposition format 0.0.4).
//
// Plain values; one thread at a time. Names and help are our own: a bad one is a broken invariant.
// Label values may be anything (the name of a site): they are escaped.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

namespace lamina::metrics {

// The media type of text().
inline constexpr std::string_view kContentType = "text/plain; version=0.0.4; charset=utf-8";

// A number that only grows: from 0 to at most the largest 64-bit one, where it stays.
class Counter {
 public:
  // `by` is not negative.
  void add(std::int64_t by = 1);
  std::int64_t value() const { return value_; }

 private:
  std::int64_t value_ = 0;
};

using Labels = std::map<std::string, std::string>;
using Samples = std::map<Labels, std::int64_t>;

class Exposition {
 public:
  // Adds a family; its name ends in "_total". No value may be negative. A family has one name once.
  void counter(const std::string& name, std::string help, Samples samples);
  // Adds a family, whose name does not end in "_total".
  void gauge(const std::string& name, std::string help, Samples samples);

  // All families in the order of their names, each with the samples in the order of their labels.
  std::string text() const;

 private:
  struct Family {
    std::string_view type;
    std::string help;
    Samples samples;
  };
  void add(const std::string& name, Family family);

  std::map<std::string, Family> families_;
};

}  // namespace lamina::metrics
