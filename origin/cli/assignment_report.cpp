#include "origin/cli/assignment_report.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "origin/catalog/rules.hpp"
#include "origin/cli/addressees.hpp"
#include "origin/cli/remote_drivers.hpp"
#include "origin/cli/remote_layers.hpp"
#include "origin/cli/remote_policy.hpp"
#include "origin/cli/session.hpp"
#include "origin/cli/verify.hpp"
#include "shared/format/needed_packs.hpp"
#include "shared/format/path.hpp"
#include "shared/format/signed_layer.hpp"
#include "shared/image/diff.hpp"
#include "shared/image/plan.hpp"
#include "shared/image/stack.hpp"
#include "shared/net/loop.hpp"
#include "shared/policy/alerts.hpp"

namespace lamina::origin::cli {
namespace {

using format::Entry;
using format::EntryKind;
using Names = std::vector<std::string>;

constexpr std::size_t kConflictsShown = 20;

bool keeps_content(const Entry& before, const Entry& after) {
  if (before.kind != after.kind) return false;
  return after.kind == EntryKind::directory ||
         (after.kind == EntryKind::file && before.size == after.size &&
          before.chunks == after.chunks);
}

std::string joined(const Names& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : ",") + name;
  return text.empty() ? "nothing" : text;
}

// The devices of a report with the same two stacks.
struct Group {
  StackChange change;
  std::map<LayerId, LayerPacks> wanted;
  std::string trouble;                     // Why it cannot be compared.
  std::map<Bytes, std::size_t> downloads;  // How many devices fetch so much each.
};

class Report {
 public:
  Report(Session& s, const ReportRequest& request) : s_(s), request_(request) {}

  Status print() {
    if (auto done = read(); !done) return done;
    for (const wire::DeviceInfo& device : devices_)
      if (auto done = add(device); !done) return done;
    if (!s_.json) s_.table(rows_);
    print_groups();
    for (const Names& stack : stacks_)
      if (auto done = print_conflicts(stack); !done) return done;
    if (!s_.json)
      *s_.out << "dry run, nothing is changed: " << devices_.size()
              << (devices_.size() == 1 ? " device" : " devices") << " would be assigned\n";
    return Done{};
  }

 private:
  Status read() {
    s_.dry_run = true;
    auto answer =
        s_.call("POST", assignment_path(request_.assignment), wire::to_json(request_.assignment));
    if (!answer) return fail(std::move(answer.error()));
    auto reply = wire::parse_assignment_reply(*answer);
    if (!reply) return fail(std::move(reply.error()));
    auto devices = devices_of(s_, reply->devices);
    if (!devices) return fail(std::move(devices.error()));
    devices_ = std::move(*devices);
    auto layers = KnownLayers::open(s_);
    if (!layers) return fail(std::move(layers.error()));
    layers_.emplace(std::move(*layers));
    auto rules = driver_rules_of(s_, layers_->list());
    if (!rules) return fail(std::move(rules.error()));
    drivers_ = std::move(*rules);
    return Done{};
  }

  Status add(const wire::DeviceInfo& device) {
    auto stack = stack_of(device);
    if (!stack) return fail(std::move(stack.error()));
    auto group = compare(device, *stack);
    if (!group) return fail(std::move(group.error()));
    auto held = held_by(device);
    if (!held) return fail(std::move(held.error()));
    if (std::ranges::find(stacks_, *stack) == stacks_.end()) stacks_.push_back(*stack);
    const Bytes download = to_download((*group)->wanted, *held);
    ++(*group)->downloads[download];
    const wire::LayerInfo* const base = stack->empty() ? nullptr : known(stack->front());
    auto warnings = warnings_for(device, download, base, net::Loop::wall_now());
    if (!(*group)->trouble.empty()) warnings.push_back((*group)->trouble);
    print(device, *stack, (*group)->change, download, warnings);
    return Done{};
  }

