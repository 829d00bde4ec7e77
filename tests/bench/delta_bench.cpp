// What an update costs as delta frames, beside zstd over whole tar files in the same run: bytes by
// class, processor time, peak memory; everything is decoded and compared. `--help` says the rest.
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <thread>

#include "shared/delta/encode_update.hpp"
#include "shared/os/file.hpp"
#include "shared/os/gzip.hpp"
#include "shared/os/user.hpp"

using namespace lamina;
namespace fs = std::filesystem;
using nlohmann::json;

namespace {

[[noreturn]] void die(const std::string& text) {
  std::cerr << "delta_bench: " << text << '\n';
  std::_Exit(1);
}

template <class T>
T sure(Result<T> result, const std::string& doing) {
  if (!result) die(doing + ": " + result.error().text());
  return std::move(*result);
}

double cpu_seconds(const rusage& use) {
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
  };
  return seconds(use.ru_utime) + seconds(use.ru_stime);
}

double cpu_seconds(int who) {
  rusage use{};
  ::getrusage(who, &use);
  return cpu_seconds(use);
}

// With that of the programs that it ran.
double own_cpu_seconds() { return cpu_seconds(RUSAGE_SELF) + cpu_seconds(RUSAGE_CHILDREN); }

// Regular files in the order of their paths, hard links once. An empty name is an empty tree.
delta::Tree tree_at(const std::string& root) {
  delta::Tree tree;
  std::set<std::pair<dev_t, ino_t>> seen;
  std::vector<std::string> paths;
  if (!root.empty())
    for (const auto& entry : fs::recursive_directory_iterator(root))
      if (entry.is_regular_file() && !entry.is_symlink())
        paths.push_back(fs::relative(entry.path(), root));
  std::ranges::sort(paths);
  for (const std::string& path : paths) {
    struct stat status {};
    if (::stat((root + "/" + path).c_str(), &status) != 0) die("cannot read " + path);
    if (!seen.emplace(status.st_dev, status.st_ino).second) continue;
    tree.files.push_back({path, static_cast<std::uint64_t>(status.st_size)});
  }
  const auto files = std::make_shared<std::vector<delta::Tree::File>>(tree.files);
  tree.open = [root, files](std::uint32_t number) -> Result<delta::Source> {
    const delta::Tree::File& file = files->at(number);
    auto opened = os::open_read(root + "/" + file.path);
    if (!opened) return fail(std::move(opened.error()));
    const auto shared = std::make_shared<os::Descriptor>(std::move(*opened));
    return delta::Source{
        file.size, [shared, path = file.path](std::uint64_t offset, std::span<std::byte> into) {
          while (!into.empty()) {
            const ssize_t got =
                ::pread(shared->get(), into.data(), into.size(), static_cast<off_t>(offset));
            if (got <= 0) return Status(fail(ErrorKind::corrupt, "cannot read " + path));
            into = into.subspan(static_cast<std::size_t>(got));
            offset += static_cast<std::uint64_t>(got);
          }
          return Status(Done{});
        }};
  };
  return tree;
}

delta::Programs programs() {
  return {.gzip = os::gzip, .gzip_version = os::gzip_version().value_or("")};
}

const char* name_of(delta::ItemClass kind) {
  switch (kind) {
    case delta::ItemClass::module: return "kernel modules";
    case delta::ItemClass::program: return "other ELF";
    case delta::ItemClass::skeleton: return "skeletons";
    case delta::ItemClass::other: return "other";
  }
  return "";
}

const char* name_of(delta::StreamCoder coder) {
  switch (coder) {
    case delta::StreamCoder::raw: return "raw";
    case delta::StreamCoder::zstd: return "zstd";
    case delta::StreamCoder::lzma2: return "lzma2";
  }
  return "";
}

std::string frame_path(const std::string& directory, std::size_t number) {
  return directory + "/frame." + std::to_string(number);
}

