// Intakes: what devices send just now, from before its bytes are in the store until the catalogue
// says whose they are. Who erases content waits here for those who may have been told that it is in
// the store, and have not said yet that they need it.
//
// Any thread.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <set>

#include "shared/base/result.hpp"

namespace lamina::origin {

class Intakes {
 public:
  // Under way until the last copy of what it gives is gone. This outlives them.
  std::shared_ptr<void> begin();
  // Returns when all that were under way at the call are over. `unavailable` when told to stop.
  Status wait_for_earlier(const std::function<bool()>& is_stopping);

 private:
  std::mutex mutex_;
  std::condition_variable ended_;
  std::uint64_t next_ = 0;
  std::set<std::uint64_t> under_way_;
};

}  // namespace lamina::origin
