// What the catalogue needs of a database: ordered rows and atomic transactions.
//
// The catalogue's operations are written once against this interface; an embedded database and a
// shared one differ below it. Keys are at most 511 bytes, ordered by bytes.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "shared/base/result.hpp"

namespace lamina::origin {

// The rows as one transaction sees them. Valid only inside the function it was handed to.
class Rows {
 public:
  virtual ~Rows() = default;

  virtual Result<std::optional<std::string>> get(std::string_view key) const = 0;

  // Calls `visit` for every row whose key starts with `prefix` and is not before `from`, in key
  // order, until it returns false.
  using Visit = std::function<bool(std::string_view key, std::string_view value)>;
  virtual Status scan(std::string_view prefix, const Visit& visit,
                      std::string_view from = {}) const = 0;

  // The last row under `prefix`, for counters that count on.
  virtual Result<std::optional<std::string>> last_key(std::string_view prefix) const = 0;

  // Only in a writing transaction.
  virtual Status put(std::string_view key, std::string_view value) = 0;
  virtual Status erase(std::string_view key) = 0;
};

class Table {
 public:
  virtual ~Table() = default;

  virtual Status read(const std::function<Status(const Rows&)>& look) const = 0;

  // All changes of `change` are durable when this returns success, and none of them is made when
  // `change` or the commit fails.
  virtual Status write(const std::function<Status(Rows&)>& change) = 0;
};

}  // namespace lamina::origin
