// LinePacing keeps what a seeder sends over each line out of other traffic's way.
//
// All connections from one address share a line, and so do those of one site's reflectors, which
// has several addresses where nothing translates them. A line has one decision (policy::WanPacing):
// what those use of its rate that have nothing to wait with is theirs, the others share the rest
// alike.
// Congestion control is cubic, and bbr on a line that loses packets without a queue, where the
// system has it; where it has not, the system's own stays, which is said once in the log. One
// thread; call step() about ten times a second.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "shared/os/tcp_flows.hpp"
#include "shared/policy/decision_log.hpp"
#include "shared/policy/wan_pacing.hpp"

namespace lamina::origin {

class LinePacing {
 public:
  struct Options {
    std::uint16_t port = 0;                 // The seeder's own.
    bool give_way = true;                   // Else other traffic is an equal.
    policy::DecisionLog* record = nullptr;  // Of each line's rate; outlives this.
    // The site that a peer fetches for, by its address; nothing while that is not known.
    std::function<std::optional<std::string>(const std::string&)> site_at = {};
  };

  explicit LinePacing(Options options) : options_(std::move(options)), flows_(options_.port) {}

  void step(Instant now);
  std::size_t lines() const { return lines_.size(); }

 private:
  struct Flow {
    std::string congestion_control;  // That was set; empty: none.
    std::int64_t lost = 0;
    Bytes acked;
    Instant moved;            // The last time that more was acknowledged.
    double lately = 0;        // Bits per second acknowledged, on average over about half a second.
    bool is_waiting = false;  // There is more to send than it may.
    Duration held{};          // By the receiver, in all.
    std::optional<Instant> held_at;
    std::optional<BitRate> paced;
  };
  struct Line {
    policy::WanPacing pacing;
    Bytes acked;  // Of all its connections, also of those that are gone.
    std::int64_t lost = 0;
    std::map<std::uint64_t, Flow> flows;
    bool stands_back = false;  // As it was last logged.
    bool is_lossy = false;
    std::optional<Instant> measured;
  };

  void look(Instant now);
  std::string line_of(const std::string& peer);
  void decide(const std::string& peer, Line& line, Instant now);
  void use(const std::string& congestion_control, std::uint64_t id, Flow& flow);
  void share(const std::vector<std::uint64_t>& sending, Line& line, std::optional<BitRate> rate);

  Options options_;
  std::set<std::string> refused_;  // Congestion controls that the system does not give.
  os::TcpFlows flows_;
  Instant looked_{};
  std::ptrdiff_t crowded_ = 0;         // Lines with a long queue, as of the last step.
  std::map<std::string, Line> lines_;  // By the address of its first peer.
  std::map<std::string, std::string> line_of_site_;
  std::map<std::string, std::string> line_of_peer_;  // Whose site is known.
};

}  // namespace lamina::origin
