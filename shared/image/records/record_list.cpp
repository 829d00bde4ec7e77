#include "shared/image/records/record_list.hpp"

#include "shared/base/bytes.hpp"

namespace lamina::image {

using Part = RecordKey::Part;

std::string text_of(const RecordKey& key) {
  std::string name = printable(key.name, 200);
  switch (key.part) {
    case Part::record:
    case Part::frame: break;
    case Part::administrator: name += ": administrator " + printable(key.member, 200); break;
    case Part::member: name += ": member " + printable(key.member, 200); break;
    case Part::text: name = "text '" + name + "'"; break;
    case Part::whole: name = "the whole file"; break;
  }
  if (key.nth > 0) name += " (number " + std::to_string(key.nth + 1) + ")";
  return name;
}

bool RecordList::is_understood() const {
  for (const Record& record : records)
    if (record.key.part == Part::whole && record.value) return false;
  return true;
}

std::map<RecordKey, std::size_t> index_of(const RecordList& list) {
  std::map<RecordKey, std::size_t> index;
  for (std::size_t i = 0; i < list.records.size(); ++i) index.emplace(list.records[i].key, i);
  return index;
}

RecordList merge(const RecordList& lower, const RecordList& upper) {
  if (lower.records.empty()) return upper;
  RecordList merged = lower;
  const auto index = index_of(lower);
  for (const Record& record : upper.records) {
    const auto place = index.find(record.key);
    if (place == index.end())
      merged.records.push_back(record);
    else
      merged.records[place->second].value = record.value;
  }
  return merged;
}

RecordList changes(const RecordList& before, const RecordList& after) {
  const auto old_index = index_of(before), new_index = index_of(after);
  RecordList layer;
  for (const Record& record : after.records) {
    const auto old = old_index.find(record.key);
    if (old == old_index.end() || before.records[old->second].value != record.value)
      layer.records.push_back(record);
  }
  for (const Record& record : before.records)
    if (!new_index.contains(record.key)) layer.records.push_back({record.key, std::nullopt});
  return layer;
}

std::vector<RecordDifference> diff(const RecordList& before, const RecordList& after) {
  std::map<RecordKey, RecordDifference> found;
  for (const Record& record : before.records)
    if (record.value) found[record.key] = {Change::removed, record.key, record.value, std::nullopt};
  for (const Record& record : after.records) {
    if (!record.value) continue;
    auto [place, is_new] = found.try_emplace(record.key);
    if (!is_new && place->second.before == record.value) {
      found.erase(place);
      continue;
    }
    place->second.change = is_new ? Change::added : Change::changed;
    place->second.key = record.key;
    place->second.after = record.value;
  }
  std::vector<RecordDifference> differences;
  differences.reserve(found.size());
  for (auto& [key, difference] : found) differences.push_back(std::move(difference));
  return differences;
}

std::vector<RecordConflict> conflicts(std::span<const RecordList> layers) {
  using Said = std::pair<std::size_t, const std::optional<std::string>*>;
  std::map<RecordKey, std::vector<Said>> said;
  for (std::size_t i = 0; i < layers.size(); ++i)
    for (const Record& record : layers[i].records) said[record.key].emplace_back(i, &record.value);
  std::vector<RecordConflict> found;
  for (const auto& [key, values] : said)
    for (const auto& [layer, value] : values)
      if (*value != *values.back().second) found.push_back({key, layer, values.back().first});
  return found;
}

}  // namespace lamina::image
