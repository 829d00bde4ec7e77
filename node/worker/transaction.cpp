#include "node/worker/transaction.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <map>
#include <set>
#include <tuple>

#include "node/worker/journal.hpp"
#include "node/worker/others.hpp"
#include "node/worker/record_plans.hpp"
#include "node/worker/stack_file.hpp"
#include "node/worker/staging.hpp"
#include "node/worker/volume.hpp"
#include "shared/base/log.hpp"
#include "shared/format/path.hpp"
#include "shared/format/record.hpp"
#include "shared/image/records/record_format.hpp"
#include "shared/os/errno.hpp"
#include "shared/os/user.hpp"
#include "shared/store/row_file.hpp"
#include "shared/tree/materialize.hpp"
#include "shared/tree/walker.hpp"

namespace lamina::node {
namespace {

using format::Entry;
using format::EntryKind;
using Rename = os::Root::Rename;

constexpr std::string_view kAppliedMagic = "LMap0002";
constexpr std::string_view kEarlierAppliedMagic = "LMap0001";  // Ends with the stack.
constexpr std::string_view kStoppedMagic = "LMst0001";
constexpr std::string_view kDueMagic = "LMdu0001";
constexpr std::size_t kWordMax = 4096;  // Of a command.
constexpr std::size_t kAppliedMax = 1 << 20;
constexpr std::size_t kTrialMax = 8192;
constexpr const char* kJournal = "txn/operations";
// What stands in txn/phase; no such file: nothing has changed yet.
constexpr std::string_view kSwap = "swap";
constexpr std::string_view kRevert = "revert";
constexpr std::string_view kWaits = "waits";
constexpr std::string_view kRevertWaits = "revert waits";

constexpr std::pair<image::Mode, std::string_view> kModes[] = {
    {image::Mode::apply, "apply"},
    {image::Mode::enforce, "enforce"},
    {image::Mode::remove_others, "remove others"}};

std::string_view name_of(image::Mode mode) {
  return std::ranges::find(kModes, mode, &std::pair<image::Mode, std::string_view>::first)->second;
}

image::Mode mode_named(std::string_view name) {
  const auto found =
      std::ranges::find(kModes, name, &std::pair<image::Mode, std::string_view>::second);
  return found == std::end(kModes) ? image::Mode::apply : found->first;
}

bool is_directory(const std::optional<struct stat>& facts) {
  return facts && S_ISDIR(facts->st_mode);
}

// What stands at `path`; nothing, too, beneath a symlink or a mount, where no part of this volume
// can stand.
Result<std::optional<struct stat>> reachable_facts(const os::Root& volume,
                                                   const std::string& path) {
  auto facts = volume.facts(path);
  if (!facts && facts.error().kind() == ErrorKind::refused) return std::optional<struct stat>();
  return facts;
}

Buffer encode_applied(const AppliedState& state) {
  Writer out;
  out.raw(as_view(kAppliedMagic));
  out.u64(state.sequence);
  out.varint(state.stack.size());
  for (const LayerId& id : state.stack) out.raw(id.bytes());
  out.varint(state.enforced);
  out.varint(state.needs.size());
  for (const auto& [id, needs] : state.needs) {
    out.raw(id.bytes());
    encode_needs(needs, out);
  }
  return out.take();
}

Result<AppliedState> parse_applied(ByteView bytes) {
  Reader in(bytes);
  const std::string_view magic = as_text(in.raw(kAppliedMagic.size()));
  const bool is_earlier = magic == kEarlierAppliedMagic;
  AppliedState state;
  state.sequence = in.u64();
  const std::uint64_t count = in.count(LayerId::kSize);
  for (std::uint64_t i = 0; i < count && !in.failed(); ++i) state.stack.push_back(in.id<LayerId>());
  if (!is_earlier) {
    state.enforced = in.varint();
    const std::uint64_t needs = in.count(LayerId::kSize + 3);
    for (std::uint64_t i = 0; i < needs && !in.failed(); ++i) {
      const auto id = in.id<LayerId>();
      state.needs.emplace(id, decode_needs(in));
    }
  }
  if ((!is_earlier && magic != kAppliedMagic) || !in.finished())
    return fail(ErrorKind::corrupt, "the record of what is applied (.lamina/applied) is damaged");
  return state;
}

Status set_mtime(const os::Root& volume, const std::string& path, std::int64_t mtime_ns) {
  auto directory = volume.open_at(path, O_RDONLY | O_DIRECTORY);
  // Gone meanwhile: then it has no time to keep.
  if (!directory) return Done{};
  std::int64_t seconds = mtime_ns / 1000000000;
  std::int64_t rest = mtime_ns % 1000000000;
  if (rest < 0) --seconds, rest += 1000000000;
  const timespec times[2] = {{.tv_sec = 0, .tv_nsec = UTIME_OMIT},
                             {.tv_sec = seconds, .tv_nsec = rest}};
  if (futimens(directory->get(), times) != 0)
    return fail(os::last_error("setting the time of '" + printable(path, 200) + "'"));
  return Done{};
}

Status set_metadata_at(const os::Root& volume, const Entry& entry) {
  const std::string& path = entry.path;
  auto parent =
      path.empty() ? volume.open_at("", O_RDONLY | O_DIRECTORY) : volume.open_parent(path);
  if (!parent) return fail(std::move(parent.error()));
  return set_metadata(parent->get(), path.empty() ? "." : os::last_component(path), entry,
                      {.set_owner = os::is_root(), .set_attributes = true});
}

// A directory that was there before its operation came to it is another one.
bool is_as_staged(const struct stat& there, const Operation& operation) {
  const Entry& entry = operation.entry;
  if (entry.kind == EntryKind::directory)
    return S_ISDIR(there.st_mode) && (there.st_mode & 07777) == entry.mode;
  const FileFacts facts = facts_of(there);
  return facts.inode == operation.inode &&
         (entry.kind != EntryKind::file ||
          (facts.size == entry.size && facts.mtime_ns == entry.mtime_ns));
}

}  // namespace

// Turns the plan's actions into operations and counts them.
class Transaction::Plan {
 public:
  Plan(const os::Root& volume, OperationWriter* rows) : volume_(volume), rows_(rows) {}

