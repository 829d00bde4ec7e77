// What the index of a ChunkStore costs when it is much larger than memory: opening it, putting
// packs into it, and asking it for chunks that are there and that are not.
//
// It is filled in the order of ids, which costs a disk the least: its pages are full then, so that
// every one that is put to later must be split. Then packs are put as the store puts each that is
// taken in, ids spread over all of it, one transaction and one wait for the disk a pack. Bound the
// memory, the kernel's cache of the file included, from outside (README).
#include <sys/resource.h>
#include <sys/stat.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <fstream>

#include "shared/store/chunk_index.hpp"
#include "shared/store/chunk_rows.hpp"

using namespace lamina;

namespace {

using Seconds = std::chrono::duration<double>;

struct Options {
  std::string directory;
  std::uint64_t ids = 1'000'000;
  std::uint64_t batch = 1'000'000;
  std::uint64_t pack_ids = 400;  // A pack of 16 MiB holds so many chunks of 40 KiB on average.
  double seconds = 10;           // Of each measurement.
  bool keep = false;
};

// Steele et al., "Fast splittable pseudorandom number generators" (OOPSLA 2014): any number gives
// another id, spread as digests are.
std::uint64_t mixed(std::uint64_t z) {
  z += 0x9e3779b97f4a7c15;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return z ^ (z >> 31);
}
template <class Id>
Id id_of(std::uint64_t number) {
  std::array<std::byte, 32> bytes;
  for (std::uint64_t i = 0; i < 4; ++i) {
    const std::uint64_t part = mixed(number * 4 + i);
    std::memcpy(bytes.data() + i * 8, &part, 8);
  }
  return Id(bytes);
}

// Of those that are there from the start: they ascend with their numbers.
ChunkId first_id(std::uint64_t number, std::uint64_t count) {
  const std::uint64_t apart = UINT64_MAX / count;
  const std::uint64_t place = number * apart + mixed(number) % apart;
  std::array<std::byte, 32> bytes;
  const ChunkId rest = id_of<ChunkId>(number);
  std::memcpy(bytes.data(), rest.bytes().data(), bytes.size());
  for (int i = 0; i < 8; ++i) bytes[i] = static_cast<std::byte>(place >> (56 - 8 * i));
  return ChunkId(bytes);
}

std::string directory_of_index(const Options& options) { return options.directory + "/index"; }

// Kilobytes of a line of /proc/self/status.
long memory_of(std::string_view name) {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.starts_with(name)) return std::stol(line.substr(name.size() + 1));
  return 0;
}

double file_gigabytes(const Options& options) {
  struct stat facts {};
  if (stat((directory_of_index(options) + "/data.mdb").c_str(), &facts) != 0) return 0;
  return static_cast<double>(facts.st_size) / 1e9;
}

double own_memory_most = 0;  // Megabytes, as far as was looked.

void figure(const char* what, double value, const char* unit) {
  std::printf("%-44s %12.1f %s\n", what, value, unit);
  std::fflush(stdout);
}

Seconds timed(const std::function<void()>& work) {
  const auto begun = std::chrono::steady_clock::now();
  work();
  return std::chrono::steady_clock::now() - begun;
}

void check(const Status& done) {
  if (done) return;
  std::fprintf(stderr, "index_bench: %s\n", done.error().text().c_str());
  std::exit(1);
}

// A pack whose chunks are `count` from `first` on.
format::PackIndex pack_of(std::uint64_t first, std::uint64_t count) {
  format::PackIndex index;
  for (std::uint64_t i = 0; i < count; ++i) {
    // 25 chunks of 40 KiB fill a frame of 1 MiB.
    if (i % 25 == 0) index.frames.emplace_back();
    index.frames.back().chunks.push_back({id_of<ChunkId>(first + i), 40960});
  }
  return index;
}

