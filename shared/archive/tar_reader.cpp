#include "shared/archive/tar_reader.hpp"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <locale.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "shared/base/bytes.hpp"
#include "shared/codec/writer.hpp"
#include "shared/os/errno.hpp"
#include "shared/os/file.hpp"

namespace lamina::archive {
namespace {

constexpr std::size_t kBlock = 256 * 1024;
constexpr std::int64_t kSecondsMax = INT64_MAX / 1'000'000'000 - 1;  // What nanoseconds can hold.
constexpr std::uint32_t kNoId = 0xffffffff;  // (uid_t)-1: chown(2) leaves the owner alone.

// libarchive converts the UTF-8 of pax headers to the thread's locale, and in the "C" locale gives
// names up that are not ASCII.
class Utf8 {
 public:
  Utf8() {
    static const locale_t utf8 = newlocale(LC_CTYPE_MASK, "C.UTF-8", nullptr);
    if (utf8 != nullptr) before_ = uselocale(utf8);
  }
  ~Utf8() {
    if (before_ != nullptr) uselocale(before_);
  }
  Utf8(const Utf8&) = delete;
  Utf8& operator=(const Utf8&) = delete;

 private:
  locale_t before_ = nullptr;
};

class FileSource : public ByteSource {
 public:
  FileSource(os::Descriptor file, std::string what)
      : file_(std::move(file)), what_(std::move(what)) {}

  Result<std::size_t> read(std::span<std::byte> into) override {
    return os::read_some(file_.get(), into, what_);
  }
  Result<std::uint64_t> skip(std::uint64_t count) override {
    // Never beyond the end: a truncated file must be seen as one.
    const off_t at = lseek(file_.get(), 0, SEEK_CUR), end = lseek(file_.get(), 0, SEEK_END);
    if (at < 0 || end < at) return std::uint64_t{0};  // No file that can be skipped in.
    const auto step = std::min<std::uint64_t>(count, static_cast<std::uint64_t>(end - at));
    if (lseek(file_.get(), at + static_cast<off_t>(step), SEEK_SET) < 0)
      return fail(os::last_error("reading " + what_));
    return step;
  }

