#include <algorithm>
#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "tests/shared/image/records/laws.hpp"

using namespace lamina;
using namespace lamina::image;

namespace {

const RecordFormat& format_of(std::string_view path) {
  const RecordRule* rule = record_rule(path);
  REQUIRE(rule != nullptr);
  return rule->format;
}

// "key=value" of each record.
std::vector<std::string> seen(const RecordList& list) {
  std::vector<std::string> lines;
  for (const Record& record : list.records)
    lines.push_back(text_of(record.key) + '=' + *record.value);
  return lines;
}

std::string read(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

}  // namespace

TEST_CASE("records: what each format makes of a file", "[image]") {
  struct Row {
    const char* path;
    std::string bytes;
    std::vector<std::string> records;
  };
  const Row rows[] = {
      {"etc/passwd",
       "# accounts\nroot:x:0:0:root:/root:/bin/bash\n\n+::::::\nann:x:1\n",
       {"text '# accounts'=", "root=root:x:0:0:root:/root:/bin/bash",
        "text ''=", "text '+::::::'=", "text 'ann:x:1'="}},
      {"etc/group",
       "adm:x:4:\nssl-cert:x:110:ann,postgres\n",
       {"adm=adm:x:4", "ssl-cert=ssl-cert:x:110",
        "ssl-cert: member ann=", "ssl-cert: member postgres="}},
      {"etc/gshadow",
       "adm:!:ann:bob,cem\n",
       {"adm=adm:!", "adm: administrator ann=", "adm: member bob=", "adm: member cem="}},
      {"etc/subuid",
       "ann:100000:65536\nann:300000:65536",
       {"ann=ann:100000:65536", "ann (number 2)=ann:300000:65536"}},
      {"etc/group", "a:x:1:b\na:x:2:c\n", {"a=a:x:1", "a: member b=", "a (number 2)=a:x:2:c"}},
      {"var/lib/dpkg/status",
       "Package: a\nArchitecture: all\nDescription: x\n y\n\nPackage: libc6\nMulti-Arch: same\n"
       "Architecture: amd64\n\nVersion: 1\n",
       {"a=Package: a\nArchitecture: all\nDescription: x\n y",
        "libc6:amd64=Package: libc6\nMulti-Arch: same\nArchitecture: amd64", "text 'Version: 1'="}},
      {"var/lib/apt/extended_states",
       "Package: a\nArchitecture: amd64\nAuto-Installed: 1\n\n",
       {"a:amd64=Package: a\nArchitecture: amd64\nAuto-Installed: 1"}},
      {"var/cache/debconf/config.dat", "Name: a/b\nOwners: a\n\n", {"a/b=Name: a/b\nOwners: a"}},
      {"var/lib/dpkg/diversions",
       "/bin/sh\n/bin/sh.distrib\ndash\n",
       {"/bin/sh=/bin/sh.distrib\ndash"}},
      {"var/lib/dpkg/diversions", "/bin/sh\ndash\n", {"the whole file=/bin/sh\ndash\n"}},
      {"var/lib/dpkg/statoverride",
       "root ssl-cert 710 /etc/a b\nroot\n",
       {"/etc/a b=root ssl-cert 710 /etc/a b", "text 'root'="}},
      {"var/lib/dpkg/triggers/File",
       "/usr/share/man man-db/noawait\n",
       {"/usr/share/man man-db=/usr/share/man man-db/noawait"}},
      {"var/lib/dpkg/triggers/Unincorp", "ldconfig libc-bin\n", {"ldconfig=ldconfig libc-bin"}},
      {"var/lib/dpkg/alternatives/editor",
       "auto\n/usr/bin/editor\neditor.1.gz\n/man/editor.1.gz\neditor.fr.1.gz\n/man/fr\n\n"
       "/bin/ed\n-100\n/man/ed.1.gz\n\n/usr/bin/vim\n30\n\n\n\n",
       {"status=auto", "link=/usr/bin/editor", "link: member editor.1.gz=/man/editor.1.gz",
        "link: member editor.fr.1.gz=/man/fr", "/bin/ed=-100",
        "/bin/ed: member editor.1.gz=/man/ed.1.gz", "/usr/bin/vim=30"}},
      {"var/lib/dpkg/alternatives/editor", "auto\n", {"the whole file=auto\n"}},
  };
  for (const Row& row : rows) {
    CAPTURE(row.path, row.bytes);
    const RecordFormat& format = format_of(row.path);
    CHECK((seen(format.parse(row.bytes)) == row.records));
    CHECK(format.write(format.parse(row.bytes)) == row.bytes);
  }
}

TEST_CASE("records: no other file is taken for one", "[image]") {
  for (const char* path :
       {"", "etc", "etc/passwd-", "etc/passwd.d", "usr/etc/passwd", "var/lib/dpkg/status-old",
        "var/lib/dpkg/info/a.list", "home/etc/passwd", "etc/alternatives/editor"}) {
    CAPTURE(path);
    CHECK(record_rule(path) == nullptr);
  }
  CHECK(record_rule("var/lib/dpkg/triggers/ldconfig")->name == "dpkg-triggers");
}

TEST_CASE("records: this machine's own files are understood and come out as they are", "[image]") {
  std::vector<std::string> paths;
  for (const RecordRule& rule : record_rules()) {
    std::string path = '/' + std::string(rule.pattern);
    std::error_code ignored;
    if (!path.ends_with("/*")) {
      paths.push_back(path);
      continue;
    }
    path.resize(path.size() - 2);
    for (const auto& file : std::filesystem::directory_iterator(path, ignored))
      if (std::ranges::find(paths, file.path().string()) == paths.end())
        paths.push_back(file.path());
  }
  std::size_t records = 0;
  for (const std::string& path : paths) {
    CAPTURE(path);
    const std::string bytes = read(path);
    if (bytes.empty()) {
      WARN("skipped: " << path << " is empty, or cannot be read");
      continue;
    }
    const RecordFormat& format = format_of(path.substr(1));
    const RecordList list = format.parse(bytes);
    CHECK(list.is_understood());
    CHECK(format.write(list) == bytes);
    records += list.records.size();
  }
  CHECK(records > 0);
}
