#include "shared/image/records/accounts.hpp"

#include <algorithm>
#include <charconv>
#include <set>

namespace lamina::image {
namespace {

using Part = RecordKey::Part;

constexpr std::uint32_t kSystemFirst = 100, kUsersFirst = 1000, kUsersEnd = 60000;
constexpr std::uint32_t kRangesFirst = 100000;  // SUB_UID_MIN of login.defs(5).

struct Field {
  std::size_t at = 0;
  std::size_t size = 0;
};

std::optional<Field> field_at(std::string_view line, int number) {
  std::size_t at = 0;
  for (; number > 0; --number) {
    at = line.find(':', at);
    if (at == std::string_view::npos) return std::nullopt;
    ++at;
  }
  return Field{at, std::min(line.find(':', at), line.size()) - at};
}

std::optional<std::uint32_t> number_at(std::string_view line, int number) {
  const auto field = field_at(line, number);
  if (!field || field->size == 0) return std::nullopt;
  const char* const begin = line.data() + field->at;
  const char* const end = begin + field->size;
  std::uint32_t value = 0;
  const auto read = std::from_chars(begin, end, value);
  return read.ec == std::errc() && read.ptr == end ? std::optional(value) : std::nullopt;
}

void set_number(std::string& line, int number, std::uint32_t value) {
  const auto field = field_at(line, number);
  line.replace(field->at, field->size, std::to_string(value));
}

bool is_account(const Record& record) {
  return record.value && record.key.part == Part::record && record.key.nth == 0;
}

// Calls `visit` with each account line that has a number in the field.
template <class List, class Visit>
void for_each_id(List& list, int number, const Visit& visit) {
  for (auto& record : list.records)
    if (is_account(record))
      if (const auto id = number_at(*record.value, number)) visit(record, *id);
}

// A layer that says again what one below it says does not clash again.
void note(std::vector<IdClash>& clashes, IdClash clash) {
  if (std::ranges::find(clashes, clash) == clashes.end()) clashes.push_back(std::move(clash));
}

// Names that the merged layers have.
std::set<std::string> names_of(std::span<Accounts> layers, RecordList Accounts::*file) {
  std::set<std::string> names;
  for (const Accounts& layer : layers)
    for (const Record& record : (layer.*file).records) {
      if (record.key.part != Part::record || record.key.nth > 0) continue;
      if (record.value)
        names.insert(record.key.name);
      else
        names.erase(record.key.name);
    }
  return names;
}

// Ids given so far. Of several names the first one counts as the holder.
class Given {
 public:
  void give(const std::string& name, std::uint32_t id) {
    ids.emplace(name, id);
    holders_.emplace(id, name);
  }
  const std::string* holder_of(std::uint32_t id) const {
    const auto found = holders_.find(id);
    return found == holders_.end() ? nullptr : &found->second;
  }
  // An id beside `wanted`, which is taken; `wanted` itself when it cannot be another one.
  std::uint32_t instead_of(std::uint32_t wanted, const std::set<std::uint32_t>& reserved) const {
    if (wanted < kSystemFirst || wanted >= kUsersEnd) return wanted;
    const bool is_system = wanted < kUsersFirst;
    const std::uint32_t end = is_system ? kUsersFirst : kUsersEnd;
    for (std::uint32_t id = is_system ? kSystemFirst : kUsersFirst; id < end; ++id)
      if (!holders_.contains(id) && !reserved.contains(id)) return id;
    return wanted;
  }

  std::map<std::string, std::uint32_t> ids;

