// ByteLedger: what the device received of its layers, by source, since it began to count.
//
// The swarm tells figures since the process started; the ledger adds what is new of them to totals
// that outlive the process, and divides them: bytes from the site by whether they came from its
// acting reflector, bytes over the line by what they were fetched on. Every byte is counted once,
// and no total ever falls. What was received between two applies is the later one's transaction.
//
// Plain state, no I/O; LedgerFile keeps it on disk. Loop thread only.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "node/net/layer_swarm.hpp"
#include "node/state.hpp"

namespace lamina::node {

class ByteLedger {
 public:
  explicit ByteLedger(WallTime since) { counts_.since_ms = since.ns / 1'000'000; }

  // Adds what came since the last call. `peers`: the connections that sources.lan came over;
  // what came over one that has ended since the last call counts as "lan-peer". `reflectors`: the
  // addresses of the other devices that hold a lease of the site.
  // `by_budget`: bytes from seeders since the last call came on the device's WAN budget instead of
  // its site's lease. Those over the API's port are "origin-by-https" on either.
  void count(const LayerSwarm::Sources& sources, const std::vector<LayerSwarm::PeerBytes>& peers,
             const std::set<std::string>& reflectors, bool by_budget);

  // An apply of a stack of `stack` stored bytes succeeded. What it cost by source, with what was
  // not received for it as "local-cache"; the next transaction begins.
  std::map<std::string, std::int64_t> close_transaction(Bytes stack);

  const wire::ByteCounts& totals() const { return counts_; }
  // To peers of the site, since it began to count.
  Bytes sent() const { return sent_; }

  std::string to_json() const;
  // `invalid` when the text is no ledger.
  static Result<ByteLedger> parse(std::string_view text);

 private:
  void add(const char* source, std::int64_t bytes);

  wire::ByteCounts counts_;
  Bytes sent_;
  std::map<std::string, std::int64_t> at_last_apply_;
  LayerSwarm::Sources seen_;                  // Of this process, counted already.
  std::map<std::string, Bytes> connections_;  // What came over each, counted already.
};

// The ledger in net/bytes.json. Only what is on disk is told, so that a kill takes no total back;
// what came since the last call of count() is lost then.
class LedgerFile {
 public:
  // Counts on from the file; without one, or with one that is none, from nothing.
  LedgerFile(const StateDirectory& state, WallTime now);

  // As ByteLedger's. What cannot be written is logged, and written with the next call.
  void count(const LayerSwarm& swarm, const std::set<std::string>& reflectors, bool by_budget);
  std::map<std::string, std::int64_t> close_transaction(Bytes stack);

  // What is on disk.
  const wire::ByteCounts& totals() const { return kept_; }
  Bytes sent() const { return kept_sent_; }

 private:
  void keep();

  std::string path_;
  ByteLedger ledger_;
  wire::ByteCounts kept_;
  Bytes kept_sent_;
};

}  // namespace lamina::node
