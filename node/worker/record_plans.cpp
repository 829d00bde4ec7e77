#include "node/worker/record_plans.hpp"

#include <algorithm>

#include "shared/image/records/record_format.hpp"

namespace lamina::node {
namespace {

using image::ActionKind;

std::optional<std::string_view> content_of(const RecordFiles& files, const std::string& path) {
  const auto file = files.find(path);
  return file == files.end() ? std::nullopt : std::optional<std::string_view>(file->second);
}

}  // namespace

Status RecordPlans::adjust(image::Action& action) {
  format::Entry& entry = action.entry;
  const bool leaves = action.kind == ActionKind::remove;
  if (entry.kind != format::EntryKind::file || (!leaves && action.kind != ActionKind::replace))
    return Done{};
  const image::RecordRule* const rule = image::record_rule(entry.path);
  if (rule == nullptr) return Done{};
  // Packages that are in no layer go with their files.
  if (mode_ == image::Mode::remove_others && !image::holds_accounts(*rule)) return Done{};
  const auto before = content_of(previous, entry.path);
  const auto after = leaves ? std::nullopt : content_of(target, entry.path);
  if (leaves ? !before : !after) return Done{};
  auto device = read_small_file(volume_, entry.path, image::kRecordFileMax);
  if (!device) return fail(std::move(device.error()));
  if (!*device) return Done{};

  const auto plan = image::plan_records(rule->format, **device, before, after, mode_);
  changed_ += static_cast<std::uint64_t>(std::ranges::count_if(
      plan.actions,
      [](const image::RecordAction& record) { return record.kind != ActionKind::keep; }));
  if (!plan.result) return Done{};
  const bool is_kept = *plan.result == **device;
  auto there = describe(volume_, entry.path);
  if (!there) return fail(std::move(there.error()));
  if (!*there) return Done{};
  if (leaves) {
    // What is left in it is the device's own, and so is the file.
    entry = std::move(**there);
    action.kind = is_kept ? ActionKind::keep : ActionKind::replace;
  } else if (*plan.result != *after) {
    // It is no layer's file: with its own time it comes back as it was when the layers do.
    entry.mtime_ns = (*there)->mtime_ns;
  }
  made_.set(entry, *plan.result);
  if (leaves || !is_kept) return Done{};
  VolumeDevice volume(volume_);
  auto likeness = volume.compare(entry);
  if (!likeness) return fail(std::move(likeness.error()));
  if (likeness->is == image::Likeness::Is::metadata_differs) action.kind = ActionKind::metadata;
  if (likeness->is != image::Likeness::Is::same) return Done{};
  action.kind = ActionKind::keep;
  action.reason = image::Reason::already_so;
  return Done{};
}

}  // namespace lamina::node
