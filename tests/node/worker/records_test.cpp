// Layers that change records of the same files, on a volume: together, one by one, away again.
#include <catch2/catch.hpp>

#include "node/worker/stack_file.hpp"
#include "node/worker/volume.hpp"
#include "shared/image/delta.hpp"
#include "shared/image/records/record_format.hpp"
#include "shared/image/stack.hpp"
#include "tests/node/worker/volume_fixture.hpp"

using namespace lamina;
using namespace lamina::tests;
using format::LayerRecord;

namespace {

using Stack = std::vector<std::string>;  // Names of layers.

// A base and applications that were installed on it, each by itself, and a volume.
struct Bench {
  Bench() {
    REQUIRE(os::make_directories(scratch / "volume"));
    write("base", "etc/passwd",
          "root:x:0:0:root:/root:/bin/bash\ndaemon:x:1:1::/usr/sbin:/usr/sbin/nologin\n");
    write("base", "etc/group", "root:x:0:\nshared:x:50:\n");
    write("base", "etc/issue", "base\n");
    write("base", "var/lib/dpkg/status", "Package: libc6\nStatus: installed\n\n");
    write("base", "opt/only-base", "x");
    settle_times("base");
    capture_layer("base", {});
  }

  std::string at(const std::string& tree, const std::string& path) {
    return scratch / (tree + '/' + path);
  }
  void write(const std::string& tree, const std::string& path, const std::string& content) {
    const std::string full = at(tree, path);
    REQUIRE(os::make_directories(full.substr(0, full.rfind('/'))));
    make_file(full, as_view(content));
  }
  std::string read(const std::string& path, const std::string& tree = "volume") {
    auto text = os::read_text(at(tree, path));
    return text ? *text : "(nothing)";
  }

  // Installs an application where the base is: a user, a member of the group, a package, a file.
  void install(const std::string& name, int uid) {
    REQUIRE(std::system(
                ("cp -a '" + (scratch / "base") + "' '" + (scratch / name) + "'").c_str()) == 0);
    append(name, "etc/passwd", name + ":x:" + std::to_string(uid) + ":50::/:/bin/false\n");
    write(name, "etc/group", "root:x:0:\nshared:x:50:" + name + "\n");
    append(name, "var/lib/dpkg/status", "Package: " + name + "\nStatus: installed\n\n");
    write(name, "var/lib/dpkg/triggers/File", "/usr/lib/" + name + " " + name + "\n");
    write(name, "opt/" + name + "/data", "of " + name);
    settle_times(name);
    owner_of[name] = {uid, name};
    capture_layer(name, {"base"});
  }
  void append(const std::string& tree, const std::string& path, const std::string& text) {
    write(tree, path, os::read_text(at(tree, path)).value_or("") + text);
  }
  // One time for all, so that what lies in directories does not differ by when they were made.
  void settle_times(const std::string& tree) {
    REQUIRE(std::system(
                ("find '" + (scratch / tree) + "' -exec touch -h -d @1600000000 {} +").c_str()) ==
            0);
  }

  // As `lamina layer capture --over` does; the files in opt/NAME belong to its account.
  void capture_layer(const std::string& name, const Stack& below) {
    Captured whole = capture(scratch / name);
    auto entries = whole.entries();
    for (Entry& entry : entries)
      if (entry.path == "opt/" + name + "/data" && owner_of.contains(name))
        std::tie(entry.uid, entry.owner) = owner_of.at(name);
    chunks.merge(whole.chunks);
    if (below.empty()) return keep_layer(name, entries, false);
    auto lower = open(below, {});
    auto before = lower->entries();
    REQUIRE(before);
    format::MadeContent made;
    image::DeltaStream difference(std::move(*before),
                                  std::make_unique<image::ListStream>(std::move(entries)),
                                  {.before = lower->source(), .after = source(), .made = made});
    const auto all = made.source(source());
    std::vector<Entry> layer;
    for (;;) {
      auto entry = difference.next();
      if (!entry) FAIL(entry.error().text());
      if (!*entry) break;
      for (const auto& chunk : (*entry)->chunks) chunks[chunk.id] = all(chunk).value();
      layer.push_back(std::move(**entry));
    }
    CHECK(difference.has_record_changes());
    keep_layer(name, layer, true);
  }
  void keep_layer(const std::string& name, const std::vector<Entry>& entries, bool has_changes) {
    format::ManifestWriter manifest([&](const ChunkId& id, ByteView plain) -> Status {
      chunks[id] = to_buffer(plain);
      return Done{};
    });
    for (const Entry& entry : entries) REQUIRE(manifest.add(entry));
    LayerRecord record{.name = name};
    record.manifest = manifest.finish().value();
    record.has_record_changes = has_changes;
    layers[name] = record;
  }

