// What the state machines of this folder were told and what they decided, as lines of text that can
// be decided again.
//
//   lamina-decisions 2
//   site-lease north begin 5000000000 17
//   site-lease north at 1200 reported 0a..0f 4096 : granted 0a..0f 17 5000001200
//   lease-holder wan begin
//   lease-holder wan at 1300 led 17 5000001200 : open 17
//   wan-pieces wan begin 10000000000 5000000000
//   wan-pieces wan at 1400 missing <pack>=f0/4 offered <pack>=10/4 : <pack>=e0/4
//   wan-pieces wan at 1500 contact known 7 connected 0 open 200000000 : may-not
//   wan-transport wan begin 1500000000
//   wan-transport wan at 1400 began :
//   wan-transport wan at 1400 rule auto :
//   wan-transport wan at 1500 seen wanted : https no-seeder-known
//   shut-out lan begin 30000000000 86400000000000
//   shut-out lan at 1600 caught 10.0.0.7 : out 30000000000
//   wan-pacing 192.0.2.7 begin
//   wan-pacing 192.0.2.7 at 1700 seen 62000000 40000000 1048576 0 : rate 19000000
//   wan-budget device begin 10000000000
//   wan-budget device at 1700 up-to 10485760 wanted holder issued 100 since 140 spent 7 : none
//   eligibility device begin may-serve wireless 80 30000000000 1073741824
//   eligibility device at 1800 facts allows cpu 7 disk 8589934592 battery : on-battery
//
// First the machine and its name, then how it began, or the time (ns of an Instant), the input and,
// behind the colon, the actions in their order. Pieces are bits in hex, the first piece first, and
// their number; only packs that differ from the machine's line before are named, "-<pack>" is gone.
// A Tick on which nothing was decided is left out, and so is a peer that was caught while it was
// out already: they change nothing. Shares are named, as the bits of a number, where they are not
// all. Facts that are not known are not named; "no-battery" is a fact. Version 1 had the first
// three machines only and is read too.
//
// A pacing decision is made with floating point: it is the same again on the same kind of machine.
//
// No I/O: lines go to a sink and come from the caller. Not thread-safe; one event loop.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>

#include "shared/policy/eligibility.hpp"
#include "shared/policy/lease_holder.hpp"
#include "shared/policy/shut_out.hpp"
#include "shared/policy/site_lease.hpp"
#include "shared/policy/wan_budget.hpp"
#include "shared/policy/wan_pacing.hpp"
#include "shared/policy/wan_pieces.hpp"
#include "shared/policy/wan_transport.hpp"

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
  void begin_wan_transport(const std::string& name, const WanTransport::Limits& limits);
  void begin_shut_out(const std::string& name, const ShutOut::Limits& limits);
  void begin_wan_pacing(const std::string& name);  // Its limits are the usual ones.
  void begin_wan_budget(const std::string& name, Duration patience);
  void begin_eligibility(const std::string& name, const Eligibility::Rules& rules);

  // After the machine's own call with the same arguments.
  void decided(const std::string& name, const SiteLease::Event& event, Instant now,
               const std::vector<SiteLease::Action>& actions);
  void decided(const std::string& name, const LeaseHolder::Event& event, Instant now,
               const std::vector<LeaseHolder::Action>& actions);
  void decided(const std::string& name, const WanPieces::Pieces& missing,
               const WanPieces::Pieces& offered, Instant now, const WanPieces::Pieces& chosen);
  void decided(const std::string& name, const SiteContact& contact, Instant now, bool may_fetch);
  void began(const std::string& name, Instant now);  // WanTransport::begin().
  void ruled(const std::string& name, std::optional<WanTransport::Kind> only, Instant now);
  void decided(const std::string& name, const WanTransport::Seen& seen, Instant now,
               const std::optional<WanTransport::Change>& change);
  void caught(const std::string& name, const std::string& address, Instant now,
              const std::optional<Duration>& out);
  void decided(const std::string& name, const WanPacing::Seen& seen, Instant now,
               const WanPacing::Decision& decision);
  // Written when it differs from the last one of that name: it is asked for at every event.
  void decided(const std::string& name, const WanBudget& budget, const WanBudgetNeed& need,
               Instant now, const std::optional<Instant>& from);
  void decided(const std::string& name, const Eligibility::Facts& facts, Instant now,
               const std::optional<Unfit>& unfit);

 private:
  struct LastPieces {
    WanPieces::Pieces missing, offered, chosen;
  };
  Sink sink_;
  std::map<std::string, LastPieces> pieces_;
  std::map<std::string, std::string> budgets_;  // What was written last.
};

}  // namespace lamina::policy
