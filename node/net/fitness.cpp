#include "node/net/fitness.hpp"

#include <sstream>

#include "shared/os/file.hpp"

namespace lamina::node {
namespace {

constexpr const char* kRecordName = "device";

}  // namespace

Fitness::Fitness(Options options, std::string cache)
    : options_(std::move(options)), cache_(std::move(cache)), eligibility_(options_.rules) {
  if (options_.record != nullptr) options_.record->begin_eligibility(kRecordName, options_.rules);
}

std::optional<policy::Unfit> Fitness::look(bool works, Instant now) {
  const auto percent = cpu_percent();  // Measured each time, so that no look spans two.
  const auto space = os::space_of(cache_);
  const policy::Eligibility::Facts facts{
      .user_allows = options_.user_allows,
      .on_battery = on_battery(),
      .metered = options_.metered,
      .wireless = wireless(),
      .cpu_percent = works ? std::nullopt : percent,
      .disk_free = space ? std::optional(space->free) : std::nullopt};
  const auto unfit = eligibility_.look(facts, now);
  if (options_.record != nullptr) options_.record->decided(kRecordName, facts, now, unfit);
  return unfit;
}

std::string Fitness::read(const std::string& path) const {
  auto text = os::read_text(options_.root + path, 1 << 16);
  if (!text) return {};
  while (!text->empty() && text->back() == '\n') text->pop_back();
  return *text;
}

// On battery: there is a supply from the mains, and none of them is on; or, where none is listed, a
// battery of the system that discharges.
std::optional<bool> Fitness::on_battery() const {
  const std::string supplies = "/sys/class/power_supply";
  const auto names = os::list_directory(options_.root + supplies);
  if (!names) return std::nullopt;
  std::optional<bool> mains, discharging;
  for (const std::string& name : *names) {
    const std::string supply = supplies + '/' + name;
    const std::string type = read(supply + "/type");
    if (read(supply + "/scope") == "Device") continue;  // A mouse's, a headset's.
    if (type == "Mains" || type == "USB")
      mains = mains.value_or(false) || read(supply + "/online") == "1";
    if (type == "Battery")
      discharging = discharging.value_or(false) || read(supply + "/status") == "Discharging";
  }
  if (mains) return !*mains && discharging.value_or(false);
  return discharging;
}

// Whether the interface of the default route is a wireless one.
std::optional<bool> Fitness::wireless() const {
  std::istringstream routes(read("/proc/net/route"));
  std::string line;
  std::getline(routes, line);  // The headings.
  while (std::getline(routes, line)) {
    std::istringstream fields(line);
    std::string interface, destination;
    fields >> interface >> destination;
    if (destination != "00000000" || interface.find('/') != std::string::npos) continue;
    return os::exists(options_.root + "/sys/class/net/" + interface + "/phy80211");
  }
  return std::nullopt;
}

std::optional<Fitness::CpuTime> Fitness::cpu_time() const {
  // "cpu  user nice system idle iowait irq softirq steal ...", in ticks (proc(5)). Guest time is
  // part of user time.
  std::istringstream in(read("/proc/stat"));
  std::string name;
  std::uint64_t user = 0, nice = 0, system = 0, idle = 0, wait = 0, irq = 0, soft = 0, steal = 0;
  in >> name >> user >> nice >> system >> idle >> wait >> irq >> soft >> steal;
  if (!in || name != "cpu") return std::nullopt;
  return CpuTime{idle + wait, user + nice + system + idle + wait + irq + soft + steal};
}

std::optional<int> Fitness::cpu_percent() {
  const auto before = std::exchange(last_cpu_, cpu_time());
  if (!before || !last_cpu_ || last_cpu_->all <= before->all) return std::nullopt;
  const std::uint64_t all = last_cpu_->all - before->all;
  const std::uint64_t idle = last_cpu_->idle > before->idle ? last_cpu_->idle - before->idle : 0;
  return static_cast<int>(100 - std::min(all, idle) * 100 / all);
}

}  // namespace lamina::node
