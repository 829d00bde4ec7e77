#include "shared/policy/eligibility.hpp"

#include "shared/base/assert.hpp"

namespace lamina::policy {

std::string_view name_of(Unfit reason) {
  switch (reason) {
    case Unfit::user: return "user-says-no";
    case Unfit::disk: return "disk-low";
    case Unfit::battery: return "on-battery";
    case Unfit::metered: return "metered-link";
    case Unfit::wireless: return "wireless-link";
    case Unfit::cpu: return "cpu-busy";
  }
  return "unknown";
}

std::optional<Unfit> Eligibility::look(const Facts& facts, Instant now) {
  LAMINA_ASSERT(now >= last_now_);
  last_now_ = now;
  weigh_cpu(facts.cpu_percent, now);
  if (!facts.user_allows) return Unfit::user;
  if (facts.disk_free && *facts.disk_free < rules_.disk_free_min) return Unfit::disk;
  if (facts.on_battery == true && !rules_.on_battery) return Unfit::battery;
  if (facts.metered == true && !rules_.on_metered) return Unfit::metered;
  if (facts.wireless == true && !rules_.on_wireless) return Unfit::wireless;
  if (cpu_busy_) return Unfit::cpu;
  return std::nullopt;
}

void Eligibility::weigh_cpu(std::optional<int> percent, Instant now) {
  const bool above = percent && *percent > rules_.cpu_percent_max;
  if (above == cpu_busy_) {
    cpu_other_since_.reset();
    return;
  }
  if (!cpu_other_since_) cpu_other_since_ = now;
  if (now - *cpu_other_since_ < rules_.cpu_patience) return;
  cpu_busy_ = above;
  cpu_other_since_.reset();
}

}  // namespace lamina::policy
