#include "shared/swarm/pack_disk.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/error.hpp>
#include <boost/asio/post.hpp>
#include <cerrno>
#include <cstring>
#include <libtorrent/file_storage.hpp>
#include <libtorrent/io_context.hpp>
#include <libtorrent/operations.hpp>
#include <libtorrent/peer_request.hpp>
#include <libtorrent/storage_defs.hpp>
#include <optional>

#include "shared/hash/merkle.hpp"
#include "shared/os/file.hpp"

namespace lamina::swarm {
namespace {

namespace lt = libtorrent;

// Of a torrent, as long as it is in the session.
struct Storage {
  const lt::file_storage& files;
  std::string directory;
  PieceMemory::Torrent torrent;
};

// Bytes of one pack. A piece never has bytes of two packs: the rest of a pack's last one is
// padding.
struct Place {
  lt::file_index_t file;
  std::int64_t offset = 0;  // In the pack.
  std::size_t size = 0;     // Of what was asked for, the part before the padding.
};

Place place_of(const lt::file_storage& files, lt::piece_index_t piece, std::int64_t start,
               std::size_t size) {
  const lt::file_index_t file = files.file_index_at_piece(piece);
  const std::int64_t offset =
      static_cast<std::int64_t>(static_cast<int>(piece)) * files.piece_length() + start -
      files.file_offset(file);
  const std::int64_t left = std::max<std::int64_t>(0, files.file_size(file) - offset);
  return {file, offset, std::min(size, static_cast<std::size_t>(left))};
}

lt::storage_error failed(int error, lt::file_index_t file, lt::operation_t operation) {
  return {lt::error_code(error, boost::system::system_category()), file, operation};
}

// What the two kinds of disk do differently. On the session's thread.
class Content {
 public:
  virtual ~Content() = default;
  virtual lt::storage_error read(lt::storage_index_t index, const Storage& storage,
                                 lt::piece_index_t piece, std::int64_t start,
                                 std::span<std::byte> into) = 0;
  virtual lt::storage_error write(lt::storage_index_t index, const Storage& storage,
                                  lt::piece_index_t piece, std::int64_t start, ByteView bytes) = 0;
  // The torrent leaves (`is_end`) or is only at rest.
  virtual void release(lt::storage_index_t index, const Storage& storage, bool is_end) = 0;
};

class Files final : public Content {
 public:
  lt::storage_error read(lt::storage_index_t index, const Storage& storage, lt::piece_index_t piece,
                         std::int64_t start, std::span<std::byte> into) override {
    Place place = place_of(storage.files, piece, start, into.size());
    std::memset(into.data() + place.size, 0, into.size() - place.size);
    lt::storage_error error;
    const Open* const open = find(index, storage, place.file, false, error);
    while (open != nullptr && place.size > 0) {
      const ssize_t got = pread(open->fd.get(), into.data(), place.size, place.offset);
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) return failed(errno, place.file, lt::operation_t::file_read);
      if (got == 0)
        return {lt::error_code(boost::asio::error::eof), place.file, lt::operation_t::file_read};
      into = into.subspan(static_cast<std::size_t>(got));
      place.offset += got;
      place.size -= static_cast<std::size_t>(got);
    }
    return error;
  }

  lt::storage_error write(lt::storage_index_t index, const Storage& storage,
                          lt::piece_index_t piece, std::int64_t start, ByteView bytes) override {
    Place place = place_of(storage.files, piece, start, bytes.size());
    lt::storage_error error;
    const Open* const open = find(index, storage, place.file, true, error);
    while (open != nullptr && place.size > 0) {
      const ssize_t put = pwrite(open->fd.get(), bytes.data(), place.size, place.offset);
      if (put < 0 && errno == EINTR) continue;
      if (put < 0) return failed(errno, place.file, lt::operation_t::file_write);
      bytes = bytes.subspan(static_cast<std::size_t>(put));
      place.offset += put;
      place.size -= static_cast<std::size_t>(put);
    }
    return error;
  }

