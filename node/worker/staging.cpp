#include "node/worker/staging.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

#include "shared/format/path.hpp"
#include "shared/os/errno.hpp"
#include "shared/os/user.hpp"

namespace lamina::node {

using format::Entry;
using format::EntryKind;

Staging::Staging(const os::Root& volume, os::Descriptor area)
    : volume_(volume), area_(std::move(area)), writeback_(area_.get(), volume.path()) {}

Staging::~Staging() = default;

Result<std::unique_ptr<Staging>> Staging::start(const os::Root& volume, const std::string& plan,
                                                const format::ChunkSource& source) {
  auto area = volume.open_at(std::string(kHome) + "/txn/stage", O_RDONLY | O_DIRECTORY);
  if (!area) return fail(std::move(area.error()));
  std::unique_ptr<Staging> staging(new Staging(volume, std::move(*area)));
  staging->options_ = {.set_owner = os::is_root(), .set_attributes = true};
  auto found = for_each_operation(plan, [&](const Operation& operation) -> Status {
    if (operation.kind == Operation::Kind::put && operation.entry.kind == EntryKind::hard_link)
      staging->firsts_.emplace(operation.entry.target, operation.entry.target);
    return Done{};
  });
  if (!found) return fail(std::move(found.error()));
  auto reader = OperationReader::open(plan);
  if (!reader) return fail(std::move(reader.error()));
  struct Chunks {
    OperationReader operations;
    std::vector<format::ChunkRef> of_file;
    std::size_t next = 0;
  };
  auto chunks = std::make_shared<Chunks>(Chunks{std::move(*reader), {}, 0});
  const auto next = [chunks]() -> Result<std::optional<format::ChunkRef>> {
    while (chunks->next == chunks->of_file.size()) {
      auto operation = chunks->operations.next();
      if (!operation) return fail(std::move(operation.error()));
      if (!*operation) return std::optional<format::ChunkRef>();
      chunks->of_file.clear();
      chunks->next = 0;
      if ((*operation)->kind == Operation::Kind::put)
        chunks->of_file = std::move((*operation)->entry.chunks);
    }
    return std::optional(chunks->of_file[chunks->next++]);
  };
  staging->chunks_ = std::make_unique<ReadAhead>(next, source);
  return staging;
}

std::string Staging::name_of(const Operation& operation) {
  return operation.is_within_top() ? os::last_component(operation.entry.path)
                                   : std::to_string(operation.number);
}

int Staging::parent_of(const Operation& operation) const {
  return operation.is_within_top() ? open_.back().fd.get() : area_.get();
}

Status Staging::add(Operation& operation) {
  if (!operation.is_staged()) return Done{};
  const Entry& entry = operation.entry;
  if (auto done = leave_directories(entry.path); !done) return done;
  const int parent = parent_of(operation);
  const std::string name = name_of(operation);
  auto made = entry.kind == EntryKind::hard_link
                  ? link(parent, name, entry, firsts_.at(entry.target))
                  : make_entry(parent, name, entry, chunks_->source(), options_);
  if (!made) return made;
  struct stat facts {};
  if (fstatat(parent, name.c_str(), &facts, AT_SYMLINK_NOFOLLOW) != 0)
    return fail(os::last_error("staging '" + printable(entry.path, 200) + "'"));
  operation.inode = facts.st_ino;
  writeback_.wrote(static_cast<std::uint64_t>(facts.st_blocks) * 512);
  if (const auto first = firsts_.find(entry.path); first != firsts_.end())
    first->second = operation.staged();
  if (operation.kind == Operation::Kind::put) return Done{};
  os::Descriptor directory(
      openat(parent, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!directory.is_open())
    return fail(os::last_error("staging '" + printable(entry.path, 200) + "'"));
  open_.push_back({operation, std::move(directory)});
  return Done{};
}

// A directory is complete, and gets its times, once all that lies beneath it is there.
Status Staging::leave_directories(std::string_view next_path) {
  while (!open_.empty() && !format::is_within(next_path, open_.back().operation.entry.path)) {
    const Directory left = std::move(open_.back());
    open_.pop_back();
    auto done = set_metadata(parent_of(left.operation), name_of(left.operation),
                             left.operation.entry, options_);
    if (!done) return done;
  }
  return Done{};
}

Status Staging::finish() {
  // No path is within nothing: "/" leaves all of them.
  if (auto done = leave_directories("/"); !done) return done;
  return writeback_.finish();
}

// Makes `name` another name of what stands at `first` of the volume.
Status Staging::link(int parent, const std::string& name, const Entry& entry,
                     const std::string& first) const {
  auto from = volume_.open_parent(first);
  if (from && linkat(from->get(), os::last_component(first).c_str(), parent, name.c_str(), 0) == 0)
    return Done{};
  if (!from) return fail(std::move(from.error()));
  const bool missing = errno == ENOENT;
  Error error = os::last_error("linking '" + printable(entry.path, 200) + "' to '" +
                               printable(entry.target, 200) + "'");
  if (!missing) return fail(std::move(error));
  return fail(ErrorKind::refused,
              error.text() +
                  ": it was removed on this device. Put it back, or take the link out "
                  "of the layers");
}

}  // namespace lamina::node
