#include "shared/hash/sha256_many.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <functional>
#include <limits>
#include <numeric>

#include "shared/base/assert.hpp"
#include "shared/hash/sha256_lanes.hpp"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace lamina {
namespace {

using vectors::kBlock;

// All lanes cost as much as so many messages alone, used or not (m: `hash_bench`): without SHA
// extensions two to three, with them 7.3 for AVX-512's 16 and more than there are for AVX2's 8.
constexpr std::size_t kWorthLanes = 3;
constexpr std::size_t kWorthLanesBesideSha = 8;

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

void compress(Sha256Way way, const std::byte* const* messages, std::size_t blocks,
              std::uint32_t* state) {
  if (way == Sha256Way::avx512)
    vectors::compress_16_avx512(messages, blocks, state);
  else
    vectors::compress_8_avx2(messages, blocks, state);
}
#else
bool has_sha_extensions() { return false; }
std::vector<Sha256Way> find_ways() { return {Sha256Way::openssl}; }
void compress(Sha256Way, const std::byte* const*, std::size_t, std::uint32_t*) {
  LAMINA_ASSERT(false);
}
#endif

// One message on its way through a lane: its whole blocks, then its end with the padding.
struct Lane {
  std::size_t message = 0;
  std::size_t blocks = 0;  // Until what it is at ends.
  std::size_t tail_blocks = 0;
  bool is_in_tail = false;
  std::byte tail[2 * kBlock];
};

// What follows the last whole block, and the padding of FIPS 180-4, 5.1.1.
void write_tail(ByteView message, Lane& lane) {
  const ByteView rest = message.last(message.size() % kBlock);
  lane.tail_blocks = rest.size() + 1 + 8 <= kBlock ? 1 : 2;
  std::memset(lane.tail, 0, sizeof lane.tail);
  std::ranges::copy(rest, lane.tail);
  lane.tail[rest.size()] = std::byte{0x80};
  const std::uint64_t bits = std::uint64_t{message.size()} * 8;
  for (std::size_t i = 0; i < 8; ++i)
    lane.tail[lane.tail_blocks * kBlock - 1 - i] = static_cast<std::byte>(bits >> (8 * i));
}

class LaneRun {
 public:
  LaneRun(Sha256Way way, std::span<const ByteView> messages, std::span<Sha256Digest> digests)
      : way_(way), lanes_(sha256_lanes(way)), messages_(messages), digests_(digests) {
    order_.resize(messages.size());
    std::iota(order_.begin(), order_.end(), std::size_t{0});
    // Longest first: what is left for the end is short, and no lane is idle for long.
    std::ranges::stable_sort(order_, std::greater{},
                             [&](std::size_t i) { return messages[i].size(); });
  }

  void run() {
    for (std::size_t lane = 0; lane < lanes_; ++lane) take_next(lane);
    while (active_ > 0) {
      std::size_t blocks = std::numeric_limits<std::size_t>::max();
      const std::byte* any = nullptr;
      for (std::size_t lane = 0; lane < lanes_; ++lane) {
        if (at_[lane] == nullptr) continue;
        blocks = std::min(blocks, lane_[lane].blocks);
        any = at_[lane];
      }
      // An idle lane goes through another one's message once more.
      std::array<const std::byte*, vectors::kLanesMax> from;
      for (std::size_t lane = 0; lane < lanes_; ++lane)
        from[lane] = at_[lane] == nullptr ? any : at_[lane];
      compress(way_, from.data(), blocks, state_.data());
      for (std::size_t lane = 0; lane < lanes_; ++lane)
        if (at_[lane] != nullptr) advance(lane, blocks);
    }
  }

 private:
  void take_next(std::size_t lane) {
    at_[lane] = nullptr;
    if (next_ == order_.size()) return;
    Lane& taken = lane_[lane];
    taken.message = order_[next_++];
    const ByteView message = messages_[taken.message];
    write_tail(message, taken);
    for (std::size_t i = 0; i < vectors::kStart.size(); ++i)
      state_[i * lanes_ + lane] = vectors::kStart[i];
    ++active_;
    taken.is_in_tail = false;
    taken.blocks = message.size() / kBlock;
    at_[lane] = message.data();
    if (taken.blocks == 0) enter_tail(lane);
  }

  void enter_tail(std::size_t lane) {
    lane_[lane].is_in_tail = true;
    lane_[lane].blocks = lane_[lane].tail_blocks;
    at_[lane] = lane_[lane].tail;
  }

  void advance(std::size_t lane, std::size_t blocks) {
    lane_[lane].blocks -= blocks;
    at_[lane] += blocks * kBlock;
    if (lane_[lane].blocks > 0) return;
    if (!lane_[lane].is_in_tail) return enter_tail(lane);
    Sha256Digest& digest = digests_[lane_[lane].message];
    for (std::size_t i = 0; i < vectors::kStart.size(); ++i) {
      const std::uint32_t word = __builtin_bswap32(state_[i * lanes_ + lane]);
      std::memcpy(digest.data() + 4 * i, &word, 4);
    }
    --active_;
    take_next(lane);
  }

  Sha256Way way_;
  std::size_t lanes_;
  std::span<const ByteView> messages_;
  std::span<Sha256Digest> digests_;
  std::vector<std::size_t> order_;
  std::size_t next_ = 0;
  std::size_t active_ = 0;
  std::array<Lane, vectors::kLanesMax> lane_;
  std::array<const std::byte*, vectors::kLanesMax> at_{};  // Null: the lane is idle.
  alignas(64) std::array<std::uint32_t, 8 * vectors::kLanesMax> state_{};
};

// Whether lanes are faster: they are in use as long as the longest message, at least.
bool is_worth_lanes(std::span<const ByteView> messages, std::size_t lanes) {
  std::size_t total = 0, longest = 0;
  for (const ByteView message : messages) {
    total += message.size() + kBlock;  // With its padding.
    longest = std::max(longest, message.size() + kBlock);
  }
  static const std::size_t worth = has_sha_extensions() ? kWorthLanesBesideSha : kWorthLanes;
  return lanes > 1 && total >= worth * std::max(longest, total / lanes);
}

}  // namespace

const std::vector<Sha256Way>& sha256_ways() {
  static const std::vector<Sha256Way> ways = find_ways();
  return ways;
}

Sha256Way sha256_best_way() {
  static const Sha256Way best = [] {
    const Sha256Way widest = sha256_ways().back();
    return widest == Sha256Way::avx2 && has_sha_extensions() ? Sha256Way::openssl : widest;
  }();
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
  if (is_worth_lanes(messages, sha256_lanes(way))) return LaneRun(way, messages, digests).run();
  for (std::size_t i = 0; i < messages.size(); ++i) digests[i] = sha256(messages[i]);
}

}  // namespace lamina
