#include "shared/tree/changed_pages.hpp"

#include <algorithm>

namespace lamina {

ChangedPages::ChangedPages(const ScannedFile* before, PageSignatureReader& known)
    : before_(before), known_(known) {
  if (before_ == nullptr) return;
  std::uint64_t start = 0;
  for (const format::ChunkRef& chunk : before_->entry.chunks) {
    chunk_starts_.push_back(start);
    start += chunk.length;
  }
  if (before_->entry.stored_bytes() != start) before_ = nullptr;  // No chunk list of a file.
}

void ChangedPages::take(std::uint64_t offset, std::uint64_t stored, ByteView bytes,
                        std::uint64_t size) {
  const std::uint64_t end = offset + bytes.size();
  for (std::uint64_t page = (offset + kPageSize - 1) / kPageSize; page * kPageSize < end; ++page) {
    const std::uint64_t at = page * kPageSize;
    const auto length = static_cast<std::size_t>(std::min<std::uint64_t>(kPageSize, size - at));
    if (at + length > end) break;  // The rest comes with another reading: it is not signed.
    const PageSignature signature = sign_page(bytes.subspan(at - offset, length));
    signatures_.resize(page + 1, kNoSignature);
    signatures_[page] = signature;
    if (before_ == nullptr ||
        known_.find(before_->entry.path, before_->facts.ctime_ns, page) != signature)
      continue;
    if (const auto was = stored_before(at, length)) add({stored + (at - offset), length, *was});
  }
}

// Where these bytes of the file were stored then; nothing: not all of them, or not in one run.
std::optional<std::uint64_t> ChangedPages::stored_before(std::uint64_t offset, std::size_t length) {
  const format::Entry& entry = before_->entry;
  if (!entry.sparse) return offset + length <= entry.size ? std::optional(offset) : std::nullopt;
  const auto& runs = entry.extents;
  for (; run_ < runs.size() && runs[run_].offset + runs[run_].length <= offset; ++run_)
    run_stored_ += runs[run_].length;
  if (run_ == runs.size() || offset < runs[run_].offset ||
      offset + length > runs[run_].offset + runs[run_].length)
    return std::nullopt;
  return run_stored_ + (offset - runs[run_].offset);
}

void ChangedPages::add(const Range& range) {
  if (!same_.empty() && same_.back().end() == range.stored &&
      same_.back().before + same_.back().length == range.before)
    same_.back().length += range.length;
  else
    same_.push_back(range);
}

std::vector<format::Same> ChangedPages::within(std::uint64_t stored, std::uint32_t length) {
  std::vector<format::Same> parts;
  while (!same_.empty() && same_.front().end() <= stored) same_.pop_front();
  for (const Range& range : same_) {
    if (range.stored >= stored + length) break;
    std::uint64_t from = std::max(range.stored, stored);
    const std::uint64_t end = std::min(range.end(), stored + length);
    while (from < end) {
      const std::uint64_t was = range.before + (from - range.stored);
      const auto chunk = std::ranges::upper_bound(chunk_starts_, was) - chunk_starts_.begin() - 1;
      const format::ChunkRef& ref = before_->entry.chunks[static_cast<std::size_t>(chunk)];
      const std::uint64_t within_chunk = was - chunk_starts_[static_cast<std::size_t>(chunk)];
      const std::uint64_t size = std::min(end - from, ref.length - within_chunk);
      parts.push_back({.at = static_cast<std::uint32_t>(from - stored),
                       .length = static_cast<std::uint32_t>(size),
                       .from = ref,
                       .offset = static_cast<std::uint32_t>(within_chunk)});
      from += size;
    }
  }
  return parts;
}

}  // namespace lamina
