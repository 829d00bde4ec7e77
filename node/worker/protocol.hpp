// What the network process and the root worker say to each other: one JSON object a message over
// SOCK_SEQPACKET at run/worker.sock, one request at a time a connection.
//
//   {"do":"status"}                                   -> {"ok":true,"sequence":N,"stack":[hex...],
//                                                         "scripts":[...],"earlier":[...],
//                                                         "restart_due":[text...],
//                                                         "waits":N,"tried":text,"policy":{...}}
//   {"do":"apply"}  {"do":"rehearse-apply"}           ->
//   {"ok":true,"sequence":N,"changed":bool,"counts":{...},"remarks":[text...],
//    and as status}
//   {"do":"told","sequence":N}                        -> as status: the origin knows its end
//   {"do":"revert"}  {"do":"rehearse-revert"}         -> {"ok":true,"sequence":N,"stack":[hex...]}
//   {"do":"scan","sequence":N,"parent":hex|"","reason":text,"full":bool}
//       -> {"pack":hex,"size":N,"metadata":bool} each answered by {"do":"ack"} or {"do":"abandon"},
//          before which the worker goes on, and sends no other
//       -> {"snapshot":hex,"files_read":N,...}; the record's bytes stand in spool/snapshot
//       answered by {"do":"committed"}, {"do":"held"} (a relay has it) or {"do":"abandon"}
//       -> {"ok":true}
//   {"do":"settle","snapshot":hex}                    -> {"ok":true}: the origin has the held one
//   {"do":"policy","policy":{...}}                    -> as status: the device keeps to it now
//   any failure                                       -> {"ok":false,"kind":"refused","text":"..."}
//
// For an apply the worker reads cache/records/target, <layer>.layer and <layer>.distribution and
// the packs in cache/packs by itself; it believes none of them without signature and digests. A
// rehearsal is a request of its own name: a worker that does not know it refuses, where it would
// carry out a request of which it ignores a field. Pure; any thread.
#pragma once

#include <optional>
#include <string>

#include "node/worker/transaction.hpp"

namespace lamina::node {

constexpr std::size_t kRemarksMax = 100;
constexpr std::size_t kOutputsMax = std::size_t{24} << 10;

struct WorkerRequest {
  enum class Kind {
    status,
    apply,
    revert,
    told,
    scan,
    ack,
    committed,
    held,
    abandon,
    settle,
    policy
  };
  Kind kind = Kind::status;
  bool dry_run = false;        // apply, revert: it is rehearsed
  std::uint64_t sequence = 0;  // told; scan, from here on
  SnapshotId parent;
  std::string reason;
  bool full = false;
  SnapshotId snapshot = {};  // settle
  wire::Policy policy = {};  // policy
};
std::string to_json(const WorkerRequest& request);
Result<WorkerRequest> parse_worker_request(std::string_view text);

// Every reply in one: what a kind of reply does not use stays at its default.
struct WorkerReply {
  std::optional<Error> error;  // {"ok":false,...}
  std::uint64_t sequence = 0;
  std::vector<LayerId> stack;
  bool changed = false;
  ApplyCounts counts;
  PackId pack;  // Not none: a pack is ready in spool/packs.
  std::uint64_t pack_size = 0;
  bool pack_is_metadata = false;
  SnapshotId snapshot;  // Not none: the record is in spool/snapshot.
  std::uint64_t files_read = 0;
  std::uint64_t files_reused = 0;
  std::uint64_t bytes_read = 0;
  std::uint64_t notes = 0;
  // Of an apply, what its administrator should know: accounts with other ids, derived files that
  // were not made again. At most kRemarksMax.
  std::vector<std::string> remarks;
  // Of status, apply and revert: how the scripts ended that followed the newest apply, until the
  // origin was told; those that followed earlier ones, until it was told of them; of all their
  // outputs at most kOutputsMax together. And the layers because of which a restart of the device
  // is due.
  std::vector<wire::ScriptEnd> scripts;
  std::vector<EarlierEnds> earlier;
  std::vector<std::string> restart_due;
  // Of the same: the sequence of the target that is carried out at the next start of the device, or
  // that is reverted then, if it counts already; 0: nothing waits.
  std::uint64_t waits = 0;
  // How the start from a changed volume ended, until the origin was told: empty, it came up.
  std::optional<std::string> tried;
  // Of status, apply, revert and policy: the one that the device keeps to, without its rules.
  wire::Policy policy;
};
std::string to_json(const WorkerReply& reply);
Result<WorkerReply> parse_worker_reply(std::string_view text);

}  // namespace lamina::node
