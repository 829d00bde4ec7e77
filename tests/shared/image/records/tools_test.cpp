// What the system's own tools say about merged files: two applications captured on one base,
// applied together, beside a tree in which both were installed.
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>

#include "shared/image/records/record_format.hpp"
#include "tests/support/scratch_directory.hpp"

using namespace lamina;
using namespace lamina::image;
namespace fs = std::filesystem;

namespace {

std::string read(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

void write(const fs::path& path, const std::string& bytes) {
  fs::create_directories(path.parent_path());
  std::ofstream(path, std::ios::binary) << bytes;
}

struct Bench {
  ScratchDirectory scratch;
  fs::path operator/(const std::string& name) const { return scratch.path() / name; }

  // What a command prints, its errors too. It must succeed.
  std::string said(const std::string& command) const {
    const fs::path out = scratch.path() / "said";
    const int status = std::system(
        ("LC_ALL=C PATH=$PATH:/usr/sbin:/sbin " + command + " > " + out.string() + " 2>&1")
            .c_str());
    INFO(command << '\n' << read(out));
    REQUIRE(status == 0);
    return read(out);
  }
  bool has(const std::string& program) const {
    if (std::system(
            ("PATH=$PATH:/usr/sbin:/sbin; command -v " + program + " > /dev/null").c_str()) == 0)
      return true;
    WARN("skipped: " << program << " is not installed");
    return false;
  }
  fs::path copy(const std::string& from, const std::string& to) const {
    fs::copy(*this / from, *this / to,
             fs::copy_options::recursive | fs::copy_options::copy_symlinks);
    return *this / to;
  }
};

// What trees beneath one directory have at a path, and what base and captures of it add up to.
std::string added_up(const Bench& bench, const std::string& path, const std::string& base,
                     const std::vector<std::string>& captured) {
  const RecordFormat& format = record_rule(path)->format;
  const RecordList below = format.parse(read(bench / base / path));
  std::vector<RecordList> layers{below};
  for (const std::string& tree : captured)
    layers.push_back(changes(below, format.parse(read(bench / tree / path))));
  return merged_file(format, layers);
}

// The paths of the record files that any of the trees has.
std::set<std::string> record_files(const Bench& bench, const std::vector<std::string>& trees) {
  std::set<std::string> paths;
  for (const std::string& tree : trees)
    for (const auto& file : fs::recursive_directory_iterator(bench / tree))
      if (const std::string path = fs::relative(file.path(), bench / tree);
          file.is_regular_file() && record_rule(path))
        paths.insert(path);
  return paths;
}

void make_package(const Bench& bench, const std::string& name, const std::string& more = "") {
  const fs::path root = bench / ("package-" + name);
  write(root / "DEBIAN/control", "Package: " + name +
                                     "\nVersion: 1\nArchitecture: all\nMaintainer: x <x@x>\n" +
                                     "Description: x\n" + more);
  write(root / "DEBIAN/conffiles", "/etc/" + name + ".conf\n");
  write(root / "DEBIAN/triggers", "interest-noawait /usr/share/common\n");
  write(root / ("etc/" + name + ".conf"), name);
  write(root / ("usr/share/" + name + "/file"), name);
  bench.said("dpkg-deb --root-owner-group -Znone -b " + root.string() + ' ' +
             (bench / (name + ".deb")).string());
}

std::string dpkg(const fs::path& root) {
  return "dpkg --force-unsafe-io --force-not-root --root=" + root.string() + " --log=/dev/null ";
}

// All that dpkg says about a tree.
std::string state_of(const Bench& bench, const fs::path& root) {
  return bench.said("dpkg-query --admindir=" + (root / "var/lib/dpkg").string() +
                    " -W -f '${Package} ${Version} ${Status}${Conffiles}\\n' | sort") +
         bench.said(dpkg(root) + "--audit") + bench.said(dpkg(root) + "--verify") +
         bench.said("sort " + (root / "var/lib/dpkg/triggers/File").string());
}

}  // namespace

TEST_CASE("tools: dpkg works on two captured applications, and without one again", "[image]") {
  const Bench bench;
  if (!bench.has("dpkg") || !bench.has("dpkg-deb")) return;
  if (geteuid() != 0) {
    WARN("skipped: dpkg unpacks as root only");
    return;
  }
  make_package(bench, "zbase");
  make_package(bench, "one", "Depends: zbase\n");
  make_package(bench, "two", "Depends: zbase\nConflicts: three\n");
  make_package(bench, "four", "Depends: one, two\n");
  for (const char* directory : {"updates", "info", "triggers"})
    fs::create_directories(bench / "base" / "var/lib/dpkg" / directory);
  write(bench / "base/var/lib/dpkg/status", "");
  const auto install = [&](const std::string& tree, const std::string& package) {
    bench.said(dpkg(bench / tree) + "-i " + (bench / (package + ".deb")).string());
  };
  install("base", "zbase");
  for (const char* tree : {"a", "b", "both"}) bench.copy("base", tree);
  install("a", "one");
  install("b", "two");
  install("both", "one");
  install("both", "two");

  // Files are laid over each other, records added up.
  const fs::path merged = bench.copy("a", "merged");
  fs::copy(bench / "b", merged, fs::copy_options::recursive | fs::copy_options::overwrite_existing);
  const auto paths = record_files(bench, {"a", "b"});
  CHECK(paths.contains("var/lib/dpkg/status"));
  CHECK(paths.contains("var/lib/dpkg/triggers/File"));
  for (const std::string& path : paths)
    write(merged / path, added_up(bench, path, "base", {"a", "b"}));
  CHECK(state_of(bench, merged) == state_of(bench, bench / "both"));

  // Without the second one the device has what the first one's tree has.
  const fs::path left = bench.copy("merged", "left");
  for (const std::string& path : paths) {
    const RecordPlan plan = plan_records(record_rule(path)->format, read(merged / path),
                                         added_up(bench, path, "base", {"a", "b"}),
                                         added_up(bench, path, "base", {"a"}), Mode::apply);
    write(left / path, *plan.result);
  }
  for (const char* suffix : {"list", "md5sums", "conffiles", "triggers"})
    fs::remove(left / ("var/lib/dpkg/info/two." + std::string(suffix)));
  fs::remove(left / "etc/two.conf");
  fs::remove_all(left / "usr/share/two");
  CHECK(state_of(bench, left) == state_of(bench, bench / "a"));

  // A third one installs, and one of them goes as dpkg removes it.
  install("merged", "four");
  bench.said(dpkg(merged) + "-P four one");
  install("b", "one");
  bench.said(dpkg(bench / "b") + "-P one");
  CHECK(state_of(bench, merged) == state_of(bench, bench / "b"));
}

TEST_CASE("tools: alternatives, diversions and overrides of two applications", "[image]") {
  const Bench bench;
  for (const char* tool : {"update-alternatives", "dpkg-divert", "dpkg-statoverride"})
    if (!bench.has(tool)) return;
  const auto database = [&](const std::string& tree) { return bench / tree / "var/lib/dpkg"; };
  for (const char* directory : {"var/lib/dpkg/alternatives", "etc/alternatives", "usr/bin"})
    fs::create_directories(bench / "base" / directory);
  for (const char* name : {"ed", "vim", "nano", "vim.1", "nano.1", "vim.fr", "nano.de"})
    write(bench / "base/files" / name, name);
  const auto alternatives = [&](const std::string& tree) {
    return "update-alternatives --log /dev/null --root " + (bench / tree).string() + ' ';
  };
  const auto alternative = [&](const std::string& tree, const std::string& name, int priority,
                               const std::vector<std::string>& slaves) {
    std::string command = alternatives(tree) + "--install /usr/bin/editor editor /files/" + name +
                          ' ' + std::to_string(priority);
    for (const std::string& slave : slaves)
      command += " --slave /usr/bin/editor." + slave + " editor." + slave + " /files/" + name +
                 '.' + slave;
    bench.said(command);
  };
  const auto divert = [&](const std::string& tree, const std::string& path,
                          const std::string& package) {
    bench.said("dpkg-divert --quiet --no-rename --admindir " + database(tree).string() +
               " --package " + package + " --divert " + path + ".distrib --add " + path);
    bench.said("dpkg-statoverride --admindir " + database(tree).string() +
               " --add root root 0750 " + path + ".distrib");
  };
  alternative("base", "ed", -100, {});
  divert("base", "/bin/base", "base");
  for (const char* tree : {"a", "b", "both"}) bench.copy("base", tree);
  const auto vim = [&](const std::string& tree) {
    alternative(tree, "vim", 30, {"1", "fr"});
    divert(tree, "/bin/one", "vim");
  };
  const auto nano = [&](const std::string& tree) {
    alternative(tree, "nano", 40, {"1", "de"});
    divert(tree, "/bin/two", "nano");
  };
  vim("a"), nano("b"), vim("both"), nano("both");

  bench.copy("base", "merged");
  const auto paths = record_files(bench, {"a", "b"});
  CHECK((paths == std::set<std::string>{"var/lib/dpkg/alternatives/editor",
                                        "var/lib/dpkg/diversions", "var/lib/dpkg/statoverride"}));
  for (const std::string& path : paths)
    write(bench / "merged" / path, added_up(bench, path, "base", {"a", "b"}));
  // The links are not records: they follow from them.
  bench.said("cp -a " + (bench / "a/usr/bin/.").string() + ' ' +
             (bench / "merged/usr/bin").string());
  bench.said(alternatives("merged") + "--auto editor");
  const auto state = [&](const std::string& tree) {
    return bench.said(alternatives(tree) + "--query editor | sort") +
           bench.said("dpkg-divert --admindir " + database(tree).string() + " --list | sort") +
           bench.said("dpkg-statoverride --admindir " + database(tree).string() + " --list | sort");
  };
  CHECK(state("merged") == state("both"));
  for (const std::string& path : paths) {
    const RecordFormat& format = record_rule(path)->format;
    CHECK(
        diff(format.parse(read(bench / "merged" / path)), format.parse(read(bench / "both" / path)))
            .empty());
  }
}

TEST_CASE("tools: pwck and grpck have nothing to say about merged accounts", "[image]") {
  const Bench bench;
  if (!bench.has("pwck") || !bench.has("grpck")) return;
  if (geteuid() != 0) {
    WARN("skipped: pwck and grpck look into another root as root only");
    return;
  }
  const auto tree = [&](const std::string& name, const std::string& system_user, int id) {
    const std::string number = std::to_string(id);
    const bool has = !system_user.empty();
    write(bench / name / "etc/passwd",
          "root:x:0:0:root:/:\n" +
              (has ? system_user + ":x:" + number + ':' + number + "::/:\n" : ""));
    write(bench / name / "etc/shadow",
          "root:*:19000:0:99999:7:::\n" + (has ? system_user + ":!:19001::::::\n" : std::string()));
    write(bench / name / "etc/group", "root:x:0:\nssl-cert:x:110:" + system_user + '\n' +
                                          (has ? system_user + ":x:" + number + ":\n" : ""));
    write(bench / name / "etc/gshadow", "root:*::\nssl-cert:!::" + system_user + '\n' +
                                            (has ? system_user + ":!::\n" : std::string()));
  };
  tree("base", "", 0);
  tree("a", "postgres", 105);
  tree("b", "mosquitto", 106);
  for (const std::string& path : record_files(bench, {"a", "b"}))
    write(bench / "merged" / path, added_up(bench, path, "base", {"a", "b"}));
  CHECK(read(bench / "merged/etc/gshadow") ==
        "root:*::\nssl-cert:!::postgres,mosquitto\npostgres:!::\nmosquitto:!::\n");
  for (const char* tool : {"pwck", "grpck"})
    CHECK(bench.said(std::string(tool) + " -r -R " + (bench / "merged").string()).empty());
}
