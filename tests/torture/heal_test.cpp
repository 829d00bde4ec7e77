// An origin that finds damage and is healed, killed or without power anywhere in it: the next scrub
// and what is brought then make it whole.
#include "tests/torture/healing.hpp"
#include "tests/torture/torture.hpp"

using namespace lamina;
using namespace lamina::tests;

namespace {

struct Story {
  HealedOrigin o;
  disk::History history;

  Story() {
    o.layer("1.0", seeds(1, 6));
    o.layer("1.1", seeds(6, 9));
    o.snapshot(o.ann, seeds(10, 15));
    o.snapshot(o.ann, seeds(15, 20));
    o.copy_packs();
    // The first pack of each space is damaged, the last one gone.
    for (const std::string space : HealedOrigin::kSpaces) {
      const auto ids = o.packs(space);
      REQUIRE(ids.size() > 1);
      Buffer bytes = o.copies[space][ids.front()];
      bytes[bytes.size() / 2] ^= std::byte{1};
      REQUIRE(os::write_file(o.path_of(space, ids.front()), bytes));
      REQUIRE(os::remove_file(o.path_of(space, ids.back())));
    }
    DiskLog log(o.path);
    if (const std::string wrong = o.heal(); !wrong.empty()) FAIL(wrong);
    history = log.take();
    o.check_whole();
  }

  Examine examine() {
    return [this](const std::string& directory, const disk::Image&, const Crash&,
                  bool) -> std::string {
      o.use(directory);
      const std::string wrong = o.heal();
      return wrong.empty() ? o.whats_wrong() : wrong;
    };
  }
};

}  // namespace

TEST_CASE("torture: what the scrub set aside comes back", "[heal]") {
  Story story;
  must_survive("scrub and heal", story.history, story.examine());
}
