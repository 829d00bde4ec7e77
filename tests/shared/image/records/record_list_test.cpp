#include "shared/image/records/record_list.hpp"

#include <catch2/catch.hpp>

#include "shared/image/records/record_format.hpp"

using namespace lamina;
using namespace lamina::image;

namespace {

const RecordFormat& format_of(std::string_view path) { return record_rule(path)->format; }

// What a base and the captures of applications on it add up to.
std::string stack(const RecordFormat& format, const std::string& base,
                  const std::vector<std::string>& captured) {
  std::vector<RecordList> layers{format.parse(base)};
  for (const std::string& bytes : captured)
    layers.push_back(changes(format.parse(base), format.parse(bytes)));
  return merged_file(format, layers);
}

}  // namespace

TEST_CASE("records: layers captured on one base add up", "[image]") {
  struct Row {
    const char* what;
    const char* path;
    std::string base;
    std::vector<std::string> captured;
    std::string merged;
  };
  const Row rows[] = {
      {"no layer", "etc/passwd", "# x\nr:x:0:0::/:/s", {}, "# x\nr:x:0:0::/:/s"},
      {"two accounts",
       "etc/passwd",
       "r:x:0:0::/:/s\n",
       {"r:x:0:0::/:/s\na:x:100:100::/:/s\n", "r:x:0:0::/:/s\nb:x:101:101::/:/s\n"},
       "r:x:0:0::/:/s\na:x:100:100::/:/s\nb:x:101:101::/:/s\n"},
      {"the last layer wins a record",
       "etc/passwd",
       "r:x:0:0::/:/s\n",
       {"r:x:0:0::/:/a\n", "r:x:0:0::/:/b\n"},
       "r:x:0:0::/:/b\n"},
      {"a removal, and its neighbour's change",
       "etc/passwd",
       "r:x:0:0::/:/s\ng:x:41:41::/:/s\nn:x:65534:65534::/:/s\n",
       {"r:x:0:0::/:/s\nn:x:65534:65534::/:/s\n",
        "r:x:0:0::/:/s\ng:x:41:41::/:/s\nn:x:65534:65534::/:/t\n"},
       "r:x:0:0::/:/s\nn:x:65534:65534::/:/t\n"},
      {"members of a common group are a set",
       "etc/group",
       "ssl-cert:x:110:\nadm:x:4:old\n",
       {"ssl-cert:x:110:postgres\nadm:x:4:\npostgres:x:113:\n",
        "ssl-cert:x:110:mosquitto\nadm:x:4:old\nmosquitto:x:114:\n"},
       "ssl-cert:x:110:postgres,mosquitto\nadm:x:4:\npostgres:x:113:\nmosquitto:x:114:\n"},
      {"packages",
       "var/lib/dpkg/status",
       "Package: a\nVersion: 1\n\nPackage: z\nVersion: 1\n\n",
       {"Package: a\nVersion: 1\n\nPackage: nginx\n\nPackage: z\nVersion: 1\n\n",
        "Package: a\nVersion: 2\n\nPackage: git\n\nPackage: z\nVersion: 1\n\n"},
       "Package: a\nVersion: 2\n\nPackage: z\nVersion: 1\n\nPackage: nginx\n\nPackage: git\n\n"},
      {"alternatives with slaves of their own",
       "var/lib/dpkg/alternatives/editor",
       "auto\n/e\ned.1\n/man/e\n\n/bin/ed\n-1\n/man/ed\n\n",
       {"auto\n/e\ned.1\n/man/e\nfr.1\n/fr/e\n\n/bin/ed\n-1\n/man/ed\n\n/vim\n30\n/man/vim\n/fr/"
        "vim\n\n",
        "auto\n/e\nde.1\n/de/e\ned.1\n/man/e\n\n/bin/ed\n-1\n\n/man/ed\n/nano\n40\n/de/nano\n\n\n"},
       "auto\n/e\ned.1\n/man/e\nfr.1\n/fr/e\nde.1\n/de/e\n\n/bin/ed\n-1\n/man/ed\n\n\n"
       "/vim\n30\n/man/vim\n/fr/vim\n\n/nano\n40\n\n\n/de/nano\n\n"},
      {"a file that only a layer has",
       "var/lib/dpkg/statoverride",
       "",
       {"root a 710 /a\n", "root b 710 /b\n"},
       "root a 710 /a\nroot b 710 /b\n"},
  };
  for (const Row& row : rows) {
    CAPTURE(row.what);
    CHECK(stack(format_of(row.path), row.base, row.captured) == row.merged);
  }
}

