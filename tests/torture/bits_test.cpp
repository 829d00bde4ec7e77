// Bits that flip on an origin's disk: in what carries a checksum none goes unnoticed, and none
// anywhere makes an answer a wrong one.
#include <sys/wait.h>

#include <filesystem>
#include <iostream>

#include "tests/torture/healing.hpp"
#include "tests/torture/torture.hpp"

using namespace lamina;
using namespace lamina::tests;

namespace {

// An origin with little in it, so that every byte can have its turn.
struct Small {
  HealedOrigin o;
  Small() {
    WorkedOrigin::Open origin(o);
    REQUIRE(o.try_layer(origin, "1.0", o.tree({1, 2}, 300)));
    const Captured own = o.tree({3}, 400);
    REQUIRE(o.try_send_new(origin, o.ann, own));
    REQUIRE(o.try_commit(origin, o.ann, own, kStart));
  }

  std::vector<std::string> files_below(const std::string& directory) const {
    std::vector<std::string> files;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(o.path + directory))
      if (entry.is_regular_file() && entry.path().filename() != "lock")
        files.push_back(entry.path());
    std::ranges::sort(files);
    return files;
  }
};

void flip(const std::string& path, std::size_t at) {
  const os::Descriptor file(open(path.c_str(), O_RDWR | O_CLOEXEC));
  REQUIRE(file.is_open());
  Buffer byte = os::read_at(file.get(), at, 1, path).value();
  byte[0] ^= static_cast<std::byte>(1 << at % 8);
  REQUIRE(os::write_all_at(file.get(), byte, at, path));
}

// Every byte of the files, or some hundred of them in a sample; each is flipped back.
std::size_t flip_each(const std::vector<std::string>& files, std::size_t sample,
                      const std::function<void(const std::string& path, std::size_t at)>& look) {
  std::size_t all = 0;
  for (const std::string& path : files) all += std::filesystem::file_size(path);
  const std::size_t step = torture_options().seeds > 0 ? 1 : std::max<std::size_t>(1, all / sample);
  std::size_t flips = 0;
  std::size_t next = 0;
  for (const std::string& path : files) {
    const std::size_t size = std::filesystem::file_size(path);
    for (; next < size; next += step, ++flips) {
      flip(path, next);
      look(path, next);
      flip(path, next);
    }
    next -= size;
  }
  return flips;
}

}  // namespace

TEST_CASE("torture: a flipped bit in anything with a checksum is found", "[bits]") {
  const NoWaiting no_waiting;
  Small small;
  HealedOrigin& o = small.o;
  REQUIRE(o.whats_wrong().empty());
  for (const char* kind : {"/layers/packs", "/layers/trees", "/cvd/packs", "/cvd/trees",
                           "/objects/layers", "/objects/distributions", "/objects/torrents",
                           "/torrents", "/objects/snapshots", "/journal"}) {
    std::size_t missed = 0;
    const auto files = small.files_below(kind);
    const std::size_t flips = flip_each(files, 40, [&](const std::string& path, std::size_t at) {
      if (o.run({"check", "--data", o.path.c_str(), "--read-data"}) != 0) return;
      ++missed;
      UNSCOPED_INFO("byte " << at << " of " << path);
    });
    CAPTURE(kind);
    CHECK(flips > 0);
    CHECK(missed == 0);
    std::cout << "bits: " << kind << ": " << flips << " flipped, " << missed << " not found"
              << std::endl;
  }
  CHECK(o.whats_wrong().empty());
}

TEST_CASE("torture: a flipped bit in a pack is healed where there is a copy", "[bits]") {
  const NoWaiting no_waiting;
  Small small;
  HealedOrigin& o = small.o;
  o.copy_packs();
  for (const char* kind : {"/layers/packs", "/layers/trees", "/cvd/packs", "/cvd/trees"}) {
    std::size_t flips = 0;
    std::size_t healed = 0;
    for (const std::string& path : small.files_below(kind)) {
      const Buffer original = os::read_file(path, 1 << 26).value();
      const std::size_t step =
          torture_options().seeds > 0 ? 1 : std::max<std::size_t>(1, original.size() / 6);
      for (std::size_t at = 0; at < original.size(); at += step, ++flips) {
        flip(path, at);
        std::string wrong = o.heal();
        if (wrong.empty()) wrong = o.whats_wrong();
        const auto now = os::read_file(path, 1 << 26);
        if (wrong.empty() && (!now || *now != original)) wrong = "it has other bytes";
        if (!wrong.empty()) FAIL(path << " with byte " << at << " flipped: " << wrong);
        ++healed;
      }
    }
    CHECK(flips > 0);
    std::cout << "bits: " << kind << ": " << flips << " flipped, " << healed << " healed"
              << std::endl;
  }
}

TEST_CASE("torture: a flipped bit in a database makes no answer a wrong one", "[bits]") {
  const NoWaiting no_waiting;
  Small small;
  HealedOrigin& o = small.o;
  std::vector<std::string> files;
  for (const char* database : {"/layers/index", "/cvd/index", "/catalog"})
    files.push_back(o.path + database + "/data.mdb");
  std::size_t found = 0;
  std::size_t harmless = 0;
  std::size_t ended = 0;
  flip_each(files, 120, [&](const std::string& path, std::size_t at) {
    // In a process of its own: LMDB trusts its pages, and may be led out of its map.
    const pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0) {
      signal(SIGSEGV, SIG_DFL);
      signal(SIGABRT, SIG_DFL);
      signal(SIGBUS, SIG_DFL);
      if (o.run({"check", "--data", o.path.c_str(), "--read-data"}) != 0) _exit(1);
      _exit(o.whats_wrong().empty() ? 0 : 2);
    }
    int status = 0;
    REQUIRE(waitpid(child, &status, 0) == child);
    ended += WIFSIGNALED(status) ? 1 : 0;
    found += WIFEXITED(status) && WEXITSTATUS(status) == 1 ? 1 : 0;
    harmless += WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 1 : 0;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 2)
      FAIL_CHECK("byte " << at << " of " << path << ": `check` finds nothing, and it is wrong");
  });
  std::cout << "bits: databases: " << found << " found, " << harmless
            << " in nothing that is used, " << ended << " ended the process" << std::endl;
  CHECK(o.whats_wrong().empty());
}
