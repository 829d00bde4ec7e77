// The embedded Table: rows in the LMDB environment of the data directory's catalog/.
#pragma once

#include "origin/catalog/table.hpp"
#include "shared/store/kv.hpp"

namespace lamina::origin {

class KvTable : public Table {
 public:
  // `kv` outlives the table.
  explicit KvTable(Kv& kv) : kv_(kv) {}

  Status read(const std::function<Status(const Rows&)>& look) const override;
  Status write(const std::function<Status(Rows&)>& change) override;

 private:
  Kv& kv_;
};

// Runs `change` on the rows of a transaction that is under way.
Status change_rows(Kv::Edit& edit, const std::function<Status(Rows&)>& change);

}  // namespace lamina::origin
