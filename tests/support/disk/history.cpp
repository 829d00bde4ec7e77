#include <fcntl.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <set>
#include <stdexcept>

#include "tests/support/disk/disk_log.hpp"

namespace lamina::tests::disk {
namespace {

using Kind = Operation::Kind;

constexpr std::size_t kSector = 512;
constexpr std::size_t kPage = 4096;
constexpr std::size_t kNever = SIZE_MAX;

// Chance that can be had again: SplitMix64 (Steele et al., OOPSLA 2014).
class Chance {
 public:
  explicit Chance(std::uint64_t seed) : state_(seed) {}
  std::uint64_t next() {
    std::uint64_t z = (state_ += 0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
  }
  bool percent(unsigned share) { return next() % 100 < share; }

 private:
  std::uint64_t state_;
};

bool is_of_names(const Operation& operation) {
  switch (operation.kind) {
    case Kind::name:
    case Kind::unname:
    case Kind::rename:
    case Kind::exchange: return true;
    default: return false;
  }
}
bool is_of_content(const Operation& operation) {
  return operation.kind == Kind::write || operation.kind == Kind::resize ||
         operation.kind == Kind::metadata;
}
std::vector<Node> directories_of(const Operation& operation) {
  if (operation.kind == Kind::rename || operation.kind == Kind::exchange)
    return {operation.directory, operation.to_directory};
  return {operation.directory};
}

void put_bytes(Buffer& content, std::uint64_t offset, ByteView bytes) {
  if (content.size() < offset + bytes.size()) content.resize(offset + bytes.size());
  std::ranges::copy(bytes, content.begin() + static_cast<std::ptrdiff_t>(offset));
}

void carry_out(const Operation& operation, Image& image) {
  auto& files = image.files;
  const auto put = [](auto& names, const std::string& name, Node node) { names[name] = node; };
  switch (operation.kind) {
    case Kind::write:
      put_bytes(files[operation.node].bytes, operation.offset, operation.bytes);
      break;
    case Kind::resize: files[operation.node].bytes.resize(operation.offset); break;
    case Kind::metadata: files[operation.node].metadata = operation.metadata; break;
    case Kind::name: put(files[operation.directory].names, operation.name, operation.node); break;
    case Kind::unname: files[operation.directory].names.erase(operation.name); break;
    case Kind::rename: {
      auto moved = files[operation.directory].names.extract(operation.name);
      if (!moved) throw std::logic_error("a rename of nothing: " + to_text(operation));
      put(files[operation.to_directory].names, operation.to_name, moved.mapped());
      break;
    }
    case Kind::exchange:
      std::swap(files[operation.directory].names.at(operation.name),
                files[operation.to_directory].names.at(operation.to_name));
      break;
    case Kind::sync:
    case Kind::sync_failed:
    case Kind::sync_all:
    case Kind::nothing: break;
  }
}

// What of a write that was not durable is on the disk.
void carry_out_torn(const Operation& write, Image::File& file, unsigned kept_percent,
                    Chance& chance) {
  const std::size_t piece = chance.percent(50) ? kSector : kPage;
  if (chance.percent(kept_percent) && file.bytes.size() < write.offset + write.bytes.size())
    file.bytes.resize(write.offset + write.bytes.size());
  ByteView rest(write.bytes);
  std::uint64_t offset = write.offset;
  while (!rest.empty()) {
    const std::size_t take = std::min<std::size_t>(rest.size(), piece - offset % piece);
    if (chance.percent(kept_percent)) put_bytes(file.bytes, offset, rest.first(take));
    rest = rest.subspan(take);
    offset += take;
  }
}

const char* name_of(Kind kind) {
  switch (kind) {
    case Kind::write: return "write";
    case Kind::resize: return "resize";
    case Kind::metadata: return "metadata";
    case Kind::name: return "name";
    case Kind::unname: return "unname";
    case Kind::rename: return "rename";
    case Kind::exchange: return "exchange";
    case Kind::sync: return "sync";
    case Kind::sync_failed: return "sync that failed";
    case Kind::sync_all: return "sync of all";
    case Kind::nothing: return "nothing";
  }
  return "?";
}

Image begun(const History& history) {
  Image image = history.start;
  for (std::size_t node = image.files.size(); node < history.nodes.size(); ++node)
    image.files.push_back({.bytes = {}, .metadata = history.nodes[node].metadata, .names = {}});
  return image;
}

void must(bool done, const std::string& what) {
  if (!done) throw std::runtime_error("writing out " + what + " failed");
}

class WriteOut {
 public:
  WriteOut(const std::vector<NodeFacts>& nodes, const Image& image)
      : nodes_(nodes), image_(image) {}

