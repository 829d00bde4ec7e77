#include <sys/socket.h>

#include <thread>

#include "node/worker/cached_layer.hpp"
#include "shared/format/needed_packs.hpp"
#include "shared/image/list_stream.hpp"
#include "shared/store/pack_writer.hpp"
#include "tests/node/worker/worker_fixture.hpp"
#include "tests/shared/tree/trees.hpp"
#include "tests/support/signed_layer.hpp"

using namespace lamina;
using namespace lamina::tests;

namespace {

using Fixture = WorkerBench;

}  // namespace

TEST_CASE("worker: applies a signed target, once, and its removal", "[node]") {
  Fixture f;
  make_nasty_tree(f.scratch / "tree");
  const LayerId id = f.layer(f.scratch / "tree", "1.0", f.publisher);
  f.target(1, {id}, f.target_key);
  auto reply = f.apply();
  if (reply.error) FAIL(reply.error->text());
  CHECK(reply.changed);
  CHECK(reply.stack == std::vector<LayerId>{id});
  CHECK(os::read_text(f.scratch / "volume/a/b/script").value() == "#!/bin/sh\necho\n");
  CHECK_FALSE(f.apply().changed);
  f.target(2, {}, f.target_key);
  reply = f.apply();
  if (reply.error) FAIL(reply.error->text());
  CHECK(os::list_directory(f.scratch / "volume").value() == std::vector<std::string>{".lamina"});
}

TEST_CASE("worker: an app layer comes over the base, the last wins", "[node]") {
  Fixture f;
  for (const char* name : {"base/etc", "app/etc"}) REQUIRE(os::make_directories(f.scratch / name));
  make_file(f.scratch / "base/etc/a", to_buffer("base"));
  make_file(f.scratch / "base/etc/b", to_buffer("base"));
  make_file(f.scratch / "app/etc/b", to_buffer("app"));
  const LayerId base = f.layer(f.scratch / "base", "1.0", f.publisher);
  const LayerId app = f.layer(f.scratch / "app", "2.0", f.publisher, format::LayerKind::app);
  f.target(1, {base, app}, f.target_key);
  const auto reply = f.apply();
  if (reply.error) FAIL(reply.error->text());
  CHECK(os::read_text(f.scratch / "volume/etc/a").value() == "base");
  CHECK(os::read_text(f.scratch / "volume/etc/b").value() == "app");
  f.target(2, {base}, f.target_key);
  CHECK_FALSE(f.apply().error);
  CHECK(os::read_text(f.scratch / "volume/etc/b").value() == "base");
}

TEST_CASE("worker: what is not signed by the right key, for this device, now, is refused",
          "[node]") {
  Fixture f;
  make_file(f.scratch / "x", {});
  REQUIRE(os::make_directories(f.scratch / "tree"));
  make_file(f.scratch / "tree/f", to_buffer("content"));
  const LayerId good = f.layer(f.scratch / "tree", "1.0", f.publisher);
  f.target(1, {good}, f.stranger);
  f.refused("not trusted");
  f.target(1, {good}, f.publisher);  // A publisher's key signs layers, not targets.
  f.refused("not trusted");
  f.target(1, {good}, f.target_key, 8);
  f.refused("is for device");
  f.target(1, {good}, f.target_key, 7, {kNow.ns - 1});
  f.refused("expired");
  f.target(1, {f.layer(f.scratch / "tree", "1.1", f.stranger)}, f.target_key);
  f.refused("not trusted");
  f.target(1, {good, f.layer(f.scratch / "tree", "2", f.publisher, format::LayerKind::app, "13")},
           f.target_key);
  f.refused("another system");
  f.target(1, {f.layer(f.scratch / "tree", "3", f.publisher, format::LayerKind::app)},
           f.target_key);
  f.refused("no base layer");
}

