#include "origin/capacity.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <iomanip>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>

#include "origin/catalog/catalog.hpp"
#include "origin/catalog/kv_table.hpp"
#include "shared/os/clock.hpp"
#include "shared/os/errno.hpp"
#include "shared/os/file.hpp"
#include "shared/store/pack_files.hpp"

namespace lamina::origin {
namespace {

constexpr std::size_t kOwnersShown = 10;
constexpr std::int64_t kDayNs = std::int64_t{24} * 3600 * 1'000'000'000;

// Of all files beneath, as the disk counts them. What goes away meanwhile counts nothing.
Result<Bytes> size_beneath(const std::string& directory) {
  Bytes total;
  std::error_code error;
  auto at = std::filesystem::recursive_directory_iterator(directory, error);
  for (; !error && at != std::filesystem::recursive_directory_iterator(); at.increment(error)) {
    struct stat facts {};
    if (lstat(at->path().c_str(), &facts) == 0)
      total += Bytes{static_cast<std::int64_t>(facts.st_blocks) * 512};
  }
  if (error && error != std::errc::no_such_file_or_directory)
    return fail(ErrorKind::unavailable, printable(directory) + ": " + error.message());
  return total;
}

// A layer or a device: what it needs of the packs.
struct Owner {
  std::string name;
  Bytes unique;  // Nobody else needs it.
  Bytes shared;
};

struct StoredChunk {
  ChunkId id;
  std::uint64_t stored = 0;  // Its part of the coded frames that hold it.
  std::uint32_t owner = 0;   // Number of the one that needs it, from 1 on; 0: nobody.
  bool is_shared = false;
};

class Capacity {
 public:
  Capacity(const DataDirectory& data, WallTime now) : data_(data), now_(now) {}

  Status look(lamina::cli::Progress& progress);
  void print(std::ostream& out) const;
  void print_json(std::ostream& out) const;

 private:
  Status look_at_packs(const std::string& directory, lamina::cli::Progress& progress);
  Status look_at_needs(const Catalog& catalog);
  Status look_at_spaces();
  Status each_need(const Catalog& catalog,
                   const std::function<void(StoredChunk&, std::uint32_t)>& visit);
  std::uint32_t owner(const Catalog::ChunkNeed& need);
  Bytes total() const;