  Status add(const image::Action& action) {
    using image::ActionKind;
    remember_directory(action);
    // The volume's root is not ours to remove, even when no layer is left.
    const bool root_leaves = action.kind == ActionKind::remove && action.entry.path.empty();
    if (action.kind == ActionKind::keep || root_leaves) {
      ++counts.kept;
      return Done{};
    }
    using Kind = Operation::Kind;
    Operation operation{.entry = action.entry, .before = std::nullopt};
    const bool directory = action.entry.kind == EntryKind::directory;
    switch (action.kind) {
      case ActionKind::create:
      case ActionKind::replace:
        ++(action.kind == ActionKind::create ? counts.created : counts.replaced);
        operation.kind = directory ? Kind::make_directory : Kind::put;
        counts.bytes += action.entry.stored_bytes();
        break;
      case ActionKind::metadata:
        ++counts.metadata;
        operation.kind = Kind::metadata;
        break;
      case ActionKind::remove: {
        auto there = reachable_facts(volume_, action.entry.path);
        if (!there) return fail(std::move(there.error()));
        // The user removed it before, or put something of another kind in its place.
        if (!*there || is_directory(*there) != directory) return Done{};
        ++counts.removed;
        operation.kind = directory ? Kind::remove_directory : Kind::remove;
        break;
      }
      case ActionKind::keep: break;
    }
    if (operation.kind == Kind::metadata || operation.kind == Kind::remove_directory) {
      auto before = describe(volume_, action.entry.path);
      if (!before) return fail(std::move(before.error()));
      operation.before = std::move(*before);
      if (!operation.before) return Done{};  // Gone since it was looked at.
    }
    if (directory) own_.insert(action.entry.path);
    if (operation.kind != Kind::metadata && !action.entry.path.empty())
      if (auto done = touch(action.entry.path); !done) return done;
    return write(std::move(operation));
  }

  // The directories whose content changes, and that no operation of their own sets the time of.
  Status finish() {
    for (auto& [path, before] : touched_) {
      if (own_.contains(path)) continue;
      Operation operation{
          .kind = Operation::Kind::keep_time, .entry = before, .before = std::move(before)};
      if (auto done = write(std::move(operation)); !done) return done;
    }
    return Done{};
  }

  ApplyCounts counts;

 private:
  // The target's directories on the way to the action's path: keep them, outermost first.
  void remember_directory(const image::Action& action) {
    while (!ancestors_.empty() && !format::is_within(action.entry.path, ancestors_.back().path))
      ancestors_.pop_back();
    if (action.entry.kind == EntryKind::directory && action.kind != image::ActionKind::remove)
      ancestors_.push_back(action.entry);
  }

  // The directory above `path` must be one when the swap comes to it: found there, or made by it.
  Status touch(const std::string& path) {
    const std::string directory(format::parent_of(path));
    if (touched_.contains(directory) || made_.contains(directory)) return Done{};
    auto before = describe(volume_, directory);
    if (!before) return fail(std::move(before.error()));
    if (!*before) return make_again(directory, path);
    if ((*before)->kind != EntryKind::directory) return no_directory(directory, path);
    touched_.emplace(directory, std::move(**before));
    return Done{};
  }

  // A directory that the layers did not change and the user removed comes back with what they put
  // in it.
  Status make_again(const std::string& directory, const std::string& path) {
    const auto entry = std::ranges::find(ancestors_, directory, &Entry::path);
    if (entry == ancestors_.end()) return no_directory(directory, path);
    if (!directory.empty())
      if (auto done = touch(directory); !done) return done;
    own_.insert(directory);
    ++counts.created;
    return write({.kind = Operation::Kind::make_directory, .entry = *entry, .before = {}});
  }

  static Status no_directory(const std::string& directory, const std::string& path) {
    return fail(ErrorKind::refused,
                "'" + printable(path, 200) + "' cannot be changed: '" + printable(directory, 200) +
                    "' is no directory on this device. Make it one again, or take it out of the "
                    "layers");
  }

  Status write(Operation operation) {
    operation.number = next_number_++;
    operation.top = operation.number;
    operation.top_length = operation.entry.path.size();
    if (operation.is_staged()) {
      const auto within = made_.find(std::string(format::parent_of(operation.entry.path)));
      if (within != made_.end()) std::tie(operation.top, operation.top_length) = within->second;
      if (operation.kind == Operation::Kind::make_directory)
        made_.emplace(operation.entry.path, std::pair(operation.top, operation.top_length));
    }
    return rows_ == nullptr ? Status(Done{}) : rows_->add(operation);
  }

