// SHA-256 of many messages at once: the same digests as sha256(), a multiple of its speed.
//
// One digest is a chain of steps that each wait for the one before. Several messages are
// independent chains, so that each step can be done for all of them by one vector instruction, a
// message in each lane; a lane whose message has ended takes the next one. Where the processor has
// SHA extensions, OpenSSL uses them for few messages; 16 lanes are twice as fast even there. Pure;
// any thread.
#pragma once

#include <span>
#include <vector>

#include "shared/hash/sha256.hpp"

namespace lamina {

// How many messages go through the processor side by side.
enum class Sha256Way {
  openssl,  // One after the other.
  avx2,     // 8.
  avx512,   // 16.
};

// The ways that this processor can go, by the order above; at least `openssl`.
const std::vector<Sha256Way>& sha256_ways();

// The way that sha256_many() goes if not told: the widest, but `openssl` rather than `avx2` where
// the processor has SHA extensions.
Sha256Way sha256_best_way();

// Messages of one length to hand in at a time, or a multiple of it, for all lanes to be in use; of
// different lengths, several times as many.
std::size_t sha256_lanes(Sha256Way way = sha256_best_way());

// Writes the digest of messages[i] to digests[i]. Few messages, or one that is longer than all
// others together, are hashed one after the other. Preconditions: as many digests as messages; no
// digest overlaps a message; `way` is one of sha256_ways().
void sha256_many(std::span<const ByteView> messages, std::span<Sha256Digest> digests,
                 Sha256Way way = sha256_best_way());

}  // namespace lamina
