// XXH3, 64 bit: a checksum against accidents and a key for tables. Never a name for content that
// crosses a trust border. Pure; any thread.
#pragma once

#include <cstdint>
#include <memory>

#include "shared/base/bytes.hpp"

namespace lamina {

std::uint64_t xxh3(ByteView bytes);

// The same of bytes that come in pieces. One thread at a time per object.
class Xxh3 {
 public:
  Xxh3();
  ~Xxh3();
  Xxh3(const Xxh3&) = delete;
  Xxh3& operator=(const Xxh3&) = delete;
  void add(ByteView bytes);
  std::uint64_t value() const;  // Of all bytes so far.

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace lamina