  void release(lt::storage_index_t index, const Storage&, bool) override {
    std::erase_if(open_, [index](const auto& open) { return open.first.first == index; });
  }

 private:
  using Key = std::pair<lt::storage_index_t, lt::file_index_t>;
  struct Open {
    os::Descriptor fd;
    bool can_write = false;
    std::uint64_t used = 0;
  };
  static constexpr std::size_t kOpenMax = 128;  // Of a process' 1024 descriptors.

  const Open* find(lt::storage_index_t index, const Storage& storage, lt::file_index_t file,
                   bool to_write, lt::storage_error& error) {
    const Key key(index, file);
    auto found = open_.find(key);
    if (found != open_.end()) {
      struct stat now {};
      const bool is_there = fstat(found->second.fd.get(), &now) == 0 && now.st_nlink > 0;
      if (!is_there || (to_write && !found->second.can_write)) {
        open_.erase(found);
        found = open_.end();
      }
    }
    if (found == open_.end()) {
      const std::string path = storage.files.file_path(file, storage.directory);
      const int flags = (to_write ? O_RDWR | O_CREAT : O_RDONLY) | O_CLOEXEC;
      os::Descriptor fd(::open(path.c_str(), flags, 0644));
      if (!fd.is_open()) {
        error = failed(errno, file, lt::operation_t::file_open);
        return nullptr;
      }
      if (open_.size() >= kOpenMax)
        open_.erase(
            std::ranges::min_element(open_, {}, [](const auto& open) { return open.second.used; }));
      found = open_.emplace(key, Open{std::move(fd), to_write}).first;
    }
    found->second.used = ++uses_;
    return &found->second;
  }

  std::map<Key, Open> open_;
  std::uint64_t uses_ = 0;
};

class Memory final : public Content {
 public:
  explicit Memory(std::shared_ptr<PieceMemory> memory) : memory_(std::move(memory)) {}

  lt::storage_error read(lt::storage_index_t, const Storage& storage, lt::piece_index_t piece,
                         std::int64_t start, std::span<std::byte> into) override {
    if (memory_->read(storage.torrent, piece, static_cast<std::uint32_t>(start), into)) return {};
    return {lt::error_code(boost::asio::error::eof), storage.files.file_index_at_piece(piece),
            lt::operation_t::file_read};
  }
  lt::storage_error write(lt::storage_index_t, const Storage& storage, lt::piece_index_t piece,
                          std::int64_t start, ByteView bytes) override {
    memory_->write(storage.torrent, piece,
                   static_cast<std::uint32_t>(storage.files.piece_size(piece)),
                   static_cast<std::uint32_t>(start), bytes);
    return {};
  }
  void release(lt::storage_index_t, const Storage& storage, bool is_end) override {
    if (is_end) memory_->forget(storage.torrent);
  }

 private:
  std::shared_ptr<PieceMemory> memory_;
};

class PackDisk final : public lt::disk_interface, lt::buffer_allocator_interface {
 public:
  PackDisk(lt::io_context& loop, std::unique_ptr<Content> content)
      : loop_(loop), content_(std::move(content)) {}

  lt::storage_holder new_torrent(const lt::storage_params& params,
                                 const std::shared_ptr<void>&) override {
    const lt::storage_index_t index(next_++);
    storages_.emplace(index, Storage{params.files, params.path, params.info_hash});
    return {index, *this};
  }
  void remove_torrent(lt::storage_index_t index) override {
    const auto found = storages_.find(index);
    if (found == storages_.end()) return;
    content_->release(index, found->second, true);
    storages_.erase(found);
  }

  void async_read(lt::storage_index_t index, const lt::peer_request& request,
                  std::function<void(lt::disk_buffer_holder, const lt::storage_error&)> handler,
                  lt::disk_job_flags_t) override {
    auto size = static_cast<std::size_t>(request.length);
    lt::disk_buffer_holder buffer(*this, new char[size], request.length);
    const auto error = content_->read(index, storages_.at(index), request.piece, request.start,
                                      {reinterpret_cast<std::byte*>(buffer.data()), size});
    if (error) buffer.reset();
    boost::asio::post(loop_,
                      [handler = std::move(handler), error, buffer = std::move(buffer)]() mutable {
                        handler(std::move(buffer), error);
                      });
  }