  format::ChunkSource source() const {
    return [this](const format::ChunkRef& ref) -> Result<Buffer> {
      const auto found = chunks.find(ref.id);
      if (found == chunks.end()) return fail(ErrorKind::not_found, "chunk " + ref.id.short_hex());
      return found->second;
    };
  }

  std::unique_ptr<image::Stack> open(const Stack& names, const image::Accounts& device) {
    std::vector<LayerRecord> records;
    for (const auto& name : names) records.push_back(layers.at(name));
    auto stack = image::Stack::open(std::move(records), source(), device);
    if (!stack) FAIL(stack.error().text());
    return std::move(*stack);
  }

  node::ApplyCounts apply(
      const Stack& names, image::Mode mode = image::Mode::apply,
      Transaction::OnStep on_step = [](std::string_view) {},
      const Transaction::Prepare& prepare = Transaction::at_once) {
    auto transaction = Transaction::open(scratch / "volume", std::move(on_step));
    check_opened(transaction);
    auto accounts = image::read_accounts([&](const std::string& path) -> Result<std::string> {
      return node::read_small_file(transaction->volume(), path, 1 << 20).value().value_or("");
    });
    auto stack = open(names, accounts.value());
    clashes = stack->clashes();
    auto counts = transaction->apply(stack->entries().value(), {++sequence, {}}, stack->source(),
                                     mode, prepare);
    check(counts);
    return *counts;
  }
  static void check_opened(const Result<Transaction>& transaction) {
    if (!transaction) FAIL(transaction.error().text());
  }
  std::vector<Entry> volume() { return content_of(scratch / "volume"); }

  Scratch scratch;
  std::map<ChunkId, Buffer> chunks;
  std::map<std::string, LayerRecord> layers;
  std::map<std::string, std::pair<std::uint32_t, std::string>> owner_of;
  std::vector<image::IdClash> clashes;
  std::uint64_t sequence = 0;
};

const std::string kPasswd =
    "root:x:0:0:root:/root:/bin/bash\ndaemon:x:1:1::/usr/sbin:/usr/sbin/nologin\n";

}  // namespace

TEST_CASE("records: a layer holds changes, and two on one base add up in any order", "[node]") {
  Bench bench;
  bench.install("web", 101);
  bench.install("mail", 102);
  for (const auto& [first, second, members] :
       {std::tuple("web", "mail", "web,mail"), std::tuple("mail", "web", "mail,web")}) {
    bench.apply({"base"});
    const auto base = bench.volume();
    bench.apply({"base", first});
    const auto one = bench.volume();
    bench.apply({"base", first, second});
    CHECK(bench.clashes.empty());
    const auto both = bench.volume();
    CHECK(bench.read("etc/group") == "root:x:0:\nshared:x:50:" + std::string(members) + "\n");
    for (const std::string name : {"web", "mail"}) {
      const std::string uid = name == "web" ? "101" : "102";
      CHECK(bench.read("etc/passwd").find("\n" + name + ":x:" + uid + ":50::/:/bin/false\n") !=
            std::string::npos);
      CHECK(bench.read("var/lib/dpkg/status").find("Package: " + name + "\n") != std::string::npos);
      CHECK(bench.read("var/lib/dpkg/triggers/File").find("/usr/lib/" + name + " " + name + "\n") !=
            std::string::npos);
      CHECK(bench.read("opt/" + name + "/data") == "of " + name);
    }
    // Away again, the last and then the other one: the trees that never had them.
    bench.apply({"base", first});
    CHECK(bench.volume() == one);
    bench.apply({"base", first, second});
    CHECK(bench.volume() == both);
    bench.apply({"base", second});
    bench.apply({"base"});
    CHECK(bench.volume() == base);
    // At once, on an empty volume.
    bench.apply({});
    bench.apply({"base", first, second});
    CHECK(bench.volume() == both);
  }
}