  Result<Names> stack_of(const wire::DeviceInfo& device) const {
    const auto& request = request_.assignment;
    Result<Names> stack = request.layers;
    if (request.add || request.remove)
      stack = changed_stack(device.target, request.add.value_or(Names{}),
                            request.remove.value_or(Names{}));
    const wire::LayerInfo* const base = stack && !stack->empty() ? known(stack->front()) : nullptr;
    return base == nullptr ? stack : drivers_.stack_of(device, *base, *stack);
  }

  const wire::LayerInfo* known(const std::string& name) const { return layers_->find(name); }

  Result<Group*> compare(const wire::DeviceInfo& device, const Names& after) {
    const Names& before = device.applied;
    const auto [place, is_new] = groups_.try_emplace({before, after, device.policy.value_or("")});
    Group& group = place->second;
    if (!is_new) return &group;
    for (const std::string& name : after) {
      const wire::LayerInfo* const layer = known(name);
      if (layer == nullptr) continue;  // Removed since the origin took the assignment.
      auto packs = layers_->packs_of(*layer);
      if (!packs) return fail(std::move(packs.error()));
      group.wanted.emplace(layer->id, **packs);
    }
    for (const Names& names : {before, after})
      for (const std::string& name : names)
        if (known(name) == nullptr) {
          group.trouble = "not compared: the origin has layer " + name + " no more";
          return &group;
        }
    auto protection = protection_of(s_, device.id.hex());
    if (!protection) return fail(std::move(protection.error()));
    auto change = compare_stacks(s_, before, after, *protection,
                                 [&](PathChange what, const std::string& path) {
                                   if (request_.paths) print_path(before, after, what, path);
                                 });
    if (!change) return fail(std::move(change.error()));
    group.change = *change;
    return &group;
  }

  // Layers whose packs the device has, as far as the origin knows.
  Result<std::map<LayerId, LayerPacks>> held_by(const wire::DeviceInfo& device) {
    std::map<LayerId, LayerPacks> held;
    const auto states = device.layers.value_or(std::vector<wire::LayerState>{});
    for (const wire::LayerInfo& layer : layers_->list().layers) {
      const std::string name = layer.name + ':' + layer.version;
      const auto state = std::ranges::find(states, layer.id, &wire::LayerState::layer);
      const bool is_whole = state != states.end() && state->missing_bytes == 0 &&
                            state->reason != "waiting-for-records";
      const bool is_applied =
          std::ranges::find(device.applied, name) != device.applied.end() && state == states.end();
      if (!is_whole && !is_applied) continue;
      auto packs = layers_->packs_of(layer);
      if (!packs) return fail(std::move(packs.error()));
      held.emplace(layer.id, **packs);
    }
    return held;
  }

  // What layers that come or go do beside their files.
  struct Beside {
    Names scripts, services;
    bool needs_restart = false;
  };
  Beside beside(const Names& before, const Names& after) const {
    Beside all;
    const auto add = [&](const Names& of, const Names& other, bool come) {
      for (const std::string& name : of) {
        const wire::LayerInfo* const layer = known(name);
        if (layer == nullptr || std::ranges::find(other, name) != other.end()) continue;
        if (come)
          std::ranges::copy(layer->scripts.value_or(Names{}), std::back_inserter(all.scripts));
        std::ranges::copy(layer->services.value_or(Names{}), std::back_inserter(all.services));
        all.needs_restart = all.needs_restart || layer->needs_restart.value_or(false);
      }
    };
    add(after, before, true);
    add(before, after, false);
    return all;
  }

