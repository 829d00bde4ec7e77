// Ranges decides which of the chosen pieces are asked for as ranges of packs, and when.
//
// A run is a range: adjacent pieces of one pack. A few runs are under way at a time, so that the
// line is not idle while a request travels. What is under way when a holder dies crosses the line
// again; so runs are short where the line is slow. After a failure nothing is asked for a while,
// and a piece whose bytes were wrong is left alone for longer and longer.
//
// Pure: no I/O, no clock. One thread.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "shared/policy/retry.hpp"
#include "shared/swarm/piece_map.hpp"

namespace lamina::reflector {

class Ranges {
 public:
  struct Limits {
    // 3 x 4 pieces are 3 MiB: the bandwidth-delay product of 100 Mbit/s and 250 ms. With three,
    // two go on while the third's connection waits for its next answer.
    std::size_t runs_max = 3;
    std::uint32_t run_pieces_max = 4;
    // A run that took longer is halved, and one that took less than a quarter doubled: what is lost
    // when the origin is restarted is at most what the line carries in that time.
    Duration run_time = std::chrono::seconds{1};
    // Pieces received that are not verified yet: a disk that is slow, or full, stops the line.
    std::size_t unverified_max = 32;
    // On average; 0: no limit. A run comes as fast as the line is, so that under a low rate runs
    // are of no more than a second's worth.
    BitRate rate = {};
    policy::Backoff backoff = {std::chrono::seconds{1}, std::chrono::seconds{30}};
  };
  struct Run {
    std::uint64_t number = 0;  // Of all runs; 0 is none.
    PackId pack;
    std::uint32_t first = 0;  // Piece.
    std::uint32_t count = 0;
    bool operator==(const Run&) const = default;
  };

  explicit Ranges(Limits limits) : limits_(limits) {}

  // Another rate from `now` on; 0: no limit.
  void limit(BitRate rate, Instant now);

  // The next run to ask for, from now on under way; none: not now, see next_change(). Pieces that
  // are under way or unverified are passed over.
  std::optional<Run> next(const swarm::PieceMap& chosen, Instant now);

  // The run came. Its pieces are unverified until settle() or spoil(). False: it is none that is
  // under way, and its pieces are to be ignored.
  bool arrive(std::uint64_t number, Instant now);
  // It will not come: its pieces may be asked for again, after a while. `random`: for the jitter.
  void fail(std::uint64_t number, std::uint64_t random, Instant now);
  // It was not asked for after all.
  void withdraw(std::uint64_t number) { running_.erase(number); }

  // The piece is held, from here or elsewhere.
  void settle(const PackId& pack, std::uint32_t piece);
  // Its bytes were wrong: asked for again after a while.
  void spoil(const PackId& pack, std::uint32_t piece, std::uint64_t random, Instant now);

  // Nothing is under way any more, nor unverified: the lease ended.
  void stop();

  // Whether the piece is under way or came and is not verified yet.
  bool has(const PackId& pack, std::uint32_t piece) const;
  // When next() may give a run that it would not give now, if nothing else happens before.
  std::optional<Instant> next_change(Instant now) const;

 private:
  using Piece = std::pair<PackId, std::uint32_t>;
  struct Running {
    Run run;
    Instant since;
  };
  struct Spoilt {
    int times = 0;
    Instant again;
  };

  bool may_ask(const PackId& pack, std::uint32_t piece, Instant now) const;
  std::uint32_t run_pieces_max() const;

  Limits limits_;
  std::uint64_t last_number_ = 0;
  std::uint32_t run_pieces_ = 1;  // Grows with the first answers.
  std::map<std::uint64_t, Running> running_;
  std::set<Piece> unverified_;
  std::map<Piece, Spoilt> spoilt_;
  int failures_ = 0;  // In a row.
  Instant again_{};   // After a failure.
  Instant paced_{};   // By the rate.
};

}  // namespace lamina::reflector
