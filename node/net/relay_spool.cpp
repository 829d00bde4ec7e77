#include "node/net/relay_spool.hpp"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>

#include "shared/base/log.hpp"
#include "shared/os/file.hpp"
#include "shared/wire/protocol.hpp"

namespace lamina::node {
namespace {

std::string digits(std::uint64_t number, int count) {
  std::string text(static_cast<std::size_t>(count), '0');
  for (std::size_t i = text.size(); i-- > 0; number >>= 4)
    text[i] = "0123456789abcdef"[number & 15];
  return text;
}

std::string name_of(const format::ParcelHead& head) {
  return digits(head.sequence, 16) + '-' + digits(head.number, 8) + '-' +
         format::parcel_id(head).hex();
}

std::string path_of(const std::string& spool, const format::ParcelHead& head) {
  return spool + '/' + head.device.hex() + '/' + name_of(head);
}

Result<format::ParsedParcel> read_front(int file, const std::string& path) {
  auto front = os::read_up_to(file, format::kParcelFrontMax, path);
  if (!front) return fail(std::move(front.error()));
  return format::parse_parcel(*front);
}

}  // namespace

Result<format::ParcelHead> check_parcel(const std::string& path, const format::ParcelId& id,
                                        const DeviceId& from) {
  auto file = os::open_read(path);
  if (!file) return fail(std::move(file.error()));
  auto parsed = read_front(file->get(), path);
  if (!parsed) return fail(std::move(parsed.error()));
  const format::ParcelHead& head = parsed->front.head;
  if (head.device != from)
    return fail(ErrorKind::refused, "the parcel is of device " + head.device.short_hex() +
                                        " and was sent by device " + from.short_hex());
  if (format::parcel_id(head) != id)
    return fail(ErrorKind::invalid, "the parcel has another id than the request says");
  auto size = os::file_size(file->get(), path);
  if (!size) return fail(std::move(size.error()));
  if (*size != parsed->size + head.box_size)
    return fail(ErrorKind::corrupt, "the parcel is not as long as its head says");
  Sha256 hasher;
  constexpr std::size_t kStep = 256 * 1024;
  for (std::uint64_t at = parsed->size; at < *size; at += kStep) {
    auto bytes = os::read_at(file->get(), at, std::min<std::uint64_t>(kStep, *size - at), path);
    if (!bytes) return fail(std::move(bytes.error()));
    hasher.update(*bytes);
  }
  if (hasher.finish() != head.box_digest)
    return fail(ErrorKind::corrupt, "the parcel's box is not the one that its head names");
  return head;
}

Status store_parcel(const std::string& path, const std::string& spool,
                    const format::ParcelHead& head) {
  const std::string directory = spool + '/' + head.device.hex();
  const bool is_new = !os::exists(directory);
  if (auto done = os::make_directories(directory, 0700); !done) return done;
  auto file = os::open_read(path);
  if (!file) return fail(std::move(file.error()));
  if (auto done = os::sync_data(file->get(), path); !done) return done;
  if (auto done = os::rename_file(path, path_of(spool, head)); !done) return done;
  if (auto done = os::sync_directory(directory); !done) return done;
  return is_new ? os::sync_directory(spool) : Status(Done{});
}

Result<RelaySpool> RelaySpool::open(std::string directory, Limits limits, Instant now,
                                    WallTime wall) {
  RelaySpool spool(std::move(directory), limits);
  if (auto done = os::remove_tree(spool.incoming()); !done) return fail(std::move(done.error()));
  if (auto done = os::make_directories(spool.incoming(), 0700); !done)
    return fail(std::move(done.error()));
  auto devices = os::list_directory(spool.directory_);
  if (!devices) return fail(std::move(devices.error()));
  for (const std::string& name : *devices) {
    const auto device = DeviceId::parse(name);
    if (!device) continue;
    auto names = os::list_directory(spool.directory_ + '/' + name);
    if (!names) return fail(std::move(names.error()));
    for (const std::string& parcel : *names) {
      const std::string path = spool.directory_ + '/' + name + '/' + parcel;
      auto file = os::open_read(path);
      if (!file) return fail(std::move(file.error()));
      const auto parsed = read_front(file->get(), path);
      struct stat facts {};
      // What does not belong here was never answered for.
      if (!parsed || parsed->front.head.device != *device ||
          name_of(parsed->front.head) != parcel || ::fstat(file->get(), &facts) != 0)
        continue;
      const WallTime written{facts.st_mtim.tv_sec * 1'000'000'000 + facts.st_mtim.tv_nsec};
      const Duration age{std::max<std::int64_t>(0, wall.ns - written.ns)};
      spool.used_[*device].size += Bytes{facts.st_size};
      ++spool.used_[*device].parcels;
      spool.total_ += Bytes{facts.st_size};
      spool.added(parsed->front.head, Bytes{facts.st_size}, now - age);
    }
  }
  return spool;
}

Status RelaySpool::check_room(const DeviceId& device, Bytes size) const {
  const Used used = used_.contains(device) ? used_.at(device) : Used{};
  if (used.size + size > limits_.device_max || used.parcels >= limits_.device_parcels_max)
    return fail(ErrorKind::out_of_space,
                "this relay holds at most " + to_text(limits_.device_max) + " for one device");
  if (total_ + size > limits_.total_max)
    return fail(ErrorKind::out_of_space,
                "this relay holds at most " + to_text(limits_.total_max) + " in all");
  const auto space = os::space_of(directory_);
  if (!space) return fail(space.error());
  if (space->free < size + limits_.space_reserve)
    return fail(ErrorKind::out_of_space,
                "the disk of this relay has " + to_text(space->free) + " left");
  return Done{};
}

Status RelaySpool::reserve(const DeviceId& device, Bytes size) {
  if (auto room = check_room(device, size); !room) return room;
  used_[device].size += size;
  ++used_[device].parcels;
  total_ += size;
  return Done{};
}

void RelaySpool::released(const DeviceId& device, Bytes size) {
  total_ = total_ - size;
  const auto used = used_.find(device);
  used->second.size = used->second.size - size;
  if (--used->second.parcels == 0) used_.erase(used);
}

void RelaySpool::added(const format::ParcelHead& head, Bytes size, Instant now) {
  const auto id = format::parcel_id(head);
  held_[Key{head.device, head.sequence, head.number, id}] = {id, head, size, now,
                                                             path_of(directory_, head)};
}

std::map<RelaySpool::Key, RelaySpool::Held>::const_iterator RelaySpool::find(
    const format::ParcelId& id) const {
  return std::ranges::find_if(held_, [&](const auto& entry) { return entry.first.id == id; });
}

bool RelaySpool::has(const format::ParcelId& id) const { return find(id) != held_.end(); }

std::optional<RelaySpool::Held> RelaySpool::next() const {
  const Held* best = nullptr;
  DeviceId last;
  for (const auto& [key, held] : held_) {
    if (key.device == last) continue;  // Only the first of each device.
    last = key.device;
    if (best == nullptr || held.taken < best->taken) best = &held;
  }
  return best == nullptr ? std::nullopt : std::optional(*best);
}

Status RelaySpool::remove(const format::ParcelId& id) {
  const auto found = find(id);
  if (found == held_.end()) return Done{};
  const Held held = found->second;
  held_.erase(found);
  released(held.head.device, held.size);
  auto done = os::remove_file(held.path);
  return !done && done.error().kind() == ErrorKind::not_found ? Status(Done{}) : done;
}

std::size_t RelaySpool::expire(Instant now) {
  std::vector<format::ParcelId> old;
  for (const auto& [key, held] : held_)
    if (now - held.taken >= limits_.keep) old.push_back(key.id);
  for (const format::ParcelId& id : old)
    if (auto done = remove(id); !done)
      log::warning("parcel_not_removed", {{"error", done.error().text()}});
  return old.size();
}

std::vector<wire::RelayedSnapshot> RelaySpool::snapshots(Instant now) const {
  std::vector<wire::RelayedSnapshot> list;
  Bytes before;  // Of the same device and earlier: they go first.
  DeviceId device;
  for (const auto& [key, held] : held_) {
    if (key.device != device) before = {};
    device = key.device;
    before += held.size;
    if (held.head.kind == format::ParcelKind::snapshot && list.size() < wire::kRelayedMax)
      list.push_back({key.device, held.head.snapshot, key.sequence, before.count,
                      (now - held.taken).count() / 1'000'000});
  }
  return list;
}

}  // namespace lamina::node
