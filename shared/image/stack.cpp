#include "shared/image/stack.hpp"

#include "shared/image/merge.hpp"
#include "shared/image/records/record_changes.hpp"
#include "shared/image/records/record_format.hpp"

namespace lamina::image {
namespace {

using format::Entry;

struct AccountFile {
  const char* path;
  RecordList Accounts::*list;
};
// In path order.
constexpr AccountFile kAccountFiles[] = {{"etc/group", &Accounts::group},
                                         {"etc/passwd", &Accounts::passwd},
                                         {"etc/subgid", &Accounts::subgid},
                                         {"etc/subuid", &Accounts::subuid}};

const AccountFile* account_file(std::string_view path) {
  for (const AccountFile& file : kAccountFiles)
    if (path == file.path) return &file;
  return nullptr;
}

}  // namespace

// The entries of the layers, merged, with this device's ids.
class Stack::Merged : public format::EntryStream {
 public:
  Merged(Stack& stack, std::vector<std::unique_ptr<format::EntryStream>> layers)
      : stack_(stack), merge_(std::move(layers)) {}

  Result<std::optional<Entry>> next() override {
    auto entry = merge_.next();
    if (!entry || !*entry) return entry;
    renumber(**entry, stack_.ids_);
    const RecordRule* const rule =
        (*entry)->kind == format::EntryKind::file ? record_rule((*entry)->path) : nullptr;
    if (rule == nullptr && !(*entry)->record_changes) return entry;
    if (rule == nullptr)
      return fail(ErrorKind::invalid,
                  "layer " + stack_.layers_[merge_.source()].name + " changes records of '" +
                      printable((*entry)->path, 200) +
                      "', which this program does not merge: install a newer version");
    const bool is_whole = merge_.beneath().empty() && !(*entry)->record_changes;
    if (is_whole && account_file((*entry)->path) == nullptr) return entry;
    if (auto done = merge_records(*rule, **entry); !done) return fail(std::move(done.error()));
    return entry;
  }

 private:
  Status merge_records(const RecordRule& rule, Entry& entry) {
    std::vector<RecordList> lists;
    for (const auto& [layer, hidden] : merge_.beneath())
      if (auto done = add(layer, hidden, lists); !done) return done;
    if (auto done = add(merge_.source(), entry, lists); !done) return done;
    stack_.made_.set(entry, merged_file(rule.format, lists));
    return Done{};
  }

  Status add(std::size_t layer, const Entry& entry, std::vector<RecordList>& lists) const {
    if (const AccountFile* const file = account_file(entry.path)) {
      lists.push_back(stack_.accounts_[layer].*file->list);
      return Done{};
    }
    auto list = stack_.records_of(layer, entry);
    if (!list) return fail(std::move(list.error()));
    lists.push_back(std::move(*list));
    return Done{};
  }

  Stack& stack_;
  MergeStream merge_;
};

Result<std::unique_ptr<Stack>> Stack::open(std::vector<format::LayerRecord> layers,
                                           format::ChunkSource chunks, const Accounts& device) {
  std::unique_ptr<Stack> stack(new Stack(std::move(layers), std::move(chunks)));
  if (auto settled = stack->settle(device); !settled) return fail(std::move(settled.error()));
  return stack;
}

Result<std::unique_ptr<format::ManifestReader>> Stack::open_manifest(std::size_t layer) const {
  auto reader = format::ManifestReader::open(layers_[layer].manifest, chunks_);
  if (!reader) return fail(std::move(reader.error()).in("layer " + layers_[layer].name));
  return reader;
}

// The account files come before everything that their names own.
Status Stack::settle(const Accounts& device) {
  for (std::size_t i = 0; i < layers_.size(); ++i) {
    auto reader = open_manifest(i);
    if (!reader) return fail(std::move(reader.error()));
    Accounts accounts;
    for (const AccountFile& file : kAccountFiles) {
      if (auto done = (*reader)->seek(file.path); !done)
        return fail(std::move(done.error()).in("layer " + layers_[i].name));
      auto entry = (*reader)->next();
      if (!entry) return fail(std::move(entry.error()).in("layer " + layers_[i].name));
      if (!*entry || (*entry)->path != file.path || (*entry)->kind != format::EntryKind::file)
        continue;
      auto list = records_of(i, **entry);
      if (!list) return fail(std::move(list.error()));
      accounts.*file.list = std::move(*list);
    }
    accounts_.push_back(std::move(accounts));
  }
  ids_ = settle_ids(accounts_, device);
  return Done{};
}

Result<bool> Stack::has(const std::string& path) const {
  for (std::size_t i = 0; i < layers_.size(); ++i) {
    auto reader = open_manifest(i);
    if (!reader) return fail(std::move(reader.error()));
    if (auto done = (*reader)->seek(path); !done) return fail(std::move(done.error()));
    auto entry = (*reader)->next();
    if (!entry) return fail(std::move(entry.error()));
    if (*entry && (*entry)->path == path && (*entry)->kind != format::EntryKind::whiteout)
      return true;
  }
  return false;
}

Result<RecordList> Stack::records_of(std::size_t layer, const Entry& entry) const {
  auto records = image::records_of(entry, chunks_);
  if (!records) return fail(std::move(records.error()).in("layer " + layers_[layer].name));
  return records;
}

Result<std::unique_ptr<format::EntryStream>> Stack::entries() {
  std::vector<std::unique_ptr<format::EntryStream>> readers;
  for (std::size_t i = 0; i < layers_.size(); ++i) {
    auto reader = open_manifest(i);
    if (!reader) return fail(std::move(reader.error()));
    readers.push_back(std::move(*reader));
  }
  return std::make_unique<Merged>(*this, std::move(readers));
}

Result<RecordList> records_of(const Entry& entry, const format::ChunkSource& chunks) {
  auto bytes = format::read_content(entry, chunks, kRecordFileMax);
  if (!bytes) return fail(std::move(bytes.error()));
  if (!entry.record_changes) return record_rule(entry.path)->format.parse(*bytes);
  auto changes = parse_changes(as_view(*bytes));
  if (!changes) return fail(std::move(changes.error()).in("'" + printable(entry.path, 200) + "'"));
  return changes;
}

Result<Accounts> read_accounts(const std::function<Result<std::string>(const std::string&)>& read) {
  Accounts accounts;
  for (const AccountFile& file : kAccountFiles) {
    auto bytes = read(file.path);
    if (!bytes) return fail(std::move(bytes.error()));
    accounts.*file.list = record_rule(file.path)->format.parse(*bytes);
  }
  return accounts;
}

std::string text_of(const IdClash& clash) {
  using Kind = IdClash::Kind;
  const bool is_range = clash.kind == Kind::user_range || clash.kind == Kind::group_range;
  const bool is_user = clash.kind == Kind::user || clash.kind == Kind::user_range;
  std::string text = is_user ? "user " : "group ";
  text += printable(clash.name, 100);
  text += is_range ? " has subordinate ids from " : " has id ";
  text += std::to_string(clash.given) + " here";
  if (clash.given == clash.wanted) return text + ", as " + printable(clash.holder, 100) + " has";
  text += ", not " + std::to_string(clash.wanted);
  if (!clash.holder.empty()) text += ", which " + printable(clash.holder, 100) + " has";
  return text;
}

}  // namespace lamina::image
