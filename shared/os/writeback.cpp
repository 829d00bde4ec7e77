#include "shared/os/writeback.hpp"

#include "shared/os/file.hpp"

namespace lamina::os {

Writeback::Writeback(int fd, std::string what)
    : fd_(fd), what_(std::move(what)), thread_([this] {
        while (due_.take() && done_) done_ = sync_filesystem_of(fd_, what_);
      }) {}

Writeback::~Writeback() { static_cast<void>(stop()); }  // Given up: who does so has an error.

Status Writeback::stop() {
  due_.close();
  if (thread_.joinable()) thread_.join();
  return done_;
}

void Writeback::wrote(std::uint64_t bytes) {
  waiting_ += bytes;
  if (waiting_ < kEvery) return;
  waiting_ = 0;
  due_.offer(Due{});  // Full: it is behind, and comes by this too.
}

Status Writeback::finish() {
  auto done = stop();
  return done ? sync_filesystem_of(fd_, what_) : done;
}

}  // namespace lamina::os
