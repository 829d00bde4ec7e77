// BoundedQueue: hands values from one thread to another, and makes the faster one wait.
//
// Either end may close it: then put() takes nothing any more, and take() gives what is left. Two
// threads at least; all calls are safe from any.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <mutex>
#include <optional>

namespace lamina {

template <class T>
class BoundedQueue {
 public:
  // `most`: values that wait, at least 1.
  explicit BoundedQueue(std::size_t most) : most_(most) {}

  // Waits while it is full. False: it is closed, and the value is gone.
  bool put(T value) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return closed_ || values_.size() < most_; });
    if (closed_) return false;
    values_.push_back(std::move(value));
    changed_.notify_all();
    return true;
  }

  // Does not wait. False: it is full or closed, and the value is gone.
  bool offer(T value) {
    const std::lock_guard lock(mutex_);
    if (closed_ || values_.size() >= most_) return false;
    values_.push_back(std::move(value));
    changed_.notify_all();
    return true;
  }

  // Waits while it is empty. Nothing: it is closed and nothing is left.
  std::optional<T> take() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return closed_ || !values_.empty(); });
    if (values_.empty()) return std::nullopt;
    std::optional<T> value(std::move(values_.front()));
    values_.pop_front();
    changed_.notify_all();
    return value;
  }

  void close() {
    const std::lock_guard lock(mutex_);
    closed_ = true;
    changed_.notify_all();
  }

  // Closes it, and nobody gets what is left.
  void discard() {
    const std::lock_guard lock(mutex_);
    closed_ = true;
    values_.clear();
    changed_.notify_all();
  }

 private:
  std::size_t most_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<T> values_;
  bool closed_ = false;
};

}  // namespace lamina
