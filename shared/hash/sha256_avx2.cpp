// Eight messages side by side, with the AVX2 instructions.
#include "shared/hash/sha256_lanes.hpp"

#if defined(__x86_64__)

#include <immintrin.h>

#include <cstring>

#define LAMINA_LANES 8
#define LAMINA_VECTOR __attribute__((target("avx2")))

namespace lamina::vectors {
namespace {

#include "shared/hash/sha256_lanes.inc"

LAMINA_STEP void interleave(__m256i a, __m256i b, __m256i c, __m256i d, __m256i (&out)[4]) {
  const __m256i ab_low = _mm256_unpacklo_epi32(a, b), ab_high = _mm256_unpackhi_epi32(a, b);
  const __m256i cd_low = _mm256_unpacklo_epi32(c, d), cd_high = _mm256_unpackhi_epi32(c, d);
  out[0] = _mm256_unpacklo_epi64(ab_low, cd_low);
  out[1] = _mm256_unpackhi_epi64(ab_low, cd_low);
  out[2] = _mm256_unpacklo_epi64(ab_high, cd_high);
  out[3] = _mm256_unpackhi_epi64(ab_high, cd_high);
}

LAMINA_STEP __m256i load(const std::byte* from) {
  const __m256i big_endian = _mm256_setr_epi8(3, 2, 1, 0, 7, 6, 5, 4, 11, 10, 9, 8, 15, 14, 13, 12,
                                              3, 2, 1, 0, 7, 6, 5, 4, 11, 10, 9, 8, 15, 14, 13, 12);
  return _mm256_shuffle_epi8(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)),
                             big_endian);
}

// A transpose of eight times eight words.
LAMINA_STEP void load_half(const std::byte* const* m, std::size_t at, Word* words) {
  __m256i first[4], last[4];
  interleave(load(m[0] + at), load(m[1] + at), load(m[2] + at), load(m[3] + at), first);
  interleave(load(m[4] + at), load(m[5] + at), load(m[6] + at), load(m[7] + at), last);
  for (int i = 0; i < 4; ++i) {
    words[i] = reinterpret_cast<Word>(_mm256_permute2x128_si256(first[i], last[i], 0x20));
    words[i + 4] = reinterpret_cast<Word>(_mm256_permute2x128_si256(first[i], last[i], 0x31));
  }
}

LAMINA_STEP void load_words(const std::byte* const* messages, std::size_t offset,
                            Word (&words)[16]) {
  load_half(messages, offset, words);
  load_half(messages, offset + kBlock / 2, words + 8);
}

}  // namespace

LAMINA_VECTOR void compress_8_avx2(const std::byte* const* messages, std::size_t blocks,
                                   std::uint32_t* state) {
  compress(messages, blocks, state);
}

}  // namespace lamina::vectors

#endif
