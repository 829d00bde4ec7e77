#include "origin/images/image_import.hpp"

#include <algorithm>
#include <map>
#include <random>

#include "shared/image/list_stream.hpp"
#include "shared/image/merge.hpp"
#include "tests/origin/images/images.hpp"

using namespace lamina;
using namespace lamina::origin::images;
using format::Entry;
using format::EntryKind;
using tests::TarBytes;

namespace {

using Import = std::unique_ptr<ImageImport>;

Result<Import> read(const std::vector<std::string>& archives, ImageImport::Options options = {},
                    Whiteouts whiteouts = Whiteouts::oci) {
  return ImageImport::read(image_of(archives, whiteouts), std::move(options));
}

// "path kind [target]" of each entry but the root.
std::vector<std::string> lines(const std::vector<Entry>& entries) {
  std::vector<std::string> lines;
  for (const Entry& entry : entries)
    if (!entry.path.empty())
      lines.push_back(entry.path + ' ' + std::string(name_of(entry.kind)) +
                      (entry.target.empty() ? "" : ' ' + entry.target));
  return lines;
}
std::vector<std::string> lines(const ImageImport& import, std::size_t layer) {
  return lines(all(*import.entries(layer)));
}
using Lines = std::vector<std::string>;

// The tree that one archive, or a whole image, gives.
Lines tree(const std::vector<std::string>& archives, Whiteouts whiteouts = Whiteouts::oci) {
  auto import = read(archives, {.squash = true}, whiteouts);
  if (!import) FAIL(import.error().text());
  return lines(**import, 0);
}

// The error's text, which names what is wrong.
std::string refusal(const std::vector<std::string>& archives) {
  const auto import = read(archives, {.squash = true});
  REQUIRE_FALSE(import);
  return import.error().text();
}

Entry entry_of(const ImageImport& import, const std::string& path) {
  for (Entry& entry : all(*import.entries(0)))
    if (entry.path == path) return entry;
  FAIL("no entry " + path);
  return {};
}

}  // namespace

TEST_CASE("import: members in any order become a tree in path order", "[images]") {
  CHECK(tree({TarBytes()
                  .file("./b/two", "2")
                  .file("a", "1")
                  .symlink("b/link", "../a")
                  .directory("b/")
                  .add("pipe", "", {.type = '6'})
                  .bytes()}) ==
        Lines{"a file", "b directory", "b/link symlink ../a", "b/two file", "pipe fifo"});
}

TEST_CASE("import: of a name that comes twice the last one counts", "[images]") {
  const auto import = read({TarBytes().file("a", "old").file("a", "newer").bytes()});
  REQUIRE(import);
  CHECK(entry_of(**import, "a").size == 5);
  CHECK(tree({TarBytes().file("a").symlink("a", "b").bytes()}) == Lines{"a symlink b"});
}

TEST_CASE("import: hard links are one file, whichever name comes first", "[images]") {
  CHECK(tree({TarBytes().file("z", "1").hard_link("a", "z").hard_link("m", "./a").bytes()}) ==
        Lines{"a file", "m hard link a", "z hard link a"});
  // A name that gets another file leaves the others together.
  CHECK(tree({TarBytes()
                  .file("a", "1")
                  .hard_link("b", "a")
                  .hard_link("c", "a")
                  .file("a", "2")
                  .bytes()}) == Lines{"a file", "b file", "c hard link b"});
  // To a file of a layer below.
  CHECK(tree({TarBytes().file("z", "1").bytes(), TarBytes().hard_link("a", "z").bytes()}) ==
        Lines{"a file", "z hard link a"});
}

TEST_CASE("import: whiteouts take away what layers below have", "[images]") {
  const std::string base = TarBytes()
                               .directory("d")
                               .file("d/a")
                               .file("d/b")
                               .directory("d/sub")
                               .file("d/sub/x")
                               .file("e")
                               .bytes();
  CHECK(tree({base, TarBytes().file("d/.wh.a").file(".wh.e").bytes()}) ==
        Lines{"d directory", "d/b file", "d/sub directory", "d/sub/x file"});
  CHECK(tree({base, TarBytes().file("d/.wh.sub").bytes()}) ==
        Lines{"d directory", "d/a file", "d/b file", "e file"});
  // Opaque: wherever it stands among the members, it means the layers below.
  for (const bool is_last : {false, true}) {
    CAPTURE(is_last);
    TarBytes upper;
    if (!is_last) upper.file("d/.wh..wh..opq");
    upper.file("d/new");
    if (is_last) upper.file("d/.wh..wh..opq");
    CHECK(tree({base, upper.bytes()}) == Lines{"d directory", "d/new file", "e file"});
  }
  // What the same layer has is not meant.
  CHECK(tree({base, TarBytes().file("e", "new").file(".wh.e").bytes()}).back() == "e file");
  // aufs's own files are none.
  CHECK(tree({TarBytes().file(".wh..wh.plnk").file("a").bytes()}) == Lines{"a file"});
  // In a plain archive it is a name as any other.
  CHECK(tree({TarBytes().file(".wh.a").bytes()}, Whiteouts::none) == Lines{".wh.a file"});
}