TEST_CASE("worker: content of a pack that is not whole here comes from another layer", "[node]") {
  Fixture f;
  for (const char* name : {"one", "two"}) REQUIRE(os::make_directories(f.scratch / name));
  for (const char* name : {"one/same", "two/same"}) make_file(f.scratch / name, noise(50'000, 1));
  set_mtime(f.scratch / "two/same", 1'600'000'000, 0);
  const LayerId one = f.layer(f.scratch / "one", "1.0", f.publisher);
  const auto before = os::list_directory(f.state.packs()).value();
  const LayerId two = f.layer(f.scratch / "two", "2.0", f.publisher);
  // In packs of its own: what the first layer has, and what it has not.
  const auto files = PackFiles::open(f.state.cache(), PackFiles::Access::write).value();
  const auto known = capture(f.scratch / "one").chunks;
  std::vector<format::DistributedPack> packs;
  for (const bool is_known : {true, false}) {
    PackWriter writer(files, {.level = 1}, [&](const format::PackSummary& pack) -> Status {
      packs.push_back({pack.id, pack.size, false});
      if (is_known) packs.back().unless = {one};
      return Done{};
    });
    for (const auto& [id, plain] : capture(f.scratch / "two").chunks)
      if (known.contains(id) == is_known)
        REQUIRE(writer.add(ref_of(plain), plain, ContentClass::data));
    REQUIRE(writer.finish());
  }
  REQUIRE(packs.size() == 2);
  const std::string name = '/' + packs[0].id.hex();
  std::ranges::sort(packs, {}, &format::DistributedPack::id);
  f.distribute(two, packs);
  f.target(1, {two}, f.target_key);

  SECTION("it is not here") { REQUIRE(os::remove_file(f.state.packs() + name)); }
  SECTION("it was fetched in part") {
    // The index is there, the content is not.
    Buffer bytes = os::read_file(f.state.packs() + name, 1 << 20).value();
    std::fill(bytes.begin() + 16, bytes.begin() + 40'000, std::byte{0});
    REQUIRE(os::write_file(f.state.packs() + name, bytes));
    REQUIRE(os::remove_file(f.state.trees() + name));
  }
  SECTION("neither is the other layer") {
    REQUIRE(os::remove_file(f.state.packs() + name));
    REQUIRE(os::remove_file(f.state.trees() + name));
    REQUIRE(os::remove_file(f.state.packs() + '/' + before.front()));
    const auto reply = f.apply();
    REQUIRE(reply.error);
    CHECK(reply.error->kind() == ErrorKind::not_found);
    return;
  }
  if (!os::exists(f.state.packs() + name)) REQUIRE(os::remove_file(f.state.trees() + name));
  const auto reply = f.apply();
  if (reply.error) FAIL(reply.error->text());
  CHECK(os::read_file(f.scratch / "volume/same", 1 << 20).value() == noise(50'000, 1));
}

TEST_CASE("worker: what an update gave is read beside the layer before", "[node]") {
  Fixture f;
  for (const char* name : {"one", "two"}) REQUIRE(os::make_directories(f.scratch / name));
  for (const char* name : {"one/same", "two/same"}) make_file(f.scratch / name, noise(50'000, 1));
  make_file(f.scratch / "two/new", noise(30'000, 2));
  const LayerId one = f.layer(f.scratch / "one", "1.0", f.publisher);
  const LayerId two = f.layer(f.scratch / "two", "2.0", f.publisher);
  const auto files = PackFiles::open(f.state.cache(), PackFiles::Access::write).value();
  const auto known = capture(f.scratch / "one").chunks;
  node::Rebuilt rebuilt{.base = one, .packs = {}, .lacking = {}};
  PackWriter writer(files, {.level = 1}, [&](const format::PackSummary& pack) -> Status {
    rebuilt.packs.push_back({pack.id, pack.size, false});
    return Done{};
  });
  for (const auto& [id, plain] : capture(f.scratch / "two").chunks)
    if (!known.contains(id)) REQUIRE(writer.add(ref_of(plain), plain, ContentClass::data));
  REQUIRE(writer.finish());
  // The layer's own pack is not here, and never was.
  std::array<std::byte, PackId::kSize> none{};
  none[0] = std::byte{1};
  std::vector<format::DistributedPack> packs = {{PackId(none), 1000, false}};
  packs[0].unless_updated = {one};
  none[0] = std::byte{2};
  packs.push_back({PackId(none), 10, false});
  packs[1].update_from = {one};
  f.distribute(two, packs);
  f.target(1, {two}, f.target_key);

  SECTION("nothing was rebuilt") {
    CHECK(f.apply().error->kind() == ErrorKind::not_found);
    return;
  }
  SECTION("the pack is needed all the same") {
    rebuilt.lacking = {packs[0].id};
    REQUIRE(node::write_rebuilt(f.state, two, rebuilt));
    CHECK(f.apply().error->kind() == ErrorKind::not_found);
    return;
  }
  SECTION("a part of it is still to come") {
    rebuilt.parts[packs[0].id] = {{ref_of(noise(30'000, 2)).id}, {{0, 10}}};
    REQUIRE(node::write_rebuilt(f.state, two, rebuilt));
    CHECK(f.apply().error->kind() == ErrorKind::not_found);
    return;
  }
  SECTION("it was rebuilt upon another layer") {
    rebuilt.base = two;
    REQUIRE(node::write_rebuilt(f.state, two, rebuilt));
    CHECK(f.apply().error->kind() == ErrorKind::not_found);
    return;
  }
  REQUIRE(node::write_rebuilt(f.state, two, rebuilt));
  const auto read = node::read_rebuilt(f.state, two);
  REQUIRE(read);
  CHECK((read->base == one && read->packs == rebuilt.packs && read->lacking.empty()));
  const auto reply = f.apply();
  if (reply.error) FAIL(reply.error->text());
  CHECK(os::read_file(f.scratch / "volume/new", 1 << 20).value() == noise(30'000, 2));
}

TEST_CASE("worker: what an update from nothing gave is read alone", "[node]") {
  Fixture f;
  REQUIRE(os::make_directories(f.scratch / "one"));
  make_file(f.scratch / "one/new", noise(30'000, 2));
  const LayerId one = f.layer(f.scratch / "one", "1.0", f.publisher);
  const auto files = PackFiles::open(f.state.cache(), PackFiles::Access::write).value();
  node::Rebuilt rebuilt{.base = format::kNoLayer, .packs = {}, .lacking = {}};
  PackWriter writer(files, {.level = 1}, [&](const format::PackSummary& pack) -> Status {
    rebuilt.packs.push_back({pack.id, pack.size, false});
    return Done{};
  });
  for (const auto& [id, plain] : capture(f.scratch / "one").chunks)
    REQUIRE(writer.add(ref_of(plain), plain, ContentClass::data));
  REQUIRE(writer.finish());
  std::array<std::byte, PackId::kSize> none{};
  none[0] = std::byte{1};
  std::vector<format::DistributedPack> packs = {{PackId(none), 1000, false}};
  packs[0].unless_updated = {format::kNoLayer};
  none[0] = std::byte{2};
  packs.push_back({PackId(none), 10, false});
  packs[1].update_from = {format::kNoLayer};
  f.distribute(one, packs);
  f.target(1, {one}, f.target_key);
  CHECK(f.apply().error->kind() == ErrorKind::not_found);
  REQUIRE(node::write_rebuilt(f.state, one, rebuilt));
  const auto reply = f.apply();
  if (reply.error) FAIL(reply.error->text());
  CHECK(os::read_file(f.scratch / "volume/new", 1 << 20).value() == noise(30'000, 2));
}

TEST_CASE("worker: an older target is refused, also after a revert", "[node]") {
  Fixture f;
  REQUIRE(os::make_directories(f.scratch / "tree"));
  make_file(f.scratch / "tree/f", to_buffer("one"));
  const LayerId one = f.layer(f.scratch / "tree", "1.0", f.publisher);
  make_file(f.scratch / "tree/f", to_buffer("two"));
  const LayerId two = f.layer(f.scratch / "tree", "2.0", f.publisher);
  f.target(5, {one}, f.target_key);
  CHECK_FALSE(f.apply().error);
  f.target(6, {two}, f.target_key);
  CHECK_FALSE(f.apply().error);
  f.target(5, {one}, f.target_key);
  const auto replayed = f.apply();
  REQUIRE(replayed.error);
  CHECK(replayed.error->text().find("older than target 6") != std::string::npos);
  CHECK(os::read_text(f.scratch / "volume/f").value() == "two");

  auto worker = Worker::open(f.state, f.clock);
  REQUIRE(worker);
  const auto reverted = worker->revert();
  CHECK_FALSE(reverted.error);
  CHECK(reverted.stack == std::vector<LayerId>{one});
  CHECK(os::read_text(f.scratch / "volume/f").value() == "one");
  CHECK(worker->apply(false).error);
}

TEST_CASE("worker: a corrupt or missing pack changes nothing and is named", "[node]") {
  Fixture f;
  REQUIRE(os::make_directories(f.scratch / "tree"));
  make_file(f.scratch / "tree/f", noise(50'000, 1));
  f.target(1, {f.layer(f.scratch / "tree", "1.0", f.publisher)}, f.target_key);
  const auto names = os::list_directory(f.state.packs()).value();
  REQUIRE(names.size() == 1);
  const std::string path = f.state.packs() + '/' + names[0];
  Buffer bytes = os::read_file(path, 1 << 20).value();
  bytes[1000] ^= std::byte{1};
  REQUIRE(os::write_file(path, bytes));
  auto reply = f.apply();
  REQUIRE(reply.error);
  CHECK(reply.error->kind() == ErrorKind::corrupt);
  REQUIRE(os::remove_file(path));
  reply = f.apply();
  REQUIRE(reply.error);
  CHECK(reply.error->kind() == ErrorKind::not_found);
  CHECK(reply.error->text().find(names[0].substr(0, 8)) != std::string::npos);
  CHECK(os::list_directory(f.scratch / "volume").value() == std::vector<std::string>{".lamina"});
}

TEST_CASE("worker: serves requests on a socket, and nonsense gets an answer", "[node]") {
  Fixture f;
  make_file(f.scratch / "volume/mine", noise(1000, 1));
  auto worker = Worker::open(f.state, f.clock);
  REQUIRE(worker);
  int ends[2];
  REQUIRE(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends) == 0);
  os::LocalConnection server{os::Descriptor(ends[0])};
  std::optional<os::LocalConnection> client{os::LocalConnection(os::Descriptor(ends[1]))};
  std::thread serving([&] { worker->serve(server); });
  const auto ask = [&](const std::string& text) {
    REQUIRE(client->send(text));
    const auto answer = client->receive(std::chrono::seconds{20});
    REQUIRE(answer);
    return node::parse_worker_reply(*answer).value();
  };
  CHECK(ask("nonsense").error->kind() == ErrorKind::invalid);
  CHECK(ask(R"({"do":"fly"})").error->kind() == ErrorKind::invalid);
  CHECK(ask(R"({"do":"status"})").sequence == 0);
  auto reply = ask(to_json(node::WorkerRequest{
      .kind = node::WorkerRequest::Kind::scan, .sequence = 1, .reason = "request"}));
  int packs = 0;
  while (!reply.error && !reply.pack.is_none()) {
    ++packs;
    CHECK(os::exists(f.state.spool() + "/packs/" + reply.pack.hex()));
    reply = ask(R"({"do":"ack"})");
  }
  CHECK(packs == 2);
  REQUIRE_FALSE(reply.snapshot.is_none());
  const auto record =
      format::parse_snapshot(os::read_file(f.state.spool() + "/snapshot", 1 << 20).value());
  REQUIRE(record);
  CHECK(record->device == device_id(7));
  CHECK_FALSE(ask(R"({"do":"committed"})").error);
  client.reset();
  serving.join();
}

namespace {

wire::Policy policy_of(const std::string& id, std::vector<format::ProtectionRule> user) {
  return {.id = id, .name = "office", .version = 3, .rules = {.unprotected = {}, .user = user}};
}

}  // namespace

TEST_CASE("worker: a policy's user area is kept by applies, and by a worker that starts anew",
          "[node]") {
  Fixture f;
  REQUIRE(os::make_directories(f.scratch / "tree/srv/data"));
  make_file(f.scratch / "tree/srv/data/x", to_buffer("layer"));
  make_file(f.scratch / "tree/y", to_buffer("layer"));
  const LayerId id = f.layer(f.scratch / "tree", "1.0", f.publisher);
  REQUIRE(os::make_directories(f.scratch / "volume/srv/data"));
  make_file(f.scratch / "volume/srv/data/x", to_buffer("user"));
  f.target(1, {id}, f.target_key);
  {
    auto worker = Worker::open(f.state, f.clock);
    REQUIRE(worker);
    const auto taken = worker->take_policy(policy_of("one", {{"data", {"srv/data"}, {}}}));
    REQUIRE_FALSE(taken.error);
    CHECK(taken.policy.id == "one");
  }
  auto reply = f.apply();
  if (reply.error) FAIL(reply.error->text());
  CHECK(reply.policy.version == 3);
  CHECK(os::read_text(f.scratch / "volume/srv/data/x").value() == "user");
  CHECK(os::read_text(f.scratch / "volume/y").value() == "layer");
  f.target(2, {}, f.target_key);
  reply = f.apply();
  if (reply.error) FAIL(reply.error->text());
  CHECK(os::read_text(f.scratch / "volume/srv/data/x").value() == "user");
  CHECK_FALSE(os::exists(f.scratch / "volume/y"));
}

TEST_CASE("worker: a policy that is not good leaves the one before", "[node]") {
  Fixture f;
  {
    auto worker = Worker::open(f.state, f.clock);
    REQUIRE(worker);
    REQUIRE_FALSE(worker->take_policy(policy_of("one", {{"data", {"srv/data"}, {}}})).error);
    const auto refused = worker->take_policy(policy_of("two", {{"data", {"usr"}, {}}}));
    REQUIRE(refused.error);
    CHECK(refused.error->kind() == ErrorKind::invalid);
    CHECK(worker->status().policy.id == "one");
  }
  auto worker = Worker::open(f.state, f.clock);
  REQUIRE(worker);
  CHECK(worker->status().policy.id == "one");
  // The factory rules alone are a policy too.
  REQUIRE_FALSE(worker->take_policy({}).error);
  CHECK(worker->status().policy == wire::Policy{});
}

TEST_CASE("worker: without its policy it neither scans nor applies until it is there again",
          "[node]") {
  Fixture f;
  make_nasty_tree(f.scratch / "tree");
  f.target(1, {f.layer(f.scratch / "tree", "1.0", f.publisher)}, f.target_key);
  REQUIRE(os::write_file(f.state.work() + "/policy", to_buffer("{\"id\":\"one\"")));
  auto worker = Worker::open(f.state, f.clock);
  REQUIRE(worker);
  const auto waits = worker->apply(false);
  REQUIRE(waits.error);
  CHECK(waits.error->kind() == ErrorKind::unavailable);
  CHECK(waits.error->text().find("policy") != std::string::npos);
  CHECK_FALSE(worker->status().policy.id.empty());  // Not as of a device that has none.
  CHECK(worker->status().policy.id != "one");
  REQUIRE_FALSE(worker->take_policy(policy_of("one", {{"data", {"srv/data"}, {}}})).error);
  const auto applied = worker->apply(false);
  if (applied.error) FAIL(applied.error->text());
  CHECK(applied.changed);
}
