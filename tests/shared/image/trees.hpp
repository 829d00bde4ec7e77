// Small trees for the tests: one letter of content a file.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "shared/image/list_stream.hpp"

namespace lamina::image {

using format::Entry;
using format::EntryKind;

inline Entry dir(std::string path, std::uint32_t mode = 0755) {
  return {.path = std::move(path), .kind = EntryKind::directory, .mode = mode};
}
inline Entry file(std::string path, char content) {
  format::ChunkRef chunk{{}, static_cast<std::uint32_t>(content)};
  return {.path = std::move(path), .mode = 0644, .size = chunk.length, .chunks = {chunk}};
}
inline Entry hard_link(std::string path, std::string first) {
  return {.path = std::move(path), .kind = EntryKind::hard_link, .target = std::move(first)};
}
inline Entry soft_link(std::string path, std::string target) {
  return {.path = std::move(path), .kind = EntryKind::symlink, .target = std::move(target)};
}
inline Entry whiteout(std::string path) {
  return {.path = std::move(path), .kind = EntryKind::whiteout};
}
inline std::unique_ptr<format::EntryStream> stream(std::vector<Entry> entries) {
  return std::make_unique<ListStream>(std::move(entries));
}

}  // namespace lamina::image