  bool async_write(lt::storage_index_t index, const lt::peer_request& request, const char* bytes,
                   std::shared_ptr<lt::disk_observer>,
                   std::function<void(const lt::storage_error&)> handler,
                   lt::disk_job_flags_t) override {
    const auto error =
        content_->write(index, storages_.at(index), request.piece, request.start,
                        as_view(std::string_view(bytes, static_cast<std::size_t>(request.length))));
    boost::asio::post(loop_, [handler = std::move(handler), error] { handler(error); });
    return false;  // Nothing waits: the peer may go on.
  }

  void async_hash(
      lt::storage_index_t index, lt::piece_index_t piece, lt::span<lt::sha256_hash> blocks,
      lt::disk_job_flags_t,
      std::function<void(lt::piece_index_t, const lt::sha1_hash&, const lt::storage_error&)>
          handler) override {
    const Storage& storage = storages_.at(index);
    piece_.resize(static_cast<std::size_t>(storage.files.piece_size2(piece)));
    const auto error = content_->read(index, storage, piece, 0, piece_);
    if (!error) put_hashes(blocks);
    boost::asio::post(loop_, [handler = std::move(handler), piece, error] {
      handler(piece, lt::sha1_hash{}, error);  // There are only torrents of version 2.
    });
  }

  void async_hash2(
      lt::storage_index_t index, lt::piece_index_t piece, int offset, lt::disk_job_flags_t,
      std::function<void(lt::piece_index_t, const lt::sha256_hash&, const lt::storage_error&)>
          handler) override {
    const Storage& storage = storages_.at(index);
    piece_.resize(static_cast<std::size_t>(
        std::min(lt::default_block_size, storage.files.piece_size2(piece) - offset)));
    lt::sha256_hash hash;
    const auto error = content_->read(index, storage, piece, offset, piece_);
    if (!error) put_hashes({&hash, 1});
    boost::asio::post(
        loop_, [handler = std::move(handler), piece, hash, error] { handler(piece, hash, error); });
  }

  // Our store is the authority.
  void async_check_files(
      lt::storage_index_t, const lt::add_torrent_params*,
      lt::aux::vector<std::string, lt::file_index_t>,
      std::function<void(lt::status_t, const lt::storage_error&)> handler) override {
    boost::asio::post(loop_, [handler = std::move(handler)] {
      handler(lt::status_t::no_error, lt::storage_error{});
    });
  }
  void async_release_files(lt::storage_index_t index, std::function<void()> handler) override {
    content_->release(index, storages_.at(index), false);
    if (handler) boost::asio::post(loop_, std::move(handler));
  }
  void async_stop_torrent(lt::storage_index_t index, std::function<void()> handler) override {
    async_release_files(index, std::move(handler));
  }
  void async_set_file_priority(
      lt::storage_index_t, lt::aux::vector<lt::download_priority_t, lt::file_index_t> priorities,
      std::function<void(const lt::storage_error&,
                         lt::aux::vector<lt::download_priority_t, lt::file_index_t>)>
          handler) override {
    boost::asio::post(loop_, [handler = std::move(handler), priorities = std::move(priorities)] {
      handler(lt::storage_error{}, priorities);
    });
  }
  void async_clear_piece(lt::storage_index_t, lt::piece_index_t piece,
                         std::function<void(lt::piece_index_t)> handler) override {
    boost::asio::post(loop_, [handler = std::move(handler), piece] { handler(piece); });
  }