void fill(Kv& kv, const Options& options) {
  std::vector<double> rates;
  for (std::uint64_t first = 0; first < options.ids; first += options.batch) {
    const std::uint64_t count = std::min(options.batch, options.ids - first);
    const Seconds took = timed([&] {
      check(kv.write([&](Kv::Edit& edit) -> Status {
        for (std::uint64_t i = first; i < first + count; ++i) {
          const chunk_rows::Place place{.pack = id_of<PackId>(i / options.pack_ids),
                                        .frame = static_cast<std::uint32_t>(i % 16),
                                        .offset = static_cast<std::uint32_t>(i % 25 * 40960),
                                        .length = 40960};
          auto put =
              edit.put(chunk_rows::key_of(first_id(i, options.ids)), chunk_rows::row_of(place));
          if (!put) return put;
        }
        return Done{};
      }));
    });
    own_memory_most = std::max(own_memory_most, static_cast<double>(memory_of("RssAnon")) / 1024);
    rates.push_back(static_cast<double>(count) / took.count());
    if ((first / options.batch) % 10 == 9)
      std::fprintf(stderr, "%llu ids, %.0f ids/s, %.1f GB, %ld MB of its own\n",
                   static_cast<unsigned long long>(first + count), rates.back(),
                   file_gigabytes(options), memory_of("RssAnon") / 1024);
  }
  // What else the machine does meanwhile spoils some batches.
  std::ranges::nth_element(rates, rates.begin() + std::ssize(rates) / 2);
  figure("filling, in the order of ids, median", rates[rates.size() / 2], "ids/s");
}

void put_packs(Kv& kv, const Options& options) {
  std::uint64_t next = options.ids;
  Seconds took{};
  while (took.count() < options.seconds) {
    const auto index = pack_of(next, options.pack_ids);
    const auto id = id_of<PackId>(next);
    took += timed([&] { check(chunk_rows::put_pack(kv, id, index)); });
    next += options.pack_ids;
  }
  const auto put = static_cast<double>(next - options.ids);
  figure("packs, one transaction each", put / took.count(), "ids/s");
  figure("  each takes", 1e3 * took.count() / (put / static_cast<double>(options.pack_ids)), "ms");
}

// 1000 in one transaction, as a device asks.
void look_up(const ChunkIndex& index, const Options& options, const char* what, bool is_there) {
  std::uint64_t asked = 0;
  Seconds took{};
  while (took.count() < options.seconds) {
    took += timed([&] {
      check(index.read([&](const ChunkIndex::Look& look) -> Status {
        for (int i = 0; i < 1000; ++i, ++asked) {
          const std::uint64_t number = mixed(asked * 2 + (is_there ? 1 : 0)) % options.ids;
          auto found = look.has(is_there ? first_id(number, options.ids)
                                         : id_of<ChunkId>(number + (1ULL << 40)));
          if (!found) return fail(std::move(found.error()));
          if (*found != is_there) return fail(ErrorKind::corrupt, "a wrong answer");
        }
        return Done{};
      }));
    });
  }
  figure(what, static_cast<double>(asked) / took.count(), "ids/s");
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  CLI::App app{"What the index of chunks costs when it is larger than memory", "index_bench"};
  app.footer("Example: index_bench --directory /srv/bench --ids 100000000");
  app.add_option("--directory", options.directory,
                 "where the index goes: 0.1 GB a million ids, and as much again")
      ->required();
  app.add_option("--ids", options.ids, "how many (default 1,000,000)");
  app.add_option("--batch", options.batch, "how many in a transaction of the fill");
  app.add_option("--pack-ids", options.pack_ids, "how many in a pack");
  app.add_option("--seconds", options.seconds, "how long each measurement takes");
  app.add_flag("--keep", options.keep, "keep the index; one that is there is not filled again");
  CLI11_PARSE(app, argc, argv);

  const std::string path = directory_of_index(options);
  const bool is_there = chunk_rows::has_index(options.directory);
  check(os::make_directories(path));
  if (!is_there) {
    auto kv = Kv::open(path);
    if (!kv) check(fail(std::move(kv.error())));
    fill(**kv, options);
  }
  {
    std::unique_ptr<Kv> kv;
    const Seconds took = timed([&] {
      auto opened = Kv::open(path);
      if (!opened) check(fail(std::move(opened.error())));
      kv = std::move(*opened);
    });
    figure("opening", took.count() * 1e3, "ms");
    put_packs(*kv, options);
  }
  auto index = ChunkIndex::open(options.directory);
  if (!index) check(fail(std::move(index.error())));
  look_up(*index, options, "look-ups, found", true);
  look_up(*index, options, "look-ups, not there", false);
  figure("file", file_gigabytes(options), "GB");
  rusage use{};
  getrusage(RUSAGE_SELF, &use);
  figure("memory of its own, at most", own_memory_most, "MB");
  figure("memory with the mapped file's, at most", static_cast<double>(use.ru_maxrss) / 1024, "MB");
  if (!options.keep) check(os::remove_tree(path));
  return 0;
}
