// ChangedPages: what of a file that is read anew is where it was when the last scan read it.
//
// Fed with the file's stored bytes as they are read, it says of each chunk that is cut from them
// which of its bytes are bytes of the last scan's chunks, page by page at the same place of the
// file. Pure but for the signatures that it reads; one thread at a time.
#pragma once

#include <deque>

#include "shared/format/patch.hpp"
#include "shared/tree/page_signatures.hpp"
#include "shared/tree/scan_state.hpp"

namespace lamina {

class ChangedPages {
 public:
  // `before`: what the last scan saw of the file, null: nothing; `known`: the signatures of that
  // scan. Both must outlive the object.
  ChangedPages(const ScannedFile* before, PageSignatureReader& known);

  // The bytes at `offset` of the file of `size` bytes, which begin with its stored byte number
  // `stored` (holes are not stored). Ascending.
  void take(std::uint64_t offset, std::uint64_t stored, ByteView bytes, std::uint64_t size);

  // Of the stored bytes [stored, stored + length), all of which were taken. Ascending.
  std::vector<format::Same> within(std::uint64_t stored, std::uint32_t length);

  // Of all pages taken so far.
  const std::vector<PageSignature>& signatures() const { return signatures_; }

 private:
  // Stored bytes that are those of the last scan.
  struct Range {
    std::uint64_t stored = 0;
    std::uint64_t length = 0;
    std::uint64_t before = 0;  // Where they were among the stored bytes then.
    std::uint64_t end() const { return stored + length; }
  };
  std::optional<std::uint64_t> stored_before(std::uint64_t offset, std::size_t length);
  void add(const Range& range);

  const ScannedFile* before_;
  PageSignatureReader& known_;
  std::vector<std::uint64_t> chunk_starts_;  // Of the last scan's chunks, among its stored bytes.
  std::size_t run_ = 0;                      // The last scan's run that the next page may lie in...
  std::uint64_t run_stored_ = 0;             // ...and the stored bytes before it.
  std::vector<PageSignature> signatures_;
  std::deque<Range> same_;
};

}  // namespace lamina