  // Packs have the names and the place that the store gave them.
  void async_move_storage(
      lt::storage_index_t, std::string path, lt::move_flags_t,
      std::function<void(lt::status_t, const std::string&, const lt::storage_error&)> handler)
      override {
    boost::asio::post(loop_, [handler = std::move(handler), path = std::move(path)] {
      handler(lt::status_t::fatal_disk_error, path, refused());
    });
  }
  void async_rename_file(
      lt::storage_index_t, lt::file_index_t file, std::string name,
      std::function<void(const std::string&, lt::file_index_t, const lt::storage_error&)> handler)
      override {
    boost::asio::post(loop_, [handler = std::move(handler), file, name = std::move(name)] {
      handler(name, file, refused());
    });
  }
  void async_delete_files(lt::storage_index_t, lt::remove_flags_t,
                          std::function<void(const lt::storage_error&)> handler) override {
    boost::asio::post(loop_, [handler = std::move(handler)] { handler(refused()); });
  }

  void update_stats_counters(lt::counters&) const override {}
  std::vector<lt::open_file_state> get_status(lt::storage_index_t) const override { return {}; }
  void abort(bool) override {}
  void submit_jobs() override {}
  void settings_updated() override {}

 private:
  static lt::storage_error refused() {
    return lt::storage_error(lt::error_code(boost::system::errc::operation_not_supported,
                                            boost::system::generic_category()));
  }

  void free_disk_buffer(char* buffer) override { delete[] buffer; }

  // Those of `piece_`.
  void put_hashes(lt::span<lt::sha256_hash> blocks) {
    const auto hashes = merkle_block_hashes(piece_);
    for (std::size_t i = 0; i < hashes.size() && static_cast<std::ptrdiff_t>(i) < blocks.size();
         ++i)
      std::memcpy(blocks[static_cast<std::ptrdiff_t>(i)].data(), hashes[i].data(),
                  hashes[i].size());
  }

  lt::io_context& loop_;
  std::unique_ptr<Content> content_;
  std::map<lt::storage_index_t, Storage> storages_;
  std::uint32_t next_ = 0;
  Buffer piece_;
};

}  // namespace

void PieceMemory::write(const Torrent& torrent, Piece piece, std::uint32_t piece_size,
                        std::uint32_t offset, ByteView bytes) {
  const std::lock_guard lock(mutex_);
  Buffer& buffer = torrents_[torrent].try_emplace(piece, piece_size).first->second;
  if (offset < buffer.size())
    std::memcpy(buffer.data() + offset, bytes.data(),
                std::min(bytes.size(), buffer.size() - offset));
}

bool PieceMemory::read(const Torrent& torrent, Piece piece, std::uint32_t offset,
                       std::span<std::byte> into) const {
  const std::lock_guard lock(mutex_);
  const auto of_torrent = torrents_.find(torrent);
  if (of_torrent == torrents_.end()) return false;
  const auto found = of_torrent->second.find(piece);
  if (found == of_torrent->second.end()) return false;
  const ByteView have =
      ByteView(found->second).subspan(std::min<std::size_t>(offset, found->second.size()));
  const std::size_t size = std::min(have.size(), into.size());
  std::memcpy(into.data(), have.data(), size);
  std::memset(into.data() + size, 0, into.size() - size);
  return true;
}

void PieceMemory::forget(const Torrent& torrent, Piece piece) {
  const std::lock_guard lock(mutex_);
  if (const auto found = torrents_.find(torrent); found != torrents_.end())
    found->second.erase(piece);
}

void PieceMemory::forget(const Torrent& torrent) {
  const std::lock_guard lock(mutex_);
  torrents_.erase(torrent);
}

lt::disk_io_constructor_type packs_in_files() {
  return [](lt::io_context& loop, const lt::settings_interface&, lt::counters&) {
    return std::make_unique<PackDisk>(loop, std::make_unique<Files>());
  };
}

lt::disk_io_constructor_type packs_in_memory(std::shared_ptr<PieceMemory> memory) {
  return [memory = std::move(memory)](lt::io_context& loop, const lt::settings_interface&,
                                      lt::counters&) {
    return std::make_unique<PackDisk>(loop, std::make_unique<Memory>(memory));
  };
}

}  // namespace lamina::swarm
