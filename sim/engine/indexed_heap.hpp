// A 4-ary min-heap with one key for each of n slots; a key changes in O(log n).
//
// Equal keys: the lower slot comes first, so that the order never depends on history. Four children
// a node halve the depth of a binary heap, and they share a cache line. Not thread-safe.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

namespace lamina::sim {

template <class Key>
class IndexedHeap {
 public:
  IndexedHeap() = default;
  IndexedHeap(std::size_t slots, Key key) : keys_(slots, key), heap_(slots), place_(slots) {
    for (std::uint32_t slot = 0; slot < slots; ++slot) heap_[slot] = place_[slot] = slot;
  }

  bool empty() const { return heap_.empty(); }
  // The slot with the least key, and that key. Not when empty.
  std::uint32_t top() const { return heap_.front(); }
  Key top_key() const { return keys_[heap_.front()]; }
  Key key(std::uint32_t slot) const { return keys_[slot]; }

  void set(std::uint32_t slot, Key key) {
    const Key old = keys_[slot];
    if (key == old) return;
    keys_[slot] = key;
    if (key < old)
      rise(place_[slot]);
    else
      sink(place_[slot]);
  }

 private:
  bool before(std::uint32_t a, std::uint32_t b) const {
    return keys_[a] < keys_[b] || (keys_[a] == keys_[b] && a < b);
  }
  void put(std::uint32_t at, std::uint32_t slot) {
    heap_[at] = slot;
    place_[slot] = at;
  }
  void rise(std::uint32_t at) {
    const std::uint32_t slot = heap_[at];
    while (at > 0) {
      const std::uint32_t parent = (at - 1) / 4;
      if (!before(slot, heap_[parent])) break;
      put(at, heap_[parent]);
      at = parent;
    }
    put(at, slot);
  }
  void sink(std::uint32_t at) {
    const auto count = static_cast<std::uint32_t>(heap_.size());
    const std::uint32_t slot = heap_[at];
    for (;;) {
      const std::uint32_t first = 4 * at + 1;
      if (first >= count) break;
      std::uint32_t least = first;
      for (std::uint32_t child = first + 1; child < std::min(first + 4, count); ++child)
        if (before(heap_[child], heap_[least])) least = child;
      if (!before(heap_[least], slot)) break;
      put(at, heap_[least]);
      at = least;
    }
    put(at, slot);
  }

  std::vector<Key> keys_;             // By slot.
  std::vector<std::uint32_t> heap_;   // Slots.
  std::vector<std::uint32_t> place_;  // Of each slot in heap_.
};

}  // namespace lamina::sim
