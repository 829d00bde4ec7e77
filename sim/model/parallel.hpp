// Independent pieces of work on several threads.
#pragma once

#include <atomic>
#include <cstddef>
#include <thread>
#include <vector>

namespace lamina::sim {

// work(piece, worker) for each piece from 0 to `pieces` - 1, by `threads` workers at once; which
// worker does which piece is chance. Returns when all are done. `work` does not throw.
template <class Work>
void in_parallel(std::size_t pieces, int threads, Work&& work) {
  std::atomic<std::size_t> next{0};
  const auto loop = [&](std::size_t worker) {
    for (std::size_t piece = next++; piece < pieces; piece = next++) work(piece, worker);
  };
  std::vector<std::jthread> workers;
  for (int i = 1; i < threads; ++i) workers.emplace_back(loop, static_cast<std::size_t>(i));
  loop(0);
}

}  // namespace lamina::sim