// Plans and encodes into `directory`; says what it cost.
json send(const std::string& old_root, const std::string& next_root, const std::string& directory,
          const delta::EncodeOptions& options) {
  struct Cost {
    std::uint64_t plain = 0, coded = 0;
    std::map<std::string, std::uint64_t> coders;  // Of a class: coded bytes by coder.
  };
  std::map<std::string, Cost> classes;
  std::map<std::pair<std::string, int>, Cost> streams;
  std::uint64_t bytes = 0;
  std::size_t frames = 0;
  const auto add = [&](const delta::Survey& next, const delta::Group& group,
                       const Buffer& frame) -> Status {
    sure(os::write_file(frame_path(directory, frames++), frame), "writing");
    const auto head = sure(delta::FrameHead::parse(frame), "parsing");
    const std::string name = name_of(next.contents[group.items.front()].kind);
    bytes += frame.size();
    classes[name].plain += group.bytes;
    classes[name].coded += frame.size();
    for (const auto& stream : head.streams) {
      Cost& cost = streams[{name, stream.id}];
      cost.plain += stream.plain_size;
      cost.coded += stream.coded_size();
      classes[name].coders[name_of(stream.coder)] += stream.coded_size();
    }
    return Done{};
  };
  const auto update =
      sure(delta::encode_update(tree_at(old_root), tree_at(next_root), options, add), "encoding");
  const delta::UpdatePlan& plan = update.plan;
  if (!plan.too_large.empty())
    die("a file is too large: " + update.next.contents[plan.too_large[0]].path);
  const Buffer assembly = delta::write_assembly(plan.assembly);
  sure(os::write_file(directory + "/assembly", assembly), "writing");
  classes["assembly"] = {.plain = assembly.size(), .coded = assembly.size()};

  json result = {{"bytes", bytes + assembly.size()},
                 {"frames", frames},
                 {"containers", plan.assembly.closings.size()}};
  for (const auto& [name, cost] : classes)
    result["classes"][name] = {
        {"plain", cost.plain}, {"coded", cost.coded}, {"coders", cost.coders}};
  std::vector<std::pair<Cost, std::pair<std::string, int>>> largest;
  for (const auto& [key, cost] : streams) largest.emplace_back(cost, key);
  std::ranges::sort(largest, std::greater(), [](const auto& entry) { return entry.first.coded; });
  for (std::size_t i = 0; i < std::min<std::size_t>(largest.size(), 24); ++i)
    result["streams"].push_back({{"class", largest[i].second.first},
                                 {"stream", largest[i].second.second},
                                 {"plain", largest[i].first.plain},
                                 {"coded", largest[i].first.coded}});
  return result;
}

bool has_xz(const delta::Recipe& recipe) {
  return std::ranges::any_of(recipe.steps, [](const delta::Recipe::Step& step) {
    return step.kind == delta::Recipe::Step::Kind::coded &&
           step.encoder.library == delta::Encoder::Library::lzma;
  });
}

