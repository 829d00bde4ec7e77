// Writeback: has the disk write while the processor makes files.
//
// Left to itself the kernel begins after seconds, and the final sync then waits for all of it. A
// thread inside syncs the file system each time that enough was written. One thread calls.
#pragma once

#include <cstdint>
#include <string>
#include <thread>

#include "shared/base/bounded_queue.hpp"
#include "shared/base/result.hpp"

namespace lamina::os {

class Writeback {
 public:
  // `fd`: any file or directory of the file system; it must stay open as long as the object lives.
  // Errors name `what`.
  Writeback(int fd, std::string what);
  ~Writeback();
  Writeback(const Writeback&) = delete;
  Writeback& operator=(const Writeback&) = delete;

  // So many bytes were written since the last call. Waits for nothing.
  void wrote(std::uint64_t bytes);
  // Ends the thread. An error of the disk is told once, to those who asked first: what this object
  // was told of it comes from here. The last call, or finish().
  Status stop();
  // The same, and waits until all that was written before is on the disk.
  Status finish();

 private:
  struct Due {};
  static constexpr std::uint64_t kEvery = 64 << 20;

  int fd_;
  std::string what_;
  std::uint64_t waiting_ = 0;
  BoundedQueue<Due> due_{1};
  Status done_ = Done{};  // The thread's, until it has ended.
  std::thread thread_;
};

}  // namespace lamina::os
