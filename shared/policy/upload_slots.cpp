#include "shared/policy/upload_slots.hpp"

#include <algorithm>

#include "shared/base/assert.hpp"

namespace lamina::policy {

UploadSlots::UploadSlots(Limits limits) : limits_(limits) {
  LAMINA_ASSERT(limits_.slots >= 1 && limits_.stall_after.count() > 0 && limits_.turn.count() > 0);
}

std::vector<UploadSlots::Action> UploadSlots::on(const Event& event, Instant now) {
  LAMINA_ASSERT(now >= last_now_);
  last_now_ = now;
  std::visit([&](const auto& e) { apply(e, now); }, event);
  make_room(now);
  fill_free_slots(now);
  check_invariants();
  return std::exchange(actions_, {});
}

Instant UploadSlots::end_of(const Device& device) const {
  return std::min(device.granted + limits_.turn, device.progress + limits_.stall_after);
}

void UploadSlots::queue(Devices::iterator device) {
  device->second.ticket = next_ticket_++;
  queue_.emplace(*device->second.ticket, device->first);
}

void UploadSlots::apply(const Asked& asked, Instant) {
  if (const auto [device, added] = devices_.try_emplace(asked.device); added) queue(device);
}

void UploadSlots::apply(const Sent& sent, Instant now) {
  const auto device = devices_.find(sent.device);
  // A block that was on its way when the slot was taken away still gets reported.
  if (device == devices_.end() || device->second.ticket) return;
  by_end_.erase({end_of(device->second), device->first});
  device->second.progress = now;
  by_end_.emplace(end_of(device->second), device->first);
}

void UploadSlots::apply(const Left& left, Instant) {
  const auto device = devices_.find(left.device);
  if (device == devices_.end()) return;
  if (device->second.ticket)
    queue_.erase(*device->second.ticket);
  else
    by_end_.erase({end_of(device->second), device->first});
  devices_.erase(device);
}

// Takes no more slots away than there are devices that waited before this event.
void UploadSlots::make_room(Instant now) {
  const std::size_t free = limits_.slots - by_end_.size();
  for (auto wanted = queue_.size(); wanted > free && !by_end_.empty(); --wanted) {
    const auto [end, id] = *by_end_.begin();
    if (end > now) return;
    by_end_.erase(by_end_.begin());
    actions_.push_back(Revoke{id});
    queue(devices_.find(id));
  }
}

void UploadSlots::fill_free_slots(Instant now) {
  while (by_end_.size() < limits_.slots && !queue_.empty()) {
    const DeviceId id = queue_.begin()->second;
    queue_.erase(queue_.begin());
    Device& device = devices_.at(id);
    device = {.ticket = std::nullopt, .granted = now, .progress = now};
    by_end_.emplace(end_of(device), id);
    actions_.push_back(Grant{id});
  }
}

std::optional<Instant> UploadSlots::next_change() const {
  if (queue_.empty() || by_end_.empty()) return std::nullopt;
  return by_end_.begin()->first;
}

bool UploadSlots::is_served(const DeviceId& device) const {
  const auto at = devices_.find(device);
  return at != devices_.end() && !at->second.ticket;
}

void UploadSlots::check_invariants() const {
  LAMINA_ASSERT(by_end_.size() <= limits_.slots);
  LAMINA_ASSERT(queue_.empty() || by_end_.size() == limits_.slots);
  LAMINA_ASSERT(queue_.size() + by_end_.size() == devices_.size());
}

}  // namespace lamina::policy
