#include <algorithm>
#include <utility>

#include "shared/image/records/record_format.hpp"

namespace lamina::image {
namespace {

using Part = RecordKey::Part;
using Index = std::map<RecordKey, std::size_t>;

const std::string* value_of(const RecordList& list, const Index& index, const RecordKey& key) {
  const auto place = index.find(key);
  return place == index.end() || !list.records[place->second].value
             ? nullptr
             : &*list.records[place->second].value;
}

bool has_records(const RecordList& list) {
  return std::ranges::any_of(list.records, [](const Record& record) {
    return record.key.part == Part::record && record.value;
  });
}

std::optional<std::string> copy_of(std::optional<std::string_view> bytes) {
  return bytes ? std::optional<std::string>(*bytes) : std::nullopt;
}

// Carries a plan out on a list. What is created goes behind its neighbours in the target.
class Builder {
 public:
  Builder(RecordList device, const RecordList& target)
      : list_(std::move(device)),
        index_(index_of(list_)),
        target_(target),
        created_(list_.records.size() + 1) {}

  void set(const RecordKey& key, std::string value) {
    list_.records[index_.at(key)].value = std::move(value);
  }
  void remove(const RecordKey& key) { list_.records[index_.at(key)].value.reset(); }

  // `place`: where the record stands in the target. Records are created in the target's order.
  void create(std::size_t place, std::string value) {
    const RecordKey& key = target_.records[place].key;
    std::size_t gap = gap_at(place);
    // Of several with the same name each is known by its turn.
    if (key.nth > 0) {
      RecordKey before = key;
      --before.nth;
      const auto there = index_.find(before);
      const auto made = gaps_.find(before);
      if (there != index_.end()) gap = std::max(gap, there->second + 1);
      if (made != gaps_.end()) gap = std::max(gap, made->second);
    }
    gaps_.emplace(key, gap);
    created_[gap].push_back({key, std::move(value)});
  }

  RecordList finish() && {
    RecordList built{.records = std::move(created_[0]), .missing_end = list_.missing_end};
    for (std::size_t i = 0; i < list_.records.size(); ++i) {
      if (list_.records[i].value) built.records.push_back(std::move(list_.records[i]));
      std::ranges::move(created_[i + 1], std::back_inserter(built.records));
    }
    return built;
  }

 private:
  // Behind the nearest record before it in the target that the device has; with none, before the
  // nearest that follows; with none, before the device's own, which are what follows as a rule.
  std::size_t gap_at(std::size_t place) {
    for (; seen_ < place; ++seen_)
      if (const auto there = index_.find(target_.records[seen_].key); there != index_.end())
        last_ = there->second + 1;
    if (last_) return *last_;
    for (std::size_t i = place + 1; i < target_.records.size(); ++i)
      if (const auto there = index_.find(target_.records[i].key); there != index_.end())
        return there->second;
    return 0;
  }

  RecordList list_;
  Index index_;
  const RecordList& target_;
  std::vector<std::vector<Record>> created_;  // [i]: before the device's record i.
  std::map<RecordKey, std::size_t> gaps_;     // Of what is created.
  std::size_t seen_ = 0;                      // Of the target.
  std::optional<std::size_t> last_;           // The gap behind the last one seen on the device.
};

RecordPlan plan_whole(std::optional<std::string_view> device,
                      std::optional<std::string_view> previous,
                      std::optional<std::string_view> target, Mode mode) {
  const bool is_kept = target ? previous == target && mode == Mode::apply : !previous;
  return {.actions = {}, .result = copy_of(is_kept ? device : target)};
}

}  // namespace

RecordPlan plan_records(const RecordFormat& format, std::optional<std::string_view> device,
                        std::optional<std::string_view> previous,
                        std::optional<std::string_view> target, Mode mode) {
  if (!device) return plan_whole(device, previous, target, mode);
  RecordList there = format.parse(*device);
  const RecordList before = format.parse(previous.value_or(""));
  const RecordList after = format.parse(target.value_or(""));
  if (!there.is_understood() || !before.is_understood() || !after.is_understood())
    return plan_whole(device, previous, target, mode);

  const Index there_index = index_of(there), before_index = index_of(before),
              after_index = index_of(after);
  Builder builder(there, after);
  RecordPlan plan;
  bool is_changed = false;
  for (std::size_t i = 0; i < after.records.size(); ++i) {
    const RecordKey& key = after.records[i].key;
    const std::string& wanted = *after.records[i].value;
    const std::string* const was = value_of(before, before_index, key);
    const std::string* const has = value_of(there, there_index, key);
    RecordAction action{ActionKind::keep, Reason::unchanged, key};
    if (!was || *was != wanted || mode != Mode::apply) {
      std::string value = has ? format.own(key, was, wanted, *has) : wanted;
      action.reason = !was             ? Reason::new_in_target
                      : *was != wanted ? Reason::changed
                                       : Reason::enforced;
      if (!has) {
        action.kind = ActionKind::create;
        builder.create(i, std::move(value));
      } else if (*has != value) {
        action.kind = ActionKind::replace;
        builder.set(key, std::move(value));
      } else {
        action.reason = Reason::already_so;
      }
    }
    is_changed |= action.kind != ActionKind::keep;
    plan.actions.push_back(std::move(action));
  }
  for (const Record& record : before.records) {
    if (after_index.contains(record.key) || !there_index.contains(record.key)) continue;
    builder.remove(record.key);
    is_changed = true;
    plan.actions.push_back({ActionKind::remove, Reason::left_the_stack, record.key});
  }

  RecordList built = std::move(builder).finish();
  if (!target && !has_records(built) && previous)
    plan.result = std::nullopt;
  else if (device == previous && target)
    plan.result = std::string(*target);
  else
    plan.result = is_changed ? format.write(built) : std::string(*device);
  return plan;
}

std::string merged_file(const RecordFormat& format, std::span<const RecordList> layers) {
  RecordList merged;
  for (const RecordList& layer : layers) merged = merge(merged, layer);
  return format.write(merged);
}

}  // namespace lamina::image
