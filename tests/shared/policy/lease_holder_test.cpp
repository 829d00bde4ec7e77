#include "shared/policy/lease_holder.hpp"

#include <catch2/catch.hpp>

using namespace lamina;
using namespace lamina::policy;
using namespace std::chrono_literals;

namespace {

using Holder = LeaseHolder;
using Said = std::vector<Holder::Action>;

Instant at(std::chrono::seconds t) { return Instant{t}; }
Holder::Led led(std::uint64_t epoch, std::chrono::seconds until) { return {epoch, at(until)}; }

const Said nothing;
const Said lapsed{Holder::Close{Holder::CloseReason::lapsed}};

}  // namespace

TEST_CASE("lease holder: a table of what happens and what is done about it", "[policy]") {
  struct Step {
    std::chrono::seconds when;
    Holder::Event event;
    Said said;
    bool open;
  };
  struct Case {
    const char* name;
    std::vector<Step> steps;
  };
  const auto open = [](std::uint64_t epoch) { return Said{Holder::Open{epoch}}; };
  const auto refresh = [](std::uint64_t epoch) { return Said{Holder::Refresh{epoch}}; };
  const Case test = GENERATE_COPY(values<Case>({
      {"granted, extended, given back",
       {{0s, led(1, 5s), open(1), true},
        {1s, led(1, 6s), refresh(1), true},
        {5s, Holder::Tick{}, nothing, true},
        {5s, Holder::Resigned{}, {Holder::Close{Holder::CloseReason::resigned}}, false}}},
      {"it runs out at its end, not after it",
       {{0s, led(1, 5s), open(1), true},
        {4s, Holder::Tick{}, nothing, true},
        {5s, Holder::Tick{}, lapsed, false},
        {6s, Holder::Tick{}, nothing, false}}},
      {"after a sleep the dead session is closed before the new lease opens one",
       {{0s, led(1, 5s), open(1), true},
        {600s, led(3, 605s), {Holder::Close{Holder::CloseReason::lapsed}, Holder::Open{3}}, true}}},
      {"a resignation after the end is a lapse",
       {{0s, led(1, 5s), open(1), true}, {9s, Holder::Resigned{}, lapsed, false}}},
      {"a lease that has run out opens nothing",
       {{9s, led(1, 5s), nothing, false}, {9s, led(1, 9s), nothing, false}}},
      {"an older epoch is not acted on, open or closed",
       {{0s, led(4, 5s), open(4), true},
        {1s, led(3, 60s), nothing, true},
        {5s, led(3, 60s), lapsed, false},
        {6s, led(4, 11s), open(4), true}}},
      {"a newer epoch goes on with the open session, and its end counts",
       {{0s, led(1, 50s), open(1), true},
        {1s, led(2, 6s), refresh(2), true},
        {6s, Holder::Tick{}, lapsed, false}}},
      {"an overtaken answer does not shorten the lease",
       {{0s, led(1, 5s), open(1), true},
        {2s, led(1, 7s), refresh(1), true},
        {2s, led(1, 6s), refresh(1), true},
        {6s, Holder::Tick{}, nothing, true},
        {7s, Holder::Tick{}, lapsed, false}}},
      {"resigned without a lease",
       {{0s, Holder::Resigned{}, nothing, false}, {0s, Holder::Tick{}, nothing, false}}},
  }));
  CAPTURE(test.name);
  Holder holder;
  for (const Step& step : test.steps) {
    CAPTURE(step.when.count());
    CHECK((holder.on(step.event, at(step.when)) == step.said));
    CHECK(holder.is_open() == step.open);
    CHECK(holder.next_change().has_value() == step.open);
  }
}