TEST_CASE("records: the device's own records stay, whichever layers come and go", "[node]") {
  Bench bench;
  bench.install("web", 101);
  bench.apply({"base"});
  bench.write("volume", "etc/passwd",
              "root:x:0:0:root:/root:/bin/zsh\ndaemon:x:1:1::/usr/sbin:/usr/sbin/nologin\n"
              "ann:x:1000:1000::/home/ann:/bin/sh\n");
  const auto counts = bench.apply({"base", "web"});
  CHECK(counts.records > 0);
  const std::string passwd = bench.read("etc/passwd");
  CHECK(passwd.find("root:x:0:0:root:/root:/bin/zsh\n") != std::string::npos);
  CHECK(passwd.find("\nann:x:1000:1000::/home/ann:/bin/sh\n") != std::string::npos);
  CHECK(passwd.find("\nweb:x:101:50::/:/bin/false\n") != std::string::npos);
  bench.apply({"base"});
  CHECK(bench.read("etc/passwd") ==
        "root:x:0:0:root:/root:/bin/zsh\ndaemon:x:1:1::/usr/sbin:/usr/sbin/nologin\n"
        "ann:x:1000:1000::/home/ann:/bin/sh\n");
  // No layer is left: the accounts that they brought go, and the user's stays.
  bench.apply({});
  CHECK(bench.read("etc/passwd") == "ann:x:1000:1000::/home/ann:/bin/sh\n");
  CHECK(bench.read("etc/group") == "(nothing)");
}

TEST_CASE("records: enforce takes what the layers say, and leaves the user's own", "[node]") {
  Bench bench;
  bench.apply({"base"});
  bench.write("volume", "etc/passwd", "ann:x:1000:1000::/:/bin/sh\nroot:x:0:0:x:/root:/bin/zsh\n");
  bench.apply({"base"});
  CHECK(bench.read("etc/passwd") == "ann:x:1000:1000::/:/bin/sh\nroot:x:0:0:x:/root:/bin/zsh\n");
  bench.apply({"base"}, image::Mode::enforce);
  CHECK(bench.read("etc/passwd") ==
        "ann:x:1000:1000::/:/bin/sh\nroot:x:0:0:root:/root:/bin/bash\n"
        "daemon:x:1:1::/usr/sbin:/usr/sbin/nologin\n");
}

TEST_CASE("records: an account whose id is taken moves with its files, and is named", "[node]") {
  Bench bench;
  bench.install("web", 101);
  bench.install("mail", 101);
  bench.apply({"base", "web", "mail"});
  REQUIRE(bench.clashes.size() == 1);
  CHECK(text_of(bench.clashes[0]) == "user mail has id 100 here, not 101, which web has");
  CHECK(bench.read("etc/passwd") ==
        kPasswd + "web:x:101:50::/:/bin/false\nmail:x:100:50::/:/bin/false\n");
  if (::geteuid() != 0) return;  // Nobody else gives files away.
  struct stat facts {};
  REQUIRE(stat(bench.at("volume", "opt/mail/data").c_str(), &facts) == 0);
  CHECK(facts.st_uid == 100);
  REQUIRE(stat(bench.at("volume", "opt/web/data").c_str(), &facts) == 0);
  CHECK(facts.st_uid == 101);
  // It keeps its id when the other one leaves: files of its own are the device's by now.
  bench.apply({"base", "mail"});
  CHECK(bench.read("etc/passwd") == kPasswd + "mail:x:100:50::/:/bin/false\n");
}

TEST_CASE("records: revert brings the very files back", "[node]") {
  Bench bench;
  bench.install("web", 101);
  bench.apply({"base"});
  bench.write("volume", "etc/passwd", kPasswd + "ann:x:1000:1000::/:/bin/sh\n");
  const auto before = bench.volume();
  bench.apply({"base", "web"});
  {
    auto transaction = Transaction::open(bench.scratch / "volume");
    Bench::check_opened(transaction);
    check(transaction->revert());
  }
  CHECK(bench.volume() == before);
  bench.apply({"base", "web"});
  bench.apply({"base"});
  CHECK(bench.volume() == before);
}

TEST_CASE("records: a stack whose contents are not known loses no record of the device", "[node]") {
  Bench bench;
  bench.install("web", 101);
  bench.apply({"base"});
  bench.write("volume", "etc/passwd", kPasswd + "ann:x:1000:1000::/:/bin/sh\n");
  // As the version before wrote it: entries only.
  const std::string path = bench.at("volume", ".lamina/stack");
  {
    auto entries = node::StackReader::open(path, nullptr);
    REQUIRE(entries);
    auto rows = RowFileWriter::create(path + ".old", "LMst0001");
    REQUIRE(rows);
    while (auto entry = (*entries)->next().value()) {
      Writer row;
      format::encode_entry(*entry, "", row);
      REQUIRE(rows->add(row.view()));
    }
    REQUIRE(rows->finish());
  }
  REQUIRE(os::rename_file(path + ".old", path));
  bench.apply({"base", "web"});
  CHECK(bench.read("etc/passwd") ==
        kPasswd + "web:x:101:50::/:/bin/false\n" + "ann:x:1000:1000::/:/bin/sh\n");
}

