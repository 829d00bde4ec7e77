// What an apply does beside the files: scripts, services, a restart, and enforcing.
#include <set>

#include "node/worker/early.hpp"
#include "tests/node/worker/own_shell.hpp"
#include "tests/node/worker/volume_fixture.hpp"
#include "tests/node/worker/worker_fixture.hpp"

using namespace lamina;
using namespace lamina::tests;
using format::Enforce;
using format::LayerKind;
using format::LayerRecord;

namespace {

// A service manager that remembers what it was told.
struct FakeServices : node::Services {
  Result<bool> is_active(const std::string& unit) override { return running.contains(unit); }
  Status stop(const std::string& unit) override {
    said.push_back("stop " + unit);
    if (unit == stuck) return fail(ErrorKind::unavailable, "service " + unit + " does not stop");
    running.erase(unit);
    if (at_stop) at_stop();
    return Done{};
  }
  Status restart(const std::string& unit) override {
    said.push_back("restart " + unit);
    if (unit == stuck) return fail(ErrorKind::unavailable, "service " + unit + " does not start");
    running.insert(unit);
    return Done{};
  }

  std::set<std::string> running;
  std::string stuck;
  std::function<void()> at_stop;
  std::vector<std::string> said;
};

using Words = std::vector<std::string>;

struct Bench : WorkerBench {
  Bench() { services = &manager; }

  // A tree with one file, published as a layer.
  LayerId one_file(const std::string& version, const std::string& content, LayerKind kind,
                   const std::function<void(LayerRecord&)>& change = {}) {
    const std::string tree = scratch / ("tree-" + version);
    REQUIRE(os::make_directories(tree + "/srv"));
    make_file(tree + "/srv/" + version.substr(0, version.find('.')), to_buffer(content));
    return layer(tree, version, publisher, kind, "12", change);
  }
  LayerId base(const std::string& version, const std::function<void(LayerRecord&)>& change = {}) {
    return one_file(version, version, LayerKind::base, change);
  }
  LayerId app(const std::string& version, const std::function<void(LayerRecord&)>& change = {}) {
    return one_file(version, version, LayerKind::app, change);
  }
  node::WorkerReply apply_target(std::uint64_t sequence, std::vector<LayerId> stack,
                                 Enforce enforce = Enforce::no, std::uint64_t number = 0) {
    target(sequence, std::move(stack), target_key, 7, {kNow.ns + 1}, enforce, number);
    auto reply = apply();
    if (reply.error) FAIL(reply.error->text());
    return reply;
  }
  node::WorkerReply revert() {
    auto worker = Worker::open(state, clock, services);
    REQUIRE(worker);
    return worker->revert();
  }
  std::string file(const std::string& path) const { return scratch / ("volume/" + path); }
  std::string content(const std::string& path) const {
    return os::read_text(file(path)).value_or("(none)");
  }

  FakeServices manager;
};

const auto with_script = [](std::string text, std::uint32_t limit = 60) {
  return [text = std::move(text), limit](LayerRecord& record) {
    record.scripts.push_back({"s" + std::to_string(record.scripts.size()), limit, text});
  };
};
const auto with_service = [](const std::string& unit) {
  return [unit](LayerRecord& record) { record.running.services.push_back(unit); };
};
const auto with_restart = [](LayerRecord& record) { record.running.restart = true; };

}  // namespace

TEST_CASE("scripts: they run after the apply that brought them, in the volume", "[node]") {
  Bench f;
  if (!put_shell(f.file(""))) return;
  const LayerId base = f.base("base.1", with_script("#!/bin/sh\nread x < /srv/base\n"
                                                    "echo \"$LAMINA_LAYER $LAMINA_LAYER_VERSION "
                                                    "$LAMINA_SCRIPT $x\"; echo two >&2\n"));
  const LayerId app = f.app("app.1", with_script("read x < /srv/app; echo $x > /made; exit 3"));
  auto reply = f.apply_target(1, {base, app});
  REQUIRE(reply.scripts.size() == 2);
  CHECK(reply.scripts[0] == wire::ScriptEnd{.layer = "layer base.1",
                                            .name = "s0",
                                            .output = "layer base.1 s0 base.1\ntwo\n"});
  CHECK(reply.scripts[1].code == 3);
  CHECK(f.content("made") == "app.1\n");
  CHECK(reply.stack.size() == 2);  // A script that fails undoes nothing.
  REQUIRE(reply.remarks.size() == 1);
  CHECK(reply.remarks[0] == "script s0 of layer app.1: exit code 3");
  CHECK_FALSE(os::exists(f.file(".lamina/script")));

  // Only what the next apply brings, and nothing when a layer leaves or the apply is undone.
  REQUIRE(os::remove_file(f.file("made")));
  const LayerId newer = f.app("app.2", with_script("echo newer"));
  reply = f.apply_target(2, {base, newer});
  REQUIRE(reply.scripts.size() == 1);
  CHECK(reply.scripts[0].output == "newer\n");
  CHECK(f.revert().scripts.empty());
  CHECK(f.apply_target(3, {base}).scripts.empty());
  CHECK_FALSE(os::exists(f.file("made")));
}