// Decodes what is in `directory`, puts everything together below it and compares with the new tree.
json receive(const std::string& old_root, const std::string& next_root,
             const std::string& directory) {
  const delta::Tree old_tree = tree_at(old_root);
  const delta::Tree next_tree = tree_at(next_root);
  const double begun = own_cpu_seconds();
  delta::TreeReader reader(old_tree);
  std::set<delta::ItemName> made;
  const auto path_of = [&](delta::ItemName name) {
    return directory + "/item." + std::to_string(name.file) + "." + std::to_string(name.member);
  };
  for (std::size_t number = 0; fs::exists(frame_path(directory, number)); ++number) {
    Buffer frame =
        sure(os::read_file(frame_path(directory, number), delta::kFrameContentsMax), "reading");
    const auto head = sure(delta::FrameHead::parse(frame), "parsing");
    std::vector<delta::Source> references;
    for (const auto& reference : head.references)
      references.push_back(sure(reader.open(reference.name), "reference"));
    os::Descriptor file;
    std::size_t open_part = SIZE_MAX;
    sure(delta::decode_frame(head, std::move(frame), std::move(references),
                             [&](std::size_t part, ByteView piece) -> Status {
                               if (part != open_part) {
                                 auto opened = os::open_write(path_of(head.items[part].name));
                                 if (!opened) return fail(std::move(opened.error()));
                                 file = std::move(*opened);
                                 open_part = part;
                               }
                               return os::write_all(file.get(), piece, "item");
                             }),
         "decoding");
    for (const auto& item : head.items) made.insert(item.name);
  }
  // Files that stayed or have a double are found by their digests, which a manifest has.
  std::map<Sha256Digest, std::string> at;
  const double decoded = own_cpu_seconds();
  const auto digest_of = [](const delta::Source& source) {
    Sha256 sha;
    sure(delta::read_pieces(source,
                            [&](ByteView piece) -> Status {
                              sha.update(piece);
                              return Done{};
                            }),
         "reading");
    return sha.finish();
  };
  const auto digest_of_path = [](const std::string& path) {
    return sha256(sure(os::read_file(path, std::size_t{1} << 30), path));
  };
  for (std::uint32_t file = 0; file < old_tree.files.size(); ++file)
    at.try_emplace(digest_of(sure(old_tree.open(file), "old tree")),
                   old_root + "/" + old_tree.files[file].path);
  for (const auto& name : made)
    if (name.member == delta::ItemName::kFileItself) {
      const std::string path = path_of(name);
      at.try_emplace(digest_of_path(path), path);
    }
  std::vector<Sha256Digest> wanted;
  for (std::uint32_t file = 0; file < next_tree.files.size(); ++file)
    wanted.push_back(digest_of(sure(next_tree.open(file), "new tree")));
  const auto source_at = [](const std::string& path) -> Result<delta::Source> {
    auto bytes = os::read_file(path, delta::kContainerMax);
    if (!bytes) return fail(std::move(bytes.error()));
    return delta::source_of(std::move(*bytes));
  };
  const auto find = [&](const delta::Origin& origin) -> Result<delta::Source> {
    if (origin.is_old) return reader.open(origin.name);
    if (made.contains(origin.name)) return source_at(path_of(origin.name));
    const auto place = at.find(wanted.at(origin.name.file));
    if (place == at.end()) return fail(ErrorKind::corrupt, "a member is nowhere");
    return source_at(place->second);
  };
  const double compared = own_cpu_seconds();
  const auto assembly =
      sure(delta::read_assembly(sure(os::read_file(directory + "/assembly", 1 << 28), "reading"),
                                1 << 28),
           "assembly");
  const delta::Programs at_hand = programs();
  double xz_cpu = 0;
  for (const auto& closing : assembly.closings) {
    const double begun_closing = own_cpu_seconds();
    const std::string path = path_of({closing.file, 0});
    auto file = sure(os::open_write(path), "opening");
    sure(delta::close_file(
             closing, find, at_hand,
             [&](ByteView piece) { return os::write_all(file.get(), piece, "container"); }),
         next_tree.files[closing.file].path);
    made.insert({closing.file, 0});
    if (has_xz(closing.recipe)) xz_cpu += own_cpu_seconds() - begun_closing;
  }
  for (const auto& copy : assembly.copies) {
    const auto bytes =
        sure(delta::read_all(sure(find(copy.from), "copy"), std::uint64_t{1} << 30), "copy");
    sure(os::write_file(path_of({copy.file, 0}), bytes), "copy");
    made.insert({copy.file, 0});
  }
  const double closed = own_cpu_seconds();
  const auto peak = os::peak_memory();

  for (const auto& closing : assembly.closings) {
    const std::string path = path_of({closing.file, 0});
    at.try_emplace(digest_of_path(path), path);
  }
  for (const auto& copy : assembly.copies) {
    const std::string path = path_of({copy.file, 0});
    at.try_emplace(digest_of_path(path), path);
  }
  std::size_t different = 0;
  for (std::uint32_t file = 0; file < next_tree.files.size(); ++file) {
    const bool is_there = made.contains({file, 0})
                              ? digest_of_path(path_of({file, 0})) == wanted[file]
                              : next_tree.files[file].size == 0 || at.contains(wanted[file]);
    if (is_there) continue;
    ++different;
    std::cerr << "different: " << next_tree.files[file].path << '\n';
  }
  return {{"files", next_tree.files.size()}, {"different", different},
          {"peak_bytes", peak ? *peak : 0},  {"cpu_decode", decoded - begun},
          {"cpu_close", closed - compared},  {"cpu_close_xz", xz_cpu}};
}