 private:
  std::map<std::uint32_t, std::string> holders_;
};

std::map<std::string, std::uint32_t> settle(std::span<Accounts> layers, const Accounts& device,
                                            RecordList Accounts::*file, IdClash::Kind kind,
                                            std::vector<IdClash>& clashes) {
  Given given;
  for_each_id(device.*file, 2,
              [&](const Record& record, std::uint32_t id) { given.give(record.key.name, id); });
  // Nobody who moves takes what a name of a later layer will ask for.
  std::set<std::uint32_t> reserved;
  for (const Accounts& layer : layers)
    for_each_id(layer.*file, 2, [&](const Record&, std::uint32_t id) { reserved.insert(id); });
  const auto names = names_of(layers, file);
  for (const Accounts& layer : layers) {
    std::map<std::uint32_t, std::uint32_t> shared;  // By the id that the layer says.
    for_each_id(layer.*file, 2, [&](const Record& record, std::uint32_t wanted) {
      const std::string& name = record.key.name;
      if (!names.contains(name)) return;
      const std::string* const holder = given.holder_of(wanted);
      if (const auto has = given.ids.find(name); has != given.ids.end()) {
        if (has->second != wanted)
          note(clashes, {kind, name, wanted, has->second, holder ? *holder : ""});
        shared.emplace(wanted, has->second);
        return;
      }
      const auto same = shared.find(wanted);
      const std::uint32_t id = same != shared.end() ? same->second
                               : holder             ? given.instead_of(wanted, reserved)
                                                    : wanted;
      if (holder && same == shared.end()) note(clashes, {kind, name, wanted, id, *holder});
      shared.emplace(wanted, id);
      given.give(name, id);
    });
  }
  return std::move(given.ids);
}

// The group that a layer means by a gid: its own, or the nearest below it.
std::optional<std::string> group_name(std::span<const Accounts> up_to, std::uint32_t gid) {
  for (std::size_t i = up_to.size(); i-- > 0;) {
    std::optional<std::string> name;
    for_each_id(up_to[i].group, 2, [&](const Record& record, std::uint32_t id) {
      if (id == gid && !name) name = record.key.name;
    });
    if (name) return name;
  }
  return std::nullopt;
}

struct Range {
  std::uint64_t first = 0;
  std::uint64_t count = 0;
  std::string name;
  bool overlaps(const Range& other) const {
    return first < other.first + other.count && other.first < first + count;
  }
};

std::optional<Range> range_of(const Record& record) {
  if (!record.value || record.key.part != Part::record) return std::nullopt;
  const auto first = number_at(*record.value, 1), count = number_at(*record.value, 2);
  if (!first || !count) return std::nullopt;
  return Range{*first, *count, record.key.name};
}

const Range* overlapping(const std::vector<Range>& taken, const Range& range) {
  const auto found = std::ranges::find_if(
      taken, [&](const Range& other) { return other.name != range.name && other.overlaps(range); });
  return found == taken.end() ? nullptr : &*found;
}

void settle_ranges(std::span<Accounts> layers, const Accounts& device, RecordList Accounts::*file,
                   IdClash::Kind kind, std::vector<IdClash>& clashes) {
  std::vector<Range> taken;
  std::map<RecordKey, std::string> given;  // Lines.
  for (const Record& record : (device.*file).records)
    if (const auto range = range_of(record)) {
      taken.push_back(*range);
      given.emplace(record.key, *record.value);
    }
  const auto names = names_of(layers, file);
  for (Accounts& layer : layers)
    for (Record& record : (layer.*file).records) {
      const auto wanted = range_of(record);
      if (!wanted || !names.contains(record.key.name)) continue;
      const Range* const holder = overlapping(taken, *wanted);
      if (const auto has = given.find(record.key); has != given.end()) {
        if (has->second == *record.value) continue;
        record.value = has->second;
        const auto first = static_cast<std::uint32_t>(range_of(record)->first);
        note(clashes, {kind, record.key.name, static_cast<std::uint32_t>(wanted->first), first,
                       holder ? holder->name : ""});
        continue;
      }
      Range range = *wanted;
      if (holder) {
        const std::string in_the_way = holder->name;
        std::set<std::uint64_t> places{kRangesFirst};
        for (const Range& other : taken)
          if (other.first + other.count > kRangesFirst) places.insert(other.first + other.count);
        // The last place follows all that is taken.
        for (const std::uint64_t place : places) {
          range.first = place;
          if (!overlapping(taken, range)) break;
        }
        // Past the last id there is no place: both have it.
        if (range.first + range.count > UINT32_MAX) range.first = wanted->first;
        set_number(*record.value, 1, static_cast<std::uint32_t>(range.first));
        note(clashes, {kind, record.key.name, static_cast<std::uint32_t>(wanted->first),
                       static_cast<std::uint32_t>(range.first), in_the_way});
      }
      taken.push_back(range);
      given.emplace(record.key, *record.value);
    }
}

}  // namespace

AccountIds settle_ids(std::span<Accounts> layers, const Accounts& device) {
  using Kind = IdClash::Kind;
  AccountIds ids;
  ids.users = settle(layers, device, &Accounts::passwd, Kind::user, ids.clashes);
  ids.groups = settle(layers, device, &Accounts::group, Kind::group, ids.clashes);
  // From the top: a layer is still as it was captured when those above look their groups up in it.
  for (std::size_t i = layers.size(); i-- > 0;) {
    for_each_id(layers[i].passwd, 2, [&](Record& record, std::uint32_t) {
      if (const auto id = ids.users.find(record.key.name); id != ids.users.end())
        set_number(*record.value, 2, id->second);
    });
    for_each_id(layers[i].passwd, 3, [&](Record& record, std::uint32_t gid) {
      const auto name = group_name(layers.first(i + 1), gid);
      if (!name) return;
      if (const auto id = ids.groups.find(*name); id != ids.groups.end())
        set_number(*record.value, 3, id->second);
    });
    for_each_id(layers[i].group, 2, [&](Record& record, std::uint32_t) {
      if (const auto id = ids.groups.find(record.key.name); id != ids.groups.end())
        set_number(*record.value, 2, id->second);
    });
  }
  settle_ranges(layers, device, &Accounts::subuid, Kind::user_range, ids.clashes);
  settle_ranges(layers, device, &Accounts::subgid, Kind::group_range, ids.clashes);
  return ids;
}

void renumber(format::Entry& entry, const AccountIds& ids) {
  if (const auto id = ids.users.find(entry.owner); id != ids.users.end()) entry.uid = id->second;
  if (const auto id = ids.groups.find(entry.group); id != ids.groups.end()) entry.gid = id->second;
}

}  // namespace lamina::image
