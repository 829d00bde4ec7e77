// A volume, and two versions of a layer for it.
#pragma once

#include "node/worker/transaction.hpp"
#include "shared/image/list_stream.hpp"
#include "tests/shared/tree/trees.hpp"
#include "tests/support/killed_at.hpp"

namespace lamina::tests {

using format::Entry;
using node::Transaction;

// A layer: the capture of a directory that a test filled, or nothing.
struct Layer {
  Captured captured;
  bool is_nothing = false;
  std::unique_ptr<format::EntryStream> stream() const {
    return std::make_unique<image::ListStream>(is_nothing ? std::vector<Entry>()
                                                          : captured.entries());
  }
};

// What stands on a volume, Lamina's own files and the root's time left out.
inline std::vector<Entry> content_of(const std::string& volume) {
  auto entries =
      capture(volume, {.include = [](const std::string& p, bool) { return p != ".lamina"; }})
          .entries();
  entries.front().mtime_ns = 0;
  return entries;
}

inline std::vector<Entry> wanted(const Layer& layer) {
  auto entries = layer.captured.entries();
  entries.front().mtime_ns = 0;
  return entries;
}

struct Fixture {
  Fixture() {
    make_nasty_tree(scratch / "one");
    one.captured = capture(scratch / "one");
    // The next version: changed, removed and new files, type changes, metadata only, links.
    make_nasty_tree(scratch / "two");
    const std::string two_path = scratch / "two";
    make_file(two_path + "/a/b/script", to_buffer("#!/bin/sh\nexit 1\n"), 0755);
    make_file(two_path + "/a/file", noise(200'000, 9));  // With its other name, z-hard.
    make_file(two_path + "/new", text(1000, 77));
    REQUIRE(os::make_directories(two_path + "/fresh/dir"));
    make_file(two_path + "/fresh/dir/file", noise(70'000, 8));
    REQUIRE(os::remove_tree(two_path + "/a.b"));
    REQUIRE(os::remove_file(two_path + "/pipe"));
    REQUIRE(os::make_directories(two_path + "/pipe"));
    make_file(two_path + "/pipe/now-a-directory", to_buffer("x"));
    REQUIRE(os::remove_tree(two_path + "/empty"));
    make_file(two_path + "/empty", to_buffer("now a file"));
    REQUIRE(chmod((two_path + "/a-").c_str(), 0600) == 0);
    REQUIRE(link((two_path + "/new").c_str(), (two_path + "/new-link").c_str()) == 0);
    two.captured = capture(two_path);
    REQUIRE(os::make_directories(scratch / "volume"));
  }

  std::string volume() const { return scratch / "volume"; }
  Result<node::ApplyCounts> apply(
      const Layer& layer, std::uint64_t sequence,
      Transaction::OnStep on_step = [](std::string_view) {}) {
    auto transaction = Transaction::open(volume(), std::move(on_step));
    if (!transaction) return fail(std::move(transaction.error()));
    return transaction->apply(layer.stream(), {sequence, {}}, layer.captured.source(),
                              image::Mode::apply);
  }
  // Stages it for the next start.
  Result<node::ApplyCounts> stage(
      const Layer& layer, std::uint64_t sequence,
      Transaction::OnStep on_step = [](std::string_view) {}) {
    auto transaction = Transaction::open(volume(), std::move(on_step));
    if (!transaction) return fail(std::move(transaction.error()));
    return transaction->apply(layer.stream(), {sequence, {}}, layer.captured.source(),
                              image::Mode::apply, at_next_start);
  }
  // What that start does.
  Status carry_out(Transaction::OnStep on_step = [](std::string_view) {}) {
    auto transaction = Transaction::open(volume(), std::move(on_step));
    if (!transaction) return fail(std::move(transaction.error()));
    return transaction->carry_out();
  }
  static Result<Transaction::Prepared> at_next_start(const node::ApplyCounts&) {
    return Transaction::Prepared{.when = node::When::at_next_start};
  }
  Status revert(Transaction::OnStep on_step = [](std::string_view) {}) {
    auto transaction = Transaction::open(volume(), std::move(on_step));
    if (!transaction) return fail(std::move(transaction.error()));
    return transaction->revert();
  }

  Scratch scratch;
  Layer one;
  Layer two;
  Layer nothing{.captured = {}, .is_nothing = true};
};

inline void check(const Result<node::ApplyCounts>& done) {
  if (!done) FAIL(done.error().text());
}
inline void check(const Status& done) {
  if (!done) FAIL(done.error().text());
}

}  // namespace lamina::tests
