#include "shared/hash/xxh3.hpp"

#include <xxhash.h>

#include "shared/base/assert.hpp"

namespace lamina {

std::uint64_t xxh3(ByteView bytes) { return XXH3_64bits(bytes.data(), bytes.size()); }

struct Xxh3::State {
  XXH3_state_t* xxh = XXH3_createState();
  ~State() { XXH3_freeState(xxh); }
  State() = default;
  State(const State&) = delete;
  State& operator=(const State&) = delete;
};

Xxh3::Xxh3() : state_(std::make_unique<State>()) {
  LAMINA_ASSERT(state_->xxh != nullptr && XXH3_64bits_reset(state_->xxh) == XXH_OK);
}
Xxh3::~Xxh3() = default;

void Xxh3::add(ByteView bytes) { XXH3_64bits_update(state_->xxh, bytes.data(), bytes.size()); }
std::uint64_t Xxh3::value() const { return XXH3_64bits_digest(state_->xxh); }

}  // namespace lamina
