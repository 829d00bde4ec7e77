#include "origin/cli/session.hpp"
#include "shared/wire/admin.hpp"

namespace lamina::origin::cli {
namespace {

// An id and what JSON has around it take 35 bytes of a message.
constexpr std::size_t kDevicesAtOnce = 1000;

using Ids = std::vector<DeviceId>;

struct Words {
  std::string name, filter;
  std::vector<std::string> devices, add, remove;
};

Result<Ids> ids_of(const std::vector<std::string>& words) {
  Ids ids;
  for (const std::string& word : words) {
    auto id = DeviceId::parse(word);
    if (!id) return fail(std::move(id.error()));
    ids.push_back(*id);
  }
  return ids;
}

std::string path_of(const std::string& name) { return "/v1/collections/" + encoded(name); }

// Makes or changes it.
Status send(Session& s, const std::string& path, const Words& words) {
  wire::CollectionRequest request{.name = words.name};
  if (!words.filter.empty()) request.filter = words.filter;
  auto devices = ids_of(words.devices), add = ids_of(words.add), remove = ids_of(words.remove);
  for (const auto* ids : {&devices, &add, &remove})
    if (!*ids) return fail(ids->error());
  if (devices->size() + add->size() + remove->size() > kDevicesAtOnce)
    return fail(ErrorKind::invalid, "name at most " + std::to_string(kDevicesAtOnce) +
                                        " devices at once; `lamina collection edit --add` adds "
                                        "more, or use a filter");
  if (!words.devices.empty()) request.devices = std::move(*devices);
  if (!words.add.empty()) request.add = std::move(*add);
  if (!words.remove.empty()) request.remove = std::move(*remove);
  auto body = s.call("POST", path, wire::to_json(request));
  if (!body) return fail(std::move(body.error()));
  s.tell(*body, "collection " + words.name + " is set");
  return Done{};
}

Status remove(Session& s, const std::string& name) {
  auto body = s.call("DELETE", path_of(name), "");
  if (!body) return fail(std::move(body.error()));
  s.tell(*body, "collection " + name + " is removed; its devices stay as they are");
  return Done{};
}

Status list(Session& s) {
  auto body = s.get("/v1/collections");
  if (!body) return fail(std::move(body.error()));
  auto list = wire::parse_collection_list(*body);
  if (!list) return fail(std::move(list.error()));
  Session::Rows rows{{"COLLECTION", "DEVICES", "CHANGED"}};
  for (const wire::CollectionInfo& i : list->collections) {
    if (s.json) *s.out << wire::to_json(i) << '\n';
    rows.push_back({i.name,
                    i.filter    ? "where " + printable(*i.filter, 200)
                    : i.devices ? std::to_string(i.devices->size()) + " listed"
                                : "none",
                    to_iso8601(WallTime{i.changed_ms * 1'000'000})});
  }
  if (!s.json) s.table(rows);
  return Done{};
}

Status show(Session& s, const std::string& name) {
  auto body = s.get(path_of(name));
  if (!body) return fail(std::move(body.error()));
  auto detail = wire::parse_collection_detail(*body);
  if (!detail) return fail(std::move(detail.error()));
  if (s.json) return *s.out << *body << '\n', Done{};
  if (detail->collection.filter)
    *s.out << "where " << printable(*detail->collection.filter, 4096) << '\n';
  for (const DeviceId& id : detail->members) *s.out << id.hex() << '\n';
  *s.out << detail->members.size() << (detail->members.size() == 1 ? " device\n" : " devices\n");
  return Done{};
}

}  // namespace

void add_collection(CLI::App& app, Run& run) {
  auto* collection =
      app.add_subcommand("collection", "devices under one name: listed, or found by a filter");
  collection->require_subcommand(1);
  collection->footer(
      "Example: lamina collection add tills --filter 'site = north and host = till-*'");
  auto words = std::make_shared<Words>();
  const auto add_members = [&](CLI::App& command) {
    auto* what = command.add_option_group("what");
    auto* filter = what->add_option("--filter", words->filter,
                                    "facts that its devices have, looked at whenever it is used");
    auto* devices = what->add_option("--device", words->devices, "32 hex digits; several allowed");
    filter->excludes(devices);
    return what;
  };
  const char* const grammar =
      "A filter is FACT = VALUE, FACT != VALUE or FACT in SUBNET, with 'and', 'or', 'not' and "
      "brackets. '*' in a\nvalue stands for anything; a value with blanks stands in single quotes. "
      "Facts: id, status, site, host, uuid,\nversion, address, public-address, target, applied "
      "(NAME:VERSION of any layer), attribute.NAME (as in\n`lamina device show`).\n";
  auto* add = collection->add_subcommand("add", "make a collection");
  add->add_option("NAME", words->name, "its name")->required();
  add_members(*add)->require_option(1, 0);
  add->footer(
      std::string(grammar) +
      "Example: lamina collection add tills --filter 'site = north and host = till-*'\n"
      "Example: lamina collection add new --filter 'address in 10.1.0.0/16 and not target = "
      "firefox:*'");
  add->callback(
      [&run, words] { run = [words](Session& s) { return send(s, "/v1/collections", *words); }; });
  auto* edit = collection->add_subcommand("edit", "other devices, or another filter");
  edit->add_option("NAME", words->name, "the collection")->required();
  auto* what = add_members(*edit);
  what->add_option("--add", words->add, "a device that a list gets; several allowed");
  what->add_option("--remove", words->remove, "a device that a list loses; several allowed");
  what->require_option(1, 0);
  edit->footer(std::string(grammar) +
               "Example: lamina collection edit pilots --add 00112233445566778899aabbccddeeff");
  edit->callback([&run, words] {
    run = [words](Session& s) { return send(s, path_of(words->name), *words); };
  });
  auto* rm = collection->add_subcommand("rm", "forget a collection; its devices stay as they are");
  rm->add_option("NAME", words->name, "the collection")->required();
  rm->footer("Example: lamina collection rm tills");
  rm->callback([&run, words] { run = [words](Session& s) { return remove(s, words->name); }; });
  auto* shown = collection->add_subcommand("show", "the devices that are in it now");
  shown->add_option("NAME", words->name, "the collection")->required();
  shown->footer("Example: lamina collection show tills --json");
  shown->callback([&run, words] { run = [words](Session& s) { return show(s, words->name); }; });
  auto* ls = collection->add_subcommand("ls", "list the collections");
  ls->footer("Example: lamina collection ls");
  ls->callback([&run] { run = list; });
}

}  // namespace lamina::origin::cli