  void directory(Node node, const std::string& path) {
    must(mkdir(path.c_str(), 0700) == 0, path);
    for (const auto& [name, child] : image_.files[node].names) {
      const std::string at = path + '/' + name;
      if (S_ISDIR(nodes_[child].type))
        directory(child, at);
      else if (const auto [first, is_new] = firsts_.emplace(child, at); is_new)
        file(child, at);
      else
        must(link(first->second.c_str(), at.c_str()) == 0, at);
    }
    metadata(node, path);
  }

 private:
  void file(Node node, const std::string& path) {
    const NodeFacts& facts = nodes_[node];
    if (S_ISLNK(facts.type))
      must(symlink(facts.target.c_str(), path.c_str()) == 0, path);
    else if (S_ISREG(facts.type))
      content(image_.files[node].bytes, path);
    else
      must(mknod(path.c_str(), facts.type | 0600, facts.device) == 0, path);
    metadata(node, path);
  }
  static void content(const Buffer& bytes, const std::string& path) {
    const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    must(fd >= 0, path);
    bool done = ftruncate(fd, static_cast<off_t>(bytes.size())) == 0;
    // Pages of zeros stay holes.
    const auto is_hole = [&](std::size_t at) {
      const auto page = ByteView(bytes).subspan(at, std::min(kPage, bytes.size() - at));
      return std::ranges::all_of(page, [](std::byte b) { return b == std::byte{}; });
    };
    for (std::size_t at = 0; done && at < bytes.size();) {
      std::size_t end = at;
      while (end < bytes.size() && !is_hole(end)) end += kPage;
      end = std::min(end, bytes.size());
      done = pwrite(fd, bytes.data() + at, end - at, static_cast<off_t>(at)) ==
             static_cast<ssize_t>(end - at);
      at = end == at ? at + kPage : end;
    }
    close(fd);
    must(done, path);
  }
  void metadata(Node node, const std::string& path) const {
    const Metadata& facts = image_.files[node].metadata;
    if (geteuid() == 0) must(lchown(path.c_str(), facts.uid, facts.gid) == 0, path);
    if (!S_ISLNK(nodes_[node].type)) must(chmod(path.c_str(), facts.mode) == 0, path);
    for (const auto& [name, value] : facts.attributes)
      must(lsetxattr(path.c_str(), name.c_str(), value.data(), value.size(), 0) == 0, path);
    const timespec times[2] = {{.tv_sec = 0, .tv_nsec = UTIME_OMIT}, facts.mtime};
    must(utimensat(AT_FDCWD, path.c_str(), times, AT_SYMLINK_NOFOLLOW) == 0, path);
  }

