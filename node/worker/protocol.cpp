#include "node/worker/protocol.hpp"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

namespace lamina::node {
namespace {

using nlohmann::json;
using Kind = WorkerRequest::Kind;

constexpr std::array<std::pair<Kind, const char*>, 11> kKinds{{{Kind::status, "status"},
                                                               {Kind::apply, "apply"},
                                                               {Kind::revert, "revert"},
                                                               {Kind::told, "told"},
                                                               {Kind::scan, "scan"},
                                                               {Kind::ack, "ack"},
                                                               {Kind::committed, "committed"},
                                                               {Kind::held, "held"},
                                                               {Kind::abandon, "abandon"},
                                                               {Kind::settle, "settle"},
                                                               {Kind::policy, "policy"}}};
constexpr const char* kRehearse = "rehearse-";
constexpr std::array kErrorKinds{ErrorKind::not_found,   ErrorKind::corrupt,
                                 ErrorKind::unavailable, ErrorKind::out_of_space,
                                 ErrorKind::invalid,     ErrorKind::refused};

// Runs `read` on the parsed object; what the library throws becomes one error.
template <class Value, class Read>
Result<Value> parse(std::string_view text, const Read& read) {
  try {
    const json object = json::parse(text);
    return read(object);
  } catch (const json::exception&) {
    return fail(ErrorKind::invalid, "a message on the worker's socket is not what it must be: '" +
                                        printable(text, 100) + "'");
  }
}

template <class Id>
Result<Id> id_of(const json& object, const char* key) {
  const std::string text = object.value(key, std::string());
  return text.empty() ? Result<Id>(Id{}) : Id::parse(text);
}

template <class Id>
std::string text_of(const Id& id) {
  return id.is_none() ? std::string() : id.hex();
}

// At most kScriptEndsMax.
json json_of(const std::vector<wire::ScriptEnd>& ends, std::size_t output_max) {
  json scripts = json::array();
  for (const wire::ScriptEnd& end : ends) {
    if (scripts.size() == wire::kScriptEndsMax) break;
    json script{{"layer", end.layer},
                {"name", end.name},
                {"code", end.code},
                {"late", end.late.value_or(false)},
                {"output", end.output.substr(0, output_max)}};
    if (end.trouble) script["trouble"] = *end.trouble;
    scripts.push_back(std::move(script));
  }
  return scripts;
}

std::vector<wire::ScriptEnd> ends_of(const json& object) {
  std::vector<wire::ScriptEnd> ends;
  for (const json& item : object.value("scripts", json::array())) {
    wire::ScriptEnd end{.layer = item.at("layer").get<std::string>(),
                        .name = item.at("name").get<std::string>(),
                        .code = item.at("code").get<int>()};
    if (item.value("late", false)) end.late = true;
    if (const auto trouble = item.find("trouble"); trouble != item.end())
      end.trouble = trouble->get<std::string>();
    end.output = item.value("output", std::string());
    ends.push_back(std::move(end));
  }
  return ends;
}

}  // namespace

std::string to_json(const WorkerRequest& request) {
  json object;
  for (const auto& [kind, name] : kKinds)
    if (kind == request.kind) object["do"] = (request.dry_run ? kRehearse : "") + std::string(name);
  if (request.kind == Kind::scan) {
    object["sequence"] = request.sequence;
    object["parent"] = text_of(request.parent);
    object["reason"] = request.reason;
    object["full"] = request.full;
  }
  if (request.kind == Kind::told) object["sequence"] = request.sequence;
  if (request.kind == Kind::settle) object["snapshot"] = text_of(request.snapshot);
  if (request.kind == Kind::policy) object["policy"] = json::parse(wire::to_json(request.policy));
  return object.dump();
}

Result<WorkerRequest> parse_worker_request(std::string_view text) {
  return parse<WorkerRequest>(text, [](const json& object) -> Result<WorkerRequest> {
    WorkerRequest request;
    std::string what = object.at("do").get<std::string>();
    for (const char* const name : {"apply", "revert"})
      if (what == kRehearse + std::string(name)) {
        request.dry_run = true;
        what = name;
      }
    bool known = false;
    for (const auto& [kind, name] : kKinds)
      if (name == what) {
        request.kind = kind;
        known = true;
      }
    if (!known)
      return fail(ErrorKind::invalid, "the worker knows no request '" + printable(what, 40) + "'");
    request.sequence = object.value("sequence", std::uint64_t{0});
    auto parent = id_of<SnapshotId>(object, "parent");
    if (!parent) return fail(std::move(parent.error()));
    request.parent = *parent;
    request.reason = object.value("reason", std::string());
    request.full = object.value("full", false);
    auto snapshot = id_of<SnapshotId>(object, "snapshot");
    if (!snapshot) return fail(std::move(snapshot.error()));
    request.snapshot = *snapshot;
    if (request.kind == Kind::policy) {
      auto policy = wire::parse_policy(object.at("policy").dump());
      if (!policy) return fail(std::move(policy.error()));
      request.policy = std::move(*policy);
    }
    return request;
  });
}

std::string to_json(const WorkerReply& reply) {
  json object;
  object["ok"] = !reply.error.has_value();
  if (reply.error) {
    object["kind"] = std::string(name_of(reply.error->kind()));
    // A path may not be UTF-8: messages hold printable text only, but other programs' errors may
    // not.
    object["text"] = printable(reply.error->text(), 4096);
    return object.dump();
  }
  if (!reply.pack.is_none()) {
    object["pack"] = reply.pack.hex();
    object["size"] = reply.pack_size;
    object["metadata"] = reply.pack_is_metadata;
    return object.dump();
  }
  if (!reply.snapshot.is_none()) {
    object["snapshot"] = reply.snapshot.hex();
    object["files_read"] = reply.files_read;
    object["files_reused"] = reply.files_reused;
    object["bytes_read"] = reply.bytes_read;
    object["notes"] = reply.notes;
  }
  object["sequence"] = reply.sequence;
  object["stack"] = json::array();
  for (const LayerId& id : reply.stack) object["stack"].push_back(id.hex());
  object["changed"] = reply.changed;
  object["counts"] = {{"created", reply.counts.created},   {"replaced", reply.counts.replaced},
                      {"metadata", reply.counts.metadata}, {"removed", reply.counts.removed},
                      {"kept", reply.counts.kept},         {"records", reply.counts.records},
                      {"bytes", reply.counts.bytes}};
  object["remarks"] = json::array();
  for (const std::string& remark : reply.remarks)
    if (object["remarks"].size() < kRemarksMax) object["remarks"].push_back(printable(remark, 400));
  std::size_t ends = reply.scripts.size();
  for (const EarlierEnds& earlier : reply.earlier) ends += earlier.ends.size();
  const std::size_t output_max = kOutputsMax / std::max<std::size_t>(ends, 1);
  object["scripts"] = json_of(reply.scripts, output_max);
  object["earlier"] = json::array();
  for (const EarlierEnds& earlier : reply.earlier)
    object["earlier"].push_back(
        {{"sequence", earlier.sequence}, {"scripts", json_of(earlier.ends, output_max)}});
  object["restart_due"] = reply.restart_due;
  if (reply.waits != 0) object["waits"] = reply.waits;
  if (reply.tried) object["tried"] = printable(*reply.tried, 1000);
  wire::Policy policy = reply.policy;
  policy.rules = {};
  object["policy"] = json::parse(wire::to_json(policy));
  return object.dump();
}

Result<WorkerReply> parse_worker_reply(std::string_view text) {
  return parse<WorkerReply>(text, [](const json& object) -> Result<WorkerReply> {
    WorkerReply reply;
    if (!object.at("ok").get<bool>()) {
      ErrorKind kind = ErrorKind::unavailable;
      for (const ErrorKind known : kErrorKinds)
        if (name_of(known) == object.value("kind", std::string())) kind = known;
      reply.error.emplace(kind, object.value("text", std::string()));
      return reply;
    }
    auto pack = id_of<PackId>(object, "pack");
    if (!pack) return fail(std::move(pack.error()));
    reply.pack = *pack;
    reply.pack_size = object.value("size", std::uint64_t{0});
    reply.pack_is_metadata = object.value("metadata", false);
    auto snapshot = id_of<SnapshotId>(object, "snapshot");
    if (!snapshot) return fail(std::move(snapshot.error()));
    reply.snapshot = *snapshot;
    reply.files_read = object.value("files_read", std::uint64_t{0});
    reply.files_reused = object.value("files_reused", std::uint64_t{0});
    reply.bytes_read = object.value("bytes_read", std::uint64_t{0});
    reply.notes = object.value("notes", std::uint64_t{0});
    reply.sequence = object.value("sequence", std::uint64_t{0});
    for (const json& item : object.value("stack", json::array())) {
      auto id = LayerId::parse(item.get<std::string>());
      if (!id) return fail(std::move(id.error()));
      reply.stack.push_back(*id);
    }
    reply.changed = object.value("changed", false);
    for (const json& item : object.value("remarks", json::array()))
      reply.remarks.push_back(item.get<std::string>());
    reply.scripts = ends_of(object);
    for (const json& item : object.value("earlier", json::array()))
      reply.earlier.push_back({item.at("sequence").get<std::uint64_t>(), ends_of(item)});
    for (const json& item : object.value("restart_due", json::array()))
      reply.restart_due.push_back(item.get<std::string>());
    reply.waits = object.value("waits", std::uint64_t{0});
    if (const auto tried = object.find("tried"); tried != object.end())
      reply.tried = tried->get<std::string>();
    if (const auto held = object.find("policy"); held != object.end()) {
      auto policy = wire::parse_policy(held->dump());
      if (!policy) return fail(std::move(policy.error()));
      reply.policy = std::move(*policy);
    }
    if (const auto counts = object.find("counts"); counts != object.end())
      reply.counts = {.created = counts->value("created", std::uint64_t{0}),
                      .replaced = counts->value("replaced", std::uint64_t{0}),
                      .metadata = counts->value("metadata", std::uint64_t{0}),
                      .removed = counts->value("removed", std::uint64_t{0}),
                      .kept = counts->value("kept", std::uint64_t{0}),
                      .records = counts->value("records", std::uint64_t{0}),
                      .bytes = counts->value("bytes", std::uint64_t{0})};
    return reply;
  });
}

}  // namespace lamina::node
