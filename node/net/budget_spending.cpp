#include "node/net/budget_spending.hpp"

#include <nlohmann/json.hpp>

#include "shared/base/log.hpp"
#include "shared/os/file.hpp"

namespace lamina::node {

using nlohmann::json;

Bytes BudgetSpending::read(std::uint64_t sequence) const {
  const auto text = os::read_text(path_, 4096);
  if (!text) return {};
  const auto object = json::parse(*text, nullptr, /*allow_exceptions=*/false);
  if (!object.is_object() || object.value("sequence", std::uint64_t{0}) != sequence) return {};
  return {object.value("spent", std::int64_t{0})};
}

void BudgetSpending::begin(std::uint64_t sequence, Bytes over_wan) {
  before_ = read(sequence);
  wan_at_start_ = over_wan;
}

Bytes BudgetSpending::note(std::uint64_t sequence, Bytes over_wan) {
  const Bytes spent = before_ + (over_wan - wan_at_start_);
  const json object = {{"sequence", sequence}, {"spent", spent.count}};
  if (auto done = os::write_file(path_, as_view(object.dump() + '\n'), 0600); !done)
    log::error("budget_not_noted", {{"error", done.error().text()}});
  return spent;
}

}  // namespace lamina::node
