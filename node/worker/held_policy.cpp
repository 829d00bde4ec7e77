#include "node/worker/held_policy.hpp"

#include "shared/base/log.hpp"
#include "shared/os/file.hpp"

namespace lamina::node {
namespace {

constexpr std::size_t kFileMax = std::size_t{1} << 20;
constexpr const char* kUnknown = "unknown";

}  // namespace

HeldPolicy::HeldPolicy(std::string path) : path_(std::move(path)) {
  auto loaded = load();
  if (loaded || loaded.error().kind() == ErrorKind::not_found) return;
  log::error("policy_not_read", {{"error", loaded.error().text()}});
  policy_ = {.id = kUnknown, .name = kUnknown};
  trouble_ = std::move(loaded.error());
}

Status HeldPolicy::load() {
  auto text = os::read_text(path_, kFileMax);
  if (!text) return fail(std::move(text.error()));
  auto policy = wire::parse_policy(*text);
  if (!policy) return fail(std::move(policy.error()).in(path_));
  if (auto good = image::Protection::make(policy->rules); !good)
    return fail(std::move(good.error()).in(path_));
  policy_ = std::move(*policy);
  return Done{};
}

Result<image::Protection> HeldPolicy::take(const wire::Policy& policy) {
  auto protection = image::Protection::make(policy.rules);
  if (!protection) return protection;
  if (auto done = os::write_file(path_, as_view(wire::to_json(policy)), 0600); !done)
    return fail(std::move(done.error()).in("keeping the policy"));
  policy_ = policy;
  trouble_.reset();
  return protection;
}

Status HeldPolicy::known() const {
  if (!trouble_) return Done{};
  return fail(ErrorKind::unavailable, "this device's policy cannot be read (" + trouble_->text() +
                                          "): it waits until the origin sends it anew");
}

}  // namespace lamina::node
