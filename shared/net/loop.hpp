// Loop: the one thread that owns a process's state, its timers and its sockets.
//
// Owned by main(); everything given to it runs on the thread inside run(), one thing at a time.
// Only post(), stop() and now() may be called from other threads. Slow work (hashing, disk) goes to
// a small pool by offload() and comes back as a call on the loop.
#pragma once

#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "shared/base/units.hpp"

namespace lamina::net {

// A call that will happen once. Destroying or cancelling it prevents the call. Move-only.
class Timer {
 public:
  Timer() = default;
  Timer(Timer&&) noexcept = default;
  Timer& operator=(Timer&& other) noexcept;
  ~Timer();

  void cancel();
  bool pending() const;

 private:
  friend class Loop;
  struct State;
  std::shared_ptr<State> state_;
};

// Calls back whenever a file descriptor is readable (or has failed) until it is destroyed. The
// descriptor stays the caller's: destroy the Watch first, then close it.
class Watch {
 public:
  Watch() = default;
  Watch(Watch&&) noexcept = default;
  Watch& operator=(Watch&& other) noexcept;
  ~Watch();

 private:
  friend class Loop;
  struct State;
  std::shared_ptr<State> state_;
};

class Loop {
 public:
  explicit Loop(int workers = 2);
  ~Loop();  // Waits for work in the pool; its continuations are dropped.
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  // Runs until stop(). May be called again afterwards.
  void run();
  // Runs until `done()` is true, checked after each event. For blocking callers.
  void run_until(const std::function<bool()>& done);
  void stop();

  void post(std::function<void()> call);
  [[nodiscard]] Timer after(Duration delay, std::function<void()> call);
  [[nodiscard]] Watch watch_readable(int descriptor, std::function<void()> call);
  void on_signal(std::vector<int> signals, std::function<void(int)> call);

  // `work` runs in the pool; then `then` runs on the loop.
  void offload(std::function<void()> work, std::function<void()> then);

  // `work` runs in the pool and returns a value that `then` receives on the loop.
  template <class Work, class Then>
  void offload_value(Work work, Then then) {
    using Value = decltype(work());
    auto value = std::make_shared<std::unique_ptr<Value>>();
    offload([value, work = std::move(work)]() mutable { *value = std::make_unique<Value>(work()); },
            [value, then = std::move(then)]() mutable { then(std::move(**value)); });
  }

  // CLOCK_BOOTTIME: goes on while the machine sleeps, so that leases lapse meanwhile.
  Instant now() const;
  static WallTime wall_now();

  struct Impl;  // Private to shared/net.
  Impl& impl() { return *impl_; }

 private:
  std::unique_ptr<Impl> impl_;
};

}  // namespace lamina::net
