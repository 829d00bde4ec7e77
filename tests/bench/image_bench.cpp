// What layering costs: a base and an application merged, the stack before and the new one side by
// side, and the plan, over a tree of so many entries that no list holds.
// usage: image_bench [ENTRIES]      (default: 1000000)
#include <sys/resource.h>

#include <chrono>
#include <cstdio>
#include <string>

#include "shared/image/merge.hpp"
#include "shared/image/plan.hpp"

using namespace lamina;

namespace {

using format::Entry;
using format::EntryKind;

// usr/DDDD/FFF: files of one chunk, a thousandth of which is another one in the next version, in
// directories of a hundred. Of an application: one directory in fifty.
class Tree : public format::EntryStream {
 public:
  Tree(std::size_t entries, int version, bool is_application)
      : entries_(entries), version_(version), step_(is_application ? 5000 : 100) {}

  Result<std::optional<Entry>> next() override {
    if (next_ >= entries_ + 2) return std::optional<Entry>();
    const std::size_t number = next_++;
    if (number < 2)
      return std::optional(
          Entry{.path = number == 0 ? "" : "usr", .kind = EntryKind::directory, .mode = 0755});
    const std::size_t place = number - 2;
    char name[32];
    const bool is_directory = place % 100 == 0;
    if (is_directory)
      std::snprintf(name, sizeof name, "usr/%08zu", place / 100);
    else
      std::snprintf(name, sizeof name, "usr/%08zu/file-%03zu", place / 100, place % 100);
    if (place % 100 == 99 && step_ > 100) next_ += step_ - 100;
    Entry entry{.path = name,
                .kind = EntryKind::directory,
                .mode = 0755,
                .owner = "root",
                .group = "root",
                .mtime_ns = 1'600'000'000'000'000'000};
    if (is_directory) return std::optional(std::move(entry));
    entry.kind = EntryKind::file;
    entry.mode = 0644;
    entry.size = 20'000 + (place % 1000 == 7 ? static_cast<std::size_t>(version_) : 0);
    entry.chunks = {{ChunkId(), static_cast<std::uint32_t>(entry.size)}};
    return std::optional(std::move(entry));
  }

 private:
  std::size_t entries_;
  int version_;
  std::size_t step_;
  std::size_t next_ = 0;
};

class Drifted : public image::Device {
 public:
  Result<image::Likeness> compare(const Entry& entry) override {
    return image::Likeness{image::Likeness::Is::differs, entry.kind == EntryKind::directory};
  }
};

std::unique_ptr<format::EntryStream> stack(std::size_t entries, int version) {
  std::vector<std::unique_ptr<format::EntryStream>> layers;
  layers.push_back(std::make_unique<Tree>(entries, version, false));
  layers.push_back(std::make_unique<Tree>(entries, version, true));
  return std::make_unique<image::MergeStream>(std::move(layers));
}

}  // namespace

int main(int argc, char** argv) {
  const std::size_t entries = argc > 1 ? std::stoul(argv[1]) : 1'000'000;
  const auto begun = std::chrono::steady_clock::now();
  Drifted device;
  const image::Protection protection;
  image::PlanStream plan(stack(entries, 2), stack(entries, 1), device, protection,
                         image::Mode::apply);
  std::size_t actions = 0, changes = 0;
  for (;;) {
    auto action = plan.next();
    if (!action) {
      std::fprintf(stderr, "%s\n", action.error().text().c_str());
      return 1;
    }
    if (!*action) break;
    ++actions;
    changes += (*action)->kind != image::ActionKind::keep;
  }
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count();
  rusage use{};
  getrusage(RUSAGE_SELF, &use);
  std::printf(
      "two stacks of two layers merged, compared and planned: %zu paths, %zu changes: "
      "%.2f s, %.2f s of processor, %ld MB\n",
      actions, changes, seconds,
      static_cast<double>(use.ru_utime.tv_sec + use.ru_stime.tv_sec) +
          static_cast<double>(use.ru_utime.tv_usec + use.ru_stime.tv_usec) / 1e6,
      use.ru_maxrss / 1024);
  return 0;
}
