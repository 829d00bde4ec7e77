// What the content engine costs and gains, against plain zstd, in one run over the same bytes.
// usage: content_bench [MEGABYTES] [DIRECTORY]      (default: 128 of /usr/lib and /usr/share)
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <iostream>
#include <map>

#include "shared/chunk/chunker.hpp"
#include "shared/codec/zstd.hpp"
#include "shared/hash/sha256.hpp"
#include "shared/os/user.hpp"
#include "shared/store/pack_set.hpp"
#include "shared/store/pack_writer.hpp"

using namespace lamina;
namespace fs = std::filesystem;

namespace {

struct File {
  std::string path;
  Buffer bytes;
};

// Regular files in the order of their paths, until `most` bytes are read.
std::vector<File> read_files(const std::vector<std::string>& roots, std::uint64_t most) {
  std::vector<File> files;
  std::uint64_t left = most;
  for (const std::string& root : roots) {
    std::map<std::string, std::uint64_t> found;
    std::error_code error;
    for (fs::recursive_directory_iterator entry(root, error), end; entry != end;
         entry.increment(error))
      if (entry->is_regular_file(error) && !entry->is_symlink(error))
        found[entry->path()] = entry->file_size(error);
    std::uint64_t share = left / (roots.size() - (&root - roots.data()));
    for (const auto& [path, size] : found) {
      if (size == 0 || size > share || size > (64 << 20)) continue;
      auto bytes = os::read_file(path, 64 << 20);
      if (!bytes) continue;
      share -= size;
      left -= size;
      files.push_back({path, std::move(*bytes)});
    }
  }
  return files;
}

double seconds_of(const std::function<void()>& work) {
  const auto begun = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count();
}

void row(const char* name, double seconds, double plain, double coded) {
  std::printf("%-44s %8.1f MB/s", name, plain / 1e6 / seconds);
  if (coded > 0) std::printf("  %7.2f MB  %.4f of plain", coded / 1e6, coded / plain);
  std::printf("\n");
}

struct Chunk {
  format::ChunkRef ref;
  ByteView bytes;
  ContentClass content;
};

}  // namespace

int main(int argc, char** argv) {
  const std::uint64_t most = (argc > 1 ? std::stoull(argv[1]) : 128) * 1'000'000;
  const auto roots = argc > 2 ? std::vector<std::string>{argv[2]}
                              : std::vector<std::string>{"/usr/lib", "/usr/share"};
  const auto files = read_files(roots, most);
  double plain = 0;
  for (const File& file : files) plain += static_cast<double>(file.bytes.size());
  if (plain == 0) return std::cerr << "no files in " << roots.front() << '\n', 1;
  std::printf("%zu files, %.1f MB\n", files.size(), plain / 1e6);

  std::vector<std::pair<ByteView, ContentClass>> cuts;
  row("cut into chunks", seconds_of([&] {
        for (const File& file : files) {
          const auto content = classify_content(
              file.path, ByteView(file.bytes).first(std::min<std::size_t>(file.bytes.size(), 16)));
          for (ByteView rest = file.bytes; !rest.empty();) {
            const std::size_t cut = first_cut(rest, {});
            cuts.emplace_back(rest.first(cut), content);
            rest = rest.subspan(cut);
          }
        }
      }),
      plain, 0);
  std::vector<Chunk> chunks;
  row("SHA-256 of each chunk", seconds_of([&] {
        for (const auto& [bytes, content] : cuts)
          chunks.push_back(
              {{digest<ChunkId>(bytes), static_cast<std::uint32_t>(bytes.size())}, bytes, content});
      }),
      plain, 0);

  double whole = 0;
  const double whole_seconds = seconds_of([&] {
    ZstdCompressor compressor(3);
    for (const File& file : files)
      whole += static_cast<double>(compressor.compress(file.bytes).size());
  });
  row("zstd -3, each file alone", whole_seconds, plain, whole);

  auto directory = os::TemporaryDirectory::make(os::temporary_root(), "lamina-bench-");
  if (!directory) return std::cerr << directory.error().text() << '\n', 1;
  const auto packs = PackFiles::open(directory->path(), PackFiles::Access::write);
  if (!packs) return std::cerr << packs.error().text() << '\n', 1;
  for (const int level : {3, 6, 9}) {
    std::vector<PackId> made;
    double coded = 0;
    const double seconds = seconds_of([&] {
      PackWriter writer(*packs, {.level = level}, [&](const format::PackSummary& pack) -> Status {
        made.push_back(pack.id);
        return Done{};
      });
      for (const Chunk& chunk : chunks)
        if (!writer.add(chunk.ref, chunk.bytes, chunk.content)) std::abort();
      if (!writer.finish()) std::abort();
      coded = static_cast<double>(writer.bytes_written());
    });
    const std::string name = "packs, level " + std::to_string(level) + " (all cores, synced)";
    row(name.c_str(), seconds, plain, coded);
    std::printf("%-44s %8.3f of zstd -3\n", "", coded / whole);
    if (level == 9) {
      PackSet set;
      for (const PackId& id : made)
        if (!set.add(packs->path_of(id), id.short_hex())) std::abort();
      set.seal();
      row("chunks read back, digests checked", seconds_of([&] {
            for (const Chunk& chunk : chunks)
              if (!set.read(chunk.ref)) std::abort();
          }),
          plain, 0);
    }
    for (const PackId& id : made)
      if (!packs->remove(id)) std::abort();
  }
  if (const auto peak = os::peak_memory())
    std::printf("%-44s %8.1f MB beside the files\n", "peak memory",
                (static_cast<double>(*peak) - plain) / 1e6);
  return 0;
}
