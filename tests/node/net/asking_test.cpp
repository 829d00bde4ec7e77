#include "node/net/asking.hpp"

#include <catch2/catch.hpp>

#include "tests/support/ids.hpp"

using namespace lamina;
using namespace lamina::node;
using namespace std::chrono_literals;

namespace {

const LayerId kLayer = tests::id_of<LayerId>(1);
const Asking::Files kFiles = {"a", "b"};

struct Bench {
  Bench() {
    for (int n = 1; n <= 3; ++n) {
      makers.push_back({tests::id_of<DeviceId>(n), "10.0.0.1", 1});
      makers.back().relay_port = 2;
    }
  }
  // What each maker answers, the last answer for ever.
  Result<Asking::Files> answer(const DeviceId& from) {
    asked.push_back(from);
    auto& answers = answers_of.at(from);
    auto next = answers.front();
    if (answers.size() > 1) answers.erase(answers.begin());
    return next;
  }
  Result<Asking::Files> run() {
    std::optional<Result<Asking::Files>> ended;
    const auto asking =
        Asking::make(loop,
                     {.makers = [this](const LayerId&) { return makers; },
                      .fetch = [this](const wire::Peer& from, const LayerId&,
                                      const Asking::Then& then) { then(answer(from.device)); },
                      .ended =
                          [&](const LayerId& layer, Result<Asking::Files> files) {
                            CHECK(layer == kLayer);
                            CHECK_FALSE(ended);
                            ended = std::move(files);
                          }},
                     {.again = 1ms, .unreached = unreached, .patience = patience});
    asking->ask(kLayer);
    asking->ask(kLayer);
    CHECK_FALSE(ended);
    loop.run_until([&] { return ended.has_value(); });
    return std::move(*ended);
  }

  net::Loop loop;
  Duration patience = 1min;
  Duration unreached = 1min;
  std::vector<wire::Peer> makers;
  std::map<DeviceId, std::vector<Result<Asking::Files>>> answers_of;
  std::vector<DeviceId> asked;
};

const Error kNotYet(ErrorKind::not_found, "not yet");
const Error kNever(ErrorKind::refused, "never");
const Error kUnreached(ErrorKind::unavailable, "connection refused");

}  // namespace

TEST_CASE("asking: the makers are asked in turn until one has it", "[node]") {
  Bench bench;
  const auto device = [&](std::size_t n) { return bench.makers[n].device; };
  bench.answers_of[device(0)] = {fail(kNotYet), fail(kNotYet), kFiles};
  bench.answers_of[device(1)] = {fail(kNotYet)};
  bench.answers_of[device(2)] = {fail(kNever)};
  CHECK(bench.run().value() == kFiles);
  CHECK(std::ranges::count(bench.asked, device(2)) == 1);
  CHECK(std::ranges::count(bench.asked, device(0)) == 3);
  CHECK(std::ranges::count(bench.asked, device(1)) >= 1);
}

TEST_CASE("asking: it ends when nobody will have it, is there, or had it in time", "[node]") {
  Bench bench;
  for (const wire::Peer& maker : bench.makers) bench.answers_of[maker.device] = {fail(kNotYet)};
  auto expected = ErrorKind::not_found;
  SECTION("nobody will have it") {
    for (const wire::Peer& maker : bench.makers) bench.answers_of[maker.device] = {fail(kNever)};
  }
  SECTION("nobody is reached") {
    bench.unreached = 20ms;
    for (const wire::Peer& maker : bench.makers)
      bench.answers_of[maker.device] = {fail(kNotYet), fail(kUnreached)};
  }
  SECTION("nobody is there") { bench.makers.clear(); }
  SECTION("nobody has a door") {
    for (wire::Peer& maker : bench.makers) maker.relay_port.reset();
  }
  SECTION("nobody had it in time") {
    bench.patience = 20ms;
    expected = ErrorKind::unavailable;
  }
  const auto ended = bench.run();
  REQUIRE_FALSE(ended);
  CHECK(ended.error().kind() == expected);
}

TEST_CASE("asking: who is reached again is asked on", "[node]") {
  Bench bench;
  bench.unreached = 20ms;
  bench.makers.resize(1);
  auto& answers = bench.answers_of[bench.makers[0].device];
  // Longer than that in all, never in one go: an ask takes 1 ms and more.
  for (int n = 0; n < 40; ++n) answers.push_back(n % 2 == 0 ? fail(kUnreached) : fail(kNotYet));
  answers.push_back(kFiles);
  CHECK(bench.run().value() == kFiles);
  CHECK(bench.asked.size() == 41);
}