TEST_CASE("records: after a kill anywhere the files are the old ones or the new ones", "[node]") {
  Bench bench;
  bench.install("web", 101);
  bench.apply({"base"});
  bench.write("volume", "etc/passwd", kPasswd + "ann:x:1000:1000::/:/bin/sh\n");
  const auto old_tree = bench.volume();
  bench.apply({"base", "web"});
  const auto new_tree = bench.volume();
  bool was_killed = true;
  for (int step = 1; was_killed; ++step) {
    bench.apply({"base"});
    REQUIRE(bench.volume() == old_tree);
    was_killed = killed_at(step, [&](const Transaction::OnStep& on_step) {
      bench.apply({"base", "web"}, image::Mode::apply, on_step);
    });
    Bench::check_opened(Transaction::open(bench.scratch / "volume"));
    const auto now = bench.volume();
    CHECK((now == old_tree || now == new_tree));
    CHECK((was_killed || now == new_tree));
  }
}

TEST_CASE("records: what the user does while an apply waits for the start is kept",
          "[node][kill]") {
  // At every second step of the start, each on a volume of its own.
  bool was_killed = true;
  int kills = 0;
  for (int step = 1; was_killed; step += 2, ++kills) {
    Bench bench;
    bench.install("web", 101);
    bench.apply({"base"});
    bench.apply(
        {"base", "web"}, image::Mode::apply, [](std::string_view) {}, Fixture::at_next_start);
    // A user is added, the group is edited so that it is what it shall be, a package leaves.
    bench.write("volume", "etc/passwd", kPasswd + "ann:x:1000:1000::/:/bin/sh\n");
    bench.write("volume", "etc/group", "root:x:0:\nshared:x:50:web\n");
    bench.write("volume", "var/lib/dpkg/status", "");
    was_killed = killed_at(step, [&](const Transaction::OnStep& on_step) {
      auto transaction = Transaction::open(bench.scratch / "volume", on_step);
      if (transaction) static_cast<void>(transaction->carry_out());
    });
    {
      auto transaction = Transaction::open(bench.scratch / "volume");
      Bench::check_opened(transaction);
      check(transaction->carry_out());
      CHECK(transaction->applied().sequence == bench.sequence);
    }
    CAPTURE(step);
    CHECK(bench.read("etc/passwd") ==
          kPasswd + "web:x:101:50::/:/bin/false\n" + "ann:x:1000:1000::/:/bin/sh\n");
    CHECK(bench.read("etc/group") == "root:x:0:\nshared:x:50:web\n");
    CHECK(bench.read("var/lib/dpkg/status") == "Package: web\nStatus: installed\n\n");
    CHECK(bench.read("opt/web/data") == "of web");
    check(Transaction::open(bench.scratch / "volume")->revert());
    CHECK(bench.read("etc/passwd") == kPasswd + "ann:x:1000:1000::/:/bin/sh\n");
    CHECK(bench.read("etc/group") == "root:x:0:\nshared:x:50:web\n");
  }
  CHECK(kills > 8);
}

TEST_CASE("records: a file that is removed while an apply waits comes back", "[node]") {
  Bench bench;
  bench.install("web", 101);
  bench.apply({"base"});
  bench.apply(
      {"base", "web"}, image::Mode::apply, [](std::string_view) {}, Fixture::at_next_start);
  REQUIRE(os::remove_file(bench.at("volume", "etc/group")));
  auto transaction = Transaction::open(bench.scratch / "volume");
  Bench::check_opened(transaction);
  check(transaction->carry_out());
  CHECK(bench.read("etc/group") == "root:x:0:\nshared:x:50:web\n");
}

TEST_CASE("records: what is made from changed files is due until it was made", "[node]") {
  Bench bench;
  bench.write("base", "usr/lib/libx.so.1", "library");
  bench.capture_layer("base", {});
  bench.apply({"base"});
  using Commands = std::vector<std::vector<std::string>>;
  auto transaction = Transaction::open(bench.scratch / "volume");
  Bench::check_opened(transaction);
  CHECK(transaction->due_commands().value() == Commands{{"ldconfig"}});
  check(transaction->regenerated());
  CHECK(transaction->due_commands().value().empty());
  check(transaction->revert());
  CHECK(transaction->due_commands().value() == Commands{{"ldconfig"}});
}
