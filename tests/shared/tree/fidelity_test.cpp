// A tree and what became of it, compared by an eye of its own: nothing here uses the walker.
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>

#include "shared/tree/materialize.hpp"
#include "tests/shared/tree/trees.hpp"

using namespace lamina;
using namespace lamina::tests;

namespace {

std::string xattrs_of(const std::string& path) {
  std::string names(65536, '\0');
  const ssize_t size = llistxattr(path.c_str(), names.data(), names.size());
  std::map<std::string, std::string> all;
  for (ssize_t at = 0; at < size;) {
    const std::string name = names.c_str() + at;
    at += static_cast<ssize_t>(name.size()) + 1;
    std::string value(65536, '\0');
    const ssize_t length = lgetxattr(path.c_str(), name.c_str(), value.data(), value.size());
    REQUIRE(length >= 0);
    all[name] = value.substr(0, static_cast<std::size_t>(length));
  }
  std::string text;
  for (const auto& [name, value] : all) text += name + '=' + value + ';';
  return text;
}

// Everything that the system tells about each path, except what no restore can bring back.
std::map<std::string, std::string> describe(const std::string& root) {
  namespace fs = std::filesystem;
  std::map<std::string, std::string> tree;
  std::map<ino_t, std::string> first_names;
  std::vector<std::string> paths{root};
  for (const auto& item : fs::recursive_directory_iterator(root))
    paths.push_back(item.path().string());
  std::sort(paths.begin(), paths.end());
  for (const std::string& path : paths) {
    struct stat facts {};
    REQUIRE(lstat(path.c_str(), &facts) == 0);
    std::ostringstream text;
    text << std::oct << facts.st_mode << std::dec << ' ' << facts.st_uid << ':' << facts.st_gid
         << ' ' << facts.st_mtim.tv_sec << '.' << facts.st_mtim.tv_nsec << ' ' << xattrs_of(path);
    const std::string name = path.substr(root.size());
    if (!S_ISDIR(facts.st_mode))
      text << " link " << first_names.try_emplace(facts.st_ino, name).first->second << " of "
           << facts.st_nlink;
    if (S_ISLNK(facts.st_mode)) text << " to " << fs::read_symlink(path).string();
    if (S_ISCHR(facts.st_mode) || S_ISBLK(facts.st_mode))
      text << " device " << major(facts.st_rdev) << ':' << minor(facts.st_rdev);
    if (S_ISREG(facts.st_mode)) {
      std::ifstream in(path, std::ios::binary);
      text << " size " << facts.st_size << ' ' << in.rdbuf();
    }
    tree[name] = text.str();
  }
  return tree;
}

bool set(const std::string& path, const std::string& name, const std::string& value) {
  if (lsetxattr(path.c_str(), name.c_str(), value.data(), value.size(), 0) == 0) return true;
  WARN("this file system or user cannot set " << name << ": not checked");
  return false;
}

std::string acl(std::initializer_list<std::array<std::uint32_t, 3>> rows) {
  Writer out;  // Linux's posix_acl_xattr.h: version 2, then tag, permissions, id.
  out.u32(2);
  for (const auto& [tag, permissions, id] : rows) {
    out.u16(static_cast<std::uint16_t>(tag));
    out.u16(static_cast<std::uint16_t>(permissions));
    out.u32(id);
  }
  return std::string(as_text(out.view()));
}

}  // namespace

TEST_CASE("fidelity: a restored tree is the same to the system's own eyes", "[tree]") {
  const Scratch scratch;
  const std::string t = scratch / "t";
  make_nasty_tree(t);
  constexpr std::uint32_t kNobody = 0xffffffff;
  const std::string access = acl({{0x01, 6, kNobody},
                                  {0x02, 4, 1234},
                                  {0x04, 4, kNobody},
                                  {0x10, 4, kNobody},
                                  {0x20, 0, kNobody}});
  set(t + "/a/file", "user.comment", std::string("any\0bytes\xff", 10));
  set(t + "/a/file", "user.empty", "");
  set(t + "/a", "user.on-directory", "x");
  set(t + "/a/zero", "system.posix_acl_access", access);
  set(t + "/a.b", "system.posix_acl_default", access);
  make_file(t + '/' + std::string(255, 'n'), to_buffer("the longest name"));
  std::string deep = t;
  for (int i = 0; i < 12; ++i) {
    deep += '/' + std::string(200, static_cast<char>('a' + i));
    REQUIRE(os::make_directories(deep));
  }
  make_file(deep + "/f", noise(10, 5));
  if (geteuid() == 0) {
    Writer capability;  // Linux's capability.h: VFS_CAP_REVISION_2, cap_net_raw, effective.
    capability.u32(0x02000001);
    capability.u32(1 << 13);
    for (int i = 0; i < 3; ++i) capability.u32(0);
    set(t + "/a/b/script", "security.capability", std::string(as_text(capability.view())));
    set(t + "/a/link", "trusted.on-symlink", "x");
    REQUIRE(mknod((t + "/null").c_str(), S_IFCHR | 0620, makedev(1, 3)) == 0);
    REQUIRE(mknod((t + "/loop").c_str(), S_IFBLK | 0600, makedev(7, 300)) == 0);
    REQUIRE(lchown((t + "/null").c_str(), 100, 200) == 0);
    REQUIRE(lchown((t + "/absolute").c_str(), 300, 400) == 0);
    make_file(t + "/setuid-of-another", noise(10, 6));
    REQUIRE(chown((t + "/setuid-of-another").c_str(), 1000, 1000) == 0);
    REQUIRE(chmod((t + "/setuid-of-another").c_str(), 06711) == 0);
  }
  set_mtime(t + "/a-", -5, 1);                           // Before 1970.
  set_mtime(t + "/a/zero", 4'102'444'800, 999'999'999);  // 2100.
  for (const char* directory : {"/a", "/a.b", "/a/b", ""}) set_mtime(t + directory, 1, 2);

  const auto captured = capture(t);
  CHECK(captured.result.notes.empty());
  REQUIRE(os::make_directories(scratch / "r"));
  auto root = os::Root::open(scratch / "r");
  REQUIRE(root);
  TreeWriter writer(*root, "", captured.source(), {.set_owner = geteuid() == 0});
  for (const format::Entry& entry : captured.entries()) {
    const auto done = writer.write(entry);
    if (!done) FAIL(done.error().text());
  }
  REQUIRE(writer.finish());

  const auto before = describe(t);
  const auto after = describe(scratch / "r");
  CHECK(before.size() == after.size());
  for (const auto& [path, text] : before) {
    INFO(path);
    REQUIRE(after.contains(path));
    CHECK((after.at(path) == text));
  }
  struct stat sparse {};
  struct stat restored {};
  REQUIRE(stat((t + "/sparse").c_str(), &sparse) == 0);
  REQUIRE(stat((scratch / "r/sparse").c_str(), &restored) == 0);
  CHECK(restored.st_blocks <= sparse.st_blocks + 16);
}
