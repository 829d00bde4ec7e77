#include "origin/cli/left_out.hpp"

#include "shared/tree/walker.hpp"

namespace lamina::origin::cli {

image::Take LeftOut::decide(const std::string& path, bool is_directory) {
  const auto decision = rules_.decide(path, is_directory);
  if (decision.take != image::Take::keep && known_.insert(path).second)
    paths_.push_back({.path = path,
                      .rule = std::string(decision.rule),
                      .take = decision.take,
                      .is_runtime = decision.is_runtime});
  return decision.take;
}

Status LeftOut::measure(const os::Root& tree) {
  auto top = tree.facts("");
  if (!top) return fail(std::move(top.error()));
  for (Path& left : paths_) {
    if (left.is_runtime) continue;
    auto facts = tree.facts(left.path);
    if (!facts) return fail(std::move(facts.error()));
    // Gone meanwhile, or another file system, which no capture enters.
    if (!*facts || (*facts)->st_dev != (*top)->st_dev) continue;
    if (!S_ISDIR((*facts)->st_mode)) {
      left.files = 1;
      left.bytes = S_ISREG((*facts)->st_mode) ? static_cast<std::uint64_t>((*facts)->st_size) : 0;
      continue;
    }
    auto directory = os::Root::open(tree.path() + '/' + left.path);
    if (!directory) return fail(std::move(directory.error()));
    // What cannot be looked at there is not missed: it is left out.
    Walker walker(
        *directory, [](const std::string&, bool) { return true; }, [](const Note&) {});
    for (;;) {
      auto found = walker.next();
      if (!found) return fail(std::move(found.error()));
      if (!*found) break;
      if ((*found)->entry.kind == format::EntryKind::directory) continue;
      ++left.files;
      left.bytes += (*found)->entry.size;
    }
  }
  return Done{};
}

std::map<std::string, LeftOut::Sum> LeftOut::sums() const {
  std::map<std::string, Sum> sums;
  for (const Path& left : paths_) {
    Sum& sum = sums[left.rule];
    ++sum.paths;
    sum.files += left.files;
    sum.bytes += left.bytes;
  }
  return sums;
}

}  // namespace lamina::origin::cli