TEST_CASE("import: each layer holds what it changes, and removals as whiteouts", "[images]") {
  const std::string base =
      TarBytes().directory("d").file("d/a", "1").file("d/b", "2").file("e", "3").bytes();
  const auto import =
      read({base, TarBytes().file("d/.wh.a").file("f", "4").bytes(),
            TarBytes().directory(".").bytes(), TarBytes().file("d", "now a file").bytes()});
  REQUIRE(import);
  REQUIRE((*import)->layers() == 4);
  CHECK(lines(**import, 0) == Lines{"d directory", "d/a file", "d/b file", "e file"});
  CHECK(lines(**import, 1) == Lines{"d/a whiteout", "f file"});
  CHECK(lines(**import, 2).empty());
  CHECK(lines(**import, 3) == Lines{"d file"});
}

TEST_CASE("import: a directory of a layer may be named by a symlink of one below", "[images]") {
  const std::string base = TarBytes()
                               .directory("usr")
                               .directory("usr/bin")
                               .symlink("bin", "usr/bin")
                               .symlink("sbin", "/usr/../usr/bin")
                               .bytes();
  CHECK(tree({base, TarBytes().file("bin/a").file("sbin/b").bytes()}) ==
        Lines{"bin symlink usr/bin", "sbin symlink /usr/../usr/bin", "usr directory",
              "usr/bin directory", "usr/bin/a file", "usr/bin/b file"});
}

TEST_CASE("import: rules leave paths out, and names of what is left stay together", "[images]") {
  const auto import = read({TarBytes()
                                .file("a/first", "1")
                                .hard_link("b", "a/first")
                                .hard_link("c", "b")
                                .file("log", "text")
                                .add("dev/sda", "", {.type = '4', .major = 8})
                                .bytes()},
                           {.include = [](const std::string& path, bool) {
                             if (path == "log") return lamina::image::Take::make_empty;
                             return path == "a" || path == "dev" ? lamina::image::Take::leave_out
                                                                 : lamina::image::Take::keep;
                           }});
  REQUIRE(import);
  CHECK(lines(**import, 0) == Lines{"b file", "c hard link b", "log file"});
  CHECK(entry_of(**import, "log").size == 0);
  CHECK(entry_of(**import, "log").chunks.empty());
}

TEST_CASE("import: directories that no archive has are made", "[images]") {
  const auto import = read({TarBytes().file("a/b/c", "1").bytes()});
  REQUIRE(import);
  CHECK(lines(**import, 0) == Lines{"a directory", "a/b directory", "a/b/c file"});
  CHECK(entry_of(**import, "a/b").mode == 0755);
  CHECK(entry_of(**import, "").kind == EntryKind::directory);
}

