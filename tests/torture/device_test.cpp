// A device that is killed, or loses its power, anywhere while layers are applied to its volume, and
// while it scans it.
#include "node/worker/scanner.hpp"
#include "tests/node/worker/volume_fixture.hpp"
#include "tests/torture/torture.hpp"

using namespace lamina;
using namespace lamina::tests;

namespace {

using Content = std::vector<Entry>;

// What is wrong with a volume that must be one of some; "" when nothing is. The next apply must
// bring it to `wanted`.
std::string whats_wrong(const std::string& volume, const std::vector<Content>& may_be,
                        const Layer& next, const Content& wanted) {
  {
    const auto recovered = Transaction::open(volume);
    if (!recovered) return "it cannot be opened: " + recovered.error().text();
  }
  if (os::exists(volume + "/.lamina/txn")) return "the transaction is still there";
  const Content content = content_of(volume);
  if (std::ranges::find(may_be, content) == may_be.end()) {
    std::string text = "the volume is between two states:";
    for (const Entry& entry : content)
      if (std::ranges::find(may_be.front(), entry) == may_be.front().end())
        text += "\n  new: " + printable(entry.path);
    return text;
  }
  auto transaction = Transaction::open(volume);
  if (!transaction) return transaction.error().text();
  auto done =
      transaction->apply(next.stream(), {9, {}}, next.captured.source(), image::Mode::apply);
  if (!done) return "the next apply fails: " + done.error().text();
  return content_of(volume) == wanted ? "" : "the next apply does something else";
}

// The volume after each part of the story, and where each part ended.
struct Story {
  Fixture f;
  std::vector<Content> states;
  std::vector<std::size_t> ends;
  disk::History history;

  Story() {
    DiskLog log(f.volume());
    const auto ended = [&] {
      states.push_back(content_of(f.volume()));
      ends.push_back(log.count());
    };
    ended();
    check(f.apply(f.one, 1));
    ended();
    check(f.apply(f.two, 2));
    ended();
    check(f.revert());
    ended();
    check(f.apply(f.two, 3));
    ended();
    check(f.apply(f.nothing, 4));
    ended();
    history = log.take();
  }

  Examine examine() {
    return [this](const std::string& directory, const disk::Image& image, const Crash& crash,
                  bool) -> std::string {
      const OldInodes inodes(history, image, directory);
      const auto next = std::ranges::upper_bound(ends, crash.after);
      const auto at = static_cast<std::size_t>(next - ends.begin());
      std::vector<Content> may_be{states[at - 1]};
      if (next != ends.end()) may_be.push_back(states[at]);
      return whats_wrong(directory, may_be, f.one, wanted(f.one));
    };
  }
};

}  // namespace

TEST_CASE("torture: a volume is wholly old or wholly new", "[apply]") {
  Story story;
  must_survive("apply and revert", story.history, story.examine());
}