TEST_CASE("scripts: their time and their output are bounded", "[node]") {
  Bench f;
  if (!put_shell(f.file(""))) return;
  const LayerId base = f.base("base.1", [](LayerRecord& record) {
    with_script("while :; do :; done", 1)(record);
    with_script("i=0; while [ $i -lt 900 ]; do echo line; i=$((i+1)); done")(record);
    with_script("#!/no/such/program\n")(record);
  });
  const auto reply = f.apply_target(1, {base});
  REQUIRE(reply.scripts.size() == 3);
  CHECK(reply.scripts[0].late == true);
  CHECK(reply.scripts[1].is_good());
  CHECK(reply.scripts[1].output.size() == wire::kScriptOutputMax);
  REQUIRE(reply.scripts[2].trouble);
  CHECK(reply.scripts[2].trouble->find("first line") != std::string::npos);
}

TEST_CASE("scripts: after a kill those that had not ended run, and their ends are told", "[node]") {
  Bench f;
  if (!put_shell(f.file(""))) return;
  const LayerId base = f.base("base.1", [](LayerRecord& record) {
    with_script("echo one >> /ran")(record);
    with_script("echo two >> /ran; [ -e /go ] || kill -9 $PPID")(record);
    with_script("echo three >> /ran")(record);
  });
  f.target(1, {base}, f.target_key);
  const bool killed = killed_at(-1, [&](auto) { static_cast<void>(f.apply()); });
  CHECK(killed);
  CHECK(f.content("ran") == "one\ntwo\n");
  make_file(f.file("go"), {});
  auto worker = Worker::open(f.state, f.clock);
  REQUIRE(worker);
  CHECK(f.content("ran") == "one\ntwo\ntwo\nthree\n");
  auto reply = worker->status();
  CHECK(reply.sequence == 1);
  REQUIRE(reply.scripts.size() == 3);
  for (const auto& end : reply.scripts) CHECK(end.is_good());
  CHECK(worker->told(2).scripts.size() == 3);  // Another apply's.
  CHECK(worker->told(1).scripts.empty());
  CHECK(worker->apply(false).scripts.empty());
}

TEST_CASE("scripts: ends that the origin does not know outlive newer targets", "[node]") {
  Bench f;
  if (!put_shell(f.file(""))) return;
  const LayerId base = f.base("base.1", with_script("echo one; exit 3"));
  const LayerId app = f.app("app.1", with_script("echo two"));
  const node::EarlierEnds first{1, f.apply_target(1, {base}).scripts};
  REQUIRE(first.ends.size() == 1);
  CHECK(first.ends[0].output == "one\n");

  auto reply = f.apply_target(2, {base, app});
  const node::EarlierEnds second{2, reply.scripts};
  REQUIRE(second.ends.size() == 1);
  CHECK(second.ends[0].output == "two\n");
  CHECK(reply.earlier == std::vector{first});
  // A revert, and an apply that runs none, are newer too.
  CHECK(f.revert().earlier == std::vector{first, second});
  reply = f.apply_target(3, {base});
  CHECK(reply.scripts.empty());
  CHECK(reply.earlier == std::vector{first, second});

  auto worker = Worker::open(f.state, f.clock, f.services);
  REQUIRE(worker);
  CHECK(worker->told(1).earlier == std::vector{second});
  CHECK(worker->told(3).earlier == std::vector{second});
  CHECK(worker->told(2).earlier.empty());
}

