// What the state machines of this folder were told and what they decided, as lines of text that can
// be decided again.
//
//   lamina-decisions 1
//   site-lease north begin 5000000000 17
//   site-lease north at 1200 reported 0a..0f 4096 : granted 0a..0f 17 5000001200
//   lease-holder wan begin
//   lease-holder wan at 1300 led 17 5000001200 : open 17
//   wan-pieces wan begin 12000000000
//   wan-pieces wan at 1400 missing <pack>=f0/4 offered <pack>=10/4 : <pack>=e0/4
//
// First the machine and its name, then how it began, or the time (ns of an Instant), the input and,
// behind the colon, the actions in their order. Pieces are bits in hex, the first piece first, and
// their number; only packs that differ from the machine's line before are named, "-<pack>" is gone.
// A Tick on which nothing was decided is left out: it changes nothing. Shares are named, as the bits
// of a number, where they are not all.
//
// No I/O: lines go to a sink and come from the caller. Not thread-safe; one event loop.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <variant>

#include "shared/base/result.hpp"
#include "shared/policy/lease_holder.hpp"
#include "shared/policy/site_lease.hpp"
#include "shared/policy/wan_pieces.hpp"

namespace lamina::policy {

class DecisionLog {
 public:
  // Takes one line at a time, without its end.
  using Sink = std::function<void(std::string_view line)>;

  // The first line goes out at once.
  explicit DecisionLog(Sink sink);

  // `name` has no blanks. A machine of the same name begins anew.
  void begin_site_lease(const std::string& name, const SiteLease::Limits& limits,
                        std::uint64_t first_epoch);
  void begin_lease_holder(const std::string& name);
  void begin_wan_pieces(const std::string& name, const WanPieces::Limits& limits);

  // After the machine's own call with the same arguments.
  void decided(const std::string& name, const SiteLease::Event& event, Instant now,
               const std::vector<SiteLease::Action>& actions);
  void decided(const std::string& name, const LeaseHolder::Event& event, Instant now,
               const std::vector<LeaseHolder::Action>& actions);
  void decided(const std::string& name, const WanPieces::Pieces& missing,
               const WanPieces::Pieces& offered, Instant now, const WanPieces::Pieces& chosen);

 private:
  struct LastPieces {
    WanPieces::Pieces missing, offered, chosen;
  };
  Sink sink_;
  std::map<std::string, LastPieces> pieces_;
};

// Feeds recorded inputs to machines of its own and compares what they decide.
class DecisionReplay {
 public:
  // The next line, without its end. `corrupt`: the machine decides something else, which the text
  // names beside what was recorded. `invalid`: the line does not parse, or its time goes back.
  // After a failure nothing more can be fed.
  Status take(std::string_view line);

  std::uint64_t decisions() const { return decisions_; }  // That were alike.

 private:
  struct Pieces {
    WanPieces machine;
    WanPieces::Pieces missing, offered;
  };
  struct Machine {
    std::variant<SiteLease, LeaseHolder, Pieces> machine;
    Instant last{};
  };
  Status begin(std::string_view kind, const std::string& name, std::string_view rest);
  // The line that the machine's own log writes for the input of `rest`.
  Status decide(Machine& machine, const std::string& name, std::string_view rest);

  bool begun_ = false;
  std::map<std::string, Machine> machines_;  // By kind and name.
  std::string again_;                        // What log_ wrote last.
  DecisionLog log_{[this](std::string_view line) { again_ = line; }};
  std::uint64_t decisions_ = 0;
};

}  // namespace lamina::policy
