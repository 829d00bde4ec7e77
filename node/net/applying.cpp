#include "node/net/applying.hpp"

#include <algorithm>

#include "shared/base/log.hpp"
#include "shared/os/random.hpp"

namespace lamina::node {
namespace {

std::int64_t failed_of(const std::vector<wire::ScriptEnd>& scripts) {
  return std::ranges::count_if(scripts, [](const auto& end) { return !end.is_good(); });
}

}  // namespace

std::shared_ptr<Applying> Applying::make(net::Loop& loop, const StateDirectory& state,
                                         WorkerLink& worker,
                                         const std::map<LayerId, LayerFiles>& layers, Calls calls) {
  return std::shared_ptr<Applying>(new Applying(loop, state, worker, layers, std::move(calls)));
}

void Applying::apply(std::uint64_t sequence) {
  log::info("apply_starts", {{"sequence", sequence}});
  worker_.ask({.kind = WorkerRequest::Kind::apply, .parent = {}, .reason = {}},
              [weak = weak_from_this(), sequence,
               started = net::Loop::wall_now().ns / 1'000'000](const Result<WorkerReply>& reply) {
                const auto self = weak.lock();
                if (!self) return;
                if (reply)
                  self->succeeded(sequence, *reply, started);
                else
                  self->failed(sequence, reply.error(), started);
              });
}

void Applying::succeeded(std::uint64_t sequence, const WorkerReply& reply,
                         std::int64_t started_ms) {
  const ApplyCounts& counts = reply.counts;
  const bool waits = reply.waits > reply.sequence;
  // Those in the answer of what is staged followed the apply before it.
  const auto scripts = waits ? std::vector<wire::ScriptEnd>() : reply.scripts;
  log::info(waits ? "apply_waits_for_restart" : "applied",
            {{"sequence", waits ? reply.waits : reply.sequence},
             {"created", counts.created},
             {"replaced", counts.replaced},
             {"metadata", counts.metadata},
             {"removed", counts.removed},
             {"records", counts.records},
             {"bytes", counts.bytes}});
  // Staged it is not applied: that is reported, or not, after the start.
  calls_.report({.operation = waits ? "stage" : "apply",
                 .started_ms = started_ms,
                 .layers = reply.stack,
                 .counts = {{"created", static_cast<std::int64_t>(counts.created)},
                            {"replaced", static_cast<std::int64_t>(counts.replaced)},
                            {"metadata", static_cast<std::int64_t>(counts.metadata)},
                            {"removed", static_cast<std::int64_t>(counts.removed)},
                            {"kept", static_cast<std::int64_t>(counts.kept)},
                            {"records", static_cast<std::int64_t>(counts.records)},
                            {"bytes", static_cast<std::int64_t>(counts.bytes)},
                            {"scripts", static_cast<std::int64_t>(scripts.size())},
                            {"scripts_failed", failed_of(scripts)}},
                 .bytes_by_source = calls_.close_transaction(stored_size(reply.stack)),
                 .remarks = reply.remarks,
                 .scripts = scripts,
                 .sequence = waits ? reply.waits : reply.sequence});
  if (waits)
    calls_.waits({sequence}, reply.restart_due);
  else
    calls_.applied({reply.sequence}, reply.restart_due);
}

Bytes Applying::stored_size(const std::vector<LayerId>& stack) const {
  std::map<PackId, std::uint64_t> packs;  // Layers may share them.
  for (const LayerId& layer : stack)
    if (const auto files = layers_.find(layer); files != layers_.end())
      for (const auto& pack : leaning_of(state_, files->second).packs) packs[pack.id] = pack.size;
  Bytes size;
  for (const auto& [pack, bytes] : packs) size += Bytes{static_cast<std::int64_t>(bytes)};
  return size;
}

void Applying::failed(std::uint64_t sequence, const Error& error, std::int64_t started_ms) {
  const bool again = error.kind() != ErrorKind::refused && error.kind() != ErrorKind::invalid;
  log::error("apply_failed",
             {{"sequence", sequence}, {"error", error.text()}, {"tried_again", again}});
  if (error.kind() != ErrorKind::unavailable) calls_.report({"apply", started_ms, error, {}});
  if (error.kind() == ErrorKind::corrupt || error.kind() == ErrorKind::not_found)
    return check_packs(sequence);
  calls_.failed({sequence, again, os::random_number()});
}

// The worker found bytes that are not what they must be: a disk forgot them. What is damaged is
// fetched again.
void Applying::check_packs(std::uint64_t sequence) {
  std::vector<LayerFiles> all;
  for (const auto& [id, files] : layers_) all.push_back(files);
  loop_.offload_value(
      [directory = state_, all] {
        std::vector<LayerId> damaged;
        for (const LayerFiles& files : all) {
          const auto broken = forget_damaged_packs(directory, files);
          if (!broken || *broken > 0) damaged.push_back(files.layer);
        }
        return damaged;
      },
      [weak = weak_from_this(), sequence](const std::vector<LayerId>& damaged) {
        const auto self = weak.lock();
        if (!self) return;
        for (const LayerId& layer : damaged) {
          log::warning("layer_damaged", {{"layer", layer}});
          self->calls_.lose(layer);
        }
        self->calls_.failed({sequence, true, os::random_number()});
      });
}

std::vector<Outcome> untold_outcomes(const WorkerReply& status, std::int64_t now_ms) {
  std::vector<Outcome> outcomes;
  for (const EarlierEnds& earlier : status.earlier)
    outcomes.push_back({.operation = "apply",
                        .started_ms = now_ms,
                        .error = std::nullopt,
                        .layers = {},
                        .remarks = {"its scripts ended before a newer target was applied"},
                        .scripts = earlier.ends,
                        .sequence = earlier.sequence});
  if (!status.tried && status.scripts.empty()) return outcomes;
  // They ran after a kill, or a restart of the machine.
  outcomes.push_back({.operation = "apply",
                      .started_ms = now_ms,
                      .error = status.tried && !status.tried->empty()
                                   ? std::optional(Error(ErrorKind::unavailable, *status.tried))
                                   : std::nullopt,
                      .layers = status.stack,
                      .remarks = {status.tried ? "carried out at the start of the device"
                                               : "its scripts ran after an interruption"},
                      .scripts = status.scripts,
                      .sequence = status.sequence});
  return outcomes;
}

}  // namespace lamina::node