TEST_CASE("scripts: how many ends are kept is bounded, and the oldest go first", "[node]") {
  const auto after = [](std::uint64_t sequence, int scripts) {
    node::Aftermath made{.sequence = sequence};
    for (int i = 0; i < scripts; ++i) {
      node::DueScript due{.layer = "app 1", .script = {.name = std::to_string(i)}};
      due.end = wire::ScriptEnd{.layer = due.layer, .name = due.script.name};
      made.scripts.push_back(due);
    }
    return made;
  };
  node::Aftermath second = after(2, 30), third = after(3, 20), fourth;
  CHECK(second.take_untold(after(1, 30)) == 0);
  third.scripts.back().end.reset();
  CHECK(third.take_untold(second) == 0);
  CHECK(fourth.take_untold(third) == 16);
  REQUIRE(fourth.earlier.size() == 3);
  CHECK(fourth.earlier[0].sequence == 1);
  REQUIRE(fourth.earlier[0].ends.size() == 14);
  CHECK(fourth.earlier[0].ends[0].name == "16");
  CHECK(fourth.earlier[1].ends.size() == 30);
  // What never ran is not passed over.
  REQUIRE(fourth.earlier[2].ends.back().trouble);
  CHECK(node::parse_aftermath(encode(fourth)) == fourth);

  // What was told is not kept.
  node::Aftermath fifth;
  CHECK(third.tell(3));
  CHECK_FALSE(third.tell(3));
  CHECK(third.tell(1));
  CHECK(fifth.take_untold(third) == 0);
  REQUIRE(fifth.earlier.size() == 1);
  CHECK(fifth.earlier[0].sequence == 2);
}

TEST_CASE("scripts: a damaged list of ends is lost, and keeps no apply from counting", "[node]") {
  Bench f;
  f.services = nullptr;
  f.apply_target(1, {f.base("base.1", with_restart)});
  make_file(f.file(".lamina/after"), to_buffer("no list"));
  const auto reply = f.apply_target(2, {f.base("base.2", with_restart)});
  CHECK(reply.sequence == 2);
  CHECK(reply.earlier.empty());
  CHECK(f.content("srv/base") == "base.2");
}

TEST_CASE("revert: a dry run says what would come back, and changes nothing", "[node]") {
  Bench f;
  const auto foreseen = [&] {
    auto worker = Worker::open(f.state, f.clock, f.services);
    REQUIRE(worker);
    return worker->revert(true);
  };
  REQUIRE(foreseen().error);
  CHECK(foreseen().error->kind() == ErrorKind::not_found);
  const LayerId base = f.base("base.1"), app = f.app("app.1");
  f.apply_target(1, {base});
  f.apply_target(2, {base, app});
  const auto reply = foreseen();
  REQUIRE_FALSE(reply.error);
  CHECK(reply.stack == std::vector{base});
  CHECK(reply.waits == 0);
  CHECK_FALSE(reply.changed);
  CHECK(f.content("srv/app") == "app.1");
  CHECK(f.revert().stack == reply.stack);
  CHECK(f.content("srv/app") == "(none)");
}

TEST_CASE("scripts: one that ends the worker each time is given up", "[node]") {
  Bench f;
  if (!put_shell(f.file(""))) return;
  const LayerId base = f.base("base.1", [](LayerRecord& record) {
    with_script("echo one >> /ran; kill -9 $PPID")(record);
    with_script("echo two >> /ran")(record);
  });
  f.target(1, {base}, f.target_key);
  for (int i = 0; i < 3; ++i) CHECK(killed_at(-1, [&](auto) { static_cast<void>(f.apply()); }));
  const auto reply = f.apply();
  REQUIRE(reply.scripts.size() == 2);
  REQUIRE(reply.scripts[0].trouble);
  CHECK(reply.scripts[0].trouble->find("3 times") != std::string::npos);
  CHECK(reply.scripts[1].is_good());
  CHECK(f.content("ran") == "one\none\none\ntwo\n");
}

