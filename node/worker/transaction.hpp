// Transaction: a volume goes from one stack of layers to another, wholly or not at all.
//
//   plan     the three-way plan, written down; free space is checked against it
//   stage    every new file complete, with its final metadata, in .lamina/txn/stage; syncfs
//   swap     from here on only forward: each path is exchanged by rename, a new directory with all
//            that lies in it, and the old one goes to .lamina/txn/undo; then the directories'
//            metadata; syncfs
//   verify   every path holds what was staged for it, which was checked as it was written; after a
//            kill its content is read back. If anything since "swap" failed, all of it is undone
//   commit   the new stack and sequence count; the transaction becomes .lamina/undo
//
// Where programs run from the volume a change may wait between "stage" and "swap" for the next
// start of the machine: the phase "waits", or "revert waits" of a revert. carry_out() goes on from
// there, before anything runs from the volume; nobody else does.
//
// The power may fail anywhere: recover() finds the volume before "swap" and throws the transaction
// away, or behind it and goes forward, or, when that fails, back; each operation finds out by inode
// numbers whether it was done. Everything of ours is in <volume>/.lamina, which belongs to root and
// is mode 0700. No path is followed out of the volume. Layout of .lamina:
//
//   applied   sequence and stack that count      stack   the merged entries of that stack, and what
//   txn/      the transaction under way                  its files that are merged by record hold
//   undo/     the last one: revert() undoes it   due     commands that make derived files again
//   trash/    what is being removed              after   what follows it: scripts, a restart
//   stopped   services to start again            script  the one that runs
//   trial     a start from a new stack that is under way (node/worker/trial.hpp)
//
// A file that is merged by record becomes what shared/image/records plans: the device's own records
// stay, whichever layers come and go.
//
// One process and thread at a time (a lock file says whose).
#pragma once

#include <functional>
#include <set>

#include "node/worker/aftermath.hpp"
#include "node/worker/trial.hpp"
#include "shared/format/content.hpp"
#include "shared/image/plan.hpp"
#include "shared/os/beneath.hpp"
#include "shared/os/lock.hpp"

namespace lamina::node {

struct Operation;

struct AppliedState {
  std::uint64_t sequence = 0;  // Of the device target.
  std::vector<LayerId> stack;
  std::uint64_t enforced = 0;                // The highest number of an enforcement.
  std::map<LayerId, LayerNeeds> needs = {};  // Of those layers of the stack that have some.
  bool operator==(const AppliedState&) const = default;
};

// What the layers need that are in one of two stacks only.
std::vector<LayerNeeds> needs_between(const AppliedState& one, const AppliedState& other);

struct ApplyCounts {
  std::uint64_t created = 0;
  std::uint64_t replaced = 0;
  std::uint64_t metadata = 0;
  std::uint64_t removed = 0;
  std::uint64_t kept = 0;
  std::uint64_t records = 0;  // Created, replaced or removed in files that are merged by record.
  std::uint64_t bytes = 0;    // Of files to be written.
  bool operator==(const ApplyCounts&) const = default;
};

// When an apply or a revert changes the volume.
enum class When { now, at_next_start };

class Transaction {
 public:
  // Called at every named step; tests end the process there.
  using OnStep = std::function<void(std::string_view step)>;
  struct Prepared {
    Aftermath after = {};  // What follows once the change counts.
    When when = When::now;
  };
  // Called when everything is ready and before the first path changes. An error ends it, and
  // nothing was changed.
  using Prepare = std::function<Result<Prepared>(const ApplyCounts& counts)>;
  static Result<Prepared> at_once(const ApplyCounts&) { return Prepared{}; }

  // Opens the volume, makes .lamina if it is missing, and finishes or throws away what an earlier
  // process left. `refused` when .lamina is not ours; `unavailable` when another process has it.
  static Result<Transaction> open(
      const std::string& volume, OnStep on_step = [](std::string_view) {});

  const AppliedState& applied() const { return applied_; }
  // The merged entries of the applied stack; empty when nothing was applied.
  Result<std::unique_ptr<format::EntryStream>> applied_entries() const;
  const os::Root& volume() const { return volume_; }

  // What is the device's own in all that is planned from now on; at first the factory rules alone.
  void protect(image::Protection protection) { protection_ = std::move(protection); }
  const image::Protection& protection() const { return protection_; }

