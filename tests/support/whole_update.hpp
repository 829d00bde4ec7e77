// An update of a tree in memory, from survey to closed containers, for tests: what a sender makes,
// and what a receiver that knows the digests of all files makes of it.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "shared/delta/update.hpp"

namespace lamina::tests {

using Files = std::map<std::string, Buffer>;
// What the receiver has of a signed manifest. An empty file needs no content.
using FileDigests = std::map<std::string, Sha256Digest>;

inline FileDigests digests_of(const Files& files) {
  FileDigests digests;
  for (const auto& [path, bytes] : files) digests[path] = sha256(bytes);
  return digests;
}

// Borrows `files`.
inline delta::Tree tree_of(const Files& files) {
  delta::Tree tree;
  std::vector<const Buffer*> contents;
  for (const auto& [path, bytes] : files) {
    tree.files.push_back({path, bytes.size()});
    contents.push_back(&bytes);
  }
  tree.open = [contents](std::uint32_t file) -> Result<delta::Source> {
    return delta::source_of(ByteView(*contents.at(file)));
  };
  return tree;
}

struct Sent {
  std::vector<Buffer> frames;
  Buffer assembly;
  std::uint64_t bytes() const {
    std::uint64_t all = assembly.size();
    for (const Buffer& frame : frames) all += frame.size();
    return all;
  }
};

inline Result<Sent> send(const Files& old_files, const Files& next_files, delta::Effort effort,
                         const delta::Programs& programs) {
  const delta::Tree old_tree = tree_of(old_files);
  const delta::Tree next_tree = tree_of(next_files);
  const auto old = delta::survey(
      old_tree, [](const Sha256Digest&) { return false; }, nullptr);
  if (!old) return fail(old.error());
  std::set<Sha256Digest> known(old->files.begin(), old->files.end());
  for (const auto& content : old->contents) known.insert(content.digest);
  const auto next = delta::survey(
      next_tree, [&](const Sha256Digest& digest) { return known.contains(digest); }, &programs);
  if (!next) return fail(next.error());
  const delta::UpdatePlan plan = delta::plan_update(*old, *next, 100'000);
  Sent sent;
  delta::TreeReader old_reader(old_tree);
  delta::TreeReader next_reader(next_tree);
  for (const delta::Group& group : plan.groups) {
    std::vector<delta::Item> items, references;
    for (const std::size_t i : group.items)
      items.push_back({next->contents[i].name, next_reader.open(next->contents[i].name).value()});
    for (const std::size_t i : group.references)
      references.push_back({old->contents[i].name, old_reader.open(old->contents[i].name).value()});
    auto frame = delta::encode_frame(items, references, effort);
    if (!frame) return fail(std::move(frame.error()));
    sent.frames.push_back(std::move(*frame));
  }
  sent.assembly = delta::write_assembly(plan.assembly);
  return sent;
}

// Every file of `wanted` with its content, or why not. Broken frames and references are refused; a
// wrong byte never passes as a file's.
inline Result<Files> receive(const Files& old_files, const Sent& sent, const FileDigests& wanted,
                             const delta::Programs& programs) {
  constexpr std::uint64_t kPlainMax = 1 << 24;  // As a manifest bounds it.
  const delta::Tree old_tree = tree_of(old_files);
  delta::TreeReader reader(old_tree);
  std::map<delta::ItemName, Buffer> items;
  std::map<Sha256Digest, Buffer> contents;
  const auto put = [&](const Buffer& bytes) { contents[sha256(bytes)] = bytes; };
  put({});
  for (const auto& [path, bytes] : old_files) put(bytes);
  for (const Buffer& frame : sent.frames) {
    const auto head = delta::FrameHead::parse(frame);
    if (!head) return fail(head.error());
    if (head->plain_size() > kPlainMax) return fail(ErrorKind::corrupt, "a frame is too large");
    std::vector<delta::Source> references;
    for (const auto& reference : head->references) {
      auto source = reader.open(reference.name);
      if (!source) return fail(std::move(source.error()));
      references.push_back(std::move(*source));
    }
    std::map<delta::ItemName, Buffer> decoded;
    const auto done = delta::decode_frame(*head, frame, std::move(references),
                                          [&](std::size_t part, ByteView piece) -> Status {
                                            Buffer& item = decoded[head->items.at(part).name];
                                            item.insert(item.end(), piece.begin(), piece.end());
                                            return Done{};
                                          });
    if (!done) return fail(done.error());
    items.merge(decoded);
  }
  for (const auto& [name, bytes] : items)
    if (name.member == delta::ItemName::kFileItself) put(bytes);
  const auto assembly = delta::read_assembly(sent.assembly, kPlainMax);
  if (!assembly) return fail(assembly.error());
  if (const auto can = delta::check_closable(*assembly, programs); !can) return fail(can.error());
  std::vector<Sha256Digest> numbered;
  for (const auto& [path, digest] : wanted) numbered.push_back(digest);
  const auto find = [&](const delta::Origin& origin) -> Result<delta::Source> {
    if (origin.is_old) return reader.open(origin.name);
    if (const auto item = items.find(origin.name); item != items.end())
      return delta::source_of(ByteView(item->second));
    if (origin.name.file < numbered.size())
      if (const auto content = contents.find(numbered[origin.name.file]); content != contents.end())
        return delta::source_of(ByteView(content->second));
    return fail(ErrorKind::corrupt, "an origin is nowhere");
  };
  for (const auto& copy : assembly->copies) {
    const auto source = find(copy.from);
    if (!source) return fail(source.error());
    const auto bytes = delta::read_all(*source, kPlainMax);
    if (!bytes) return fail(bytes.error());
    put(*bytes);
  }
  for (const auto& closing : assembly->closings) {
    Buffer bytes;
    const auto closed = delta::close_file(closing, find, programs, [&](ByteView piece) -> Status {
      bytes.insert(bytes.end(), piece.begin(), piece.end());
      return Done{};
    });
    if (!closed) return fail(closed.error());
    put(bytes);
  }
  Files got;
  for (const auto& [path, digest] : wanted) {
    const auto content = contents.find(digest);
    if (content == contents.end()) return fail(ErrorKind::corrupt, path + " did not arrive");
    got[path] = content->second;
  }
  return got;
}

}  // namespace lamina::tests