// Runs `work` in a process of its own, so that its processor time and memory are its own.
json apart(const std::function<json()>& work) {
  int pipe[2];
  if (::pipe(pipe) != 0) die("no pipe");
  const pid_t child = ::fork();
  if (child < 0) die("cannot fork");
  if (child == 0) {
    const std::string text = work().dump();
    if (::write(pipe[1], text.data(), text.size()) != static_cast<ssize_t>(text.size()))
      die("cannot write the result");
    std::_Exit(0);
  }
  ::close(pipe[1]);
  std::string text;
  char piece[4096];
  for (ssize_t got; (got = ::read(pipe[0], piece, sizeof piece)) > 0;)
    text.append(piece, static_cast<std::size_t>(got));
  ::close(pipe[0]);
  int state = 0;
  rusage use{};
  if (::wait4(child, &state, 0, &use) != child || state != 0) die("a part of the run failed");
  json result = json::parse(text);
  result["cpu"] = cpu_seconds(use);
  result["rss"] = static_cast<std::uint64_t>(use.ru_maxrss) * 1024;
  return result;
}

// Whole tar files, one against the other.
json tar_patch(const std::string& old_root, const std::string& next_root,
               const std::string& directory) {
  const auto tar = [&](const std::string& root, const std::string& name) {
    const std::string path = directory + "/" + name;
    if (std::system(
            ("tar --sort=name --numeric-owner -C '" + root + "' -cf '" + path + "' .").c_str()) !=
        0)
      die("tar failed");
    return path;
  };
  const std::string next = tar(next_root, "next.tar");
  const std::string old = old_root.empty() ? "" : tar(old_root, "old.tar");
  json result = apart([&]() -> json {
    const std::string how =
        old.empty() ? "zstd -q -9 -T1 '" : "zstd -q -9 -T1 --long=31 --patch-from='" + old + "' '";
    if (std::system((how + next + "' -o '" + directory + "/patch'").c_str()) != 0)
      die("zstd failed");
    return json::object();
  });
  result["bytes"] = fs::file_size(directory + "/patch");
  for (const char* name : {"/next.tar", "/old.tar", "/patch"}) fs::remove(directory + name);
  return result;
}

void row(const std::string& what, double bytes, double cpu, double rss) {
  std::printf("%-36s %9.2f MB %8.1f CPU s %8.0f MB RSS\n", what.c_str(), bytes / 1e6, cpu,
              rss / 1e6);
}

