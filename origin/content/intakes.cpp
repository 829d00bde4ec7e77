#include "origin/content/intakes.hpp"

namespace lamina::origin {
namespace {

// How often somebody who waits looks whether he is to stop.
constexpr std::chrono::milliseconds kLookEvery{100};

}  // namespace

std::shared_ptr<void> Intakes::begin() {
  const std::lock_guard lock(mutex_);
  const std::uint64_t number = next_++;
  under_way_.insert(number);
  return {static_cast<void*>(this), [this, number](void*) {
            const std::lock_guard guard(mutex_);
            under_way_.erase(number);
            ended_.notify_all();
          }};
}

Status Intakes::wait_for_earlier(const std::function<bool()>& is_stopping) {
  std::unique_lock lock(mutex_);
  const std::uint64_t from_now_on = next_;
  const auto are_over = [&] { return under_way_.empty() || *under_way_.begin() >= from_now_on; };
  while (!ended_.wait_for(lock, kLookEvery, are_over))
    if (is_stopping()) return fail(ErrorKind::unavailable, "waiting for uploads was told to stop");
  return Done{};
}

}  // namespace lamina::origin