TEST_CASE("import: hostile archives are refused, by name", "[images]") {
  const auto one = [](const TarBytes& tar) { return refusal({tar.bytes()}); };
  const auto contains = [](const char* text) { return Catch::Matchers::Contains(text); };
  CHECK_THAT(one(TarBytes().file("/etc/passwd")), contains("'/etc/passwd' is an absolute name"));
  CHECK_THAT(one(TarBytes().file("a/../../b")), contains("leads out of the tree by '..'"));
  CHECK_THAT(one(TarBytes().symlink("x", "../../etc").file("x/passwd")),
             contains("leads out of the tree by a symlink"));
  CHECK_THAT(one(TarBytes().symlink("x", "y").symlink("y", "x").file("x/a")),
             contains("too many symlinks"));
  CHECK_THAT(one(TarBytes().file("a").file("a/b")), contains("'a', which is no directory"));
  CHECK_THAT(one(TarBytes().file("a/b").file("a")), contains("'a', which is no directory"));
  CHECK_THAT(one(TarBytes().file("a/b").symlink("a", "c")), contains("'a', which is no directory"));
  CHECK_THAT(one(TarBytes().file("a/b").add(".", "")), contains("root"));
  CHECK_THAT(one(TarBytes().hard_link("a", "b")), contains("does not come before it"));
  CHECK_THAT(one(TarBytes().hard_link("a", "../b")), contains("leads out of the tree"));
  CHECK_THAT(one(TarBytes().directory("d").hard_link("a", "d")), contains("to a directory"));
  CHECK_THAT(one(TarBytes().add("usr/sda", "", {.type = '4', .major = 8})),
             contains("'usr/sda' is a block device"));
  CHECK_THAT(one(TarBytes().add("a", "", {.pax = TarBytes::pax("path", std::string(5000, 'p'))})),
             contains("path"));
  std::string deep;
  for (int i = 0; i < 1000; ++i) deep += "deep/";
  CHECK_THAT(one(TarBytes().add("a", "", {.pax = TarBytes::pax("path", deep + "x")})),
             contains("4096"));
  CHECK_THAT(one(TarBytes().file("d/.wh.")), contains("removes nothing"));
  CHECK_THAT(one(TarBytes().file("d/.wh...")), contains("removes nothing"));
  CHECK_THAT(one(TarBytes().add("a", "", {.pax = TarBytes::pax("size", "99999999999999999")})),
             contains("'a' says that it is larger than 16 TiB"));
}

TEST_CASE("import: an archive that lies about its sizes or ends early is corrupt", "[images]") {
  for (const std::string& bytes :
       {TarBytes().add("a", "short", {.size = 1 << 20}).bytes(),
        TarBytes().add("a", std::string(5000, 'x')).unended().substr(0, 3000)}) {
    const auto import = read({bytes});
    REQUIRE_FALSE(import);
    CHECK(import.error().kind() == ErrorKind::corrupt);
  }
  CHECK_FALSE(read({"this is no tar file, and never was one"}));
}

TEST_CASE("import: a layer whose digest is another one is corrupt", "[images]") {
  Image image = image_of({TarBytes().file("a").bytes()});
  image.layers[0].digest = sha256(as_view("something else"));
  const auto import = ImageImport::read(std::move(image), {});
  REQUIRE_FALSE(import);
  CHECK(import.error().kind() == ErrorKind::corrupt);
  CHECK_THAT(import.error().text(), Catch::Matchers::Contains("digest"));
}

