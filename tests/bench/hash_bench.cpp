// What hashing a pack's blocks costs, one after the other and side by side, in one run over the
// same bytes.
// usage: hash_bench [MEGABYTES]      (default: 64)
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <functional>
#include <string>

#include "shared/hash/merkle.hpp"
#include "shared/hash/sha256_many.hpp"

using namespace lamina;

namespace {

constexpr std::size_t kPiece = 256 * 1024;
constexpr std::size_t kPieceOfChunks = 4 << 20;

// The best of five rounds, each over all of `bytes`, in pieces of `size`.
double seconds_of(ByteView bytes, std::size_t size, const std::function<void(ByteView)>& work) {
  double best = 1e9;
  for (int round = 0; round < 5; ++round) {
    const auto begun = std::chrono::steady_clock::now();
    for (std::size_t at = 0; at < bytes.size(); at += size)
      work(bytes.subspan(at, std::min(size, bytes.size() - at)));
    best = std::min(
        best, std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count());
  }
  return best;
}

const char* name_of(Sha256Way way) {
  switch (way) {
    case Sha256Way::openssl: return "OpenSSL";
    case Sha256Way::avx2: return "AVX2";
    case Sha256Way::avx512: return "AVX-512";
  }
  return "?";
}

}  // namespace

int main(int argc, char** argv) {
  const std::size_t megabytes = argc > 1 ? std::stoul(argv[1]) : 64;
  Buffer bytes(megabytes * (1 << 20));
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(i * 31 + i / 7);
  double first = 0;
  const auto row = [&](const std::string& name, const std::function<void(ByteView)>& work,
                       std::size_t size = kPiece) {
    const double seconds = seconds_of(bytes, size, work);
    if (first == 0) first = seconds;
    std::printf("%-44s %8.1f MB/s  %5.2f of OpenSSL\n", name.c_str(),
                static_cast<double>(bytes.size()) / 1e6 / seconds, first / seconds);
  };
  for (const Sha256Way way : sha256_ways())
    for (const std::size_t count : {16U, 8U, 4U, 2U}) {
      const std::string name =
          std::string(name_of(way)) + ", blocks of 16 KiB, " + std::to_string(count) + " at a time";
      row(name, [&](ByteView piece) {
        std::vector<ByteView> blocks;
        for (std::size_t at = 0; at < piece.size(); at += kMerkleBlockSize)
          blocks.push_back(piece.subspan(at, kMerkleBlockSize));
        std::vector<Sha256Digest> digests(blocks.size());
        for (std::size_t at = 0; at < blocks.size(); at += count)
          sha256_many(std::span(blocks).subspan(at, count), std::span(digests).subspan(at, count),
                      way);
      });
      if (way == Sha256Way::openssl) break;
    }
  const std::string best = name_of(sha256_best_way());
  row(
      best + ", chunks of 16 to 256 KiB",
      [](ByteView piece) {
        std::vector<ByteView> chunks;
        for (std::size_t size = 16'384; !piece.empty(); size = size * 7 % 245'761 + 16'384) {
          chunks.push_back(piece.first(std::min(size, piece.size())));
          piece = piece.subspan(chunks.back().size());
        }
        std::vector<Sha256Digest> digests(chunks.size());
        sha256_many(chunks, digests);
      },
      kPieceOfChunks);
  row(best + ", a piece of 256 KiB and its root",
      [](ByteView piece) { static_cast<void>(merkle_root(merkle_block_hashes(piece))); });
  MerkleHasher hasher;
  row(best + ", a file in parts of 10,000 bytes", [&](ByteView piece) {
    for (; !piece.empty(); piece = piece.subspan(std::min<std::size_t>(piece.size(), 10'000)))
      hasher.update(piece.first(std::min<std::size_t>(piece.size(), 10'000)));
  });
  return 0;
}