TEST_CASE("services: those that run are stopped for the swap and started after it", "[node]") {
  Bench f;
  f.manager.running = {"web.service", "other.service"};
  const LayerId base = f.base("base.1");
  const LayerId app = f.app("app.1", [](LayerRecord& record) {
    record.running.services = {"web.service", "idle.service"};
  });
  std::string seen;
  f.manager.at_stop = [&] { seen = f.content("srv/app"); };
  f.apply_target(1, {base, app});
  CHECK(f.manager.said == Words{"stop web.service", "restart web.service"});
  CHECK(seen == "(none)");
  f.manager.said.clear();

  // A layer that neither comes nor goes stops nothing; one that leaves does, and so does a revert.
  f.apply_target(2, {base, app, f.app("more.1")});
  CHECK(f.manager.said.empty());
  f.apply_target(3, {base});
  CHECK(f.manager.said == Words{"stop web.service", "restart web.service"});
  CHECK(seen == "app.1");
  f.manager.said.clear();
  CHECK_FALSE(f.revert().error);
  CHECK(f.manager.said == Words{"stop web.service", "restart web.service"});
  CHECK(f.content("srv/app") == "app.1");
}

TEST_CASE("services: one that does not stop ends the apply, and all run on", "[node]") {
  Bench f;
  f.manager.running = {"a.service", "b.service"};
  f.manager.stuck = "b.service";
  const LayerId base = f.base("base.1", [](LayerRecord& record) {
    record.running.services = {"a.service", "b.service"};
  });
  f.target(1, {base}, f.target_key);
  const auto reply = f.apply();
  REQUIRE(reply.error);
  CHECK(reply.error->kind() == ErrorKind::refused);
  CHECK(reply.error->text().find("b.service does not stop") != std::string::npos);
  CHECK(f.manager.said ==
        Words{"stop a.service", "stop b.service", "restart a.service", "restart b.service"});
  CHECK_FALSE(os::exists(f.file("srv")));
}

TEST_CASE("services: after a kill the next start of the worker starts them", "[node]") {
  Bench f;
  f.manager.running = {"web.service"};
  const LayerId base = f.base("base.1", with_service("web.service"));
  f.target(1, {base}, f.target_key);
  CHECK(killed_at(1, [&](auto on_step) {
    f.manager.at_stop = [&] { on_step("stopped"); };
    static_cast<void>(f.apply());
  }));
  f.manager.running.clear();
  REQUIRE(Worker::open(f.state, f.clock, f.services));
  CHECK(f.manager.said == Words{"restart web.service"});
  f.manager.said.clear();
  REQUIRE(Worker::open(f.state, f.clock, f.services));
  CHECK(f.manager.said.empty());
}

TEST_CASE("restart: due from the apply of a layer that needs one until the machine did", "[node]") {
  Bench f;
  const LayerId base = f.base("base.1");
  const LayerId app = f.app("app.1", with_restart);
  CHECK(f.apply_target(1, {base}).restart_due.empty());
  CHECK(f.apply_target(2, {base, app}).restart_due == Words{"layer app.1"});
  // Other applies do not end it.
  CHECK(f.apply_target(3, {base, app, f.app("more.1")}).restart_due == Words{"layer app.1"});
  {
    auto worker = Worker::open(f.state, f.clock, f.services);
    REQUIRE(worker);
    CHECK(worker->status().restart_due == Words{"layer app.1"});
  }
  // As after a restart: the boot's name is another one.
  auto after =
      node::parse_aftermath(os::read_file(f.file(".lamina/after"), node::kAftermathMax).value())
          .value();
  CHECK(after.is_restart_due(node::boot_id()));
  after.boot = "another";
  REQUIRE(os::write_file(f.file(".lamina/after"), node::encode(after), 0600));
  auto worker = Worker::open(f.state, f.clock, f.services);
  REQUIRE(worker);
  CHECK(worker->status().restart_due.empty());
}

TEST_CASE("restart: a layer that leaves, and a revert, need it too", "[node]") {
  Bench f;
  const LayerId base = f.base("base.1");
  f.apply_target(1, {base, f.app("app.1", with_restart)});
  REQUIRE(os::remove_file(f.file(".lamina/after")));
  CHECK(f.apply_target(2, {base}).restart_due == Words{"layer app.1"});
  REQUIRE(os::remove_file(f.file(".lamina/after")));
  CHECK(f.revert().restart_due == Words{"layer app.1"});
}

