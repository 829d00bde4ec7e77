// RehearsalTable: a Table whose writing transactions can be rehearsed: carried out as ever, with
// every check, and taken back before they count.
#pragma once

#include "origin/catalog/table.hpp"

namespace lamina::origin {

class RehearsalTable : public Table {
 public:
  // `table` outlives this.
  explicit RehearsalTable(Table& table) : table_(table) {}

  // From now on, or no longer.
  void rehearse(bool rehearsing) { is_rehearsing_ = rehearsing; }

  Status read(const std::function<Status(const Rows&)>& look) const override {
    return table_.read(look);
  }
  // In a rehearsal: success when `change` succeeds, and what it changed is gone either way.
  Status write(const std::function<Status(Rows&)>& change) override {
    if (!is_rehearsing_) return table_.write(change);
    bool is_good = false;
    auto done = table_.write([&](Rows& rows) -> Status {
      if (auto changed = change(rows); !changed) return changed;
      is_good = true;
      return fail(ErrorKind::refused, "a rehearsal is taken back");
    });
    return is_good ? Status(Done{}) : done;
  }

 private:
  Table& table_;
  bool is_rehearsing_ = false;
};

}  // namespace lamina::origin