TEST_CASE("records: a layer does not take its capture's base along", "[image]") {
  const RecordFormat& status = format_of("var/lib/dpkg/status");
  const RecordList old_base = status.parse("Package: libc6\nVersion: 1\n\n");
  const RecordList captured = status.parse("Package: libc6\nVersion: 1\n\nPackage: nginx\n\n");
  const RecordList layers[] = {status.parse("Package: libc6\nVersion: 2\n\n"),
                               changes(old_base, captured)};
  CHECK(merged_file(status, layers) == "Package: libc6\nVersion: 2\n\nPackage: nginx\n\n");
}

TEST_CASE("records: a removal below a layer that says the record again", "[image]") {
  const RecordFormat& passwd = format_of("etc/passwd");
  const RecordList base = passwd.parse("a:x:1:1::/:/s\nb:x:2:2::/:/s\n");
  const RecordList without = changes(base, passwd.parse("b:x:2:2::/:/s\n"));
  const RecordList again = changes(RecordList(), passwd.parse("a:x:1:1::/:/t\n"));
  CHECK(passwd.write(merge(merge(base, without), again)) == "a:x:1:1::/:/t\nb:x:2:2::/:/s\n");
  CHECK(merge(merge(base, without), again) == merge(base, merge(without, again)));
}

TEST_CASE("records: differences are told by key", "[image]") {
  const RecordFormat& group = format_of("etc/group");
  const auto differences =
      diff(group.parse("# x\nadm:x:4:ann\nbin:x:2:\n"), group.parse("adm:x:4:bob\nbin:x:3:\n"));
  using Part = RecordKey::Part;
  CHECK((differences == std::vector<RecordDifference>{
                            {Change::removed, {"# x", Part::text, {}, 0}, "", {}},
                            {Change::removed, {"adm", Part::member, "ann", 0}, "", {}},
                            {Change::added, {"adm", Part::member, "bob", 0}, {}, ""},
                            {Change::changed, {"bin", Part::record, {}, 0}, "bin:x:2", "bin:x:3"},
                        }));
}

TEST_CASE("records: conflicts are records that another layer hides", "[image]") {
  const RecordFormat& group = format_of("etc/group");
  const RecordList base = group.parse("adm:x:4:ann\nbin:x:2:\n");
  const RecordList layers[] = {
      changes(base, group.parse("adm:x:4:ann\nbin:x:2:\na:x:100:\nc:x:102:\n")),
      changes(base, group.parse("bin:x:2:\na:x:101:x\n")),  // Removes adm and its member.
      changes(base, group.parse("adm:x:5:ann\nbin:x:2:y\na:x:101:z\nc:x:102:\n")),
  };
  CHECK((conflicts(layers) == std::vector<RecordConflict>{{{"a"}, 0, 2}, {{"adm"}, 1, 2}}));
  // The same, by asking of every pair.
  for (std::size_t low = 0; low < 3; ++low)
    for (const Record& record : layers[low].records) {
      std::size_t last = low;
      const std::optional<std::string>* value = &record.value;
      for (std::size_t high = low + 1; high < 3; ++high)
        for (const Record& other : layers[high].records)
          if (other.key == record.key) last = high, value = &other.value;
      const auto found = conflicts(layers);
      CHECK(std::ranges::count(found, RecordConflict{record.key, low, last}) ==
            (*value != record.value ? 1 : 0));
    }
}