namespace {

// A machine that can change its volume at its next start, or says why not.
struct ReadyLoader : node::BootLoader {
  Status check() override {
    return trouble.empty() ? Status(Done{}) : fail(ErrorKind::refused, trouble);
  }
  Status release() override { return ++releases, Done{}; }
  Status keep() override { return Done{}; }
  Status offer() override { return Done{}; }
  Status back_to_kept() override { return Done{}; }
  bool is_kept_started() const override { return false; }
  Status tidy() override { return Done{}; }
  std::string trouble;
  int releases = 0;
};

struct RunningRoot : Bench {
  RunningRoot() {
    const LayerId base = this->base("base.1");
    apply_target(1, {base});  // Before the machine ran from it.
    bases = {base, this->base("base.2")};
  }
  node::WorkerReply ask(std::uint64_t sequence, std::vector<LayerId> stack) {
    target(sequence, std::move(stack), target_key);
    return Worker::open(state, clock, services, &loader)->apply(false);
  }
  node::WorkerReply worker(const std::function<node::WorkerReply(Worker&)>& what) {
    auto worker = Worker::open(state, clock, services, &loader);
    if (!worker) FAIL(worker.error().text());
    return what(*worker);
  }
  // The machine starts anew, and carries out what waits.
  node::EarlyEnd start() {
    auto transaction = Transaction::open(scratch / "volume");
    REQUIRE(transaction);
    const auto end = start_early(*transaction, loader);
    if (!end) FAIL(end.error().text());
    return *end;
  }

  std::vector<LayerId> bases;
  ReadyLoader loader;
};

}  // namespace

TEST_CASE("running root: a new base waits for the restart, an application does not", "[node]") {
  RunningRoot m;
  m.manager.running = {"web.service"};
  const LayerId web = m.app("web.1", with_service("web.service"));
  auto reply = m.ask(2, {m.bases[0], web});
  REQUIRE_FALSE(reply.error);
  CHECK(reply.sequence == 2);
  CHECK(reply.waits == 0);
  CHECK(m.content("srv/web") == "web.1");
  m.manager.said.clear();

  reply = m.ask(3, {m.bases[1], web});
  REQUIRE_FALSE(reply.error);
  CHECK(reply.sequence == 2);
  CHECK(reply.waits == 3);
  CHECK(reply.restart_due == Words{"layer base.2"});
  CHECK(m.content("srv/base") == "base.1");
  CHECK(m.manager.said.empty());
  // Asked again it is not staged again.
  const std::string plan = m.file(".lamina/txn/operations");
  struct stat before {
  }, after{};
  REQUIRE(stat(plan.c_str(), &before) == 0);
  CHECK(m.ask(3, {m.bases[1], web}).waits == 3);
  REQUIRE(stat(plan.c_str(), &after) == 0);
  CHECK(before.st_ino == after.st_ino);
  // An older target does not take its place.
  CHECK(m.ask(2, {m.bases[0], web}).error->kind() == ErrorKind::refused);

  CHECK(m.start() == node::EarlyEnd::restart);
  CHECK(m.start() == node::EarlyEnd::go_on);
  CHECK(m.content("srv/base") == "base.2");
  reply = m.worker([](Worker& worker) { return worker.status(); });
  CHECK(reply.sequence == 3);
  CHECK(reply.waits == 0);
  CHECK_FALSE(reply.tried);  // Nobody has asked for anything yet.
  CHECK(m.loader.releases == 0);
  reply = m.worker([](Worker& worker) { return worker.came_up(), worker.status(); });
  CHECK(reply.tried == "");
  CHECK(m.loader.releases == 1);
  m.worker([](Worker& worker) { return worker.told(2); });
  CHECK(m.worker([](Worker& worker) { return worker.status(); }).tried == "");
  CHECK_FALSE(m.worker([](Worker& worker) { return worker.told(3); }).tried);
}

TEST_CASE("running root: a new base that does not come up is told of", "[node]") {
  RunningRoot m;
  REQUIRE_FALSE(m.ask(2, {m.bases[1]}).error);
  CHECK(m.start() == node::EarlyEnd::restart);
  for (int starts = 0; starts < node::kStartsMax; ++starts) m.start();
  CHECK(m.start() == node::EarlyEnd::restart);
  CHECK(m.content("srv/base") == "base.1");
  const auto reply = m.worker([](Worker& worker) { return worker.came_up(), worker.status(); });
  REQUIRE(reply.tried);
  CHECK(reply.tried->find("did not come up") != std::string::npos);
  CHECK(reply.sequence == 2);
  CHECK(m.loader.releases == 1);
  CHECK_FALSE(m.ask(2, {m.bases[1]}).error);
  CHECK(m.content("srv/base") == "base.1");
}

