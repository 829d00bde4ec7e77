#include "origin/catalog/kv_table.hpp"

#include "shared/base/assert.hpp"

namespace lamina::origin {
namespace {

class KvRows : public Rows {
 public:
  KvRows(const Kv::View& view, Kv::Edit* edit) : view_(view), edit_(edit) {}

  Result<std::optional<std::string>> get(std::string_view key) const override {
    return view_.get(key);
  }
  Status scan(std::string_view prefix, const Visit& visit, std::string_view from) const override {
    return view_.scan(prefix, visit, from);
  }
  Result<std::optional<std::string>> last_key(std::string_view prefix) const override {
    return view_.last_key(prefix);
  }
  Status put(std::string_view key, std::string_view value) override {
    LAMINA_ASSERT(edit_ != nullptr);
    return edit_->put(key, value);
  }
  Status erase(std::string_view key) override {
    LAMINA_ASSERT(edit_ != nullptr);
    return edit_->erase(key);
  }

 private:
  const Kv::View& view_;
  Kv::Edit* edit_;  // None in a reading transaction.
};

}  // namespace

Status KvTable::read(const std::function<Status(const Rows&)>& look) const {
  return kv_.read([&](const Kv::View& view) { return look(KvRows(view, nullptr)); });
}

Status KvTable::write(const std::function<Status(Rows&)>& change) {
  return kv_.write([&](Kv::Edit& edit) { return change_rows(edit, change); });
}

Status change_rows(Kv::Edit& edit, const std::function<Status(Rows&)>& change) {
  KvRows rows(edit, &edit);
  return change(rows);
}

}  // namespace lamina::origin
