// RecordPlans: what an apply makes of the files that are merged by record.
//
// A plan of files would replace or remove them as wholes; here such an action becomes one for the
// device's file with the stacks' differences carried out in it, record by record. One thread.
#pragma once

#include "node/worker/stack_file.hpp"
#include "node/worker/volume.hpp"

namespace lamina::node {

class RecordPlans {
 public:
  // What files become is made with `made`. What is referred to outlives the object.
  RecordPlans(const os::Root& volume, image::Mode mode, format::MadeContent& made)
      : volume_(volume), mode_(mode), made_(made) {}

  // What the files hold in the stack applied before and in the target, as far as their streams have
  // come: always so far as the plan's last action.
  RecordFiles previous;
  RecordFiles target;

  // Replaces the action on a file that is merged by record; others stay as they are, and so does
  // one on a file that is not on the device, or that the stack before had with a content that is
  // not known.
  Status adjust(image::Action& action);

  // Records that are created, replaced or removed.
  std::uint64_t changed() const { return changed_; }

 private:
  const os::Root& volume_;
  image::Mode mode_;
  format::MadeContent& made_;
  std::uint64_t changed_ = 0;
};

}  // namespace lamina::node
