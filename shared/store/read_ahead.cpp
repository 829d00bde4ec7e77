#include "shared/store/read_ahead.hpp"

namespace lamina {

ReadAhead::ReadAhead(Next next, format::ChunkSource from)
    : thread_([this, next = std::move(next), from = std::move(from)] { read(next, from); }) {}

ReadAhead::~ReadAhead() {
  ready_.close();
  thread_.join();
}

void ReadAhead::read(const Next& next, const format::ChunkSource& from) {
  for (;;) {
    auto ref = next();
    // An error is told to whoever asks next.
    const bool is_last = !ref || !*ref;
    if (ref && !*ref) break;
    const format::ChunkRef wanted = ref ? **ref : format::ChunkRef();
    auto bytes = ref ? from(wanted) : Result<Buffer>(fail(std::move(ref.error())));
    if (!ready_.put({wanted, std::move(bytes)}) || is_last) break;
  }
  ready_.close();
}

format::ChunkSource ReadAhead::source() {
  return [this](const format::ChunkRef& ref) -> Result<Buffer> {
    auto ready = ready_.take();
    if (ready && !ready->bytes) return fail(std::move(ready->bytes.error()));
    if (!ready || ready->ref != ref)
      return fail(ErrorKind::invalid,
                  "chunk " + ref.id.short_hex() + " is not the one that comes next");
    return std::move(ready->bytes);
  };
}

}  // namespace lamina
