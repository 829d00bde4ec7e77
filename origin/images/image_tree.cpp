#include "origin/images/image_tree.hpp"

#include <algorithm>
#include <deque>
#include <optional>

#include "shared/tree/account_names.hpp"

namespace lamina::origin::images {
namespace {

using archive::AclEntry;
using format::Entry;
using format::EntryKind;

constexpr int kLinksMax = 40;  // MAXSYMLINKS of Linux.
constexpr std::string_view kWhiteout = ".wh.";
constexpr std::string_view kOpaque = ".wh..wh..opq";
constexpr std::string_view kReserved = ".wh..wh.";
// An account file of ten thousand users is 1 MB.
constexpr std::size_t kTextMax = 16 << 20;
constexpr std::size_t kHeaderMax = 64;  // Of an ELF file.

std::deque<std::string> components_of(std::string_view path) {
  std::deque<std::string> components;
  while (!path.empty()) {
    const std::string_view component = path.substr(0, path.find('/'));
    path.remove_prefix(std::min(path.size(), component.size() + 1));
    if (!component.empty() && component != ".") components.emplace_back(component);
  }
  return components;
}

std::string below(const std::string& directory, const std::string& name) {
  return directory.empty() ? name : directory + '/' + name;
}

std::string quoted(std::string_view path) { return "'" + printable(path, 200) + "'"; }

// An ACL whose names the tree's accounts know, as the kernel's attributes; lines for others are
// nobody's and left out.
void add_acl(const std::vector<AclEntry>& lines, const AccountNames& accounts, Entry& entry) {
  for (const bool is_default : {false, true}) {
    std::vector<AclEntry> kept;
    for (AclEntry line : lines) {
      if (line.is_default != is_default) continue;
      if (!line.id && line.tag == AclEntry::Tag::user) line.id = accounts.user_id(line.name);
      if (!line.id && line.tag == AclEntry::Tag::group) line.id = accounts.group_id(line.name);
      const bool is_named = line.tag == AclEntry::Tag::user || line.tag == AclEntry::Tag::group;
      if (!is_named || line.id) kept.push_back(std::move(line));
    }
    if (kept.empty()) continue;
    const std::string name = is_default ? "system.posix_acl_default" : "system.posix_acl_access";
    const auto place =
        std::ranges::lower_bound(entry.attributes, name, {}, &format::Attribute::name);
    if (place != entry.attributes.end() && place->name == name) continue;  // It has both forms.
    entry.attributes.insert(place, {name, archive::encode_acl(std::move(kept))});
  }
}

}  // namespace

// The names as they were when it was made; files do not change.
class ImageTree::Entries : public format::EntryStream {
 public:
  Entries(const ImageTree& tree, Include include, bool allow_devices)
      : files_(tree.files_),
        names_(tree.names_),
        accounts_(AccountNames::of_texts(tree.read_start("etc/passwd", kTextMax),
                                         tree.read_start("etc/group", kTextMax))),
        include_(std::move(include)),
        allow_devices_(allow_devices),
        at_(names_.begin()) {}

  Result<std::optional<Entry>> next() override {
    for (; at_ != names_.end(); ++at_) {
      const std::string& path = at_->first;
      const ImageFile& file = *files_[at_->second.file];
      const bool is_directory = file.entry.kind == EntryKind::directory;
      if (hidden_ && format::is_within(path, *hidden_)) continue;
      const image::Take take = include_(path, is_directory);
      if (take == image::Take::leave_out) {
        if (is_directory) hidden_ = path;
        continue;
      }
      auto entry = entry_of(path, at_->second.file, file);
      if (entry && take == image::Take::make_empty && (*entry)->kind == EntryKind::file) {
        (*entry)->size = 0;
        (*entry)->sparse = false;
        (*entry)->extents.clear();
        (*entry)->chunks.clear();
      }
      ++at_;
      return entry;
    }
    return std::optional<Entry>();
  }

