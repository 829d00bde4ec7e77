#include "shared/os/line_file.hpp"

#include "shared/base/log.hpp"

namespace lamina::os {

Result<LineFile> LineFile::create(const std::string& path, Bytes most) {
  auto file = open_write(path);
  if (!file) return fail(std::move(file.error()));
  return LineFile(std::move(*file), path, most);
}

void LineFile::add(std::string_view line) {
  if (!file_.is_open()) return;
  const std::string whole = std::string(line) + '\n';
  left_ = left_ - Bytes{static_cast<std::int64_t>(whole.size())};
  if (left_ < Bytes{}) {
    log::warning("record_full", {{"file", path_}});
    file_ = Descriptor();
  } else if (auto done = write_all(file_.get(), as_view(whole), path_); !done) {
    log::error("record_failed", {{"error", done.error().text()}});
    file_ = Descriptor();
  }
}

}  // namespace lamina::os
