#include "node/net/control.hpp"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

using namespace lamina;
using namespace lamina::node;
using nlohmann::json;

namespace {

struct Bench {
  std::optional<Error> starting;
  std::vector<std::string> done;
  Result<SyncFigures> figures = SyncFigures{};
  Result<RevertEnd> reverted = RevertEnd{};

  json ask(const std::string& request) {
    const ControlCalls calls{
        .status = [] { return std::string(R"({"ok":true,"state":"running"})"); },
        .metrics = [] { return std::string("lamina_node_up 1\n"); },
        .not_ready = [this] { return starting; },
        .synchronize =
            [this](bool until_protected, const std::function<void(Result<SyncFigures>)>& then) {
              done.push_back(until_protected ? "sync-protected" : "sync");
              then(figures);
            },
        .may_synchronize = [this]() -> Status {
          done.emplace_back("may-synchronize");
          return figures ? Status(Done{}) : fail(figures.error());
        },
        .revert =
            [this](bool dry_run, const std::function<void(Result<RevertEnd>)>& then) {
              done.emplace_back(dry_run ? "foresee-revert" : "revert");
              then(reverted);
            },
        .cache_changed = [this] { done.emplace_back("cache-changed"); },
        .snooze = [this](Duration duration) -> Status {
          done.push_back("snooze " + to_text(duration));
          if (duration > wire::kSnoozeMax) return fail(ErrorKind::invalid, "too long");
          return Done{};
        }};
    std::vector<std::string> answers;
    answer_request(calls, request, [&](std::string line) { answers.push_back(std::move(line)); });
    REQUIRE(answers.size() == 1);
    return json::parse(answers.front());
  }
};

}  // namespace

TEST_CASE("control: status and metrics are told while the node starts, nothing else", "[node]") {
  Bench bench;
  bench.starting.emplace(ErrorKind::unavailable, "the node is starting");
  CHECK(bench.ask(R"({"do":"status"})")["state"] == "running");
  CHECK(bench.ask(R"({"do":"metrics"})")["text"] == "lamina_node_up 1\n");
  for (const char* what : {"sync", "sync-protected", "revert", "cache-changed"}) {
    const json answer = bench.ask(json{{"do", what}}.dump());
    CHECK(answer["ok"] == false);
    CHECK(answer["kind"] == "unavailable");
    CHECK(answer["text"] == "the node is starting");
  }
  CHECK(bench.done.empty());
}

TEST_CASE("control: a snapshot's figures, and whether the origin has it", "[node]") {
  Bench bench;
  bench.figures->files_read = 7;
  json answer = bench.ask(R"({"do":"sync"})");
  CHECK(answer["ok"] == true);
  CHECK(answer["state"] == "protected");
  CHECK(answer["files_read"] == 7);
  CHECK_FALSE(answer.contains("relay"));
  std::array<std::byte, 16> relay{};
  relay[0] = std::byte{1};
  bench.figures->relay = DeviceId(relay);
  answer = bench.ask(R"({"do":"sync-protected"})");
  CHECK(answer["state"] == "at the site");
  CHECK(answer["relay"] == DeviceId(relay).hex());
  CHECK(bench.done == std::vector<std::string>{"sync", "sync-protected"});
}

TEST_CASE("control: what fails is answered with its kind and text", "[node]") {
  Bench bench;
  bench.reverted = fail(ErrorKind::refused, "nothing to go back to\xff");
  const json answer = bench.ask(R"({"do":"revert"})");
  CHECK(answer["ok"] == false);
  CHECK(answer["kind"] == "refused");
  CHECK(answer["text"].get<std::string>().starts_with("nothing to go back to"));
  bench.reverted = RevertEnd{.applied = {LayerId()}};
  const json reverted = bench.ask(R"({"do":"revert"})");
  CHECK(reverted["applied"] == json::array({LayerId().hex()}));
  CHECK(reverted["waits_for_restart"] == false);
  bench.reverted->waits = true;
  CHECK(bench.ask(R"({"do":"revert"})")["waits_for_restart"] == true);
}

TEST_CASE("control: what it does not know is refused, whatever it looks like", "[node]") {
  Bench bench;
  for (const char* request : {"", "sync", "{}", "[]", R"({"do":7})", R"({"do":"fly"})"}) {
    const json answer = bench.ask(request);
    CHECK(answer["ok"] == false);
    CHECK(answer["kind"] == "invalid");
  }
  CHECK(bench.ask(R"({"do":"cache-changed"})")["ok"] == true);
  CHECK(bench.done == std::vector<std::string>{"cache-changed"});
}

TEST_CASE("control: a snooze says for how long", "[node]") {
  Bench bench;
  CHECK(bench.ask(R"({"do":"snooze","for_ms":7200000})")["ok"] == true);
  CHECK(bench.ask(R"({"do":"snooze","for_ms":0})")["ok"] == true);
  CHECK(bench.ask(R"({"do":"snooze","for_ms":18446744073709551615})")["kind"] == "invalid");
  CHECK(bench.done.size() == 3);
  CHECK(bench.done[0] == "snooze " + to_text(std::chrono::hours{2}));
  for (const char* wrong :
       {R"({"do":"snooze"})", R"({"do":"snooze","for_ms":-1})", R"({"do":"snooze","for_ms":"2h"})"})
    CHECK(bench.ask(wrong)["kind"] == "invalid");
  CHECK(bench.done.size() == 3);
  bench.starting.emplace(ErrorKind::unavailable, "the node is starting");
  CHECK(bench.ask(R"({"do":"snooze","for_ms":1})")["kind"] == "unavailable");
}

TEST_CASE("control: a dry run asks for nothing that changes something", "[node]") {
  Bench bench;
  bench.reverted = RevertEnd{.applied = {LayerId()}};
  CHECK(bench.ask(R"({"do":"rehearse-sync"})")["ok"] == true);
  CHECK(bench.ask(R"({"do":"rehearse-revert"})")["applied"].size() == 1);
  CHECK(bench.ask(R"({"do":"rehearse-snooze","for_ms":1000})")["ok"] == true);
  bench.figures = fail(ErrorKind::unavailable, "metered");
  CHECK(bench.ask(R"({"do":"rehearse-sync-protected"})")["text"] == "metered");
  const auto day = std::chrono::duration_cast<std::chrono::milliseconds>(wire::kSnoozeMax).count();
  const json longer{{"do", "rehearse-snooze"}, {"for_ms", day + 1}};
  CHECK(bench.ask(longer.dump())["kind"] == "invalid");
  CHECK(bench.done ==
        std::vector<std::string>{"may-synchronize", "foresee-revert", "may-synchronize"});
}