TEST_CASE("import: what is behind the end of an archive counts for its digest", "[images]") {
  const std::string bytes = TarBytes().file("a").bytes() + std::string(100'000, '\0') + "tail";
  CHECK(read({bytes}));
}

TEST_CASE("import: attributes, ACLs and odd names come through", "[images]") {
  const std::string name = "caf\xc3\xa9 \xff\n";
  const auto import =
      read({TarBytes()
                .file("etc/passwd", "root:x:0:0::/:\nann:x:1001:1001::/:\n")
                .add("x", "content",
                     {.mode = 0640,
                      .pax = TarBytes::pax("path", name) +
                             TarBytes::pax("SCHILY.xattr.user.b", std::string("\0two\xff", 5)) +
                             TarBytes::pax("SCHILY.xattr.security.capability", "caps") +
                             TarBytes::pax("SCHILY.xattr.trusted.overlay.opaque", "y") +
                             TarBytes::pax("SCHILY.acl.access",
                                           "user::rw-,user:ann:r--,user:nobody-here:rwx,group::---,"
                                           "mask::r--,other::---")})
                .add("neg", "", {.pax = TarBytes::pax("mtime", "1600000000.123456789")})
                .bytes()});
  REQUIRE(import);
  const Entry entry = entry_of(**import, name);
  REQUIRE(entry.attributes.size() == 3);
  CHECK(entry.attributes[0] == format::Attribute{"security.capability", "caps"});
  CHECK(entry.attributes[1].name == "system.posix_acl_access");
  CHECK(to_hex(as_view(entry.attributes[1].value)) ==
        "02000000"
        "01000600ffffffff"
        "02000400e9030000"
        "04000000ffffffff"
        "10000400ffffffff"
        "20000000ffffffff");
  CHECK(entry.attributes[2] == format::Attribute{"user.b", std::string("\0two\xff", 5)});
  CHECK(entry.mode == 0640);
  CHECK(entry.owner == "root");
  CHECK(entry_of(**import, "neg").mtime_ns == 1'600'000'000'123'456'789);
}

TEST_CASE("import: content that a layer needs is handed on, what is hidden is not", "[images]") {
  std::mt19937_64 engine(5);
  const auto random = [&engine](std::size_t size) {
    std::string text(size, '\0');
    for (char& c : text) c = static_cast<char>(engine());
    return text;
  };
  const std::string kept = random(700'000), hidden = random(300'000);
  const auto import = read({TarBytes().file("kept", kept).file("hidden", hidden).bytes(),
                            TarBytes().file(".wh.hidden").hard_link("copy", "kept").bytes()},
                           {.squash = true});
  REQUIRE(import);
  const Entry file = entry_of(**import, "copy");
  std::unordered_set<ChunkId, IdHash> wanted;
  for (const format::ChunkRef& chunk : file.chunks) wanted.insert(chunk.id);
  std::map<ChunkId, std::string> given;
  REQUIRE((*import)->send(wanted, [&given](const ContentChunk& chunk) -> Status {
    given[chunk.ref.id] = as_text(chunk.plain);
    return Done{};
  }));
  std::string content;
  for (const format::ChunkRef& chunk : file.chunks) content += given[chunk.id];
  CHECK(content == kept);
  CHECK(given.size() == wanted.size());
  CHECK((*import)
            ->send({ChunkId(sha256(as_view("another")))},
                   [](const ContentChunk&) { return Status(Done{}); })
            .error()
            .kind() == ErrorKind::invalid);
}

TEST_CASE("import: an archive that changes between its readings is found out", "[images]") {
  Image image = image_of({TarBytes().file("a", "before").bytes()});
  auto calls = std::make_shared<int>(0);
  image.layers[0].open = [calls]() -> Result<std::unique_ptr<archive::ByteSource>> {
    const bool is_first = (*calls)++ == 0;
    return std::make_unique<MemorySource>(
        TarBytes().file("a", is_first ? "before" : "after!").bytes());
  };
  const auto import = ImageImport::read(std::move(image), {});
  REQUIRE(import);
  const auto sent = (*import)->send({ChunkId(sha256(as_view("before")))},
                                    [](const ContentChunk&) { return Status(Done{}); });
  REQUIRE_FALSE(sent);
  CHECK(sent.error().kind() == ErrorKind::corrupt);
}

TEST_CASE("import: layers one upon the other are the squashed image", "[images]") {
  // Random images of few names, so that layers meet.
  std::mt19937_64 engine(11);
  const auto below = [&engine](std::size_t limit) { return engine() % limit; };
  const std::vector<std::string> names = {"a", "b", "d", "d/a", "d/b", "d/e", "d/e/a", "f"};
  int read_count = 0;
  for (int round = 0; round < 2000; ++round) {
    CAPTURE(round);
    std::vector<std::string> archives;
    for (std::size_t left = 1 + below(4); left > 0; --left) {
      TarBytes tar;
      for (std::size_t members = below(6); members > 0; --members) {
        const std::string& name = names[below(names.size())];
        const std::size_t slash = name.rfind('/') + 1;
        switch (below(6)) {
          case 0: tar.directory(name, 0700 + static_cast<unsigned>(below(2))); break;
          case 1: tar.symlink(name, names[below(names.size())]); break;
          case 2: tar.hard_link(name, names[below(names.size())]); break;
          case 3: tar.file(name.substr(0, slash) + ".wh." + name.substr(slash)); break;
          case 4: tar.file("d/.wh..wh..opq"); break;
          default: tar.file(name, std::string(1, static_cast<char>('0' + below(10)))); break;
        }
      }
      archives.push_back(tar.bytes());
    }
    const auto squashed = read(archives, {.squash = true});
    const auto apart = read(archives);
    REQUIRE(squashed.has_value() == apart.has_value());
    if (!squashed) continue;
    ++read_count;
    std::vector<std::unique_ptr<format::EntryStream>> layers;
    for (std::size_t i = 0; i < (*apart)->layers(); ++i) layers.push_back((*apart)->entries(i));
    image::MergeStream merged(std::move(layers));
    CHECK(all(merged) == all(*(*squashed)->entries(0)));
  }
  CHECK(read_count > 500);
}