  void print(const wire::DeviceInfo& device, const Names& stack, const StackChange& change,
             Bytes download, const Names& warnings) {
    const Beside also = beside(device.applied, stack);
    if (s_.json) {
      nlohmann::json shown = nlohmann::json::array();
      for (const std::string& warning : warnings) shown.push_back(printable(warning, 1000));
      *s_.out << nlohmann::json{{"device", device.id.hex()},
                                {"host", printable(device.host_name, 256)},
                                {"site", device.site},
                                {"from", device.applied},
                                {"to", stack},
                                {"adds", change.adds},
                                {"replaces", change.replaces},
                                {"metadata", change.metadata},
                                {"removes", change.removes},
                                {"download_bytes", download.count},
                                {"space_bytes", space_for(change).count},
                                {"scripts", also.scripts},
                                {"services", also.services},
                                {"needs_restart", also.needs_restart},
                                {"warnings", shown}}
                     .dump()
              << '\n';
      return;
    }
    std::string does;
    if (!also.scripts.empty()) does += "runs " + joined(also.scripts);
    if (!also.services.empty())
      does += (does.empty() ? "stops " : "; stops ") + joined(also.services);
    if (also.needs_restart) does += does.empty() ? "needs a restart" : "; needs a restart";
    std::string text;
    for (const std::string& warning : warnings) text += (text.empty() ? "" : "; ") + warning;
    rows_.push_back({device.id.hex(), printable(device.host_name, 40), joined(device.applied),
                     joined(stack), std::to_string(change.adds), std::to_string(change.replaces),
                     std::to_string(change.metadata), std::to_string(change.removes),
                     to_text(download), to_text(space_for(change)), printable(does, 400),
                     printable(text, 400)});
  }

  // What comes over the line for devices that have the same. Within a site a pack crosses it once.
  void print_groups() const {
    // Of devices with different policies the same is fetched.
    std::map<std::tuple<Names, Names, std::int64_t>, std::size_t> counts;
    for (const auto& [key, group] : groups_)
      for (const auto& [download, devices] : group.downloads)
        counts[{std::get<0>(key), std::get<1>(key), download.count}] += devices;
    for (const auto& [key, devices] : counts) {
      const auto& [before, after, bytes] = key;
      if (s_.json)
        *s_.out << nlohmann::json{{"from", before},
                                  {"to", after},
                                  {"devices", devices},
                                  {"each_bytes", bytes}}
                       .dump()
                << '\n';
      else
        *s_.out << devices << (devices == 1 ? " device with " : " devices with ") << joined(before)
                << (devices == 1 ? " fetches " : " fetch ") << to_text(Bytes{bytes})
                << (devices == 1 ? "" : " each, a site once") << '\n';
    }
  }

  void print_path(const Names& before, const Names& after, PathChange change,
                  const std::string& path) const {
    if (s_.json)
      *s_.out << nlohmann::json{{"from", before},
                                {"to", after},
                                {"change", name_of(change)},
                                {"path", printable(path, format::kPathMax)}}
                     .dump()
              << '\n';
    else
      *s_.out << name_of(change) << ' ' << printable(path, format::kPathMax) << '\n';
  }

  // Every application changes something of the base: that is what it is for.
  Status print_conflicts(const Names& stack) {
    if (stack.size() < 2) return Done{};
    auto layers = RemoteLayers::open(s_, stack);
    if (!layers) return fail(std::move(layers.error()));
    std::size_t count = 0;
    auto done = image::for_each_conflict(
        (*layers)->records(), (*layers)->source(),
        [&](const image::LayerConflict& conflict) -> Status {
          if ((*layers)->records()[conflict.hidden].kind == format::LayerKind::base) return Done{};
          ++count;
          if (s_.json)
            *s_.out << nlohmann::json{{"conflict", printable(conflict.path, format::kPathMax)},
                                      {"record", conflict.record},
                                      {"hidden", stack[conflict.hidden]},
                                      {"winner", stack[conflict.winner]},
                                      {"stack", stack}}
                           .dump()
                    << '\n';
          else if (count <= kConflictsShown || request_.paths)
            *s_.out << "conflict: " << text_of(conflict, stack) << '\n';
          return Done{};
        });
    if (done && !s_.json && !request_.paths && count > kConflictsShown)
      *s_.out << count - kConflictsShown << " more conflicts of " << joined(stack)
              << "; `lamina layer conflicts` lists them\n";
    return done;
  }

