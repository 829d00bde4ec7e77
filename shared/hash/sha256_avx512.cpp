// Sixteen messages side by side, with the AVX-512 instructions.
#include "shared/hash/sha256_lanes.hpp"

#if defined(__x86_64__)

// GCC 12 takes the undefined operand inside of its own unpack and shuffle functions for a mistake.
#if !defined(__clang__)
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#include <immintrin.h>

#include <cstring>

#define LAMINA_LANES 16
#define LAMINA_VECTOR __attribute__((target("avx512f,avx512bw")))

namespace lamina::vectors {
namespace {

#include "shared/hash/sha256_lanes.inc"

LAMINA_STEP __m512i load(const std::byte* from) {
  const __m512i big_endian = _mm512_set4_epi32(0x0c0d0e0f, 0x08090a0b, 0x04050607, 0x00010203);
  return _mm512_shuffle_epi8(_mm512_loadu_si512(from), big_endian);
}

// Four messages: out[i] has in its j-th quarter the word 4 * j + i of each.
LAMINA_STEP void load_four(const std::byte* const* m, std::size_t at, __m512i (&out)[4]) {
  const __m512i a = load(m[0] + at), b = load(m[1] + at), c = load(m[2] + at), d = load(m[3] + at);
  const __m512i ab_low = _mm512_unpacklo_epi32(a, b), ab_high = _mm512_unpackhi_epi32(a, b);
  const __m512i cd_low = _mm512_unpacklo_epi32(c, d), cd_high = _mm512_unpackhi_epi32(c, d);
  out[0] = _mm512_unpacklo_epi64(ab_low, cd_low);
  out[1] = _mm512_unpackhi_epi64(ab_low, cd_low);
  out[2] = _mm512_unpacklo_epi64(ab_high, cd_high);
  out[3] = _mm512_unpackhi_epi64(ab_high, cd_high);
}

// A transpose of sixteen times sixteen words.
LAMINA_STEP void load_words(const std::byte* const* messages, std::size_t offset,
                            Word (&words)[16]) {
  constexpr int kEven = 0x88, kOdd = 0xdd;  // Quarters 0 and 2, or 1 and 3, of two vectors.
  __m512i a[4], b[4], c[4], d[4];
  load_four(messages, offset, a);
  load_four(messages + 4, offset, b);
  load_four(messages + 8, offset, c);
  load_four(messages + 12, offset, d);
  for (int i = 0; i < 4; ++i) {
    const __m512i ab_even = _mm512_shuffle_i32x4(a[i], b[i], kEven);
    const __m512i ab_odd = _mm512_shuffle_i32x4(a[i], b[i], kOdd);
    const __m512i cd_even = _mm512_shuffle_i32x4(c[i], d[i], kEven);
    const __m512i cd_odd = _mm512_shuffle_i32x4(c[i], d[i], kOdd);
    words[i] = reinterpret_cast<Word>(_mm512_shuffle_i32x4(ab_even, cd_even, kEven));
    words[i + 4] = reinterpret_cast<Word>(_mm512_shuffle_i32x4(ab_odd, cd_odd, kEven));
    words[i + 8] = reinterpret_cast<Word>(_mm512_shuffle_i32x4(ab_even, cd_even, kOdd));
    words[i + 12] = reinterpret_cast<Word>(_mm512_shuffle_i32x4(ab_odd, cd_odd, kOdd));
  }
}

}  // namespace

LAMINA_VECTOR void compress_16_avx512(const std::byte* const* messages, std::size_t blocks,
                                      std::uint32_t* state) {
  compress(messages, blocks, state);
}

}  // namespace lamina::vectors

#endif