  const os::Root& volume_;
  OperationWriter* rows_;
  std::set<std::string> own_;  // Directories with an operation of their own.
  // Of them, those that the swap makes, with Operation::top and top_length.
  std::map<std::string, std::pair<std::uint64_t, std::size_t>> made_;
  std::map<std::string, Entry> touched_;
  std::vector<Entry> ancestors_;  // The target's directories on the way to the last action.
  std::uint64_t next_number_ = 0;
};

std::vector<LayerNeeds> needs_between(const AppliedState& one, const AppliedState& other) {
  std::vector<LayerNeeds> between;
  const auto add = [&](const AppliedState& from, const AppliedState& beside) {
    for (const auto& [id, needs] : from.needs)
      if (std::ranges::find(beside.stack, id) == beside.stack.end()) between.push_back(needs);
  };
  add(one, other);
  add(other, one);
  return between;
}

Transaction::Transaction(os::Root volume, os::FileLock lock, OnStep on_step)
    : volume_(std::move(volume)), lock_(std::move(lock)), on_step_(std::move(on_step)) {}

std::string Transaction::own(const std::string& name) const {
  return volume_.path() + '/' + std::string(kHome) + '/' + name;
}

Result<Transaction> Transaction::open(const std::string& path, OnStep on_step) {
  auto volume = os::Root::open(path);
  if (!volume) return fail(std::move(volume.error()));
  const std::string home(kHome);
  auto facts = volume->facts(home);
  if (!facts) return fail(std::move(facts.error()));
  if (!*facts) {
    if (auto done = volume->make_directory(home); !done) return fail(std::move(done.error()));
  } else if (!S_ISDIR((*facts)->st_mode) || (*facts)->st_uid != geteuid() ||
             ((*facts)->st_mode & 077) != 0) {
    return fail(ErrorKind::refused,
                printable(path) +
                    "/.lamina is not a private directory of this user: look at who "
                    "made it, and remove it if it is not needed");
  }
  auto lock = os::FileLock::take(path + '/' + home + "/lock");
  if (!lock) return fail(std::move(lock.error()));
  Transaction transaction(std::move(*volume), std::move(*lock), std::move(on_step));
  if (auto done = transaction.load_applied(); !done) return fail(std::move(done.error()));
  if (auto done = transaction.recover(); !done)
    return fail(std::move(done.error()).in("finishing what was interrupted"));
  return transaction;
}

Status Transaction::load_applied() {
  applied_ = {};
  if (!os::exists(own("applied"))) return Done{};
  auto state = read_applied("applied");
  if (!state) return fail(std::move(state.error()));
  applied_ = std::move(*state);
  return Done{};
}

Result<AppliedState> Transaction::read_applied(const std::string& name) const {
  auto bytes = os::read_file(own(name), kAppliedMax);
  if (!bytes) return fail(std::move(bytes.error()));
  return parse_applied(*bytes);
}

Result<std::unique_ptr<format::EntryStream>> Transaction::applied_entries() const {
  auto reader = StackReader::open(own("stack"), nullptr);
  if (!reader) return fail(std::move(reader.error()));
  return std::move(*reader);
}

Status Transaction::recover() {
  if (auto done = tidy(); !done) return done;
  if (!os::exists(own("txn"))) return Done{};
  auto at = phase();
  if (!at) return fail(std::move(at.error()));
  if (at->empty()) return discard();
  if (*at == kWaits || *at == kRevertWaits) return Done{};
  if (*at == kRevert) return roll_back();
  // What counts already is not done again: the user may have worked with it since.
  if (!os::exists(own("txn/applied"))) return commit();
  auto done = finish(Trust::nothing);
  if (done || os::exists(own("txn"))) return done;
  log::warning("interrupted_apply_undone", {{"error", done.error().text()}});
  return Done{};
}

// From the phase "swap" forward to the commit, or, if something is in the way, back to where it
// began.
Status Transaction::finish(Trust trust) {
  auto done = roll_forward();
  if (done) done = verify(trust);
  if (done) {
    step("verified");
    return commit();
  }
  auto back = set_phase(kRevert);
  if (back) back = roll_back();
  if (!back)
    return fail(std::move(done.error())
                    .in("the volume is between two states until the cause of this is gone and the "
                        "worker is started again (" +
                        back.error().text() + ")"));
  return fail(std::move(done.error()).in("the apply was undone"));
}

Status Transaction::discard() {
  if (auto done = throw_away("txn"); !done) return done;
  return tidy();
}

// Takes a directory out of sight at once: removed file by file under its own name, half of it would
// be taken for the whole after a kill.
Status Transaction::throw_away(const std::string& name) {
  if (auto done = tidy(); !done) return done;
  if (!os::exists(own(name))) return Done{};
  if (auto done = os::rename_file(own(name), own("trash")); !done) return done;
  if (auto done = os::sync_directory(own("")); !done) return done;
  step("thrown away");
  return Done{};
}

Result<std::string> Transaction::phase() const {
  if (!os::exists(own("txn/phase"))) return std::string();
  return os::read_text(own("txn/phase"));
}

Status Transaction::set_phase(std::string_view phase) {
  return os::write_file(own("txn/phase"), as_view(phase), 0600);
}

Result<ApplyCounts> Transaction::plan(std::unique_ptr<format::EntryStream> target,
                                      const format::ChunkSource& source, image::Mode mode,
                                      format::MadeContent& made, bool write_down) {
  RecordPlans records(volume_, mode, made);
  auto previous = StackReader::open(own("stack"), &records.previous);
  if (!previous) return fail(std::move(previous.error()));
  std::optional<OperationWriter> operations;
  std::optional<RowFileWriter> stack;
  if (write_down) {
    auto planned = OperationWriter::create(own("txn/plan"));
    if (!planned) return fail(std::move(planned.error()));
    operations.emplace(std::move(*planned));
    auto recorded = StackRecorder::create_rows(own("txn/stack"));
    if (!recorded) return fail(std::move(recorded.error()));
    stack.emplace(std::move(*recorded));
  }
  VolumeDevice device(volume_);
  std::unique_ptr<format::EntryStream> before = std::move(*previous);
  if (mode == image::Mode::remove_others)
    before = with_others(std::move(before), volume_, protection_);
  image::PlanStream actions(
      std::make_unique<StackRecorder>(std::move(target), stack ? &*stack : nullptr, source,
                                      records.target),
      std::move(before), device, protection_, mode);
  Plan plan(volume_, operations ? &*operations : nullptr);
  for (;;) {
    auto action = actions.next();
    if (!action) return fail(std::move(action.error()));
    if (!*action) break;
    if (auto done = records.adjust(**action); !done) return fail(std::move(done.error()));
    if (auto done = plan.add(**action); !done) return fail(std::move(done.error()));
  }
  if (auto done = plan.finish(); !done) return fail(std::move(done.error()));
  if (write_down) {
    if (auto done = operations->finish(); !done) return fail(std::move(done.error()));
    if (auto done = stack->finish(); !done) return fail(std::move(done.error()));
  }
  plan.counts.records = records.changed();
  return plan.counts;
}

Result<ApplyCounts> Transaction::dry_run(std::unique_ptr<format::EntryStream> target,
                                         const format::ChunkSource& source, image::Mode mode) {
  if (auto done = recover(); !done) return fail(std::move(done.error()));
  format::MadeContent made;
  return plan(std::move(target), source, mode, made, false);
}

Status Transaction::check_space(const ApplyCounts& counts) const {
  auto space = os::space_of(volume_.path());
  if (!space) return fail(std::move(space.error()));
  const Bytes needed = image::space_for_apply(counts.created + counts.replaced,
                                              Bytes{static_cast<std::int64_t>(counts.bytes)});
  if (space->free >= needed) return Done{};
  return fail(ErrorKind::out_of_space, "the volume " + printable(volume_.path()) +
                                           " has too little space: the apply needs " +
                                           to_text(needed) + ", " + to_text(space->free) +
                                           " are free; make room");
}

Result<ApplyCounts> Transaction::apply(std::unique_ptr<format::EntryStream> target,
                                       const AppliedState& next, const format::ChunkSource& source,
                                       image::Mode mode, const Prepare& prepare) {
  if (auto done = recover(); !done) return fail(std::move(done.error()));
  if (auto done = give_up_waiting(); !done) return fail(std::move(done.error()));
  for (const char* name : {"txn", "txn/stage", "txn/undo"})
    if (auto done = os::make_directories(own(name), 0700); !done)
      return fail(std::move(done.error()));
  format::MadeContent made;
  auto counts = plan(std::move(target), source, mode, made, true);
  Status done = counts ? Status(Done{}) : Status(fail(std::move(counts.error())));
  step("planned");
  if (done) done = check_space(*counts);
  if (done) done = os::write_file(own("txn/applied"), encode_applied(next), 0600);
  if (done) done = stage(made.source(source));
  When when = When::now;
  if (done) {
    auto prepared = prepare(*counts);
    done = prepared ? Status(Done{}) : Status(fail(std::move(prepared.error())));
    // What followed the last one ends with this one, also when nothing follows.
    if (done && (!prepared->after.is_nothing() || os::exists(own("after"))))
      done = os::write_file(own("txn/after"), encode(prepared->after), 0600);
    if (done) when = prepared->when;
  }
  if (done) {
    step("staged");
    if (when == When::at_next_start) {
      done = os::write_file(own("txn/mode"), as_view(name_of(mode)), 0600);
      if (done) done = set_phase(kWaits);
    }
    if (done) step("waits");
  }
  if (!done) {
    if (auto clean = discard(); !clean)
      return fail(std::move(done.error()).in(clean.error().text()));
    return fail(std::move(done.error()));
  }
  if (when == When::at_next_start) return *counts;
  if (auto switched = switch_over(); !switched) return fail(std::move(switched.error()));
  return *counts;
}

// From what is staged to what counts.
Status Transaction::switch_over() {
  auto ready = note_due(kJournal);
  if (ready) ready = set_phase(kSwap);
  if (!ready) {
    if (auto clean = discard(); !clean)
      return fail(std::move(ready.error()).in(clean.error().text()));
    return ready;
  }
  step("swap");
  return finish(Trust::what_was_staged);
}

Result<std::optional<Transaction::Waiting>> Transaction::waiting() const {
  auto at = phase();
  if (!at) return fail(std::move(at.error()));
  if (*at != kWaits && *at != kRevertWaits) return std::optional<Waiting>();
  Waiting waiting{.is_revert = *at == kRevertWaits, .next = {}};
  if (waiting.is_revert && !os::exists(own("txn/applied.before"))) return std::optional(waiting);
  auto next = read_applied(waiting.is_revert ? "txn/applied.before" : "txn/applied");
  if (!next) return fail(std::move(next.error()));
  waiting.next = std::move(*next);
  if (!waiting.is_revert && os::exists(own("txn/after"))) {
    auto after = read_aftermath("txn/after");
    if (!after) return fail(std::move(after.error()));
    waiting.after = std::move(*after);
  }
  return std::optional(std::move(waiting));
}

Status Transaction::carry_out() {
  auto waits = waiting();
  if (!waits) return fail(std::move(waits.error()));
  if (!*waits) return Done{};
  if ((*waits)->is_revert) {
    if (auto done = note_due(kJournal); !done) return done;
    if (auto done = set_phase(kRevert); !done) return done;
    step("revert marked");
    return roll_back();
  }
  // A kill came while it was given up.
  if ((*waits)->next.sequence <= applied_.sequence) return discard();
  if (auto done = merge_again(); !done) {
    if (auto clean = discard(); !clean)
      return fail(std::move(done.error()).in(clean.error().text()));
    return done;
  }
  return switch_over();
}

// The device may have worked since its files that are merged by record were staged: an account was
// added, a password changed. They are merged with what stands there now. May be called again after
// a kill at any point.
Status Transaction::merge_again() {
  const auto is_merged = [](const Operation& operation) {
    using Kind = Operation::Kind;
    return (operation.kind == Kind::put || operation.kind == Kind::metadata ||
            operation.kind == Kind::remove) &&
           image::record_rule(operation.entry.path) != nullptr;
  };
  bool is_any = false;
  auto looked = for_each_operation(own(kJournal), [&](const Operation& operation) -> Status {
    is_any = is_any || is_merged(operation);
    return Done{};
  });
  if (!looked || !is_any) return looked;

  auto mode = os::read_text(own("txn/mode"));
  if (!mode) return fail(std::move(mode.error()));
  format::MadeContent made;
  RecordPlans records(volume_, mode_named(*mode), made);
  std::map<std::string, Entry> entries;  // As the target has them, or else the stack before.
  for (const bool is_target : {false, true}) {
    auto stack = StackReader::open(own(is_target ? "txn/stack" : "stack"),
                                   is_target ? &records.target : &records.previous);
    if (!stack) return fail(std::move(stack.error()));
    for (;;) {
      auto entry = (*stack)->next();
      if (!entry) return fail(std::move(entry.error()));
      if (!*entry) break;
      if (image::record_rule((*entry)->path) != nullptr)
        entries.insert_or_assign((*entry)->path, std::move(**entry));
    }
  }
  auto written = OperationWriter::create(own("txn/operations.new"));
  if (!written) return fail(std::move(written.error()));
  auto done = for_each_operation(own(kJournal), [&](Operation& operation) -> Status {
    const auto entry = entries.find(operation.entry.path);
    if (!is_merged(operation) || entry == entries.end()) return written->add(operation);
    const bool leaves = !records.target.contains(entry->first);
    image::Action action{leaves ? image::ActionKind::remove : image::ActionKind::replace,
                         image::Reason::changed, entry->second};
    if (auto adjusted = records.adjust(action); !adjusted) return adjusted;
    if (action.kind == image::ActionKind::keep) return Done{};
    // Removed on the device since: it comes back as the layers have it.
    if (!leaves && action.entry == entry->second && operation.entry != action.entry)
      made.set(action.entry, records.target.at(entry->first));
    if (auto staged = stage_again(operation, action, made); !staged) return staged;
    return written->add(operation);
  });
  if (done) done = written->finish();
  if (done) done = sync_volume();
  step("merged again");
  if (done) done = os::rename_file(own("txn/operations.new"), own(kJournal));
  return done ? os::sync_directory(own("txn")) : done;
}

// Makes the operation on a file that is merged by record what the action says now.
Status Transaction::stage_again(Operation& operation, const image::Action& action,
                                const format::MadeContent& made) {
  using Kind = Operation::Kind;
  if (operation.kind == Kind::put && action.kind == image::ActionKind::replace &&
      operation.entry == action.entry)
    return Done{};
  operation.entry = action.entry;
  if (action.kind == image::ActionKind::remove) {
    operation.kind = Kind::remove;
    return Done{};
  }
  if (action.kind == image::ActionKind::metadata) {
    operation.kind = Kind::metadata;
    auto before = describe(volume_, action.entry.path);
    if (!before) return fail(std::move(before.error()));
    operation.before = std::move(*before);
    return Done{};
  }
  operation.kind = Kind::put;
  operation.before.reset();
  auto parent = volume_.open_parent(operation.staged());
  if (!parent) return fail(std::move(parent.error()));
  const std::string name = os::last_component(operation.staged());
  auto removed = volume_.remove(operation.staged());
  if (!removed && removed.error().kind() != ErrorKind::not_found) return removed;
  auto again = make_entry(parent->get(), name, operation.entry,
                          made.source([](const format::ChunkRef& chunk) -> Result<Buffer> {
                            return fail(ErrorKind::not_found, "chunk " + chunk.id.short_hex());
                          }),
                          {.set_owner = os::is_root(), .set_attributes = true});
  if (!again) return again;
  auto facts = volume_.facts(operation.staged());
  if (!facts) return fail(std::move(facts.error()));
  operation.inode = (*facts)->st_ino;
  return Done{};
}

// Leaves the volume, and what can be undone there, as they are.
Status Transaction::give_up_waiting() {
  auto waits = waiting();
  if (!waits) return fail(std::move(waits.error()));
  if (!*waits) return Done{};
  if (!(*waits)->is_revert) return discard();
  if (auto done = set_phase(kSwap); !done) return done;
  return commit();  // It counts already: what is left is its place.
}

Status Transaction::stage(const format::ChunkSource& source) {
  auto staging = Staging::start(volume_, own("txn/plan"), source);
  if (!staging) return fail(std::move(staging.error()));
  auto operations = OperationWriter::create(own(kJournal));
  if (!operations) return fail(std::move(operations.error()));
  auto done = for_each_operation(own("txn/plan"), [&](Operation& operation) -> Status {
    if (auto staged = (*staging)->add(operation); !staged) return staged;
    if (operation.is_staged()) step("staged one");
    return operations->add(operation);
  });
  if (done) done = operations->finish();
  return done ? (*staging)->finish() : done;
}

// Written before the first path is exchanged, and of everything that is: for a kill, and for an
// apply that is undone, commands may run that need not.
Status Transaction::note_due(const std::string& journal) {
  auto known = due_commands();
  if (!known) return fail(std::move(known.error()));
  image::Regeneration regeneration;
  auto done = for_each_operation(own(journal), [&](const Operation& operation) -> Status {
    using Kind = Operation::Kind;
    if (operation.kind != Kind::metadata && operation.kind != Kind::keep_time)
      regeneration.add(operation.entry.path);
    return Done{};
  });
  if (!done) return done;
  auto commands = regeneration.commands();
  for (auto& command : *known)
    if (std::ranges::find(commands, command) == commands.end())
      commands.push_back(std::move(command));
  if (commands.empty()) return Done{};
  auto rows = RowFileWriter::create(own("due.new"), kDueMagic);
  if (!rows) return fail(std::move(rows.error()));
  for (const auto& command : commands) {
    Writer row;
    for (const std::string& word : command) row.text(word);
    if (auto added = rows->add(row.view()); !added) return added;
  }
  if (auto finished = rows->finish(); !finished) return finished;
  if (auto renamed = os::rename_file(own("due.new"), own("due")); !renamed) return renamed;
  return os::sync_directory(own(""));
}

Result<std::vector<std::vector<std::string>>> Transaction::due_commands() const {
  std::vector<std::vector<std::string>> commands;
  if (!os::exists(own("due"))) return commands;
  auto rows = RowFileReader::open(own("due"), kDueMagic);
  if (!rows) return fail(std::move(rows.error()));
  for (;;) {
    auto row = rows->next();
    if (!row) return fail(std::move(row.error()));
    if (!*row) return commands;
    Reader in(**row);
    auto& command = commands.emplace_back();
    while (in.remaining() > 0 && !in.failed()) command.push_back(in.text(kWordMax));
    if (in.failed() || command.empty())
      return fail(ErrorKind::corrupt,
                  "the list of derived files to make (.lamina/due) is damaged: remove it");
  }
}

Status Transaction::regenerated() {
  if (!os::exists(own("due"))) return Done{};
  // The programs that were due leave what they write to the kernel: with the list gone and the
  // power lost, an initramfs would be left empty, and nobody would make it again.
  if (auto done = sync_volume(); !done) return done;
  return os::remove_file(own("due"));
}

Status Transaction::sync_volume() const {
  return os::sync_filesystem_of(volume_.fd(), volume_.path());
}

Result<Aftermath> Transaction::aftermath() const {
  return os::exists(own("after")) ? read_aftermath("after") : Aftermath{};
}

Result<Aftermath> Transaction::read_aftermath(const std::string& name) const {
  auto bytes = os::read_file(own(name), kAftermathMax);
  if (!bytes) return fail(std::move(bytes.error()));
  return parse_aftermath(*bytes);
}

Status Transaction::keep_aftermath(const Aftermath& aftermath) {
  return os::write_file(own("after"), encode(aftermath), 0600);
}

// What was staged counts, and a restart is due from this start of the machine on.
Status Transaction::begin_aftermath() {
  auto after = read_aftermath("txn/after");
  if (!after) return fail(std::move(after.error()));
  auto last = aftermath();
  if (!last) {
    if (last.error().kind() != ErrorKind::corrupt) return fail(std::move(last.error()));
    // The volume is changed already; the ends in it are the lesser loss.
    log::error("script_ends_lost", {{"error", last.error().text()}});
  } else if (last->sequence != after->sequence) {
    take_untold(*after, *last);
  } else {
    after->earlier = last->earlier;  // A kill came after this was done.
  }
  after->boot = boot_id();
  return keep_aftermath(*after);
}

void Transaction::take_untold(Aftermath& after, const Aftermath& last) {
  if (const std::size_t dropped = after.take_untold(last); dropped > 0)
    log::warning("script_ends_lost",
                 {{"count", dropped}, {"error", "too many wait for the origin"}});
}

Result<std::optional<Trial>> Transaction::trial() const {
  if (!os::exists(own("trial"))) return std::optional<Trial>();
  auto bytes = os::read_file(own("trial"), kTrialMax);
  if (!bytes) return fail(std::move(bytes.error()));
  auto trial = parse_trial(*bytes);
  if (!trial) return fail(std::move(trial.error()));
  return std::optional(std::move(*trial));
}

Status Transaction::keep_trial(const Trial& trial) {
  if (auto done = os::write_file(own("trial"), encode(trial), 0600); !done) return done;
  step("trial");
  return Done{};
}

Status Transaction::forget_trial() {
  auto removed = os::remove_file(own("trial"));
  return !removed && removed.error().kind() == ErrorKind::not_found ? Status(Done{}) : removed;
}

Result<std::vector<std::string>> Transaction::stopped_services() const {
  std::vector<std::string> services;
  if (!os::exists(own("stopped"))) return services;
  auto rows = RowFileReader::open(own("stopped"), kStoppedMagic);
  if (!rows) return fail(std::move(rows.error()));
  for (;;) {
    auto row = rows->next();
    if (!row) return fail(std::move(row.error()));
    if (!*row) return services;
    services.emplace_back(as_text(**row));
  }
}

Status Transaction::note_stopped(const std::vector<std::string>& services) {
  if (services.empty()) {
    auto removed = os::remove_file(own("stopped"));
    return !removed && removed.error().kind() == ErrorKind::not_found ? Status(Done{}) : removed;
  }
  auto rows = RowFileWriter::create(own("stopped.new"), kStoppedMagic);
  if (!rows) return fail(std::move(rows.error()));
  for (const std::string& service : services)
    if (auto added = rows->add(as_view(service)); !added) return added;
  if (auto finished = rows->finish(); !finished) return finished;
  if (auto renamed = os::rename_file(own("stopped.new"), own("stopped")); !renamed) return renamed;
  return os::sync_directory(own(""));
}

Status Transaction::roll_forward() {
  // The new directory that was placed last, with all that lies in it.
  std::optional<std::string> whole;
  std::set<std::uint64_t> tops;
  auto done = for_each_operation(own(kJournal), [&](const Operation& operation) -> Status {
    step("operation");
    const bool is_placed = operation.is_staged() && operation.is_within_top() && whole &&
                           format::is_within(operation.entry.path, *whole);
    if (is_placed) return Done{};
    auto placed = swap(operation);
    if (!placed) return fail(std::move(placed.error()));
    if (!*placed) return Done{};
    whole = operation.entry.path;
    if (!operation.is_within_top()) tops.insert(operation.top);
    return Done{};
  });
  if (!done) return done;
  step("swapped");
  if (auto set = set_directory_metadata(true, tops); !set) return set;
  return sync_volume();
}

// Puts what is staged at its path; what was there goes to the undo area. May be called again after
// a kill at any point: the inode tells whether the path has been taken already.
Status Transaction::place(const Operation& operation) {
  const std::string& path = operation.entry.path;
  const std::string staged = operation.staged();
  const std::string undone = operation.undone();
  auto there = volume_.facts(path);
  if (!there) return fail(std::move(there.error()));
  auto waiting = volume_.facts(staged);
  if (!waiting) return fail(std::move(waiting.error()));
  if (*there && (*there)->st_ino == operation.inode) {
    // Exchanged already; the old version may still lie in the stage area.
    return *waiting ? volume_.rename(staged, undone, Rename::replace) : Status(Done{});
  }
  if (!*waiting) return Done{};  // Done, and changed again by somebody since.
  if (!*there) return volume_.rename(staged, path, Rename::no_replace);
  if (is_directory(*there)) {
    if (auto moved = volume_.rename(path, undone, Rename::no_replace); !moved) return moved;
    step("moved aside");
    return volume_.rename(staged, path, Rename::no_replace);
  }
  if (auto exchanged = volume_.rename(staged, path, Rename::exchange); !exchanged) return exchanged;
  step("exchanged");
  return volume_.rename(staged, undone, Rename::replace);
}

// Carries an operation out. True: a whole directory took its place by this very call.
Result<bool> Transaction::swap(const Operation& operation) {
  if (operation.kind == Operation::Kind::make_directory) return place_directory(operation);
  auto done = swap_one(operation);
  if (!done) return fail(std::move(done.error()));
  return false;
}

Result<bool> Transaction::place_directory(const Operation& operation) {
  const std::string& path = operation.entry.path;
  auto there = volume_.facts(path);
  if (!there) return fail(std::move(there.error()));
  // Placed before a kill, or made by somebody since: what belongs into it is placed by itself.
  if (is_directory(*there)) return false;
  if (*there)
    if (auto moved = volume_.rename(path, operation.undone(), Rename::no_replace); !moved)
      return fail(std::move(moved.error()));
  step("moved aside");
  if (auto done = volume_.rename(operation.staged(), path, Rename::no_replace); !done)
    return fail(std::move(done.error()));
  return true;
}

Status Transaction::swap_one(const Operation& operation) {
  using Kind = Operation::Kind;
  const std::string& path = operation.entry.path;
  auto there = volume_.facts(path);
  if (!there) return fail(std::move(there.error()));
  switch (operation.kind) {
    case Kind::put: return place(operation);
    case Kind::metadata:
      if (!*there || is_directory(*there)) return Done{};  // Directories come last.
      // Something else took its place since the plan was made: that is for verify() to judge.
      if (((*there)->st_mode & S_IFMT) != file_type_of(operation.entry.kind)) return Done{};
      return set_metadata_at(volume_, operation.entry);
    case Kind::remove: {
      if (!*there || is_directory(*there)) return Done{};
      auto undone = volume_.facts(operation.undone());
      if (!undone) return fail(std::move(undone.error()));
      // Removed before a kill, and made again by somebody since: theirs to keep.
      if (*undone) return Done{};
      return volume_.rename(path, operation.undone(), Rename::no_replace);
    }
    case Kind::remove_directory: {
      if (!is_directory(*there)) return Done{};
      return remove_spent_directory(volume_, path);
    }
    case Kind::make_directory:
    case Kind::keep_time: return Done{};
  }
  return Done{};
}

// `placed`: the tops whose directories took their places as they were staged, with their times.
Status Transaction::set_directory_metadata(bool forward, const std::set<std::uint64_t>& placed) {
  using Kind = Operation::Kind;
  return for_each_operation(own(kJournal), [&](const Operation& operation) -> Status {
    if (operation.is_within_top() && placed.contains(operation.top)) return Done{};
    if (operation.entry.kind != EntryKind::directory) return Done{};
    if (operation.kind == Kind::keep_time)
      return set_mtime(volume_, operation.entry.path, operation.before->mtime_ns);
    const bool set =
        forward ? operation.kind == Kind::make_directory || operation.kind == Kind::metadata
                : operation.before.has_value();
    if (!set) return Done{};
    auto there = forward ? volume_.facts(operation.entry.path)
                         : reachable_facts(volume_, operation.entry.path);
    if (!there) return fail(std::move(there.error()));
    if (!is_directory(*there)) return Done{};
    return set_metadata_at(volume_, forward ? operation.entry : *operation.before);
  });
}

// Content was checked when it was staged: what was placed must still be that file. After a kill, or
// a power failure, it is read back.
Status Transaction::verify(Trust trust) {
  using Kind = Operation::Kind;
  VolumeDevice device(volume_);
  return for_each_operation(own(kJournal), [&](const Operation& operation) -> Status {
    bool is_good = true;
    if (operation.is_staged() && trust == Trust::what_was_staged) {
      auto there = volume_.facts(operation.entry.path);
      if (!there) return fail(std::move(there.error()));
      is_good = *there && is_as_staged(**there, operation);
    } else if (operation.is_staged() || operation.kind == Kind::metadata) {
      auto likeness = device.compare(operation.entry);
      if (!likeness) return fail(std::move(likeness.error()));
      is_good = likeness->is == image::Likeness::Is::same;
    }
    if (is_good) return Done{};
    return fail(ErrorKind::corrupt, "'" + printable(operation.entry.path, 200) +
                                        "' is not what was written: another program changed it, or "
                                        "the disk is failing");
  });
}

Status Transaction::commit() {
  for (const std::string name : {"stack", "applied"}) {
    if (!os::exists(own("txn/" + name))) continue;
    if (os::exists(own(name)))
      if (auto done = os::rename_file(own(name), own("txn/" + name + ".before")); !done)
        return done;
    step("commit " + name);
    if (auto done = os::rename_file(own("txn/" + name), own(name)); !done) return done;
  }
  // Follows from here on, and not before: what was undone is followed by nothing.
  if (os::exists(own("txn/after"))) {
    if (auto done = begin_aftermath(); !done) return done;
    step("aftermath");
    if (auto done = os::remove_file(own("txn/after")); !done) return done;
  }
  if (auto done = os::sync_directory(own("txn")); !done) return done;
  if (auto done = os::sync_directory(own("")); !done) return done;
  step("committed");
  if (auto done = throw_away("undo"); !done) return done;
  if (auto done = os::rename_file(own("txn"), own("undo")); !done) return done;
  if (auto done = os::sync_directory(own("")); !done) return done;
  return load_applied();
}

Status Transaction::tidy() { return os::remove_tree(own("trash")); }

Result<std::optional<AppliedState>> Transaction::undoable() const {
  if (!os::exists(own("undo"))) return std::optional<AppliedState>();
  if (!os::exists(own("undo/applied.before"))) return std::optional(AppliedState{});
  auto state = read_applied("undo/applied.before");
  if (!state) return fail(std::move(state.error()));
  return std::optional(std::move(*state));
}

Status Transaction::revert(const Prepare& prepare) {
  if (auto done = recover(); !done) return done;
  auto waits = waiting();
  if (!waits) return fail(std::move(waits.error()));
  if (*waits) {
    if ((*waits)->is_revert) return Done{};
    AppliedState state = applied_;
    state.sequence = (*waits)->next.sequence;
    state.enforced = (*waits)->next.enforced;
    // Before it is thrown away: carry_out() knows by it that it was.
    if (auto done = os::write_file(own("applied"), encode_applied(state), 0600); !done) return done;
    step("given up");
    if (auto done = discard(); !done) return done;
    return load_applied();
  }
  if (!os::exists(own("undo")))
    return fail(ErrorKind::not_found,
                "there is no apply to revert on " + printable(volume_.path()));
  auto prepared = prepare({});
  if (!prepared) return fail(std::move(prepared.error()));
  if (!prepared->after.is_nothing() || os::exists(own("after"))) {
    auto last = aftermath();
    if (!last) return fail(std::move(last.error()));
    take_untold(prepared->after, *last);
    prepared->after.boot = boot_id();
    if (auto done = keep_aftermath(prepared->after); !done) return done;
  }
  const bool waits_now = prepared->when == When::at_next_start;
  if (!waits_now)
    if (auto done = note_due("undo/operations"); !done) return done;
  const std::string_view marked = waits_now ? kRevertWaits : kRevert;
  if (auto done = os::write_file(own("undo/phase"), as_view(marked), 0600); !done) return done;
  step("revert marked");
  if (auto done = os::rename_file(own("undo"), own("txn")); !done) return done;
  if (auto done = os::sync_directory(own("")); !done) return done;
  return waits_now ? Status(Done{}) : roll_back();
}

Status Transaction::roll_back() {
  // Backwards: what came last goes first. The entries' chunk lists are not needed and not kept.
  std::vector<Operation> operations;
  auto read = for_each_operation(own(kJournal), [&](const Operation& operation) -> Status {
    operations.push_back(operation);
    release(operations.back().entry.chunks);
    release(operations.back().entry.attributes);
    return Done{};
  });
  if (!read) return read;
  for (auto operation = operations.rbegin(); operation != operations.rend(); ++operation) {
    step("undo");
    if (auto done = undo(*operation); !done) return done;
  }
  if (auto done = set_directory_metadata(false, {}); !done) return done;
  if (auto done = sync_volume(); !done) return done;
  step("undone");
  const bool counted = !os::exists(own("txn/applied"));
  if (auto done = restore_applied(); !done) return done;
  // After a restart that came in between, the next one is due.
  if (counted && os::exists(own("after"))) {
    auto after = aftermath();
    if (!after) return fail(std::move(after.error()));
    after->boot = boot_id();
    if (auto done = keep_aftermath(*after); !done) return done;
  }
  step("revert committed");
  if (auto done = discard(); !done) return done;
  return load_applied();
}

// Takes back what commit() did, as far as it came. May be called again after a kill at any point.
Status Transaction::restore_applied() {
  const bool counted = !os::exists(own("txn/applied"));
  const bool had_before =
      os::exists(own("txn/applied.before")) || (!counted && os::exists(own("applied")));
  if (os::exists(own("txn/stack.before"))) {
    if (auto done = os::rename_file(own("txn/stack.before"), own("stack")); !done) return done;
  } else if (!os::exists(own("txn/stack")) && !had_before) {
    // The apply was the first one: no stack was there before it.
    auto removed = os::remove_file(own("stack"));
    if (!removed && removed.error().kind() != ErrorKind::not_found) return removed;
  }
  step("stack restored");
  if (!counted)
    return os::exists(own("txn/applied.before"))
               ? os::rename_file(own("txn/applied.before"), own("applied"))
               : Status(Done{});
  // The sequence stays, so that the target that was reverted is not taken for a new one.
  AppliedState state;
  state.sequence = applied_.sequence;
  state.enforced = applied_.enforced;
  if (had_before) {
    auto before = read_applied("txn/applied.before");
    if (!before) return fail(std::move(before.error()));
    state.stack = std::move(before->stack);
    state.needs = std::move(before->needs);
  }
  return os::write_file(own("applied"), encode_applied(state), 0600);
}

// Takes one operation back, as far as it came. May be called again after a kill at any point: what
// was taken back already is known by what is missing in the stage and undo areas, and by inodes.
Status Transaction::undo(const Operation& operation) {
  using Kind = Operation::Kind;
  const std::string& path = operation.entry.path;
  auto old = volume_.facts(operation.undone());
  if (!old) return fail(std::move(old.error()));
  auto staged = volume_.facts(operation.staged());
  if (!staged) return fail(std::move(staged.error()));
  // With nothing to put back, what somebody has put in the way does not matter.
  const bool never_placed = *staged && (*staged)->st_ino == operation.inode;
  auto there =
      *old || (*staged && !never_placed) ? volume_.facts(path) : reachable_facts(volume_, path);
  if (!there) return fail(std::move(there.error()));
  const auto put_back = [&] {
    return *old && !*there ? volume_.rename(operation.undone(), path, Rename::no_replace)
                           : Status(Done{});
  };
  switch (operation.kind) {
    case Kind::put:
      if (never_placed) return put_back();
      // Between exchange and move: the old version still lies in the stage area.
      if (*staged) return volume_.rename(operation.staged(), path, Rename::replace);
      if (*there && (*there)->st_ino == operation.inode && (!*old || is_directory(*old))) {
        if (auto removed = volume_.remove(path); !removed) return removed;
        there->reset();
      }
      if (!*old || !*there) return put_back();
      if (!is_directory(*old) && !is_directory(*there))
        return volume_.rename(operation.undone(), path, Rename::replace);
      // What somebody made there since makes way.
      if (auto moved = volume_.rename(path, operation.undone() + ".newer", Rename::no_replace);
          !moved)
        return moved;
      return volume_.rename(operation.undone(), path, Rename::no_replace);
    case Kind::make_directory:
      if (!never_placed && is_directory(*there) && (*there)->st_ino == operation.inode) {
        if (auto removed = remove_spent_directory(volume_, path); !removed) return removed;
        there = volume_.facts(path);
        if (!there) return fail(std::move(there.error()));
        if (*there) return Done{};  // The user put something in, and it stays.
      }
      return put_back();
    case Kind::metadata:
      if (!*there || is_directory(*there) ||
          ((*there)->st_mode & S_IFMT) != file_type_of(operation.before->kind))
        return Done{};
      return set_metadata_at(volume_, *operation.before);
    case Kind::remove: return put_back();
    case Kind::remove_directory: return *there ? Status(Done{}) : volume_.make_directory(path);
    case Kind::keep_time: return Done{};
  }
  return Done{};
}

}  // namespace lamina::node
