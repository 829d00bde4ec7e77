#include "shared/net/loop.hpp"

#include <unistd.h>

#include <ctime>

#include "shared/net/asio.hpp"

namespace lamina::net {

struct Timer::State {
  explicit State(asio::io_context& io) : timer(io) {}
  asio::steady_timer timer;
  std::function<void()> call;  // Empty: cancelled or done.
};

Timer& Timer::operator=(Timer&& other) noexcept {
  if (this == &other) return *this;
  cancel();
  state_ = std::move(other.state_);
  return *this;
}

Timer::~Timer() { cancel(); }

void Timer::cancel() {
  if (!state_) return;
  state_->call = nullptr;
  state_->timer.cancel();
  state_.reset();
}

bool Timer::pending() const { return state_ && state_->call; }

// Waits on a duplicate, so that destroying the Watch never closes the caller's descriptor and a
// reused number is never confused with the old file.
struct Watch::State : std::enable_shared_from_this<Watch::State> {
  State(asio::io_context& io, int copy) : descriptor(io, copy) {}
  asio::posix::stream_descriptor descriptor;
  std::function<void()> call;

  void wait() {
    descriptor.async_wait(asio::posix::stream_descriptor::wait_read,
                          [self = shared_from_this()](const error_code& ec) {
                            if (ec || !self->call) return;
                            const auto call = self->call;  // It may destroy the Watch.
                            call();
                            if (self->call) self->wait();
                          });
  }
  void end() {
    call = nullptr;
    error_code ignored;
    descriptor.close(ignored);
  }
};

Watch& Watch::operator=(Watch&& other) noexcept {
  if (this == &other) return *this;
  if (state_) state_->end();
  state_ = std::move(other.state_);
  return *this;
}

Watch::~Watch() {
  if (state_) state_->end();
}

Loop::Loop(int workers) : impl_(std::make_unique<Impl>(workers)) {}

Loop::~Loop() {
  impl_->pool.join();
  impl_->io.stop();
}

void Loop::run() {
  impl_->io.restart();
  impl_->io.run();
}

void Loop::run_until(const std::function<bool()>& done) {
  impl_->io.restart();
  while (!done() && impl_->io.run_one() > 0) {
  }
}

void Loop::stop() { impl_->io.stop(); }

void Loop::post(std::function<void()> call) { asio::post(impl_->io, std::move(call)); }

Timer Loop::after(Duration delay, std::function<void()> call) {
  Timer timer;
  timer.state_ = std::make_shared<Timer::State>(impl_->io);
  timer.state_->call = std::move(call);
  timer.state_->timer.expires_after(delay);
  timer.state_->timer.async_wait([state = timer.state_](const error_code& ec) {
    if (ec || !state->call) return;
    const auto due = std::exchange(state->call, nullptr);
    due();
  });
  return timer;
}

Watch Loop::watch_readable(int descriptor, std::function<void()> call) {
  Watch watch;
  watch.state_ = std::make_shared<Watch::State>(impl_->io, ::dup(descriptor));
  watch.state_->call = std::move(call);
  watch.state_->wait();
  return watch;
}

void Loop::Impl::wait_for_signal() {
  signals->async_wait([this](const error_code& ec, int signal) {
    if (ec) return;
    on_signal(signal);
    wait_for_signal();
  });
}

void Loop::on_signal(std::vector<int> signals, std::function<void(int)> call) {
  impl_->signals = std::make_unique<asio::signal_set>(impl_->io);
  for (const int signal : signals) impl_->signals->add(signal);
  impl_->on_signal = std::move(call);
  impl_->wait_for_signal();
}

void Loop::offload(std::function<void()> work, std::function<void()> then) {
  asio::post(impl_->pool, [this, work = std::move(work), then = std::move(then)]() mutable {
    work();
    work = nullptr;
    asio::post(impl_->io, std::move(then));
  });
}

Instant Loop::now() const {
  timespec time{};
  clock_gettime(CLOCK_BOOTTIME, &time);
  return Instant{std::chrono::seconds{time.tv_sec} + std::chrono::nanoseconds{time.tv_nsec}};
}

WallTime Loop::wall_now() {
  timespec time{};
  clock_gettime(CLOCK_REALTIME, &time);
  return {static_cast<std::int64_t>(time.tv_sec) * 1'000'000'000 + time.tv_nsec};
}

}  // namespace lamina::net