 private:
  os::Descriptor file_;
  std::string what_;
};

std::optional<format::EntryKind> kind_of(struct archive_entry* entry) {
  using format::EntryKind;
  if (archive_entry_hardlink(entry) != nullptr) return EntryKind::hard_link;
  switch (archive_entry_filetype(entry)) {
    case AE_IFREG: return EntryKind::file;
    case AE_IFDIR: return EntryKind::directory;
    case AE_IFLNK: return EntryKind::symlink;
    case AE_IFCHR: return EntryKind::char_device;
    case AE_IFBLK: return EntryKind::block_device;
    case AE_IFIFO: return EntryKind::fifo;
    default: return std::nullopt;
  }
}

std::vector<format::Attribute> attributes_of(struct archive_entry* entry) {
  std::vector<format::Attribute> attributes;
  archive_entry_xattr_reset(entry);
  const char* name = nullptr;
  const void* value = nullptr;
  std::size_t size = 0;
  while (archive_entry_xattr_next(entry, &name, &value, &size) == ARCHIVE_OK && name != nullptr)
    // What an overlay file system notes for itself is no part of the tree that it shows.
    if (!std::string_view(name).starts_with("trusted.overlay."))
      attributes.push_back({name, std::string(static_cast<const char*>(value), size)});
  // A header may say an attribute twice: the last one counts, as when they are set in turn.
  std::ranges::reverse(attributes);
  std::ranges::stable_sort(attributes, {}, &format::Attribute::name);
  const auto is_same = [](const auto& one, const auto& other) { return one.name == other.name; };
  attributes.erase(std::unique(attributes.begin(), attributes.end(), is_same), attributes.end());
  return attributes;
}

std::optional<AclEntry::Tag> tag_of(int tag) {
  switch (tag) {
    case ARCHIVE_ENTRY_ACL_USER_OBJ: return AclEntry::Tag::owner;
    case ARCHIVE_ENTRY_ACL_USER: return AclEntry::Tag::user;
    case ARCHIVE_ENTRY_ACL_GROUP_OBJ: return AclEntry::Tag::owning_group;
    case ARCHIVE_ENTRY_ACL_GROUP: return AclEntry::Tag::group;
    case ARCHIVE_ENTRY_ACL_MASK: return AclEntry::Tag::mask;
    case ARCHIVE_ENTRY_ACL_OTHER: return AclEntry::Tag::other;
    default: return std::nullopt;
  }
}

Result<std::vector<AclEntry>> acl_of(struct archive_entry* entry) {
  std::vector<AclEntry> lines;
  if ((archive_entry_acl_types(entry) & ARCHIVE_ENTRY_ACL_TYPE_NFS4) != 0)
    return fail(ErrorKind::invalid, "has an NFSv4 ACL, which Linux file systems do not hold");
  for (const int type : {ARCHIVE_ENTRY_ACL_TYPE_ACCESS, ARCHIVE_ENTRY_ACL_TYPE_DEFAULT}) {
    // An access ACL that only repeats the mode is none.
    if (archive_entry_acl_reset(entry, type) == 0) continue;
    int of = 0, permissions = 0, tag = 0, id = 0;
    const char* name = nullptr;
    while (archive_entry_acl_next(entry, type, &of, &permissions, &tag, &id, &name) == ARCHIVE_OK) {
      const auto known = tag_of(tag);
      if (!known) return fail(ErrorKind::invalid, "has an ACL of an unknown kind");
      AclEntry line{.is_default = type == ARCHIVE_ENTRY_ACL_TYPE_DEFAULT,
                    .tag = *known,
                    .permissions = static_cast<std::uint16_t>(permissions & 7)};
      if (*known == AclEntry::Tag::user || *known == AclEntry::Tag::group) {
        if (id >= 0) line.id = static_cast<std::uint32_t>(id);
        if (name != nullptr) line.name = name;
      }
      lines.push_back(std::move(line));
    }
  }
  return lines;
}

Status describe(struct archive_entry* entry, Member& member) {
  const auto wrong = [](const char* text) { return fail(ErrorKind::invalid, text); };
  const auto kind = kind_of(entry);
  if (!kind) return wrong("is of a kind that is no file, directory, link, device or fifo");
  format::Entry& out = member.entry;
  out.kind = *kind;
  if (*kind == format::EntryKind::hard_link) {
    out.target = archive_entry_hardlink(entry);
    return Done{};
  }
  const std::int64_t uid = archive_entry_uid(entry), gid = archive_entry_gid(entry);
  if (uid < 0 || gid < 0 || uid >= kNoId || gid >= kNoId)
    return wrong("has an owner whose id is out of range");
  out.uid = static_cast<std::uint32_t>(uid);
  out.gid = static_cast<std::uint32_t>(gid);
  // A symlink has no mode of its own on Linux; lstat(2) tells 0777.
  out.mode = *kind == format::EntryKind::symlink ? 0777U : archive_entry_perm(entry) & 07777U;
  const std::int64_t seconds = archive_entry_mtime(entry);
  if (seconds > kSecondsMax || seconds < -kSecondsMax) return wrong("has a time out of range");
  out.mtime_ns = seconds * 1'000'000'000 + archive_entry_mtime_nsec(entry);
  if (*kind == format::EntryKind::file) {
    const std::int64_t size = archive_entry_size(entry);
    if (size < 0 || static_cast<std::uint64_t>(size) > TarReader::kFileMax)
      return wrong("says that it is larger than 16 TiB");
    out.size = static_cast<std::uint64_t>(size);
    out.sparse = archive_entry_sparse_count(entry) > 0;
  }
  if (*kind == format::EntryKind::symlink) {
    const char* target = archive_entry_symlink(entry);
    out.target = target == nullptr ? "" : target;
  }
  if (*kind == format::EntryKind::char_device || *kind == format::EntryKind::block_device) {
    out.device_major = static_cast<std::uint32_t>(archive_entry_rdevmajor(entry));
    out.device_minor = static_cast<std::uint32_t>(archive_entry_rdevminor(entry));
  }
  out.attributes = attributes_of(entry);
  auto acl = acl_of(entry);
  if (!acl) return fail(std::move(acl.error()));
  member.acl = std::move(*acl);
  // With a mask the mode's group bits are the mask's (acl(5)); libarchive put the group's there.
  for (const AclEntry& line : member.acl)
    if (line.tag == AclEntry::Tag::mask && !line.is_default)
      out.mode = (out.mode & ~070U) | static_cast<std::uint32_t>(line.permissions) << 3;
  return Done{};
}

}  // namespace

struct TarReader::State {
  State(ByteSource& from, std::string name) : source(from), what(std::move(name)) {}
  ~State() {
    if (tar != nullptr) archive_read_free(tar);
  }

  Error broken() const {
    if (failed) return *failed;
    const char* text = archive_error_string(tar);
    return {ErrorKind::corrupt,
            what + ": " + printable(text == nullptr ? "it is no tar file" : text, 200)};
  }

  static la_ssize_t read(struct archive* /*tar*/, void* client, const void** bytes) {
    auto* state = static_cast<State*>(client);
    auto size = state->source.read(state->block);
    if (!size) {
      state->failed = std::move(size.error());
      return ARCHIVE_FATAL;
    }
    *bytes = state->block.data();
    return static_cast<la_ssize_t>(*size);
  }
  static la_int64_t skip(struct archive* /*tar*/, void* client, la_int64_t count) {
    auto* state = static_cast<State*>(client);
    auto size = state->source.skip(static_cast<std::uint64_t>(std::max<la_int64_t>(count, 0)));
    if (!size) {
      state->failed = std::move(size.error());
      return ARCHIVE_FATAL;
    }
    return static_cast<la_int64_t>(*size);
  }