 private:
  Result<std::optional<Entry>> entry_of(const std::string& path, std::size_t number,
                                        const ImageFile& file) {
    const bool is_device =
        file.entry.kind == EntryKind::char_device || file.entry.kind == EntryKind::block_device;
    if (is_device && !allow_devices_)
      return fail(ErrorKind::refused,
                  quoted(path) + " is a " + std::string(name_of(file.entry.kind)) +
                      ", which every device of the layer would get: --allow-devices if that is "
                      "what you want");
    if (file.entry.kind != EntryKind::directory) {
      const auto [first, is_first] = first_names_.try_emplace(number, path);
      if (!is_first)
        return std::optional(
            Entry{.path = path, .kind = EntryKind::hard_link, .target = first->second});
    }
    Entry entry = file.entry;
    entry.path = path;
    entry.owner = accounts_.user(entry.uid);
    entry.group = accounts_.group(entry.gid);
    add_acl(file.acl, accounts_, entry);
    if (auto good = format::check_entry(entry); !good) return fail(std::move(good.error()));
    return std::optional(std::move(entry));
  }

  const std::vector<std::unique_ptr<ImageFile>>& files_;
  Names names_;
  AccountNames accounts_;
  Include include_;
  bool allow_devices_;
  Names::const_iterator at_;
  std::optional<std::string> hidden_;
  std::map<std::size_t, std::string> first_names_;
};

std::unique_ptr<format::EntryStream> ImageTree::entries(Include include, bool allow_devices) const {
  return std::make_unique<Entries>(*this, std::move(include), allow_devices);
}

std::size_t ImageTree::start_wanted(std::string_view path, ByteView first_bytes) {
  const std::string_view name = format::name_of(path);
  if (name == "passwd" || name == "group" || name.find("os-release") != std::string_view::npos)
    return kTextMax;
  return as_text(first_bytes)
                 .starts_with(
                     "\x7f"
                     "ELF")
             ? kHeaderMax
             : 0;
}

void ImageTree::begin_layer() {
  ++layers_;
  members_ = 0;
}

const ImageFile* ImageTree::find(std::string_view path) const {
  const auto name = names_.find(path);
  return name == names_.end() ? nullptr : files_[name->second.file].get();
}

// The path that a member's name stands for, the symlinks of its directories followed.
Result<std::string> ImageTree::place_of(std::string_view text) const {
  if (text.starts_with('/'))
    return fail(ErrorKind::refused,
                quoted(text) + " is an absolute name: make the archive with relative ones");
  std::string path;
  for (const std::string& component : components_of(text)) {
    if (component == "..")
      return fail(ErrorKind::refused, quoted(text) + " leads out of the tree by '..'");
    path = below(path, component);
  }
  if (auto good = format::check_path(path); !good) return fail(std::move(good.error()));
  return follow(std::move(path), false);
}

// As a kernel would whose root is the tree, but for a way out: that is refused. What is not there
// is taken for a directory that is still to come.
Result<std::string> ImageTree::follow(std::string path, bool last_too) const {
  const std::string asked = path;
  std::deque<std::string> rest = components_of(path);
  path.clear();
  for (int links = 0; !rest.empty();) {
    const std::string component = std::move(rest.front());
    rest.pop_front();
    if (component == "..") {
      if (path.empty())
        return fail(ErrorKind::refused, quoted(asked) + " leads out of the tree by a symlink");
      path = std::string(format::parent_of(path));
      continue;
    }
    const std::string next = below(path, component);
    const ImageFile* file = find(next);
    if (file == nullptr || file->entry.kind == EntryKind::directory ||
        (rest.empty() && (!last_too || file->entry.kind != EntryKind::symlink))) {
      path = next;
      continue;
    }
    if (file->entry.kind != EntryKind::symlink)
      return fail(ErrorKind::invalid,
                  quoted(asked) + " lies beneath " + quoted(next) + ", which is no directory");
    if (++links > kLinksMax)
      return fail(ErrorKind::refused, quoted(asked) + " goes through too many symlinks");
    const std::string& target = file->entry.target;
    if (target.starts_with('/')) path.clear();
    std::deque<std::string> more = components_of(target);
    rest.insert(rest.begin(), more.begin(), more.end());
  }
  if (auto good = format::check_path(path); !good) return fail(std::move(good.error()));
  return path;
}

// Takes away what archives before this one have at `path` and beneath it.
void ImageTree::forget(const std::string& path, bool itself) {
  auto name = names_.lower_bound(path);
  if (!itself && name != names_.end() && name->first == path) ++name;
  while (name != names_.end() && format::is_within(name->first, path))
    name = name->second.layer < layers_ ? names_.erase(name) : std::next(name);
}

// A whiteout of `name`, in the directory of `path`.
Status ImageTree::remove(const std::string& path, const std::string& name) {
  const std::string directory(format::parent_of(path));
  if (name == kOpaque) {
    forget(directory, false);
    return Done{};
  }
  // What aufs keeps for itself.
  if (name.starts_with(kReserved)) return Done{};
  const std::string gone = name.substr(kWhiteout.size());
  if (gone.empty() || gone == "." || gone == "..")
    return fail(ErrorKind::invalid, quoted(path) + " removes nothing that has a name");
  forget(below(directory, gone), true);
  return Done{};
}

Status ImageTree::put(const std::string& path, std::size_t file) {
  const bool is_directory = files_[file]->entry.kind == EntryKind::directory;
  if (path.empty() && !is_directory)
    return fail(ErrorKind::invalid, "the root of the archive is no directory");
  const ImageFile* before = find(path);
  if (before != nullptr && before->entry.kind == EntryKind::directory && !is_directory) {
    forget(path, false);
    const auto beneath = std::next(names_.find(path));
    if (beneath != names_.end() && format::is_within(beneath->first, path))
      return fail(ErrorKind::invalid, quoted(path) + " is no directory, and the same archive has " +
                                          quoted(beneath->first));
  }
  names_[path] = {file, layers_};
  return Done{};
}

Result<ImageFile*> ImageTree::add(const archive::Member& member, Whiteouts whiteouts) {
  const std::size_t number = members_++;
  auto path = place_of(member.name);
  if (!path) return fail(std::move(path.error()));
  const std::string name(format::name_of(*path));
  if (whiteouts == Whiteouts::oci && name.starts_with(kWhiteout)) {
    if (auto done = remove(*path, name); !done) return fail(std::move(done.error()));
    return nullptr;
  }
  if (member.entry.kind == EntryKind::hard_link) {
    auto target = place_of(member.entry.target);
    if (!target) return fail(std::move(target.error()).in("the hard link " + quoted(member.name)));
    const auto first = names_.find(*target);
    if (first == names_.end())
      return fail(ErrorKind::invalid, quoted(member.name) + " is a hard link to " +
                                          quoted(member.entry.target) +
                                          ", which does not come before it");
    const std::size_t file = first->second.file;
    if (files_[file]->entry.kind == EntryKind::directory)
      return fail(ErrorKind::invalid, quoted(member.name) + " is a hard link to a directory");
    if (auto done = put(*path, file); !done) return fail(std::move(done.error()));
    return nullptr;
  }
  if (files_.size() >= kFilesMax)
    return fail(ErrorKind::refused, "there are more than " + std::to_string(kFilesMax) + " files");
  auto file = std::make_unique<ImageFile>();
  file->entry = member.entry;
  file->acl = member.acl;
  file->layer = layers_ - 1;
  file->member = number;
  files_.push_back(std::move(file));
  if (auto done = put(*path, files_.size() - 1); !done) return fail(std::move(done.error()));
  return member.entry.kind == EntryKind::file ? files_.back().get() : nullptr;
}

Status ImageTree::end_layer() {
  // Sorted, what lies in a directory follows it: the first of its names tells of the missing ones.
  std::map<std::string, std::int64_t, format::PathLess> missing;
  for (const auto& [path, name] : names_) {
    for (std::string_view parent = format::parent_of(path);; parent = format::parent_of(parent)) {
      if (const ImageFile* file = find(parent); file != nullptr) {
        // A symlink took the place of a directory that has members.
        if (file->entry.kind != EntryKind::directory)
          return fail(ErrorKind::invalid,
                      quoted(path) + " lies beneath " + quoted(parent) + ", which is no directory");
        break;
      }
      missing.try_emplace(std::string(parent), files_[name.file]->entry.mtime_ns);
      if (parent.empty()) break;
    }
  }
  for (const auto& [path, time] : missing) {
    auto file = std::make_unique<ImageFile>();
    file->entry = {.kind = EntryKind::directory, .mode = 0755, .mtime_ns = time};
    file->layer = layers_ - 1;
    files_.push_back(std::move(file));
    names_[path] = {files_.size() - 1, layers_};
  }
  return Done{};
}

std::string ImageTree::read_start(const std::string& path, std::size_t most) const {
  const auto place = follow(path, true);
  const ImageFile* file = place ? find(*place) : nullptr;
  return file == nullptr ? std::string() : file->start.substr(0, most);
}

}  // namespace lamina::origin::images
