// encode_update(): all frames of an update, from two trees; who sends them and who measures them
// call the same.
//
// Memory: the surveys (update.hpp), and of each group that is encoded at a time what frame.hpp
// says. Blocking; the caller's thread waits while others encode.
#pragma once

#include "shared/delta/update.hpp"

namespace lamina::delta {

struct EncodeOptions {
  Effort effort = Effort::standard;
  // m: with 4 MiB a month of updates is 91 MB, with 1 MiB as much, with 16 MiB 2 MB more.
  std::uint64_t group_bytes = 4 << 20;
  unsigned threads = 1;  // That encode; they open files of both trees.
  Programs programs = {};
  SurveyOptions survey = {};  // Of the new tree.
  // Asked now and then: true ends it with `unavailable`.
  std::function<bool()> is_stopping = {};
};

struct EncodedUpdate {
  Survey old, next;
  UpdatePlan plan;
};

// Called on the caller's thread in the order of the groups, so that the same trees give the same
// frames in the same order.
using OnFrame = std::function<Status(const Survey& next, const Group& group, Buffer frame)>;

// Errors of the trees and of `on_frame` are passed on.
Result<EncodedUpdate> encode_update(const Tree& old, const Tree& next, const EncodeOptions& options,
                                    const OnFrame& on_frame);

}  // namespace lamina::delta