  const DataDirectory& data_;
  WallTime now_;
  std::vector<std::pair<std::string, Bytes>> spaces_;
  std::vector<Arrival> arrivals_;
  std::vector<StoredChunk> chunks_;
  std::vector<Owner> owners_;
  std::map<LayerId, std::uint32_t> layers_;
  std::map<DeviceId, std::uint32_t> devices_;
  Bytes unneeded_;  // Of chunks in packs.
  os::Space disk_;
  std::optional<double> growth_;
  std::optional<double> days_left_;
};

Status Capacity::look_at_packs(const std::string& directory, lamina::cli::Progress& progress) {
  if (!os::exists(directory + "/packs")) return Done{};
  auto files = PackFiles::open(directory, PackFiles::Access::read);
  if (!files) return fail(std::move(files.error()));
  auto ids = files->list();
  if (!ids) return fail(std::move(ids.error()));
  std::int64_t count = 0;
  for (const PackId& id : *ids) {
    progress.show(Bytes{count++}, Bytes{static_cast<std::int64_t>(ids->size())},
                  os::system_clock().now());
    struct stat facts {};
    if (stat(files->path_of(id).c_str(), &facts) != 0) continue;  // Set aside meanwhile.
    arrivals_.push_back(
        {WallTime{facts.st_mtim.tv_sec * std::int64_t{1'000'000'000} + facts.st_mtim.tv_nsec},
         Bytes{static_cast<std::int64_t>(facts.st_size)}});
    auto pack = files->read(id);
    if (!pack && !files->has(id)) continue;
    if (!pack)
      return fail(std::move(pack.error()).in("`lamina-origin check` says what it touches"));
    for (const format::Frame& frame : pack->index().frames)
      for (const format::ChunkRef& chunk : frame.chunks)
        chunks_.push_back({.id = chunk.id,
                           .stored = frame.plain_size == 0 ? 0
                                                           : std::uint64_t{frame.coded_size} *
                                                                 chunk.length / frame.plain_size});
  }
  return Done{};
}

// 0: it is nobody that the catalogue knows.
std::uint32_t Capacity::owner(const Catalog::ChunkNeed& need) {
  if (need.layer) {
    const auto at = layers_.find(*need.layer);
    return at == layers_.end() ? 0 : at->second;
  }
  const auto at = devices_.find(*need.device);
  return at == devices_.end() ? 0 : at->second;
}

Status Capacity::each_need(const Catalog& catalog,
                           const std::function<void(StoredChunk&, std::uint32_t)>& visit) {
  return catalog.for_each_need([&](const Catalog::ChunkNeed& need) {
    const auto at = std::ranges::lower_bound(chunks_, need.chunk, {}, &StoredChunk::id);
    const std::uint32_t who = owner(need);
    if (who != 0 && at != chunks_.end() && at->id == need.chunk) visit(*at, who);
  });
}

Status Capacity::look_at_needs(const Catalog& catalog) {
  std::ranges::sort(chunks_, {}, &StoredChunk::id);
  // One that lies in several packs takes the space of all of them.
  std::size_t kept = 0;
  for (const StoredChunk& chunk : chunks_)
    if (kept > 0 && chunks_[kept - 1].id == chunk.id)
      chunks_[kept - 1].stored += chunk.stored;
    else
      chunks_[kept++] = chunk;
  chunks_.resize(kept);
  auto layers = catalog.layers();
  if (!layers) return fail(std::move(layers.error()));
  const auto add = [&](const std::string& name) {
    owners_.push_back({name, {}, {}});
    return static_cast<std::uint32_t>(owners_.size());
  };
  for (const wire::LayerInfo& layer : *layers)
    layers_[layer.id] = add(layer.name + ':' + layer.version);
  auto devices = catalog.devices();
  if (!devices) return fail(std::move(devices.error()));
  for (const wire::DeviceInfo& device : *devices)
    devices_[device.id] =
        add(device.host_name.empty() ? device.id.hex() : device.host_name + ' ' + device.id.hex());
  auto marked = each_need(catalog, [](StoredChunk& chunk, std::uint32_t who) {
    chunk.is_shared = chunk.is_shared || (chunk.owner != 0 && chunk.owner != who);
    chunk.owner = who;
  });
  if (!marked) return marked;
  for (const StoredChunk& chunk : chunks_)
    if (chunk.owner == 0) unneeded_ += Bytes{static_cast<std::int64_t>(chunk.stored)};
  return each_need(catalog, [&](StoredChunk& chunk, std::uint32_t who) {
    Owner& of = owners_[who - 1];
    (chunk.is_shared ? of.shared : of.unique) += Bytes{static_cast<std::int64_t>(chunk.stored)};
  });
}

Status Capacity::look_at_spaces() {
  const std::pair<const char*, std::vector<const char*>> spaces[] = {
      {"layers", {"/layers/packs"}},
      {"cvd", {"/cvd/packs"}},
      {"block_hashes", {"/layers/trees", "/cvd/trees"}},
      {"index", {"/layers/index", "/cvd/index"}},
      {"records", {"/objects", "/torrents"}},
      {"catalogue", {"/catalog"}},
      {"journal", {"/journal"}},
      {"unsound", {"/layers/unsound", "/cvd/unsound"}},
      {"temporary", {"/tmp"}}};
  for (const auto& [name, directories] : spaces) {
    spaces_.push_back({name, {}});
    for (const char* directory : directories) {
      auto size = size_beneath(data_.root() + directory);
      if (!size) return fail(std::move(size.error()));
      spaces_.back().second += *size;
    }
  }
  return Done{};
}

Status Capacity::look(lamina::cli::Progress& progress) {
  for (const std::string& directory : {data_.layers(), data_.cvds()})
    if (auto done = look_at_packs(directory, progress); !done) return done;
  progress.clear();
  if (auto has = check_has_catalogue(data_); !has) return has;
  auto kv = Kv::open(data_.catalog());
  if (!kv) return fail(std::move(kv.error()));
  KvTable table(**kv);
  const Catalog catalog(table);
  if (auto done = look_at_needs(catalog); !done) return done;
  auto collections = catalog.collections();
  if (!collections) return fail(std::move(collections.error()));
  for (const Catalog::CollectionNote& one : *collections)
    if (one.removed.count > 0) arrivals_.push_back({one.at, Bytes{-one.removed.count}});
  if (auto done = look_at_spaces(); !done) return done;
  auto disk = os::space_of(data_.root());
  if (!disk) return fail(std::move(disk.error()));
  disk_ = *disk;
  growth_ = growth_a_day(arrivals_, now_);
  if (growth_ && *growth_ >= 1) days_left_ = static_cast<double>(disk_.free.count) / *growth_;
  return Done{};
}

Bytes Capacity::total() const {
  Bytes total;
  for (const auto& [name, size] : spaces_) total += size;
  return total;
}

void Capacity::print(std::ostream& out) const {
  const auto row = [&](const std::string& name, const std::string& text) {
    out << std::left << std::setw(14) << name << text << '\n';
  };
  for (const auto& [name, size] : spaces_) row(name, to_text(size));
  row("together", to_text(total()));
  row("disk", to_text(disk_.free) + " of " + to_text(disk_.total) + " free");
  if (unneeded_.count > 0) row("needed by none", to_text(unneeded_) + " of what lies in packs");
  if (growth_)
    row("growth", (*growth_ < 0 ? "-" : "") +
                      to_text(Bytes{static_cast<std::int64_t>(std::abs(*growth_))}) + " a day");
  else
    row("growth", "not known before packs of " + std::to_string(kGrowthDaysMin) + " days are here");
  if (days_left_) {
    std::ostringstream days;
    days << "in " << std::fixed << std::setprecision(0) << *days_left_ << " days";
    row("full", days.str());
  } else if (growth_) {
    row("full", "not while it does not grow");
  }
  std::vector<Owner> largest = owners_;
  std::ranges::stable_sort(largest, std::greater(),
                           [](const Owner& o) { return (o.unique + o.shared).count; });
  out << '\n';
  for (std::size_t i = 0; i < largest.size() && i < kOwnersShown; ++i)
    out << std::right << std::setw(12) << to_text(largest[i].unique) << " of its own, "
        << std::setw(10) << to_text(largest[i].shared) << " shared  " << printable(largest[i].name)
        << '\n';
  if (largest.size() > kOwnersShown)
    out << "and " << largest.size() - kOwnersShown << " more: --json lists all\n";
}

void Capacity::print_json(std::ostream& out) const {
  nlohmann::json spaces = nlohmann::json::object();
  for (const auto& [name, size] : spaces_) spaces[name] = size.count;
  const auto list = [&](const auto& numbers) {
    nlohmann::json all = nlohmann::json::array();
    for (const auto& [id, number] : numbers) {
      const Owner& owner = owners_[number - 1];
      all.push_back({{"id", id.hex()},
                     {"name", owner.name},
                     {"unique_bytes", owner.unique.count},
                     {"shared_bytes", owner.shared.count}});
    }
    return all;
  };
  nlohmann::json capacity{{"spaces", spaces},
                          {"bytes", total().count},
                          {"unneeded_bytes", unneeded_.count},
                          {"disk_free_bytes", disk_.free.count},
                          {"disk_size_bytes", disk_.total.count},
                          {"layers", list(layers_)},
                          {"devices", list(devices_)}};
  if (growth_) capacity["growth_bytes_a_day"] = static_cast<std::int64_t>(*growth_);
  if (days_left_) capacity["days_until_full"] = *days_left_;
  out << nlohmann::json{{"capacity", capacity}}.dump(-1, ' ', false,
                                                     nlohmann::json::error_handler_t::replace)
      << '\n';
}

}  // namespace

std::optional<double> growth_a_day(const std::vector<Arrival>& arrivals, WallTime now) {
  if (arrivals.empty()) return std::nullopt;
  const auto first = std::ranges::min_element(arrivals, {}, &Arrival::at)->at;
  const std::int64_t days = std::min<std::int64_t>((now.ns - first.ns) / kDayNs + 1, kGrowthDays);
  if (now.ns < first.ns || days < kGrowthDaysMin) return std::nullopt;
  // Of day d, which ends `days - 1 - d` days before now.
  std::vector<double> sums(static_cast<std::size_t>(days), 0.0);
  for (const Arrival& arrival : arrivals) {
    const std::int64_t ago = std::max<std::int64_t>((now.ns - arrival.at.ns) / kDayNs, 0);
    // What is older than the first day is in every sum.
    const std::int64_t day = std::max<std::int64_t>(days - 1 - ago, 0);
    const auto size = static_cast<double>(arrival.size.count);
    sums[static_cast<std::size_t>(day)] += size;
    if (size < 0) sums[0] -= size;
  }
  for (std::size_t d = 1; d < sums.size(); ++d) sums[d] += sums[d - 1];
  double mean_day = 0, mean_sum = 0;
  for (std::size_t d = 0; d < sums.size(); ++d) {
    mean_day += static_cast<double>(d) / static_cast<double>(days);
    mean_sum += sums[d] / static_cast<double>(days);
  }
  double together = 0, square = 0;
  for (std::size_t d = 0; d < sums.size(); ++d) {
    const double x = static_cast<double>(d) - mean_day;
    together += x * (sums[d] - mean_sum);
    square += x * x;
  }
  return together / square;
}

Status run_capacity(const DataDirectory& data, bool as_json, WallTime now, std::ostream& out,
                    lamina::cli::Progress& progress) {
  if (auto is = check_is_origin(data); !is) return is;
  auto still = hold_still(data);
  if (!still) return fail(std::move(still.error()));
  Capacity capacity(data, now);
  if (auto done = capacity.look(progress); !done) return done;
  if (as_json)
    capacity.print_json(out);
  else
    capacity.print(out);
  return Done{};
}

}  // namespace lamina::origin
