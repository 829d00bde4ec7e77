#include "shared/image/records/text_formats.hpp"

#include <algorithm>

namespace lamina::image {
namespace {

using Part = RecordKey::Part;

std::string_view take_line(std::string_view& bytes) {
  const std::size_t end = bytes.find('\n');
  const std::string_view line = bytes.substr(0, end);
  bytes.remove_prefix(end == std::string_view::npos ? bytes.size() : end + 1);
  return line;
}

std::vector<std::string_view> split(std::string_view text, char between) {
  std::vector<std::string_view> parts;
  for (;;) {
    const std::size_t end = text.find(between);
    parts.push_back(text.substr(0, end));
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + 1);
  }
}

template <class Names>
std::string joined(const Names& names, char between) {
  std::string text;
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (i > 0) text += between;
    text += names[i];
  }
  return text;
}

// Field names of deb822 are compared without regard to case.
bool same_name(std::string_view a, std::string_view b) {
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; };
  return std::ranges::equal(a, b, {}, lower, lower);
}

// The value of a field on its first line; "" where there is none.
std::string_view field_of(std::string_view stanza, std::string_view name) {
  while (!stanza.empty()) {
    const std::string_view line = take_line(stanza);
    const std::size_t colon = line.find(':');
    if (colon == std::string_view::npos || !same_name(line.substr(0, colon), name)) continue;
    std::string_view value = line.substr(colon + 1);
    while (!value.empty() && (value.front() == ' ' || value.front() == '\t'))
      value.remove_prefix(1);
    while (!value.empty() && (value.back() == ' ' || value.back() == '\t')) value.remove_suffix(1);
    return value;
  }
  return {};
}

}  // namespace

RecordList PieceFormat::parse(std::string_view bytes) const {
  RecordList list;
  std::map<RecordKey, std::uint32_t> counts;
  const auto add = [&](RecordKey key, std::string value) {
    key.nth = counts[key]++;
    list.records.push_back({std::move(key), std::move(value)});
  };
  const std::string_view all = bytes;
  std::string_view piece;
  while (!bytes.empty()) {
    piece = take(bytes);
    auto records = records_of(piece);
    if (records.empty()) add({std::string(piece), Part::text, {}, 0}, "");
    // The members of a second record of a name would be taken for those of the first.
    if (!records.empty() && counts.contains(records.front().key)) {
      add(std::move(records.front().key), std::string(piece));
      continue;
    }
    for (Record& record : records) add(std::move(record.key), std::move(*record.value));
  }
  if (!all.empty()) {
    const auto written = static_cast<std::size_t>(all.data() + all.size() - piece.data());
    list.missing_end = static_cast<std::uint8_t>(piece.size() + end_of(piece).size() - written);
  }
  return list;
}

std::string PieceFormat::write(const RecordList& list) const {
  struct Sets {
    std::vector<std::string_view> administrators, members;
  };
  std::map<std::string_view, Sets> sets;
  for (const Record& record : list.records) {
    if (!record.value) continue;
    if (record.key.part == Part::administrator)
      sets[record.key.name].administrators.push_back(record.key.member);
    if (record.key.part == Part::member) sets[record.key.name].members.push_back(record.key.member);
  }
  std::string bytes;
  std::size_t end_size = 0;
  for (const Record& record : list.records) {
    if (!record.value) continue;
    const std::size_t begin = bytes.size();
    if (record.key.part == Part::record) {
      const Sets& its = sets[record.key.name];
      bytes += record.key.nth > 0 ? *record.value
                                  : piece_of(*record.value, its.administrators, its.members);
    } else if (record.key.part == Part::text) {
      bytes += record.key.name;
    } else {
      continue;
    }
    const std::string_view end = end_of(std::string_view(bytes).substr(begin));
    // An empty line is nothing but its end.
    end_size = bytes.size() == begin ? 0 : end.size();
    bytes += end;
  }
  bytes.resize(bytes.size() - std::min<std::size_t>(list.missing_end, end_size));
  return bytes;
}

std::string PieceFormat::piece_of(const std::string& value, std::span<const std::string_view>,
                                  std::span<const std::string_view>) const {
  return value;
}

std::string_view AccountFormat::take(std::string_view& bytes) const { return take_line(bytes); }

