#include "node/net/report_queue.hpp"

#include <catch2/catch.hpp>

using namespace lamina;
using namespace lamina::node;

namespace {

// The test answers what was sent.
struct Bench {
  std::vector<std::string> sent;
  std::function<void(const Result<Done>&)> answer;
  ReportQueue queue{[this](const wire::Report& report, auto then) {
    sent.push_back(report.operation);
    answer = std::move(then);
  }};

  void push(const std::string& operation) { queue.push({.operation = operation}); }
  void take() { std::exchange(answer, {})(Done{}); }
  void refuse(ErrorKind kind) { std::exchange(answer, {})(fail(kind, "no")); }
};

using Words = std::vector<std::string>;

}  // namespace

TEST_CASE("report queue: one at a time, in order", "[node]") {
  Bench bench;
  bench.push("apply");
  bench.push("snapshot");
  CHECK(bench.sent == Words{"apply"});
  bench.take();
  CHECK(bench.sent == Words{"apply", "snapshot"});
  bench.take();
  CHECK(bench.queue.waiting() == 0);
  bench.queue.flush();
  CHECK(bench.sent.size() == 2);
}

TEST_CASE("report queue: what the line lost is sent again when the origin is reached", "[node]") {
  Bench bench;
  bench.push("apply");
  bench.refuse(ErrorKind::unavailable);
  CHECK(bench.queue.waiting() == 1);
  bench.push("snapshot");
  CHECK(bench.sent == Words{"apply", "apply"});
  bench.refuse(ErrorKind::unavailable);
  bench.queue.flush();
  bench.queue.flush();  // It is under way already.
  CHECK(bench.sent == Words{"apply", "apply", "apply"});
  bench.take();
  bench.take();
  CHECK(bench.sent.back() == "snapshot");
}

TEST_CASE("report queue: one that the origin refuses does not hold up the others", "[node]") {
  Bench bench;
  bench.push("apply");
  bench.push("snapshot");
  bench.refuse(ErrorKind::refused);
  CHECK(bench.sent == Words{"apply", "snapshot"});
}

TEST_CASE("report queue: it is bounded, and drops the oldest", "[node]") {
  Bench bench;
  for (std::size_t i = 0; i <= ReportQueue::kQueueMax; ++i) bench.push(std::to_string(i));
  CHECK(bench.queue.waiting() == ReportQueue::kQueueMax);
  bench.take();  // Of the one that was dropped: the next is sent, and none is lost.
  CHECK(bench.sent == Words{"0", "1"});
  CHECK(bench.queue.waiting() == ReportQueue::kQueueMax);
}

TEST_CASE("report queue: an answer that comes too late is nobody's", "[node]") {
  std::function<void(const Result<Done>&)> answer;
  {
    ReportQueue queue([&](const wire::Report&, auto then) { answer = std::move(then); });
    queue.push({.operation = "apply"});
  }
  answer(Done{});
}
