// Decides again what a DecisionLog wrote down, and finds what is not the same.
//
// No I/O: lines come from the caller, who need not trust them. Not thread-safe.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <variant>

#include "shared/base/result.hpp"
#include "shared/policy/decision_log.hpp"

namespace lamina::policy {

class LineReader;  // Of one line's words.

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
  struct Pacing {
    WanPacing machine;
    WanPacing::Seen last;
  };
  struct Budget {
    Duration patience;
  };
  struct Machine {
    std::variant<SiteLease, LeaseHolder, Pieces, WanTransport, ShutOut, Pacing, Budget, Eligibility>
        machine;
    Instant last{};
  };
  // False: the line does not parse. The machine is made, and log_ wrote how it began.
  bool begin(std::string_view kind, const std::string& name, LineReader& in);
  // The line that the machine's own log writes for the input.
  Status decide(Machine& machine, const std::string& name, std::string_view rest);
  // Reads the input up to the colon, feeds it, and lets log_ write. False: it does not parse.
  bool feed(SiteLease& lease, const std::string& name, LineReader& in, Instant now);
  bool feed(LeaseHolder& holder, const std::string& name, LineReader& in, Instant now);
  bool feed(Pieces& pieces, const std::string& name, LineReader& in, Instant now);
  bool feed(WanTransport& transport, const std::string& name, LineReader& in, Instant now);
  bool feed(ShutOut& shut_out, const std::string& name, LineReader& in, Instant now);
  bool feed(Pacing& pacing, const std::string& name, LineReader& in, Instant now);
  bool feed(const Budget& budget, const std::string& name, LineReader& in, Instant now);
  bool feed(Eligibility& eligibility, const std::string& name, LineReader& in, Instant now);

  bool begun_ = false;
  std::map<std::string, Machine> machines_;  // By kind and name.
  std::string again_;                        // What log_ wrote last.
  DecisionLog log_{[this](std::string_view line) { again_ = line; }};
  std::uint64_t decisions_ = 0;
};

}  // namespace lamina::policy