  Session& s_;
  const ReportRequest& request_;
  std::vector<wire::DeviceInfo> devices_;
  std::optional<KnownLayers> layers_;
  DriverRules drivers_;
  // By applied and new stack, and policy.
  std::map<std::tuple<Names, Names, std::string>, Group> groups_;
  std::vector<Names> stacks_;  // New ones, each once.
  lamina::cli::Rows rows_{{"DEVICE", "HOST", "HAS", "GETS", "ADDS", "REPLACES", "METADATA",
                           "REMOVES", "DOWNLOAD", "SPACE", "ALSO", "WARNINGS"}};
};

}  // namespace

std::string_view name_of(PathChange change) {
  switch (change) {
    case PathChange::adds: return "adds";
    case PathChange::replaces: return "replaces";
    case PathChange::metadata: return "metadata";
    case PathChange::removes: return "removes";
  }
  return "unknown";
}

Result<StackChange> compare_stacks(std::vector<format::LayerRecord> before,
                                   std::vector<format::LayerRecord> after,
                                   const format::ChunkSource& chunks,
                                   const image::Protection& protection, const OnPath& on_path) {
  auto old_stack = image::Stack::open(std::move(before), chunks, {});
  if (!old_stack) return fail(std::move(old_stack.error()));
  auto new_stack = image::Stack::open(std::move(after), chunks, {});
  if (!new_stack) return fail(std::move(new_stack.error()));
  auto old_entries = (*old_stack)->entries();
  if (!old_entries) return fail(std::move(old_entries.error()));
  auto new_entries = (*new_stack)->entries();
  if (!new_entries) return fail(std::move(new_entries.error()));
  image::DiffStream differences(std::move(*old_entries), std::move(*new_entries));
  StackChange change;
  for (;;) {
    auto difference = differences.next();
    if (!difference) return fail(std::move(difference.error()));
    if (!*difference) return change;
    const image::Difference& one = **difference;
    const Entry& entry = one.after ? *one.after : *one.before;
    // The volume's root is neither made nor removed.
    if (one.change == image::Change::same || one.path().empty() ||
        protection.own_rule(one.path(), entry.kind == EntryKind::directory))
      continue;
    PathChange what = PathChange::replaces;
    if (one.change == image::Change::added) what = PathChange::adds;
    if (one.change == image::Change::removed) what = PathChange::removes;
    if (one.change == image::Change::changed && keeps_content(*one.before, *one.after))
      what = PathChange::metadata;
    ++(what == PathChange::adds       ? change.adds
       : what == PathChange::replaces ? change.replaces
       : what == PathChange::metadata ? change.metadata
                                      : change.removes);
    if (what == PathChange::adds || what == PathChange::replaces)
      change.to_write += Bytes{static_cast<std::int64_t>(entry.stored_bytes())};
    on_path(what, one.path());
  }
}

Result<StackChange> compare_stacks(Session& session, const std::vector<std::string>& before,
                                   const std::vector<std::string>& after,
                                   const image::Protection& protection, const OnPath& on_path) {
  Names all = before;
  all.insert(all.end(), after.begin(), after.end());
  auto layers = RemoteLayers::open(session, all);
  if (!layers) return fail(std::move(layers.error()));
  const auto& records = (*layers)->records();
  const auto middle = records.begin() + static_cast<std::ptrdiff_t>(before.size());
  return compare_stacks({records.begin(), middle}, {middle, records.end()}, (*layers)->source(),
                        protection, on_path);
}

Bytes space_for(const StackChange& change) {
  return image::space_for_apply(change.adds + change.replaces, change.to_write);
}

Bytes to_download(const std::map<LayerId, LayerPacks>& wanted,
                  const std::map<LayerId, LayerPacks>& held) {
  std::set<LayerId> layers;
  std::set<PackId> there;
  for (const auto& [layer, packs] : held) {
    layers.insert(layer);
    for (const format::DistributedPack& pack : packs) there.insert(pack.id);
  }
  Bytes sum;
  for (const auto& [layer, packs] : wanted) {
    const auto lacks = format::needed_packs(packs, layers, there);
    sum += Bytes{static_cast<std::int64_t>(format::sum_of(lacks))};
    for (const auto& [id, size] : lacks) there.insert(id);
  }
  return sum;
}