  // Makes the volume what `target` (merged, no whiteouts) says, and commits `next`. `source` gives
  // the chunks of what is new or changed, and of all files that are merged by record. On an error
  // the volume is as it was, except where the text says that it is between two states. What waited
  // for the next start is given up.
  Result<ApplyCounts> apply(std::unique_ptr<format::EntryStream> target, const AppliedState& next,
                            const format::ChunkSource& source, image::Mode mode,
                            const Prepare& prepare = at_once);
  // The counts that apply() would have; changes nothing.
  Result<ApplyCounts> dry_run(std::unique_ptr<format::EntryStream> target,
                              const format::ChunkSource& source, image::Mode mode);
  // Undoes the last apply: the stack of before counts again, the sequence stays. `not_found` when
  // there is nothing to undo. An apply that waits for the next start is given up instead, and its
  // sequence counts as one that was reverted.
  Status revert(const Prepare& prepare = at_once);
  // The state that revert() would bring back; nothing when there is nothing to undo.
  Result<std::optional<AppliedState>> undoable() const;
  // What waits for the next start of the machine.
  struct Waiting {
    bool is_revert = false;
    AppliedState next;  // What then counts.
    Aftermath after;    // What then follows, of an apply.
  };
  Result<std::optional<Waiting>> waiting() const;
  // Carries it out, where nothing runs from the volume; of no effect when nothing waits. Errors as
  // of apply(); what waited is over then.
  Status carry_out();

  // Removes what the last apply left behind: the undo area of the one before. Of no effect on what
  // counts, and done by the next apply or open() if nobody calls it; with many files it takes long.
  Status tidy();

  // The commands that make the derived files again which an apply or a revert left behind, in the
  // order in which they have to run; they stay due, over kills too, until regenerated().
  Result<std::vector<std::vector<std::string>>> due_commands() const;
  // What they wrote is on the disk before they are not due any more.
  Status regenerated();
  // Everything written to the volume is on its disk.
  Status sync_volume() const;

  // What follows the last apply or revert, as far as it is known.
  Result<Aftermath> aftermath() const;
  Status keep_aftermath(const Aftermath& aftermath);

  // The starts of the machine from a volume that was changed while it did not run; nothing: none is
  // under way, and the origin knows how the last one ended.
  Result<std::optional<Trial>> trial() const;
  Status keep_trial(const Trial& trial);
  Status forget_trial();

  // Services that were stopped for a change, and have to be started; kept over kills.
  Result<std::vector<std::string>> stopped_services() const;
  Status note_stopped(const std::vector<std::string>& services);  // None: they were started.

 private:
  class Plan;

  Transaction(os::Root volume, os::FileLock lock, OnStep on_step);

  std::string own(const std::string& name) const;
  Status recover();
  enum class Trust { what_was_staged, nothing };
  Status finish(Trust trust);
  Result<std::string> phase() const;  // Empty: none, or no transaction is under way.
  Status give_up_waiting();
  Status merge_again();
  Status stage_again(Operation& operation, const image::Action& action,
                     const format::MadeContent& made);
  Status switch_over();
  Status discard();
  Status throw_away(const std::string& name);
  Result<ApplyCounts> plan(std::unique_ptr<format::EntryStream> target,
                           const format::ChunkSource& source, image::Mode mode,
                           format::MadeContent& made, bool write_down);
  Status note_due(const std::string& journal);
  Status check_space(const ApplyCounts& counts) const;
  Status stage(const format::ChunkSource& source);
  Status set_phase(std::string_view phase);
  Status roll_forward();
  Result<bool> swap(const Operation& operation);
  Result<bool> place_directory(const Operation& operation);
  Status swap_one(const Operation& operation);
  Status place(const Operation& operation);
  Status verify(Trust trust);
  Status commit();
  Status roll_back();
  Status restore_applied();
  Result<AppliedState> read_applied(const std::string& name) const;
  Result<Aftermath> read_aftermath(const std::string& name) const;
  Status begin_aftermath();
  static void take_untold(Aftermath& after, const Aftermath& last);
  Status undo(const Operation& operation);
  Status set_directory_metadata(bool forward, const std::set<std::uint64_t>& placed);
  Status load_applied();
  void step(std::string_view name) const { on_step_(name); }

  os::Root volume_;
  os::FileLock lock_;
  OnStep on_step_;
  AppliedState applied_;
  image::Protection protection_;
};

}  // namespace lamina::node