  ByteSource& source;
  std::string what;
  Buffer block = Buffer(kBlock);
  struct archive* tar = nullptr;
  std::optional<Error> failed;  // Of the source.
  std::uint64_t size = 0;       // Of the member that is read.
};

std::string encode_acl(std::vector<AclEntry> lines) {
  // The kernel wants them by tag and, among users and groups, by id (posix_acl_valid).
  std::ranges::sort(
      lines, {}, [](const AclEntry& line) { return std::pair(line.tag, line.id.value_or(kNoId)); });
  Writer out;
  out.u32(2);  // POSIX_ACL_XATTR_VERSION
  for (const AclEntry& line : lines) {
    const bool is_named = line.tag == AclEntry::Tag::user || line.tag == AclEntry::Tag::group;
    out.u16(static_cast<std::uint16_t>(line.tag));
    out.u16(line.permissions);
    out.u32(is_named ? line.id.value_or(kNoId) : kNoId);
  }
  return std::string(as_text(out.view()));
}

Result<std::unique_ptr<ByteSource>> open_source(const std::string& path, const std::string& what) {
  auto file = os::open_read(path);
  if (!file) return fail(std::move(file.error()));
  return std::make_unique<FileSource>(std::move(*file), what);
}

TarReader::TarReader(std::unique_ptr<State> state) : state_(std::move(state)) {}
TarReader::TarReader(TarReader&&) noexcept = default;
TarReader::~TarReader() = default;

Result<TarReader> TarReader::open(ByteSource& source, std::string what) {
  const Utf8 utf8;
  auto state = std::make_unique<State>(source, std::move(what));
  state->tar = archive_read_new();
  if (state->tar == nullptr) return fail(ErrorKind::unavailable, "no memory for " + state->what);
  struct archive* const tar = state->tar;
  // ARCHIVE_WARN would mean that another program decompresses.
  for (const int added :
       {archive_read_support_filter_gzip(tar), archive_read_support_filter_zstd(tar),
        archive_read_support_filter_xz(tar), archive_read_support_filter_bzip2(tar),
        archive_read_support_format_tar(tar)})
    if (added != ARCHIVE_OK)
      return fail(ErrorKind::unavailable, "libarchive was built without a format that is needed");
  archive_read_set_read_callback(tar, State::read);
  archive_read_set_skip_callback(tar, State::skip);
  archive_read_set_callback_data(tar, state.get());
  if (archive_read_open1(tar) != ARCHIVE_OK) return fail(state->broken());
  return TarReader(std::move(state));
}

Result<std::optional<Member>> TarReader::next() {
  const Utf8 utf8;
  struct archive_entry* entry = nullptr;
  const int code = archive_read_next_header(state_->tar, &entry);
  if (code == ARCHIVE_EOF) return std::optional<Member>();
  // A member that libarchive skipped is a member that would be missing.
  if (code != ARCHIVE_OK && code != ARCHIVE_WARN) return fail(state_->broken());
  Member member;
  if (code == ARCHIVE_WARN)
    if (const char* text = archive_error_string(state_->tar)) member.warning = text;
  const char* name = archive_entry_pathname(entry);
  if (name == nullptr)
    return fail(ErrorKind::invalid, state_->what + ": a member has a name that cannot be read");
  member.name = name;
  if (auto good = describe(entry, member); !good)
    return fail(good.error().kind(),
                state_->what + ": '" + printable(member.name, 200) + "' " + good.error().text());
  state_->size = member.entry.size;
  return std::optional(std::move(member));
}

Status TarReader::read(const Take& take) {
  for (;;) {
    const void* bytes = nullptr;
    std::size_t size = 0;
    la_int64_t offset = 0;
    const int code = archive_read_data_block(state_->tar, &bytes, &size, &offset);
    if (code == ARCHIVE_EOF) return Done{};
    if (code != ARCHIVE_OK || offset < 0) return fail(state_->broken());
    const auto at = static_cast<std::uint64_t>(offset);
    if (at > state_->size || size > state_->size - at)
      return fail(ErrorKind::corrupt, state_->what + ": a member has more content than it says");
    if (size == 0) continue;
    if (auto done = take(at, {static_cast<const std::byte*>(bytes), size}); !done) return done;
  }
}

std::unique_ptr<ByteSource> TarReader::content() {
  class Content : public ByteSource {
   public:
    explicit Content(const State& state) : state_(state) {}
    Result<std::size_t> read(std::span<std::byte> into) override {
      const la_ssize_t size = archive_read_data(state_.tar, into.data(), into.size());
      if (size < 0) return fail(state_.broken());
      return static_cast<std::size_t>(size);
    }

   private:
    const State& state_;
  };
  return std::make_unique<Content>(*state_);
}

}  // namespace lamina::archive
