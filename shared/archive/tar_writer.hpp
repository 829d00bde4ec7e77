// TarWriter: a tar file (POSIX pax) of texts, through libarchive. Any thread, one at a time.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "shared/base/units.hpp"

namespace lamina::archive {

class TarWriter {
 public:
  // Makes `path` with mode 0600; `refused` when it is there already. Every entry gets `time`.
  static Result<TarWriter> create(const std::string& path, WallTime time);
  TarWriter(TarWriter&& other) noexcept;
  TarWriter& operator=(TarWriter&& other) = delete;
  ~TarWriter();  // Without finish() the file is removed.

  // A file of mode 0644. `out_of_space` or `unavailable`; then nothing more can be added.
  Status add(const std::string& name, std::string_view text);
  // Ends the file and syncs it.
  Status finish();

 private:
  struct State;
  explicit TarWriter(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace lamina::archive
