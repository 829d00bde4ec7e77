#include "node/worker/journal.hpp"

#include "shared/format/path.hpp"

namespace lamina::node {
namespace {

constexpr std::string_view kMagic = "LMop0003";
constexpr std::string_view kMagicWithoutTops = "LMop0002";

std::string area(const char* name) { return std::string(kHome) + "/txn/" + name + '/'; }

}  // namespace

std::string Operation::staged() const {
  return area("stage") + std::to_string(top) + entry.path.substr(top_length);
}

std::string Operation::undone() const { return area("undo") + std::to_string(number); }

Result<OperationReader> OperationReader::open(const std::string& path) {
  auto rows = RowFileReader::open(path, kMagic);
  if (rows) return OperationReader(std::move(*rows), true);
  if (rows.error().kind() != ErrorKind::corrupt) return fail(std::move(rows.error()));
  auto older = RowFileReader::open(path, kMagicWithoutTops);
  if (!older) return fail(std::move(rows.error()));
  return OperationReader(std::move(*older), false);
}

Result<std::optional<Operation>> OperationReader::next() {
  auto row = rows_.next();
  if (!row) return fail(std::move(row.error()));
  if (!*row) return std::optional<Operation>();
  Reader in(**row);
  Operation operation;
  const std::uint8_t kind = in.u8();
  operation.kind = static_cast<Operation::Kind>(kind);
  operation.number = in.u64();
  operation.inode = in.u64();
  operation.top = has_tops_ ? in.u64() : operation.number;
  const std::uint64_t top_length = has_tops_ ? in.varint(format::kPathMax) : 0;
  const std::uint8_t has_before = in.u8();
  auto entry = format::decode_entry(in, "");
  if (!entry) return fail(std::move(entry.error()));
  operation.entry = std::move(*entry);
  operation.top_length = has_tops_ ? top_length : operation.entry.path.size();
  if (has_before == 1) {
    auto before = format::decode_entry(in, "");
    if (!before) return fail(std::move(before.error()));
    operation.before = std::move(*before);
  }
  if (!in.finished() || kind < 1 || kind > 6 || has_before > 1 ||
      operation.top_length > operation.entry.path.size())
    return fail(ErrorKind::corrupt, "an operation of the journal is damaged");
  return std::optional(std::move(operation));
}

Result<OperationWriter> OperationWriter::create(const std::string& path) {
  auto rows = RowFileWriter::create(path, kMagic);
  if (!rows) return fail(std::move(rows.error()));
  return OperationWriter(std::move(*rows));
}

Status OperationWriter::add(const Operation& operation) {
  Writer out;
  out.u8(static_cast<std::uint8_t>(operation.kind));
  out.u64(operation.number);
  out.u64(operation.inode);
  out.u64(operation.top);
  out.varint(operation.top_length);
  out.u8(operation.before ? 1 : 0);
  format::encode_entry(operation.entry, "", out);
  if (operation.before) format::encode_entry(*operation.before, "", out);
  return rows_.add(out.view());
}

Status for_each_operation(const std::string& path,
                          const std::function<Status(Operation& operation)>& visit) {
  auto reader = OperationReader::open(path);
  if (!reader) return fail(std::move(reader.error()));
  for (;;) {
    auto operation = reader->next();
    if (!operation) return fail(std::move(operation.error()));
    if (!*operation) return Done{};
    if (auto done = visit(**operation); !done) return done;
  }
}

}  // namespace lamina::node