Result<KnownLayers> KnownLayers::open(Session& session) {
  auto body = session.get("/v1/layers");
  if (!body) return fail(std::move(body.error()));
  auto list = wire::parse_layer_list(*body);
  if (!list) return fail(std::move(list.error()));
  return KnownLayers(session, std::move(*list));
}

const wire::LayerInfo* KnownLayers::find(const std::string& name) const {
  const auto found = std::ranges::find_if(list_.layers, [&](const wire::LayerInfo& layer) {
    return layer.name + ':' + layer.version == name;
  });
  return found == list_.layers.end() ? nullptr : &*found;
}

Result<const LayerPacks*> KnownLayers::packs_of(const wire::LayerInfo& layer) {
  const auto known = packs_.find(layer.id);
  if (known != packs_.end()) return &known->second;
  auto envelope = session_->get("/v1/layers/" + layer.id.hex() + "/distribution");
  if (!envelope) return fail(std::move(envelope.error()));
  auto record = format::open_distribution(layer.id, as_view(*envelope));
  if (!record) return fail(std::move(record.error()));
  return &packs_.emplace(layer.id, std::move(record->packs)).first->second;
}

Result<Bytes> download_between(Session& session, const std::vector<std::string>& before,
                               const std::vector<std::string>& after) {
  auto layers = KnownLayers::open(session);
  if (!layers) return fail(std::move(layers.error()));
  std::map<LayerId, LayerPacks> held, wanted;
  for (const auto& [names, packs_by] : {std::pair{&before, &held}, std::pair{&after, &wanted}})
    for (const std::string& name : *names) {
      auto layer = find_layer(layers->list(), name);
      if (!layer) return fail(std::move(layer.error()));
      auto packs = layers->packs_of(*layer);
      if (!packs) return fail(std::move(packs.error()));
      packs_by->emplace(layer->id, **packs);
    }
  for (const auto& [layer, packs] : held) wanted.erase(layer);
  return to_download(wanted, held);
}

std::vector<std::string> warnings_for(const wire::DeviceInfo& device, Bytes download,
                                      const wire::LayerInfo* base, WallTime now) {
  std::vector<std::string> warnings;
  if (device.seen_ms == 0)
    warnings.emplace_back("never heard of");
  else if (const Duration silent{now.ns - device.seen_ms * 1'000'000};
           silent > policy::Alerts::Limits().stale_after)
    warnings.push_back("not heard of for " + to_text(silent));
  if (device.waiting) warnings.push_back("at no site that it may be in: " + *device.waiting);
  if (device.applied != device.target && device.applied_sequence < device.target_sequence)
    warnings.emplace_back("has not applied its last assignment yet");
  const auto machine = device.attributes.find("architecture");
  if (base != nullptr && machine != device.attributes.end() &&
      machine->second != base->architecture)
    warnings.push_back("is a machine of architecture '" + machine->second + "', and layer " +
                       base->name + ':' + base->version + " is for '" + base->architecture + "'");
  const Bytes needed = download + image::kApplyReserve;
  if (device.disk && device.disk->free_bytes < needed.count)
    warnings.push_back("the disk of its cache has " + to_text(Bytes{device.disk->free_bytes}) +
                       " free, the download needs " + to_text(needed));
  return warnings;
}

std::string assignment_path(const wire::AssignmentRequest& request) {
  return request.add || request.remove ? "/v1/assignments/change" : "/v1/assignments";
}

Status report_assignment(Session& session, const ReportRequest& request) {
  return Report(session, request).print();
}

std::string text_of(const image::LayerConflict& conflict, const std::vector<std::string>& names) {
  std::string what = printable(conflict.path, format::kPathMax);
  if (!conflict.record.empty()) what += ", " + conflict.record;
  return what + ": " + names[conflict.winner] + " hides what " + names[conflict.hidden] + " has";
}

}  // namespace lamina::origin::cli
