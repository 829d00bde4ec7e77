#include "shared/base/bounded_queue.hpp"

#include <atomic>
#include <catch2/catch.hpp>
#include <memory>
#include <thread>

using namespace lamina;

TEST_CASE("bounded queue: everything arrives once and in order, and the faster end waits",
          "[base]") {
  constexpr int kValues = 10'000;
  BoundedQueue<std::unique_ptr<int>> queue(3);
  std::atomic<int> put = 0, taken = 0;
  std::atomic<bool> is_ahead = false;
  std::thread other([&] {
    for (int i = 0; i < kValues; ++i) {
      if (!queue.put(std::make_unique<int>(i))) return;
      // Three wait, and one may be in the other's hand before it is counted.
      if (++put - taken > 3 + 1) is_ahead = true;
    }
    queue.close();
  });
  bool in_order = true;
  while (auto value = queue.take()) {
    in_order = in_order && **value == taken;
    ++taken;
  }
  other.join();
  CHECK(in_order);
  CHECK(taken == kValues);
  CHECK_FALSE(is_ahead);
}

TEST_CASE("bounded queue: closed, it takes nothing and gives what is left", "[base]") {
  BoundedQueue<int> queue(2);
  CHECK(queue.put(1));
  CHECK(queue.offer(2));
  CHECK_FALSE(queue.offer(3));
  std::thread closing([&] { queue.close(); });
  // Waits for room, and gives up when there will be none.
  CHECK_FALSE(queue.put(4));
  closing.join();
  CHECK_FALSE(queue.offer(5));
  CHECK(queue.take() == 1);
  CHECK(queue.take() == 2);
  CHECK_FALSE(queue.take());
}

TEST_CASE("bounded queue: discarded, it gives nothing any more", "[base]") {
  BoundedQueue<int> queue(2);
  CHECK(queue.put(1));
  queue.discard();
  CHECK_FALSE(queue.take());
  CHECK_FALSE(queue.put(2));
}
