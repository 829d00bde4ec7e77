#include "shared/image/plan.hpp"

#include <utility>

#include "shared/base/bytes.hpp"
#include "shared/format/path.hpp"
#include "shared/hash/xxh3.hpp"

namespace lamina::image {

using format::Entry;
using format::EntryKind;

std::string_view name_of(ActionKind kind) {
  switch (kind) {
    case ActionKind::create: return "create";
    case ActionKind::replace: return "replace";
    case ActionKind::metadata: return "metadata";
    case ActionKind::remove: return "remove";
    case ActionKind::keep: return "keep";
  }
  return "";
}

std::string_view name_of(Reason reason) {
  switch (reason) {
    case Reason::rule: return "rule";
    case Reason::new_in_target: return "new in target";
    case Reason::changed: return "changed";
    case Reason::enforced: return "enforced";
    case Reason::already_so: return "already so";
    case Reason::unchanged: return "unchanged";
    case Reason::derived: return "derived";
    case Reason::left_the_stack: return "left the stack";
  }
  return "";
}

Bytes space_for_apply(std::uint64_t files, Bytes content) {
  constexpr std::int64_t kBlock = 4096;
  return content + Bytes{static_cast<std::int64_t>(files) * kBlock} + kApplyReserve;
}

PlanStream::PlanStream(std::unique_ptr<format::EntryStream> target,
                       std::unique_ptr<format::EntryStream> previous, Device& device,
                       const Protection& protection, Mode mode)
    : difference_(std::move(previous), std::move(target)),
      device_(device),
      protection_(protection),
      mode_(mode) {}

Result<std::optional<Action>> PlanStream::next() {
  for (;;) {
    if (!held_ && !ended_) {
      auto difference = difference_.next();
      if (!difference) return fail(std::move(difference.error()));
      held_ = std::move(*difference);
      ended_ = !held_;
    }
    if (!leaving_.empty() && (ended_ || !format::is_within(held_->path(), leaving_.back().path))) {
      Action action{ActionKind::remove, Reason::left_the_stack, std::move(leaving_.back())};
      leaving_.pop_back();
      return action;
    }
    if (ended_) return std::nullopt;

    auto action = decide(std::move(*std::exchange(held_, std::nullopt)));
    if (!action || *action) return action;
  }
}

Result<std::optional<Action>> PlanStream::decide(Difference difference) {
  const bool wanted = difference.after.has_value();
  Entry entry = std::move(wanted ? *difference.after : *difference.before);
  const bool is_directory = entry.kind == EntryKind::directory;

  if (const Rule* rule = protection_.own_rule(entry.path, is_directory))
    return Action{ActionKind::keep, Reason::rule, std::move(entry), rule};

  if (!wanted) {
    if (!is_directory) left_.insert(xxh3(as_view(entry.path)));
    if (covered_ && format::is_within(entry.path, *covered_)) return std::nullopt;
    if (is_directory) {
      leaving_.push_back(std::move(entry));
      return std::nullopt;
    }
    return Action{ActionKind::remove, Reason::left_the_stack, std::move(entry)};
  }

  if (!is_directory) covered_ = entry.path;
  Reason reason = Reason::changed;
  if (difference.change == Change::added) {
    reason = Reason::new_in_target;
  } else if (difference.change == Change::same) {
    if (mode_ == Mode::apply) return Action{ActionKind::keep, Reason::unchanged, std::move(entry)};
    reason = Reason::enforced;
  }
  auto action = make_equal(std::move(entry), reason);
  if (!action) return fail(std::move(action.error()));
  if (difference.before && difference.before->kind == EntryKind::hard_link)
    if (auto done = part_from(difference.before->target, *action); !done)
      return fail(std::move(done.error()));
  return std::optional(std::move(*action));
}

// A name that was a hard link and is a file of its own now must not share its inode with another
// name, whatever its content: what happens to the one would happen to the other.
Status PlanStream::part_from(const std::string& old_first, Action& action) {
  const Entry& entry = action.entry;
  if (entry.kind == EntryKind::hard_link || entry.kind == EntryKind::directory) return Done{};
  if (action.kind == ActionKind::create || action.kind == ActionKind::replace) return Done{};
  const std::uint64_t first = xxh3(as_view(old_first));
  std::string holder = old_first;
  if (left_.contains(first) || remade_.contains(first)) {
    const auto [heir, is_new] = heirs_.emplace(first, entry.path);
    if (is_new) return Done{};
    holder = heir->second;
  }
  auto found = device_.compare(
      {.path = entry.path, .kind = EntryKind::hard_link, .target = std::move(holder)});
  if (!found)
    return fail(std::move(found.error()).in("planning '" + printable(entry.path, 200) + "'"));
  if (found->is != Likeness::Is::same) return Done{};
  if (action.reason == Reason::already_so) action.reason = Reason::changed;
  action.kind = ActionKind::replace;
  remade_.insert(xxh3(as_view(entry.path)));
  return Done{};
}

Result<Action> PlanStream::make_equal(Entry entry, Reason reason) {
  auto found = device_.compare(entry);
  if (!found)
    return fail(std::move(found.error()).in("planning '" + printable(entry.path, 200) + "'"));

  const bool is_directory = entry.kind == EntryKind::directory;
  const bool relink =
      entry.kind == EntryKind::hard_link && remade_.contains(xxh3(as_view(entry.target)));
  Action action{ActionKind::keep, reason, std::move(entry)};
  if (reason == Reason::enforced && found->is != Likeness::Is::absent && !found->is_directory &&
      derived_rule(action.entry.path)) {
    action.reason = found->is == Likeness::Is::same ? Reason::already_so : Reason::derived;
    return action;
  }
  switch (found->is) {
    case Likeness::Is::absent: action.kind = ActionKind::create; break;
    case Likeness::Is::differs: action.kind = ActionKind::replace; break;
    case Likeness::Is::metadata_differs:
      action.kind = relink ? ActionKind::replace : ActionKind::metadata;
      break;
    case Likeness::Is::same:
      if (relink)
        action.kind = ActionKind::replace;
      else
        action.reason = Reason::already_so;
      break;
  }
  const std::string& path = action.entry.path;
  if (action.kind == ActionKind::replace && !found->is_directory && is_directory)
    if (const Rule* rule = protection_.own_rule(path, false))
      return fail(ErrorKind::refused, "the layers make '" + printable(path, 200) +
                                          "' a directory, but the device has a file there that "
                                          "is its own (rule " +
                                          std::string(rule->name) + "); take '" +
                                          printable(path, 200) +
                                          "' out of the layer, or move the file");
  if (action.kind == ActionKind::replace && found->is_directory && !is_directory)
    if (const Rule* rule = protection_.own_rule_beneath(path))
      return fail(ErrorKind::refused, "the layers make '" + printable(path, 200) + "' a " +
                                          std::string(name_of(action.entry.kind)) +
                                          ", but the device has a directory there that may hold '" +
                                          std::string(rule->pattern) + "' (rule " +
                                          std::string(rule->name) + "); take '" +
                                          printable(path, 200) + "' out of the layer");
  if (!is_directory && (action.kind == ActionKind::create || action.kind == ActionKind::replace))
    remade_.insert(xxh3(as_view(path)));
  return action;
}

}  // namespace lamina::image
