#include "shared/archive/tar_writer.hpp"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>

#include <cerrno>

#include "shared/os/errno.hpp"
#include "shared/os/file.hpp"

namespace lamina::archive {

struct TarWriter::State {
  ~State() {
    if (tar != nullptr) archive_write_free(tar);
    if (!is_finished && file.is_open()) static_cast<void>(os::remove_file(path));
  }
  Status check(int code, const std::string& doing) const {
    if (code >= ARCHIVE_WARN) return Done{};
    const char* text = archive_error_string(tar);
    const int number = archive_errno(tar);
    return fail(
        number == ENOSPC || number == EDQUOT ? ErrorKind::out_of_space : ErrorKind::unavailable,
        doing + ' ' + path + ": " + (text == nullptr ? "unknown error" : text));
  }

  std::string path;
  os::Descriptor file;
  struct archive* tar = nullptr;
  WallTime time;
  bool is_finished = false;
};

TarWriter::TarWriter(std::unique_ptr<State> state) : state_(std::move(state)) {}
TarWriter::TarWriter(TarWriter&& other) noexcept = default;
TarWriter::~TarWriter() = default;

Result<TarWriter> TarWriter::create(const std::string& path, WallTime time) {
  auto state = std::make_unique<State>();
  state->path = path;
  state->time = time;
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0 && errno == EEXIST)
    return fail(ErrorKind::refused, path + " is there already: name another file");
  if (fd < 0) return fail(os::last_error("making " + path));
  state->file = os::Descriptor(fd);
  state->tar = archive_write_new();
  if (state->tar == nullptr) return fail(ErrorKind::unavailable, "no memory for " + path);
  if (auto done = state->check(archive_write_set_format_pax_restricted(state->tar), "making");
      !done)
    return fail(std::move(done.error()));
  if (auto done = state->check(archive_write_open_fd(state->tar, fd), "making"); !done)
    return fail(std::move(done.error()));
  return TarWriter(std::move(state));
}

Status TarWriter::add(const std::string& name, std::string_view text) {
  const std::unique_ptr<archive_entry, void (*)(archive_entry*)> entry(archive_entry_new(),
                                                                       archive_entry_free);
  if (!entry) return fail(ErrorKind::unavailable, "no memory for " + name);
  archive_entry_set_pathname(entry.get(), name.c_str());
  archive_entry_set_size(entry.get(), static_cast<la_int64_t>(text.size()));
  archive_entry_set_filetype(entry.get(), AE_IFREG);
  archive_entry_set_perm(entry.get(), 0644);
  archive_entry_set_mtime(entry.get(), state_->time.ns / 1'000'000'000, 0);
  const std::string doing = "writing " + name + " to";
  if (auto done = state_->check(archive_write_header(state_->tar, entry.get()), doing); !done)
    return done;
  const la_ssize_t written = archive_write_data(state_->tar, text.data(), text.size());
  if (written == static_cast<la_ssize_t>(text.size())) return Done{};
  return state_->check(ARCHIVE_FATAL, doing);
}

Status TarWriter::finish() {
  if (auto done = state_->check(archive_write_close(state_->tar), "ending"); !done) return done;
  if (auto done = os::sync_data(state_->file.get(), state_->path); !done) return done;
  state_->is_finished = true;
  return Done{};
}

}  // namespace lamina::archive