TEST_CASE("running root: its revert waits too, and is given up by a newer target", "[node]") {
  RunningRoot m;
  REQUIRE_FALSE(m.ask(2, {m.bases[1]}).error);
  m.start();
  m.worker([](Worker& worker) { return worker.came_up(), worker.told(2); });
  CHECK(m.worker([](Worker& worker) { return worker.revert(true); }).waits == 2);
  auto reply = m.worker([](Worker& worker) { return worker.revert(); });
  CHECK(reply.waits == 2);
  CHECK(reply.restart_due == Words{"layer base.1"});
  CHECK(m.content("srv/base") == "base.2");
  SECTION("carried out") {
    CHECK(m.start() == node::EarlyEnd::restart);
    CHECK(m.content("srv/base") == "base.1");
  }
  SECTION("given up") {
    reply = m.ask(3, {m.bases[1], m.app("web.1")});
    REQUIRE_FALSE(reply.error);
    CHECK(reply.waits == 0);
    CHECK(m.start() == node::EarlyEnd::go_on);
    CHECK(m.content("srv/base") == "base.2");
  }
}

TEST_CASE("running root: where no start can replace a base, it is refused", "[node]") {
  RunningRoot m;
  m.loader.trouble = "no part in the initramfs";
  const auto reply = m.ask(2, {m.bases[1]});
  REQUIRE(reply.error);
  CHECK(reply.error->kind() == ErrorKind::refused);
  CHECK(reply.error->text().find("no part in the initramfs") != std::string::npos);
  CHECK(m.content("srv/base") == "base.1");
  // A layer that needs a restart is applied, and followed by one.
  const auto applied = m.ask(3, {m.bases[0], m.app("app.1", with_restart)});
  REQUIRE_FALSE(applied.error);
  CHECK(applied.sequence == 3);
  CHECK(applied.restart_due == Words{"layer app.1"});
}

TEST_CASE("running root: a layer that needs a restart waits for it", "[node]") {
  RunningRoot m;
  const auto reply = m.ask(2, {m.bases[0], m.app("app.1", with_restart)});
  REQUIRE_FALSE(reply.error);
  CHECK(reply.waits == 2);
  CHECK(reply.restart_due == Words{"layer app.1"});
  CHECK(m.content("srv/app") == "(none)");
  CHECK(m.start() == node::EarlyEnd::restart);
  CHECK(m.content("srv/app") == "app.1");
}

TEST_CASE("in use: programs that run from what was replaced are named", "[node]") {
  Bench f;
  const std::string tree = f.scratch / "program";
  REQUIRE(os::make_directories(tree + "/bin"));
  make_file(tree + "/bin/waits", os::read_file("/bin/sleep", std::size_t{16} << 20).value(), 0755);
  const LayerId one = f.layer(tree, "1.0", f.publisher);
  f.apply_target(1, {one});
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    execl(f.file("bin/waits").c_str(), "waits", "1000", nullptr);
    _exit(127);
  }
  // It is that program once exec is through.
  const std::string name = "/proc/" + std::to_string(child) + "/comm";
  while (os::read_text(name, 64).value_or("") != "waits\n") sched_yield();
  make_file(tree + "/bin/waits", to_buffer("another program"), 0755);
  const auto reply = f.apply_target(2, {f.layer(tree, "2.0", f.publisher)});
  kill(child, SIGKILL);
  REQUIRE(waitpid(child, nullptr, 0) == child);
  REQUIRE(reply.remarks.size() == 1);
  CHECK(reply.remarks[0] == "in use as it was before: waits (pid " + std::to_string(child) +
                                "); restart them, or the device");
}