void print(const json& result, const std::string& effort_name, bool is_fresh) {
  const json& sent = result["send"];
  const auto megabytes = [](const json& bytes) { return bytes.get<double>() / 1e6; };
  for (const auto& [name, cost] : sent["classes"].items()) {
    std::printf("  %-34s %9.2f MB of %9.2f MB", name.c_str(), megabytes(cost["coded"]),
                megabytes(cost["plain"]));
    for (const auto& [coder, coded] : cost["coders"].items())
      std::printf("  %s %.2f MB", coder.c_str(), megabytes(coded));
    std::printf("\n");
  }
  for (const json& stream : sent["streams"])
    std::printf("    %-24s stream %3d  %9.2f MB of %9.2f MB\n",
                stream["class"].get<std::string>().c_str(), stream["stream"].get<int>(),
                megabytes(stream["coded"]), megabytes(stream["plain"]));
  std::printf("  %zu frames, %zu containers\n", sent["frames"].get<std::size_t>(),
              sent["containers"].get<std::size_t>());
  row("delta frames, " + effort_name + ", sender", sent["bytes"], sent["cpu"], sent["rss"]);
  if (result.contains("receive")) {
    const json& received = result["receive"];
    row("delta frames, receiver: decode", 0, received["cpu_decode"], received["peak_bytes"]);
    row("delta frames, receiver: close", 0, received["cpu_close"], received["peak_bytes"]);
    std::printf("  of that, closing xz files %29.1f CPU s\n",
                received["cpu_close_xz"].get<double>());
  }
  if (result.contains("tar")) {
    const json& tar = result["tar"];
    row(is_fresh ? "tar | zstd -9" : "tar, zstd -9 --patch-from", tar["bytes"], tar["cpu"],
        tar["rss"]);
    std::printf("bytes %.3f of tar's, sender's CPU %.2f\n",
                sent["bytes"].get<double>() / tar["bytes"].get<double>(),
                sent["cpu"].get<double>() / tar["cpu"].get<double>());
  }
  if (result.contains("receive"))
    std::printf("%zu files compared, %zu different\n",
                result["receive"]["files"].get<std::size_t>(),
                result["receive"]["different"].get<std::size_t>());
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app(
      "An update as delta frames, beside zstd over whole tar files.\n"
      "example: delta_bench corpus/A1 corpus/A2      an update\n"
      "         delta_bench '' corpus/A2             everything, to a device with nothing");
  std::string old_root, next_root, effort_name = "default", scratch = os::temporary_root();
  unsigned threads = std::max(1U, std::thread::hardware_concurrency());
  double group_mib = 4;
  std::uint64_t close_memory_mib = delta::kCloseMemoryMax >> 20;
  bool is_alone = false, is_json = false, is_sent_only = false;
  app.add_option("OLD", old_root, "tree that the receiver has; '' for none")->required();
  app.add_option("NEW", next_root, "tree that it shall have")->required();
  app.add_option("--effort", effort_name)
      ->check(CLI::IsMember({"fast", "default", "high"}))
      ->capture_default_str();
  app.add_option("--threads", threads, "of the sender")->capture_default_str();
  app.add_option("--group", group_mib, "MiB coded together")->capture_default_str();
  app.add_option("--close-memory", close_memory_mib,
                 "MiB that the receiver's encoders may take; 512 opens kernels of xz")
      ->capture_default_str();
  app.add_option("--scratch", scratch, "directory with room for both trees")->capture_default_str();
  app.add_flag("--alone", is_alone, "without tar and zstd");
  app.add_flag("--send-only", is_sent_only, "nothing is received and compared");
  app.add_flag("--json", is_json, "one JSON object");
  CLI11_PARSE(app, argc, argv);
  const auto effort = effort_name == "fast"   ? delta::Effort::fast
                      : effort_name == "high" ? delta::Effort::high
                                              : delta::Effort::standard;
  const auto directory =
      sure(os::TemporaryDirectory::make(scratch, "lamina-delta-"), "making a directory");
  json result;
  result["send"] = apart([&] {
    return send(
        old_root, next_root, directory.path(),
        {.effort = effort,
         .group_bytes = static_cast<std::uint64_t>(group_mib * 1048576),
         .threads = threads,
         .programs = programs(),
         .survey = {.costly = old_root.empty() ? delta::Costly::closed : delta::Costly::opened,
                    .close_memory_max = close_memory_mib << 20}});
  });
  if (!is_sent_only)
    result["receive"] = apart([&] { return receive(old_root, next_root, directory.path()); });
  for (const auto& entry : fs::directory_iterator(directory.path())) fs::remove(entry.path());
  if (!is_alone) result["tar"] = tar_patch(old_root, next_root, directory.path());
  if (is_json) {
    std::cout << result.dump(2) << '\n';
  } else {
    print(result, effort_name, old_root.empty());
  }
  return is_sent_only || result["receive"]["different"] == 0 ? 0 : 1;
}
