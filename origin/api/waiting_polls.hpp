// WaitingPolls: the polls that wait for news, found by what can bring it: something about their
// device, something about its site, or the end of their time. Loop thread only.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include "shared/base/units.hpp"
#include "shared/net/http.hpp"
#include "shared/wire/node.hpp"

namespace lamina::origin {

class WaitingPolls {
 public:
  struct Poll {
    DeviceId device;
    std::string site;  // Empty: the device is pending.
    wire::PollRequest request;
    wire::DeviceStatus status = wire::DeviceStatus::pending;  // When the wait began.
    Instant deadline;
    std::function<void(net::Response)> reply;
  };
  using Number = std::uint64_t;  // Grows with every poll.

  void add(Poll poll);
  std::size_t size() const { return polls_.size(); }

  std::set<Number> due(Instant now) const;
  std::set<Number> of_site(const std::string& site) const;
  std::set<Number> of_device(const DeviceId& device) const;
  std::optional<Instant> next_deadline() const;

  // `number` is one that waits.
  const Poll& at(Number number) const { return polls_.at(number); }
  Poll take(Number number);
  // What a device said meanwhile counts for its waiting polls as well.
  void amend(const DeviceId& device, const std::function<void(wire::PollRequest&)>& change);
  // Its device is at another site now.
  void move(Number number, const std::string& site);
  // At most `most` devices whose poll `is_one`.
  std::set<DeviceId> devices_where(const std::function<bool(const Poll&)>& is_one,
                                   std::size_t most) const;
  // The one that waits longest is due at `now`. There is one.
  void hurry_oldest(Instant now);

 private:
  std::map<Number, Poll> polls_;
  std::set<std::pair<DeviceId, Number>> by_device_;
  std::set<std::pair<std::string, Number>> by_site_;
  std::set<std::pair<Instant, Number>> by_deadline_;
  Number next_ = 0;
};

}  // namespace lamina::origin
