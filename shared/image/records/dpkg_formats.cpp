#include "shared/image/records/dpkg_formats.hpp"

namespace lamina::image {
namespace {

using Part = RecordKey::Part;

// Takes lines off a text and notes when there was none left.
class Lines {
 public:
  explicit Lines(std::string_view text) : text_(text) {}

  std::string next() {
    const std::size_t end = text_.find('\n');
    if (end == std::string_view::npos) {
      failed_ = true;
      text_ = {};
      return {};
    }
    std::string line(text_.substr(0, end));
    text_.remove_prefix(end + 1);
    return line;
  }
  bool at_end() const { return text_.empty(); }
  bool failed() const { return failed_; }

 private:
  std::string_view text_;
  bool failed_ = false;
};

// A list whose keys come but once.
class UniqueRecords {
 public:
  void add(RecordKey key, std::string value) {
    is_unique_ &= seen_.emplace(key, 0).second;
    list_.records.push_back({std::move(key), std::move(value)});
  }
  std::optional<RecordList> take() && {
    return is_unique_ ? std::optional(std::move(list_)) : std::nullopt;
  }

 private:
  RecordList list_;
  std::map<RecordKey, int> seen_;
  bool is_unique_ = true;
};

}  // namespace

RecordList StrictFormat::parse(std::string_view bytes) const {
  if (bytes.empty()) return {};
  auto list = read(bytes);
  if (list && render(*list) == bytes) return std::move(*list);
  return {.records = {{{{}, Part::whole, {}, 0}, std::string(bytes)}}};
}

std::string StrictFormat::write(const RecordList& list) const {
  for (const Record& record : list.records)
    if (record.key.part == Part::whole && record.value) return *record.value;
  return render(list);
}

std::optional<RecordList> DiversionFormat::read(std::string_view bytes) const {
  Lines lines(bytes);
  UniqueRecords records;
  while (!lines.at_end()) {
    const std::string path = lines.next(), to = lines.next(), package = lines.next();
    records.add({path, Part::record, {}, 0}, to + '\n' + package);
  }
  if (lines.failed()) return std::nullopt;
  return std::move(records).take();
}

std::string DiversionFormat::render(const RecordList& list) const {
  std::string bytes;
  for (const Record& record : list.records)
    if (record.value && record.key.part == Part::record)
      bytes += record.key.name + '\n' + *record.value + '\n';
  return bytes;
}

std::optional<RecordList> AlternativeFormat::read(std::string_view bytes) const {
  Lines lines(bytes);
  UniqueRecords records;
  records.add({"status", Part::frame, {}, 0}, lines.next());
  records.add({"link", Part::frame, {}, 0}, lines.next());
  std::vector<std::string> slaves;
  while (!lines.at_end()) {
    const std::string slave = lines.next();
    if (slave.empty()) break;
    records.add({"link", Part::member, slave, 0}, lines.next());
    slaves.push_back(slave);
  }
  while (!lines.at_end()) {
    const std::string path = lines.next();
    if (path.empty()) break;
    records.add({path, Part::record, {}, 0}, lines.next());
    for (const std::string& slave : slaves)
      if (const std::string file = lines.next(); !file.empty())
        records.add({path, Part::member, slave, 0}, file);
  }
  if (lines.failed() || !lines.at_end()) return std::nullopt;
  return std::move(records).take();
}

std::string AlternativeFormat::render(const RecordList& list) const {
  const auto index = index_of(list);
  const auto value_at = [&](const RecordKey& key) -> const std::string* {
    const auto place = index.find(key);
    return place == index.end() || !list.records[place->second].value
               ? nullptr
               : &*list.records[place->second].value;
  };
  const std::string* const status = value_at({"status", Part::frame, {}, 0});
  const std::string* const link = value_at({"link", Part::frame, {}, 0});
  if (!status || !link) return {};
  std::string bytes = *status + '\n' + *link + '\n';
  std::vector<std::string_view> slaves;
  for (const auto& [key, value] : list.records)
    if (value && key.part == Part::member && key.name == "link") {
      bytes += key.member + '\n' + *value + '\n';
      slaves.push_back(key.member);
    }
  bytes += '\n';
  for (const auto& [key, value] : list.records) {
    if (!value || key.part != Part::record) continue;
    bytes += key.name + '\n' + *value + '\n';
    for (const std::string_view slave : slaves) {
      if (const auto* file = value_at({key.name, Part::member, std::string(slave), 0}))
        bytes += *file;
      bytes += '\n';
    }
  }
  return bytes + '\n';
}

}  // namespace lamina::image
