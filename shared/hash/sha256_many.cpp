#include "shared/hash/sha256_many.hpp"

#include <algorithm>
#include <cstring>

#include "shared/base/assert.hpp"
#include "shared/hash/sha256_lanes.hpp"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace lamina {
namespace {

// All lanes cost as much as two to three messages alone, used or not.
constexpr std::size_t kWorthLanes = 3;
constexpr std::size_t kLanesMax = 16;

#if defined(__x86_64__)
bool has_sha_extensions() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  return __get_cpuid_count(7, 0, &a, &b, &c, &d) != 0 && (b >> 29 & 1) != 0;
}

std::vector<Sha256Way> find_ways() {
  std::vector<Sha256Way> ways = {Sha256Way::openssl};
  // Asks for the operating system's consent too.
  if (__builtin_cpu_supports("avx2")) ways.push_back(Sha256Way::avx2);
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw"))
    ways.push_back(Sha256Way::avx512);
  return ways;
}

void hash_side_by_side(Sha256Way way, const std::byte* const* messages, std::size_t length,
                       Sha256Digest* digests) {
  if (way == Sha256Way::avx512)
    vectors::hash_16_avx512(messages, length, digests);
  else
    vectors::hash_8_avx2(messages, length, digests);
}
#else
bool has_sha_extensions() { return false; }
std::vector<Sha256Way> find_ways() { return {Sha256Way::openssl}; }
void hash_side_by_side(Sha256Way, const std::byte* const*, std::size_t, Sha256Digest*) {
  LAMINA_ASSERT(false);
}
#endif

// `messages` are of one length and at most as many as `way` has lanes; the lanes left over hash the
// first message once more.
void hash_batch(Sha256Way way, std::span<const ByteView> messages,
                std::span<Sha256Digest> digests) {
  std::array<const std::byte*, kLanesMax> starts;
  starts.fill(messages.front().data());
  for (std::size_t i = 0; i < messages.size(); ++i) starts[i] = messages[i].data();
  std::array<Sha256Digest, kLanesMax> made;
  hash_side_by_side(way, starts.data(), messages.front().size(), made.data());
  std::copy_n(made.begin(), messages.size(), digests.begin());
}

}  // namespace

std::size_t vectors::write_tail(const std::byte* message, std::size_t length,
                                std::byte (&tail)[2 * kBlock]) {
  const std::size_t rest = length % kBlock;
  const std::size_t blocks = rest + 1 + 8 <= kBlock ? 1 : 2;
  std::memset(tail, 0, blocks * kBlock);
  if (rest > 0) std::memcpy(tail, message + (length - rest), rest);
  tail[rest] = std::byte{0x80};
  const std::uint64_t bits = std::uint64_t{length} * 8;
  for (std::size_t i = 0; i < 8; ++i)
    tail[blocks * kBlock - 1 - i] = static_cast<std::byte>(bits >> (8 * i));
  return blocks;
}

const std::vector<Sha256Way>& sha256_ways() {
  static const std::vector<Sha256Way> ways = find_ways();
  return ways;
}

Sha256Way sha256_best_way() {
  static const Sha256Way best = has_sha_extensions() ? Sha256Way::openssl : sha256_ways().back();
  return best;
}

std::size_t sha256_lanes(Sha256Way way) {
  switch (way) {
    case Sha256Way::openssl: return 1;
    case Sha256Way::avx2: return 8;
    case Sha256Way::avx512: return 16;
  }
  LAMINA_ASSERT(false);
}

void sha256_many(std::span<const ByteView> messages, std::span<Sha256Digest> digests,
                 Sha256Way way) {
  LAMINA_ASSERT(messages.size() == digests.size());
  LAMINA_ASSERT(std::ranges::find(sha256_ways(), way) != sha256_ways().end());
  const std::size_t lanes = sha256_lanes(way);
  for (std::size_t at = 0; at < messages.size();) {
    std::size_t count = 1;
    while (count < lanes && at + count < messages.size() &&
           messages[at + count].size() == messages[at].size())
      ++count;
    if (count >= kWorthLanes)
      hash_batch(way, messages.subspan(at, count), digests.subspan(at, count));
    else
      for (std::size_t i = at; i < at + count; ++i) digests[i] = sha256(messages[i]);
    at += count;
  }
}

}  // namespace lamina