  const std::vector<NodeFacts>& nodes_;
  const Image& image_;
  std::map<Node, std::string> firsts_;
};

}  // namespace

std::string to_text(const Operation& operation) {
  std::string text = std::string(name_of(operation.kind)) + ' ' + operation.path;
  if (operation.kind == Kind::rename || operation.kind == Kind::exchange)
    text += " and " + operation.to_name;
  if (operation.kind == Kind::write)
    text += " at " + std::to_string(operation.offset) + ", " +
            std::to_string(operation.bytes.size()) + " bytes" +
            (operation.is_through ? ", through" : "");
  if (operation.kind == Kind::resize) text += " to " + std::to_string(operation.offset);
  return text;
}

Image History::killed_after(std::size_t count) const {
  Image image = begun(*this);
  for (std::size_t i = 0; i < count; ++i) carry_out(operations[i], image);
  return image;
}

// Of each operation the number of the one that makes it durable.
const std::vector<std::size_t>& History::durable_by() const {
  if (durable_by_.size() == operations.size()) return durable_by_;
  durable_by_.assign(operations.size(), kNever);
  std::set<std::size_t> pending;
  for (std::size_t i = 0; i < operations.size(); ++i) {
    const Operation& operation = operations[i];
    if (operation.is_through) {
      durable_by_[i] = i;
    } else if (is_of_content(operation) || is_of_names(operation)) {
      pending.insert(i);
    } else if (operation.kind == Kind::sync_all) {
      for (const std::size_t one : pending) durable_by_[one] = i;
      pending.clear();
    } else if (operation.kind == Kind::sync || operation.kind == Kind::sync_failed) {
      // Backwards: with what a directory's change depends on in another one.
      std::set<Node> directories{operation.node};
      for (auto at = pending.end(); at != pending.begin();) {
        const Operation& earlier = operations[*--at];
        bool is_its = is_of_content(earlier) && earlier.node == operation.node;
        if (is_of_names(earlier)) {
          const auto touched = directories_of(earlier);
          is_its =
              std::ranges::any_of(touched, [&](Node one) { return directories.contains(one); });
          if (is_its) directories.insert(touched.begin(), touched.end());
        }
        if (!is_its) continue;
        if (operation.kind == Kind::sync) durable_by_[*at] = i;
        at = pending.erase(at);
      }
    }
  }
  return durable_by_;
}

Image History::power_failed_after(std::size_t count, std::uint64_t seed) const {
  const auto& durable = durable_by();
  Chance chance(seed * 0x5851f42d4c957f2d + count);
  constexpr unsigned kShares[] = {0, 30, 70, 95, 100};
  const unsigned names_kept = seed == 0 ? 0 : seed == 1 ? 100 : kShares[chance.next() % 5];
  const unsigned content_kept = seed < 2 ? 0 : kShares[chance.next() % 5];
  Image image = begun(*this);
  std::set<Node> behind;  // Directories of which something is lost: all later is too.
  // A write that is durable when it returns may have been under way.
  const bool is_under_way = count < operations.size() && operations[count].is_through;
  for (std::size_t i = 0; i < count + (is_under_way ? 1 : 0); ++i) {
    const Operation& operation = operations[i];
    const bool is_durable = durable[i] < count;
    if (is_of_names(operation)) {
      const auto touched = directories_of(operation);
      const bool is_behind =
          std::ranges::any_of(touched, [&](Node one) { return behind.contains(one); });
      if (is_durable || (!is_behind && chance.percent(names_kept)))
        carry_out(operation, image);
      else
        behind.insert(touched.begin(), touched.end());
    } else if (is_of_content(operation)) {
      if (is_durable)
        carry_out(operation, image);
      else if (operation.kind == Kind::write)
        carry_out_torn(operation, image.files[operation.node], content_kept, chance);
      else if (chance.percent(content_kept))
        carry_out(operation, image);
    }
  }
  return image;
}

void History::write_out(const Image& image, const std::string& directory) const {
  WriteOut(nodes, image).directory(0, directory);
}

History History::without_syncs(const Chosen& chosen) const {
  std::vector<Operation> others = operations;
  for (Operation& operation : others) {
    if (!chosen(operation)) continue;
    // Something stays in its place: what was acknowledged when is told by numbers of operations.
    if (operation.kind == Kind::sync || operation.kind == Kind::sync_all)
      operation.kind = Kind::nothing;
    operation.is_through = false;
  }
  return {nodes, start, std::move(others)};
}

History History::delayed(const Chosen& chosen, const Chosen& first) const {
  std::vector<Operation> others;
  std::vector<Operation> late;
  const auto catch_up = [&] {
    std::ranges::move(late, std::back_inserter(others));
    late.clear();
  };
  for (const Operation& operation : operations) {
    if (chosen(operation)) {
      late.push_back(operation);
      continue;
    }
    others.push_back(operation);
    const bool is_sync = operation.kind == Kind::sync || operation.is_through;
    if (is_sync && first(operation)) catch_up();
  }
  catch_up();
  return {nodes, start, std::move(others)};
}

}  // namespace lamina::tests::disk
