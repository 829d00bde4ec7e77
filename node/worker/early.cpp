#include "node/worker/early.hpp"

#include "shared/base/log.hpp"

namespace lamina::node {
namespace {

using Stage = Trial::Stage;

class Start {
 public:
  Start(Transaction& transaction, BootLoader& loader)
      : transaction_(transaction), loader_(loader) {}

  Result<EarlyEnd> run() {
    auto known = transaction_.trial();
    if (!known) return fail(std::move(known.error()));
    auto waits = transaction_.waiting();
    if (!waits) return fail(std::move(waits.error()));
    if (*waits) return begin(**waits, *known);
    if (!*known) {
      auto tidied = loader_.tidy();
      if (!tidied) return fail(std::move(tidied.error()));
      return EarlyEnd::go_on;
    }
    trial_ = std::move(**known);
    switch (trial_.stage) {
      case Stage::switching: return after_switch();
      case Stage::trying: return try_once();
      case Stage::returning: return go_back();
      case Stage::ended: return EarlyEnd::go_on;
    }
    return EarlyEnd::go_on;
  }

 private:
  Result<EarlyEnd> begin(const Transaction::Waiting& waiting, const std::optional<Trial>& known) {
    trial_ = {
        .is_revert = waiting.is_revert,
        .sequence = waiting.is_revert ? transaction_.applied().sequence : waiting.next.sequence};
    // After a power failure the kept kernel is in charge already.
    if (known != trial_) {
      if (auto kept = loader_.keep(); !kept)
        return fail(std::move(kept.error()).in("the change that waits was not carried out"));
      if (auto noted = move_to(Stage::switching); !noted) return fail(std::move(noted.error()));
    }
    log::info("switch_begins", {{"sequence", trial_.sequence}, {"revert", trial_.is_revert}});
    if (auto done = transaction_.carry_out(); !done) {
      trial_.trouble = done.error().text();
      if (auto noted = move_to(Stage::ended); !noted) return fail(std::move(noted.error()));
      return fail(std::move(done.error()));
    }
    return after_switch();
  }

  Result<EarlyEnd> after_switch() {
    auto changed = is_changed();
    if (!changed) return fail(std::move(changed.error()));
    if (!*changed) {
      // What recovered it after a power failure went back, and said why in this start's log.
      trial_.trouble = "the apply was undone at the start of the machine";
      return end(EarlyEnd::go_on);
    }
    if (auto offered = loader_.offer(); !offered) {
      trial_.trouble = offered.error().text();
      return go_back();
    }
    if (auto noted = move_to(Stage::trying); !noted) return fail(std::move(noted.error()));
    return EarlyEnd::restart;
  }

  Result<EarlyEnd> try_once() {
    if (loader_.is_kept_started()) {
      trial_.trouble = "the boot loader started the kernel of before: the new one does not come up";
      return go_back();
    }
    if (trial_.starts == kStartsMax) {
      trial_.trouble = "the node did not come up in " + std::to_string(kStartsMax) + " starts";
      return go_back();
    }
    ++trial_.starts;
    if (auto noted = move_to(Stage::trying); !noted) return fail(std::move(noted.error()));
    return EarlyEnd::go_on;
  }

  Result<EarlyEnd> go_back() {
    log::warning("switch_taken_back", {{"sequence", trial_.sequence}, {"why", trial_.trouble}});
    if (auto noted = move_to(Stage::returning); !noted) return fail(std::move(noted.error()));
    // From a revert there is no way back.
    if (trial_.is_revert) return end(EarlyEnd::go_on);
    if (auto back = loader_.back_to_kept(); !back) return fail(std::move(back.error()));
    auto changed = is_changed();
    if (!changed) return fail(std::move(changed.error()));
    if (*changed)
      if (auto done = transaction_.revert(); !done) return fail(std::move(done.error()));
    return end(loader_.is_kept_started() ? EarlyEnd::go_on : EarlyEnd::restart);
  }

  // Whether the volume is what is tried.
  Result<bool> is_changed() const {
    auto undoable = transaction_.undoable();
    if (!undoable) return fail(std::move(undoable.error()));
    if (trial_.is_revert) return !*undoable;
    return transaction_.applied().sequence == trial_.sequence && *undoable;
  }

  Result<EarlyEnd> end(EarlyEnd how) {
    if (auto noted = move_to(Stage::ended); !noted) return fail(std::move(noted.error()));
    return how;
  }

  Status move_to(Stage stage) {
    trial_.stage = stage;
    return transaction_.keep_trial(trial_);
  }

  Transaction& transaction_;
  BootLoader& loader_;
  Trial trial_;
};

}  // namespace

Result<EarlyEnd> start_early(Transaction& transaction, BootLoader& loader) {
  return Start(transaction, loader).run();
}

}  // namespace lamina::node