TEST_CASE("enforce: what drifted comes back, what is in no layer stays or goes", "[node]") {
  Bench f;
  const std::string tree = f.scratch / "system";
  for (const char* name : {"etc", "usr/bin", "home"})
    REQUIRE(os::make_directories(tree + '/' + name));
  make_file(tree + "/etc/conf", to_buffer("as it was"));
  make_file(tree + "/usr/bin/tool", to_buffer("tool"), 0755);
  make_file(tree + "/etc/passwd", to_buffer("root:x:0:0:root:/root:/bin/sh\n"));
  const LayerId base = f.layer(tree, "1.0", f.publisher);
  f.apply_target(1, {base});
  // Drift, a program of the user's, and what is the device's own.
  make_file(f.file("etc/conf"), to_buffer("edited"));
  REQUIRE(os::remove_file(f.file("usr/bin/tool")));
  REQUIRE(os::make_directories(f.file("opt/game/data")));
  REQUIRE(os::make_directories(f.file("home/ann")));
  REQUIRE(os::make_directories(f.file("boot")));
  make_file(f.file("opt/game/data/level"), to_buffer("1"));
  make_file(f.file("home/ann/letter"), to_buffer("dear"));
  make_file(f.file("etc/machine-id"), to_buffer("me"));
  make_file(f.file("boot/vmlinuz-9"), to_buffer("kernel"));
  const std::string accounts =
      "root:x:0:0:root:/root:/bin/sh\nann:x:1000:1000::/home/ann:/bin/sh\n";
  make_file(f.file("etc/passwd"), to_buffer(accounts));
  // An update leaves all of it alone.
  f.apply_target(2, {base});
  CHECK(f.content("etc/conf") == "edited");
  auto reply = f.apply_target(3, {base}, Enforce::keep_user_apps, 3);
  CHECK(f.content("etc/conf") == "as it was");
  CHECK(f.content("usr/bin/tool") == "tool");
  CHECK(f.content("opt/game/data/level") == "1");
  CHECK(f.content("etc/passwd") == accounts);
  CHECK(reply.counts.removed == 0);

  // Once for a number: a later target that still carries it does nothing.
  make_file(f.file("etc/conf"), to_buffer("edited again"));
  f.apply_target(4, {base}, Enforce::keep_user_apps, 3);
  CHECK(f.content("etc/conf") == "edited again");

  const auto before = content_of(f.file(""));
  reply = f.apply_target(5, {base}, Enforce::remove_user_apps, 5);
  CHECK(f.content("etc/conf") == "as it was");
  CHECK_FALSE(os::exists(f.file("opt")));
  CHECK(reply.counts.removed == 5);  // What opt was, and boot, if it were empty.
  CHECK(f.content("home/ann/letter") == "dear");
  CHECK(f.content("etc/machine-id") == "me");
  CHECK(f.content("boot/vmlinuz-9") == "kernel");
  CHECK(f.content("etc/passwd") == accounts);

  // All of it can be undone, and the undone enforcement does not come back by itself.
  CHECK_FALSE(f.revert().error);
  CHECK(content_of(f.file("")) == before);
  f.apply_target(6, {base}, Enforce::remove_user_apps, 5);
  CHECK(f.content("opt/game/data/level") == "1");
}

TEST_CASE("enforce: without layers nothing is", "[node]") {
  Bench f;
  f.apply_target(1, {f.base("base.1")});
  make_file(f.file("mine"), to_buffer("mine"));
  f.apply_target(2, {}, Enforce::remove_user_apps, 2);
  CHECK(f.content("mine") == "mine");
}

TEST_CASE("enforce: scripts of all layers run again, and services of all stop", "[node]") {
  Bench f;
  f.manager.running = {"web.service"};
  const LayerId base = f.base("base.1", [](LayerRecord& record) {
    with_script("true")(record);
    with_service("web.service")(record);
  });
  CHECK(f.apply_target(1, {base}).scripts.size() == 1);
  f.manager.said.clear();
  CHECK(f.apply_target(2, {base}, Enforce::keep_user_apps, 2).scripts.size() == 1);
  CHECK(f.manager.said.empty());  // Nothing differed.
  make_file(f.file("srv/base"), to_buffer("edited"));
  f.apply_target(3, {base}, Enforce::keep_user_apps, 3);
  CHECK(f.manager.said == Words{"stop web.service", "restart web.service"});
}

TEST_CASE("enforce: the node's own program must be in a layer, or nothing goes", "[node]") {
  Bench f;
  const LayerId base = f.base("base.1");
  f.apply_target(1, {base});
  REQUIRE(os::make_directories(f.file("usr/bin")));
  make_file(f.file("usr/bin/lamina-node"), to_buffer("program"), 0755);
  f.target(2, {base}, f.target_key, 7, {kNow.ns + 1}, Enforce::remove_user_apps, 2);
  const auto reply = f.apply();
  REQUIRE(reply.error);
  CHECK(reply.error->kind() == ErrorKind::refused);
  CHECK(reply.error->text().find("keep-user-apps") != std::string::npos);
  CHECK(f.content("usr/bin/lamina-node") == "program");
  f.apply_target(3, {base}, Enforce::keep_user_apps, 3);
}
