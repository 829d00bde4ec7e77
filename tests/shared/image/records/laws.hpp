// What holds for the records of any three files, whatever their bytes.
#pragma once

#include <set>

#include "shared/base/assert.hpp"
#include "shared/image/records/record_format.hpp"

namespace lamina::image {

inline bool keeps_all(const RecordPlan& plan) {
  for (const RecordAction& action : plan.actions)
    if (action.kind != ActionKind::keep) return false;
  return true;
}

inline void check_record_laws(const RecordFormat& format, std::string_view a, std::string_view b,
                              std::string_view c) {
  for (const std::string_view bytes : {a, b, c}) {
    const RecordList list = format.parse(bytes);
    LAMINA_ASSERT(format.write(list) == bytes);
    LAMINA_ASSERT(index_of(list).size() == list.records.size());
    LAMINA_ASSERT(list.records.empty() == bytes.empty());
  }
  const RecordList one = format.parse(a), two = format.parse(b), three = format.parse(c);

  // Layers.
  const RecordList to_two = changes(one, two), to_three = changes(one, three);
  LAMINA_ASSERT(changes(one, one).records.empty());
  LAMINA_ASSERT(merge(one, changes(one, one)) == one);
  LAMINA_ASSERT(merge(RecordList(), one) == one);
  LAMINA_ASSERT(diff(merge(one, to_two), two).empty());
  LAMINA_ASSERT(diff(one, two).size() == to_two.records.size());
  LAMINA_ASSERT(merge(merge(one, to_two), to_three) == merge(one, merge(to_two, to_three)));
  const RecordList layers[] = {to_two, to_three};
  for (const RecordConflict& conflict : conflicts(layers))
    LAMINA_ASSERT(conflict.hidden == 0 && conflict.winner == 1);

  // Plans. Equal stacks change nothing; a device as the old stack says becomes the new one, and
  // back; done once is done for good.
  const auto apply = [&](std::string_view device, std::string_view previous,
                         std::string_view target, Mode mode = Mode::apply) {
    return plan_records(format, device, previous, target, mode);
  };
  LAMINA_ASSERT(apply(a, b, b).result == a);
  LAMINA_ASSERT(keeps_all(apply(a, b, b)));
  LAMINA_ASSERT(apply(a, a, b).result == b);
  LAMINA_ASSERT(apply(b, b, a).result == a);
  LAMINA_ASSERT(apply(a, a, a, Mode::enforce).result == a);
  const std::string done = *apply(a, b, c).result;
  LAMINA_ASSERT(apply(done, c, c).result == done);
  const std::string enforced = *apply(a, b, c, Mode::enforce).result;
  LAMINA_ASSERT(apply(enforced, c, c, Mode::enforce).result == enforced);
  // A file that leaves is gone if it was as the stack said.
  if (!one.records.empty()) LAMINA_ASSERT(!plan_records(format, a, a, {}, Mode::apply).result);
}

}  // namespace lamina::image
