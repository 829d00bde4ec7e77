// A Table in memory. A writing transaction works on a copy, so a failed one leaves nothing behind;
// `fail_commit` makes the next commit fail, as a full disk would.
#pragma once

#include <map>

#include "origin/catalog/table.hpp"

namespace lamina::origin {

class MemoryTable : public Table {
 public:
  Status read(const std::function<Status(const Rows&)>& look) const override {
    MemoryRows rows{rows_};
    return look(rows);
  }
  Status write(const std::function<Status(Rows&)>& change) override {
    MemoryRows rows{rows_};
    if (auto done = change(rows); !done) return done;
    if (fail_commit && commits_before_failure-- == 0) {
      commits_before_failure = 0;
      fail_commit = false;
      return fail(ErrorKind::out_of_space, "the disk is full");
    }
    rows_ = std::move(rows.map);
    return Done{};
  }

  using Map = std::map<std::string, std::string, std::less<>>;
  Map& rows() { return rows_; }
  bool fail_commit = false;
  int commits_before_failure = 0;  // That still succeed.

 private:
  struct MemoryRows : Rows {
    explicit MemoryRows(Map m) : map(std::move(m)) {}
    Result<std::optional<std::string>> get(std::string_view key) const override {
      const auto at = map.find(key);
      return at == map.end() ? std::nullopt : std::optional(at->second);
    }
    Status scan(std::string_view prefix, const Visit& visit, std::string_view from) const override {
      for (auto at = map.lower_bound(std::max(prefix, from)); at != map.end(); ++at)
        if (!at->first.starts_with(prefix) || !visit(at->first, at->second)) break;
      return Done{};
    }
    Result<std::optional<std::string>> last_key(std::string_view prefix) const override {
      std::optional<std::string> last;
      for (auto at = map.lower_bound(prefix); at != map.end(); ++at) {
        if (!at->first.starts_with(prefix)) break;
        last = at->first;
      }
      return last;
    }
    Status put(std::string_view key, std::string_view value) override {
      map.insert_or_assign(std::string(key), std::string(value));
      return Done{};
    }
    Status erase(std::string_view key) override {
      map.erase(std::string(key));
      return Done{};
    }
    Map map;
  };

  Map rows_;
};

}  // namespace lamina::origin