std::string_view AccountFormat::end_of(std::string_view) const { return "\n"; }

std::vector<Record> AccountFormat::records_of(std::string_view piece) const {
  const auto fields = split(piece, ':');
  if (fields.size() != shape_.fields || fields[0].empty()) return {};
  if (std::string_view("+-#").find(fields[0].front()) != std::string_view::npos) return {};
  const std::string name(fields[0]);
  const std::size_t plain = shape_.fields - shape_.sets;
  std::vector<Record> records;
  records.push_back({{name, Part::record, {}, 0}, joined(std::span(fields).first(plain), ':')});
  for (std::size_t i = plain; i < fields.size(); ++i) {
    if (fields[i].empty()) continue;
    const Part part = i + 1 < fields.size() ? Part::administrator : Part::member;
    for (const std::string_view member : split(fields[i], ','))
      records.push_back({{name, part, std::string(member), 0}, ""});
  }
  return records;
}

std::string AccountFormat::piece_of(const std::string& value,
                                    std::span<const std::string_view> administrators,
                                    std::span<const std::string_view> members) const {
  std::string line = value;
  if (shape_.sets > 1) (line += ':') += joined(administrators, ',');
  if (shape_.sets > 0) (line += ':') += joined(members, ',');
  return line;
}

std::string AccountFormat::own(const RecordKey& key, const std::string* previous,
                               const std::string& target, const std::string& device) const {
  if (key.part != Part::record || shape_.own_from == shape_.own_to) return target;
  auto wanted = split(target, ':');
  const auto there = split(device, ':');
  const auto was = previous ? split(*previous, ':') : std::vector<std::string_view>();
  if (there.size() != wanted.size()) return target;
  const auto owned = [&](const std::vector<std::string_view>& fields) {
    return std::span(fields).subspan(shape_.own_from, shape_.own_to - shape_.own_from);
  };
  if (was.size() == there.size() && std::ranges::equal(owned(was), owned(there))) return target;
  std::ranges::copy(owned(there), wanted.begin() + static_cast<std::ptrdiff_t>(shape_.own_from));
  return joined(wanted, ':');
}

std::string_view StanzaFormat::take(std::string_view& bytes) const {
  const std::size_t end = bytes.front() == '\n' ? 0 : bytes.find("\n\n");
  if (end == 0) return take_line(bytes);
  if (end == std::string_view::npos) {
    std::string_view piece = bytes;
    if (piece.back() == '\n') piece.remove_suffix(1);
    bytes = {};
    return piece;
  }
  const std::string_view piece = bytes.substr(0, end);
  bytes.remove_prefix(end + 2);
  return piece;
}

std::string_view StanzaFormat::end_of(std::string_view piece) const {
  return piece.empty() ? "\n" : "\n\n";
}

std::vector<Record> StanzaFormat::records_of(std::string_view piece) const {
  std::string name(field_of(piece, key_ == Key::name ? "Name" : "Package"));
  if (name.empty()) return {};
  // dpkg has several architectures of a package installed only where all of them say "same".
  if (key_ == Key::package_architecture ||
      (key_ == Key::package && field_of(piece, "Multi-Arch") == "same"))
    (name += ':') += field_of(piece, "Architecture");
  return {{{std::move(name), Part::record, {}, 0}, std::string(piece)}};
}

std::string_view LineFormat::take(std::string_view& bytes) const { return take_line(bytes); }

std::string_view LineFormat::end_of(std::string_view) const { return "\n"; }

std::vector<Record> LineFormat::records_of(std::string_view piece) const {
  std::string_view name = piece;
  if (key_ == Key::first_word) name = piece.substr(0, piece.find(' '));
  if (key_ == Key::interest)
    for (const std::string_view mode : {"/noawait", "/await"})
      if (name.ends_with(mode)) name.remove_suffix(mode.size());
  if (key_ == Key::fourth_word_on)
    for (int word = 0; word < 3; ++word) {
      const std::size_t end = name.find(' ');
      if (end == std::string_view::npos) return {};
      name.remove_prefix(end + 1);
    }
  if (name.empty() || name.front() == '#') return {};
  return {{{std::string(name), Part::record, {}, 0}, std::string(piece)}};
}

}  // namespace lamina::image
