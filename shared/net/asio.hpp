// Private to shared/net: the one way to include Asio, and what a Loop is inside.
#pragma once

#include <utility>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/thread_pool.hpp>

#include "shared/net/loop.hpp"

namespace lamina::net {

namespace asio = boost::asio;
using boost::system::error_code;

struct Loop::Impl {
  explicit Impl(int workers) : pool(static_cast<std::size_t>(workers)) {}

  asio::io_context io{1};
  asio::executor_work_guard<asio::io_context::executor_type> stays{io.get_executor()};
  asio::thread_pool pool;
  std::unique_ptr<asio::signal_set> signals;
  std::function<void(int)> on_signal;

  void wait_for_signal();
};

}  // namespace lamina::net
