// Predecessors: which old content a new one is coded against.
//
// In this order: the old content of the same path; of a path that differs in version numbers only;
// of a file of that name elsewhere; and, when clearly more of it is alike than of that one, the
// content that shares most fingerprints: 64-byte windows chosen by their own hash, one in 512
// (m: paths suffice for a month of updates; for a new release similarity takes 9 % off).
//
// Pure; an object belongs to one thread at a time.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "shared/base/bytes.hpp"

namespace lamina::delta {

// The content's fingerprints, ascending, each once. One in 512 windows; content that repeats itself
// has fewer.
class Fingerprinter {
 public:
  void update(ByteView bytes);
  // Starts over afterwards.
  std::vector<std::uint64_t> finish();

 private:
  std::uint64_t hash_ = 0;
  std::vector<std::uint64_t> found_;
};

// The path with every version number in it replaced by one sign, and without the ending of a
// compressed file: "lib/libX.so.1.2.3" and "lib/libX.so.1.3" become the same.
std::string without_versions(std::string_view path);

class Predecessors {
 public:
  // Contents are numbered in the order in which they are added.
  void add(std::string_view path, std::uint64_t size, std::vector<std::uint64_t> fingerprints);
  // Call once, after the last add().
  void seal();

  // Nothing when there is no content worth trying. `fingerprints` as Fingerprinter gives them.
  std::optional<std::size_t> find(std::string_view path, std::uint64_t size,
                                  const std::vector<std::uint64_t>& fingerprints) const;

 private:
  struct Content {
    std::string path;
    std::uint64_t size = 0;
  };
  std::optional<std::size_t> by_path(std::string_view path, std::uint64_t size) const;
  std::optional<std::size_t> nearest(const std::vector<std::size_t>& candidates,
                                     std::string_view path, std::uint64_t size) const;

  std::vector<Content> contents_;
  std::map<std::string, std::vector<std::size_t>> by_path_;  // Without versions.
  std::map<std::string, std::vector<std::size_t>> by_name_;
  std::vector<std::pair<std::uint64_t, std::uint32_t>> by_fingerprint_;
};

}  // namespace lamina::delta
