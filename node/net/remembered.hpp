// Remembered: a value that costs something to find out, and may be a little old when it is told.
// Plain value; loop thread only.
#pragma once

#include <optional>
#include <utility>

#include "shared/base/units.hpp"

namespace lamina::node {

template <class Value>
class Remembered {
 public:
  explicit Remembered(Duration keep) : keep_(keep) {}

  // What `find` returned last, asked again once that is `keep` old.
  template <class Find>
  const Value& get(Instant now, Find&& find) {
    if (!value_ || now - found_at_ >= keep_) {
      value_ = std::forward<Find>(find)();
      found_at_ = now;
    }
    return *value_;
  }
  // It is known to have changed: get() asks in any case.
  void forget() { value_.reset(); }

 private:
  Duration keep_;
  std::optional<Value> value_;
  Instant found_at_;
};

}  // namespace lamina::node
