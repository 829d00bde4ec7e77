// A file of checked rows: scan states, stacks, journals. It is read to its end or to the first row
// that is damaged, and never gives more than it holds. The input is also read with its rows sealed
// anew, because no mutation gets past a checksum by chance; what the rows then say is taken for
// changes of rows, as a journal has them.
#include <sys/mman.h>
#include <unistd.h>

#include <span>

#include "origin/catalog/row_changes.hpp"
#include "shared/base/assert.hpp"
#include "shared/codec/reader.hpp"
#include "shared/hash/xxh3.hpp"
#include "shared/store/row_file.hpp"

using namespace lamina;

namespace {

// Every change, put together again: it must say the same.
void read_changes(ByteView row) {
  struct Change {
    std::string key;
    std::optional<std::string> value;
    bool operator==(const Change&) const = default;
  };
  const auto all_of = [](ByteView bytes) -> std::optional<std::vector<Change>> {
    std::vector<Change> changes;
    const auto read = origin::for_each_change(bytes, [&](std::string_view key, auto value) {
      changes.push_back({std::string(key), std::nullopt});
      if (value) changes.back().value = std::string(*value);
      return Status(Done{});
    });
    return read ? std::optional(std::move(changes)) : std::nullopt;
  };
  const auto changes = all_of(row);
  if (!changes) return;
  origin::RowChanges again;
  for (const Change& change : *changes)
    change.value ? again.put(change.key, *change.value) : again.erase(change.key);
  LAMINA_ASSERT(all_of(again.bytes()) == changes);
}

std::size_t read_rows(ByteView file) {
  static const int fd = memfd_create("rows", MFD_CLOEXEC);
  const std::string path = "/proc/self/fd/" + std::to_string(fd);
  LAMINA_ASSERT(ftruncate(fd, 0) == 0);
  LAMINA_ASSERT(os::write_all_at(fd, file, 0, path));
  auto reader =
      RowFileReader::open(path, as_text(file.first(std::min<std::size_t>(8, file.size()))));
  if (!reader) return 0;
  std::size_t rows = 0;
  for (;; ++rows) {
    auto row = reader->next();
    if (!row) {
      LAMINA_ASSERT(reader->is_torn().has_value());
      return rows;
    }
    if (!*row) return rows;
    LAMINA_ASSERT(reader->offset() <= file.size());
    // Behind a letter, and a transaction's number behind that.
    for (const std::size_t head : {1, 9})
      read_changes((*row)->subspan(std::min(head, (*row)->size())));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto input = std::as_bytes(std::span(data, size));
  if (size < 8) return 0;
  read_rows(input);
  // The same lengths and rows, with checksums that fit.
  Writer sealed;
  sealed.raw(input.first(8));
  std::size_t rows = 0;
  for (ByteView rest = input.subspan(8); rest.size() >= 12; ++rows) {
    Reader head(rest);
    const std::size_t length = std::min<std::size_t>(head.u32(), rest.size() - 12);
    const ByteView row = rest.subspan(12, length);
    sealed.u32(static_cast<std::uint32_t>(length));
    sealed.u64(xxh3(row));
    sealed.raw(row);
    rest = rest.subspan(12 + length);
  }
  LAMINA_ASSERT(read_rows(sealed.view()) == rows);
  return 0;
}
