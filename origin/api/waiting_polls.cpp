#include "origin/api/waiting_polls.hpp"

namespace lamina::origin {
namespace {

// The numbers beside `key`, from the index's first entry of that key on.
template <class Key>
std::set<WaitingPolls::Number> numbers(const std::set<std::pair<Key, WaitingPolls::Number>>& index,
                                       const Key& key) {
  std::set<WaitingPolls::Number> found;
  for (auto at = index.lower_bound({key, 0}); at != index.end() && at->first == key; ++at)
    found.insert(at->second);
  return found;
}

}  // namespace

void WaitingPolls::add(Poll poll) {
  const Number number = next_++;
  by_device_.emplace(poll.device, number);
  by_site_.emplace(poll.site, number);
  by_deadline_.emplace(poll.deadline, number);
  polls_.emplace(number, std::move(poll));
}

std::set<WaitingPolls::Number> WaitingPolls::due(Instant now) const {
  std::set<Number> found;
  for (const auto& [deadline, number] : by_deadline_) {
    if (deadline > now) break;
    found.insert(number);
  }
  return found;
}

std::set<WaitingPolls::Number> WaitingPolls::of_site(const std::string& site) const {
  return numbers(by_site_, site);
}

std::set<WaitingPolls::Number> WaitingPolls::of_device(const DeviceId& device) const {
  return numbers(by_device_, device);
}

std::optional<Instant> WaitingPolls::next_deadline() const {
  if (by_deadline_.empty()) return std::nullopt;
  return by_deadline_.begin()->first;
}

WaitingPolls::Poll WaitingPolls::take(Number number) {
  auto node = polls_.extract(number);
  Poll& poll = node.mapped();
  by_device_.erase({poll.device, number});
  by_site_.erase({poll.site, number});
  by_deadline_.erase({poll.deadline, number});
  return std::move(poll);
}

void WaitingPolls::amend(const DeviceId& device,
                         const std::function<void(wire::PollRequest&)>& change) {
  for (const Number number : of_device(device)) change(polls_.at(number).request);
}

void WaitingPolls::move(Number number, const std::string& site) {
  Poll& poll = polls_.at(number);
  by_site_.erase({poll.site, number});
  poll.site = site;
  by_site_.emplace(site, number);
}

void WaitingPolls::hurry_oldest(Instant now) {
  auto& [number, poll] = *polls_.begin();
  by_deadline_.erase({poll.deadline, number});
  poll.deadline = now;
  by_deadline_.emplace(now, number);
}

std::set<DeviceId> WaitingPolls::devices_where(const std::function<bool(const Poll&)>& is_one,
                                               std::size_t most) const {
  std::set<DeviceId> devices;
  for (const auto& [number, poll] : polls_) {
    if (devices.size() >= most) break;
    if (is_one(poll)) devices.insert(poll.device);
  }
  return devices;
}

}  // namespace lamina::origin
