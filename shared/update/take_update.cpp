#include "shared/update/take_update.hpp"

#include <algorithm>
#include <iterator>
#include <map>
#include <memory>
#include <optional>

#include "shared/hash/sha256.hpp"
#include "shared/store/pack_set.hpp"
#include "shared/store/pack_writer.hpp"
#include "shared/update/layer_content.hpp"
#include "shared/update/update_head.hpp"

namespace lamina::update {
namespace {

// m: 0.9 GB of a month's updates take 4 s at level 1 and 9 s at level 3.
constexpr int kLevel = 1;
constexpr std::size_t kTroublesMax = 8;
constexpr std::size_t kAssemblyMax = std::size_t{256} << 20;

class Taking {
 public:
  explicit Taking(const TakeOrder& order) : order_(order) {}

  Result<TakenUpdate> run() {
    auto files = PackFiles::open(order_.directory, PackFiles::Access::write);
    if (!files) return fail(std::move(files.error()));
    files_.emplace(std::move(*files));
    if (order_.old) {
      auto old = read_content_of(*order_.old, order_.source);
      if (!old) return fail(std::move(old.error()).in("the old layer"));
      old_ = std::move(*old);
    }
    had_ = old_.chunks();
    old_tree_ = tree_of(old_.files, order_.source);
    auto members = os::TemporaryDirectory::make(order_.directory, "members-");
    if (!members) return fail(std::move(members.error()));
    members_.emplace(std::move(*members));
    for (const bool is_metadata : {true, false})
      if (auto done = open_packs(is_metadata ? order_.metadata_packs : order_.packs, is_metadata);
          !done)
        return fail(std::move(done.error()));
    begin();
    if (auto done = take_manifest(); !done) return fail(std::move(done.error()));
    if (auto done = take_frames(); !done) return fail(std::move(done.error()));
    if (auto done = assemble(); !done) return fail(std::move(done.error()));
    count();
    return std::move(taken_);
  }

 private:
  // Cuts a file's bytes into its chunks, and keeps those that are right.
  class Cutter {
   public:
    Cutter(Taking& taking, const ContentFile& file) : taking_(taking), file_(file) {}
    Status add(ByteView piece) {
      for (const auto& [part, length, stored] : stored_parts(file_, at_, piece.size()))
        if (auto done = add_stored(
                piece.subspan(static_cast<std::size_t>(part), static_cast<std::size_t>(length)));
            !done)
          return done;
      at_ += piece.size();
      return Done{};
    }

   private:
    Status add_stored(ByteView piece) {
      while (!piece.empty() && next_ < file_.chunks.size()) {
        const format::ChunkRef& chunk = file_.chunks[next_];
        const auto part = piece.first(std::min(piece.size(), chunk.length - bytes_.size()));
        bytes_.insert(bytes_.end(), part.begin(), part.end());
        piece = piece.subspan(part.size());
        if (bytes_.size() < chunk.length) continue;
        if (first_.empty())
          first_ = to_buffer(ByteView(bytes_).first(std::min(bytes_.size(), kFirstBytes)));
        if (auto done = taking_.keep(chunk, bytes_, classify_content(file_.path, first_)); !done)
          return done;
        bytes_.clear();
        ++next_;
      }
      return Done{};
    }

    static constexpr std::size_t kFirstBytes = 512;
    Taking& taking_;
    const ContentFile& file_;
    std::uint64_t at_ = 0;  // In the file.
    std::size_t next_ = 0;  // Chunk.
    Buffer bytes_;
    Buffer first_;
  };

  void trouble(const std::string& what, const Error& error) {
    if (taken_.troubles.size() < kTroublesMax)
      taken_.troubles.push_back(what + ": " + error.text());
  }
  // What keeps this machine from going on, whatever the update is like.
  static bool is_of_machine(const Error& error) {
    return error.kind() == ErrorKind::out_of_space || error.kind() == ErrorKind::unavailable;
  }

  Status open_packs(const std::vector<std::string>& paths, bool is_metadata) {
    for (const std::string& path : paths) {
      auto pack = OpenPack::open(path, path);
      if (!pack) {
        trouble("a pack of the update", pack.error());  // What is not there comes in full.
        continue;
      }
      for (const format::Frame& frame : pack->index().frames) {
        if (frame.coder != format::Coder::delta)
          return fail(ErrorKind::corrupt, "a pack of the update has other frames than deltas");
        (is_metadata ? metadata_ : frames_).push_back({packs_.size(), frame});
      }
      packs_.push_back(std::move(*pack));
    }
    return Done{};
  }

  struct Place {
    std::size_t pack;
    format::Frame frame;
  };
  Result<Buffer> read(const Place& place) const {
    return packs_[place.pack].read_coded(place.frame);
  }

  // --- chunks that come out

  void begin() {
    writer_ = std::make_unique<PackWriter>(*files_, PackWriter::Options{.level = kLevel},
                                           [this](const format::PackSummary& summary) -> Status {
                                             written_.push_back(summary.id);
                                             return Done{};
                                           });
  }
  // Wrong bytes are no error: the chunk is lacking then.
  Status keep(const format::ChunkRef& chunk, ByteView bytes, ContentClass content) {
    if (had_.contains(chunk.id) || kept_.contains(chunk.id)) return Done{};
    if (ChunkId(sha256(bytes)) != chunk.id) return Done{};
    if (auto done = writer_->add(chunk, bytes, content); !done) return done;
    kept_.insert(chunk.id);
    ++taken_.chunks;
    taken_.bytes += chunk.length;
    return Done{};
  }
  // Makes what was kept readable; more may follow.
  Status settle() {
    if (auto done = writer_->finish(); !done) return done;
    readable_.emplace();
    for (const PackId& id : written_)
      if (auto done = readable_->add(files_->path_of(id), "a pack of the update's content"); !done)
        return done;
    readable_->seal();
    begin();
    return Done{};
  }
  format::ChunkSource new_chunks() {
    return [this](const format::ChunkRef& ref) -> Result<Buffer> {
      if (readable_ && readable_->has(ref.id)) return readable_->read(ref);
      if (had_.contains(ref.id)) return order_.source(ref);
      return fail(ErrorKind::not_found, "chunk " + ref.id.short_hex() + " has not come out yet");
    };
  }

  // --- the manifest

  Status take_manifest() {
    Buffer coded;
    bool has_head = false;
    for (const Place& place : metadata_) {
      auto bytes = read(place);
      if (!bytes) return fail(std::move(bytes.error()));
      if (!is_head(*bytes)) {
        coded = std::move(*bytes);
        continue;
      }
      auto head = read_head(*bytes);
      if (!head) return fail(std::move(head.error()));
      head_ = std::move(*head);
      has_head = true;
    }
    if (!has_head) return fail(ErrorKind::corrupt, "the update has no head");
    if (head_.metadata_lengths.empty()) return read_next();
    auto parsed = delta::FrameHead::parse(coded);
    if (!parsed) return fail(std::move(parsed.error()));
    std::uint64_t expected = 0;
    for (const std::uint32_t length : head_.metadata_lengths) expected += length;
    if (parsed->plain_size() != expected || parsed->references.size() != (order_.old ? 1 : 0))
      return fail(ErrorKind::corrupt, "the update's manifest has another size than its head says");
    Buffer reference;
    for (const format::ChunkRef& chunk : old_.metadata) {
      auto bytes = order_.source(chunk);
      if (!bytes) return fail(std::move(bytes.error()));
      reference.insert(reference.end(), bytes->begin(), bytes->end());
    }
    std::vector<delta::Source> references;
    if (order_.old) references.push_back(delta::source_of(ByteView(reference)));
    Buffer plain;
    auto decoded = delta::decode_frame(*parsed, std::move(coded), std::move(references),
                                       [&](std::size_t, ByteView piece) -> Status {
                                         plain.insert(plain.end(), piece.begin(), piece.end());
                                         return Done{};
                                       });
    if (!decoded) return fail(std::move(decoded.error()).in("the manifest"));
    ByteView left = plain;
    for (const std::uint32_t length : head_.metadata_lengths) {
      const ByteView bytes = left.first(length);
      left = left.subspan(length);
      // Whether it is one of the new layer's is seen when that is read.
      const format::ChunkRef chunk{ChunkId(sha256(bytes)), length};
      if (auto done = keep(chunk, bytes, ContentClass::metadata); !done) return done;
    }
    return read_next();
  }

  Status read_next() {
    if (auto done = settle(); !done) return done;
    auto next = read_content_of(order_.next, new_chunks());
    if (!next) return fail(std::move(next.error()).in("the new layer"));
    next_ = std::move(*next);
    changed_ = changed_files(next_, had_);
    release(next_.files);  // The others are not needed any more.
    return Done{};
  }

  // --- frames

  Status take_frames() {
    if (auto done = take_out_references(); !done) return done;
    for (const Place& place : frames_) {
      auto done = take_frame(place);
      if (done) continue;
      if (is_of_machine(done.error())) return done;
      trouble("a frame", done.error());
    }
    return settle();
  }

  // A container of the old layer that several frames refer to, such as an initramfs, is opened
  // once.
  Status take_out_references() {
    std::map<std::uint32_t, std::pair<std::size_t, std::set<delta::ItemName>>> referred;
    for (const Place& place : frames_) {
      const auto coded = read(place);
      if (!coded) continue;  // take_frame() says why.
      const auto head = delta::FrameHead::parse(*coded);
      if (!head) continue;
      std::set<std::uint32_t> here;
      for (const auto& reference : head->references) {
        if (reference.name.member == delta::ItemName::kFileItself) continue;
        auto& [frames, names] = referred[reference.name.file];
        frames += here.insert(reference.name.file).second ? 1 : 0;
        names.insert(reference.name);
      }
    }
    std::set<delta::ItemName> wanted;
    for (auto& [file, of_file] : referred)
      if (of_file.first > 1) wanted.merge(of_file.second);
    return take_out(wanted);
  }

  Status take_frame(const Place& place) {
    auto coded = read(place);
    if (!coded) return fail(std::move(coded.error()));
    auto head = delta::FrameHead::parse(*coded);
    if (!head) return fail(std::move(head.error()));
    for (const auto& item : head->items) {
      const bool is_file = item.name.member == delta::ItemName::kFileItself;
      if (item.name.file >= changed_.size() ||
          (is_file ? item.size != changed_[item.name.file].size : item.size > delta::kContainerMax))
        return fail(ErrorKind::corrupt, "it holds what the new layer has not");
    }
    delta::TreeReader reader(old_tree_);
    std::vector<delta::Source> references;
    for (const auto& reference : head->references) {
      auto source = taken_out_.contains(reference.name) ? member(reference.name, /*is_old=*/true)
                                                        : reader.open(reference.name);
      if (!source) return fail(std::move(source.error()));
      references.push_back(std::move(*source));
    }
    std::size_t open_part = SIZE_MAX;
    std::optional<Cutter> cutter;
    os::Descriptor file;
    std::string path;
    return delta::decode_frame(*head, std::move(*coded), std::move(references),
                               [&](std::size_t part, ByteView piece) -> Status {
                                 const delta::ItemName& name = head->items[part].name;
                                 const bool is_file = name.member == delta::ItemName::kFileItself;
                                 if (part != open_part) {
                                   open_part = part;
                                   cutter.reset();
                                   if (is_file) {
                                     cutter.emplace(*this, changed_[name.file]);
                                   } else {
                                     path = member_path(name);
                                     auto opened = os::open_write(path);
                                     if (!opened) return fail(std::move(opened.error()));
                                     file = std::move(*opened);
                                   }
                                 }
                                 return is_file ? cutter->add(piece)
                                                : os::write_all(file.get(), piece, path);
                               });
  }

  std::string member_path(const delta::ItemName& name, bool is_old = false) const {
    return members_->path() + (is_old ? "/old-" : "/") + std::to_string(name.file) + '.' +
           std::to_string(name.member);
  }

  // --- what is put together

  // What closings and copies take from old containers.
  static std::set<delta::ItemName> old_members_of(const delta::Assembly& assembly) {
    std::set<delta::ItemName> wanted;
    const auto want = [&](const delta::Origin& origin) {
      if (origin.is_old && origin.name.member != delta::ItemName::kFileItself)
        wanted.insert(origin.name);
    };
    for (const auto& closing : assembly.closings) std::ranges::for_each(closing.members, want);
    for (const auto& copy : assembly.copies) want(copy.from);
    return wanted;
  }
  // Writes members of old containers to files: each container is opened once, and gone from memory
  // before what is made of them fills it.
  Status take_out(const std::set<delta::ItemName>& wanted) {
    delta::TreeReader reader(old_tree_);
    std::optional<delta::Source> before;  // Keeps its container open.
    std::uint32_t file_before = 0;
    for (const delta::ItemName& name : wanted) {
      if (taken_out_.contains(name)) continue;
      if (before && name.file != file_before) before.reset();
      auto source = reader.open(name);
      auto done = source ? write_member(*source, member_path(name, /*is_old=*/true))
                         : Status(fail(source.error()));
      if (!done && is_of_machine(done.error())) return done;
      // What needs it does not come out then.
      if (!done) trouble("a content of the old layer", done.error());
      if (done) taken_out_.insert(name);
      if (!source) continue;
      before = std::move(*source);
      file_before = name.file;
    }
    return Done{};
  }
  static Status write_member(const delta::Source& source, const std::string& path) {
    auto file = os::open_write(path);
    if (!file) return fail(std::move(file.error()));
    auto written = delta::read_pieces(
        source, [&](ByteView piece) { return os::write_all(file->get(), piece, path); });
    if (!written) static_cast<void>(os::remove_file(path));
    return written;
  }

  // What was written to its file.
  Result<delta::Source> member(const delta::ItemName& name, bool is_old) const {
    const std::string path = member_path(name, is_old);
    auto opened = os::open_read(path);
    if (!opened) return fail(std::move(opened.error()));
    const auto file = std::make_shared<os::Descriptor>(std::move(*opened));
    auto size = os::file_size(file->get(), path);
    if (!size) return fail(std::move(size.error()));
    return delta::Source{*size,
                         [file, path](std::uint64_t offset, std::span<std::byte> into) -> Status {
                           auto bytes = os::read_at(file->get(), offset, into.size(), path);
                           if (!bytes) return fail(std::move(bytes.error()));
                           std::ranges::copy(*bytes, into.begin());
                           return Done{};
                         }};
  }

  Result<delta::Source> find(delta::TreeReader& old, const delta::Origin& origin) {
    const bool is_member = origin.name.member != delta::ItemName::kFileItself;
    if (origin.is_old && !is_member) return old.open(origin.name);
    if (is_member) {
      return member(origin.name, origin.is_old);
    }
    if (origin.name.file >= changed_.size())
      return fail(ErrorKind::corrupt, "the update names a file that the new layer has not");
    const ContentFile& file = changed_[origin.name.file];
    for (const format::ChunkRef& chunk : file.chunks)
      if (!had_.contains(chunk.id) && !(readable_ && readable_->has(chunk.id)))
        return fail(ErrorKind::not_found, "'" + printable(file.path) + "' has not come out yet");
    return source_of(file, new_chunks());
  }

  // A container may hold another one, or a copy of it: until nothing more comes out.
  Status assemble() {
    auto assembly = delta::read_assembly(head_.assembly, kAssemblyMax);
    if (!assembly) return fail(std::move(assembly.error()));
    if (auto done = take_out(old_members_of(*assembly)); !done) return done;
    std::map<std::uint32_t, Error> waiting;
    delta::TreeReader old(old_tree_);
    const auto put = [&](std::uint32_t file, const auto& give) -> Status {
      if (file >= changed_.size())
        return fail(ErrorKind::corrupt, "the update names a file that the new layer has not");
      Cutter cutter(*this, changed_[file]);
      auto done = give([&](ByteView piece) { return cutter.add(piece); });
      if (done || done.error().kind() == ErrorKind::out_of_space) return done;
      waiting.emplace(file, done.error());
      return Done{};
    };
    const auto locate = [&](const delta::Origin& origin) { return find(old, origin); };
    auto& copies = assembly->copies;
    const auto run = [&](std::vector<delta::Assembly::Closing>& closings) -> Status {
      for (std::size_t before = SIZE_MAX;
           before != 0 && closings.size() + copies.size() < before;) {
        before = closings.size() + copies.size();
        waiting.clear();
        for (const auto& closing : closings) {
          auto done = put(closing.file, [&](const auto& emit) {
            return delta::close_file(closing, locate, order_.programs, emit);
          });
          if (!done) return done;
        }
        for (const auto& copy : copies) {
          auto done = put(copy.file, [&](const auto& emit) -> Status {
            auto source = locate(copy.from);
            if (!source) return fail(std::move(source.error()));
            return delta::read_pieces(*source, emit);
          });
          if (!done) return done;
        }
        const auto is_done = [&](const auto& one) { return !waiting.contains(one.file); };
        std::erase_if(closings, is_done);
        std::erase_if(copies, is_done);
        if (auto done = settle(); !done) return done;
      }
      return Done{};
    };
    auto& closings = assembly->closings;
    const auto costly = std::stable_partition(
        closings.begin(), closings.end(),
        [](const auto& closing) { return !delta::is_costly(closing.recipe); });
    std::vector<delta::Assembly::Closing> later(std::make_move_iterator(costly),
                                                std::make_move_iterator(closings.end()));
    closings.erase(costly, closings.end());
    if (auto done = run(closings); !done) return done;
    if (later.empty()) {
      for (const auto& [file, error] : waiting) trouble(printable(changed_[file].path), error);
      return Done{};
    }
    // What still waits may wait for one of these.
    std::ranges::move(closings, std::back_inserter(later));
    if (order_.leaves_costly) {
      for (const auto& closing : later) leave(closing.file);
      for (const auto& copy : copies) leave(copy.file);
      return Done{};
    }
    const std::size_t cheap = written_.size();
    if (auto done = run(later); !done) return done;
    taken_.costly.insert(written_.begin() + static_cast<std::ptrdiff_t>(cheap), written_.end());
    for (const auto& [file, error] : waiting) trouble(printable(changed_[file].path), error);
    return Done{};
  }
  void leave(std::uint32_t file) {
    if (file >= changed_.size()) return;
    for (const format::ChunkRef& chunk : changed_[file].chunks)
      if (!had_.contains(chunk.id) && !kept_.contains(chunk.id)) taken_.left.insert(chunk.id);
  }

  // What the old layer lacks and the update did not give.
  void count() {
    std::set<ChunkId> seen = had_;
    auto run = head_.runs.begin();
    std::uint64_t in_run = 0;
    const auto look = [&](const format::ChunkRef& chunk) {
      if (!seen.insert(chunk.id).second) return;
      if (run != head_.runs.end() && in_run == run->chunks) {
        ++run;
        in_run = 0;
      }
      ++in_run;
      if (kept_.contains(chunk.id) || taken_.left.contains(chunk.id)) return;
      ++taken_.lacking_chunks;
      taken_.lacking_bytes += chunk.length;
      if (run == head_.runs.end()) return;
      auto& lacking = taken_.lacking[head_.packs[run->pack]];
      lacking.chunks.insert(chunk.id);
      lacking.bytes += chunk.length;
    };
    for (const format::ChunkRef& chunk : next_.metadata) look(chunk);
    for (const ContentFile& file : changed_)
      for (const format::ChunkRef& chunk : file.chunks) look(chunk);
  }

  const TakeOrder& order_;
  TakenUpdate taken_;
  std::optional<PackFiles> files_;
  std::unique_ptr<PackWriter> writer_;
  std::vector<PackId> written_;
  std::optional<PackSet> readable_;
  std::set<ChunkId> had_, kept_;
  std::set<delta::ItemName> taken_out_;  // Members of old containers with files in `members_`.
  LayerContent old_, next_;
  delta::Tree old_tree_;
  std::vector<ContentFile> changed_;
  std::vector<OpenPack> packs_;
  std::vector<Place> metadata_, frames_;
  std::optional<os::TemporaryDirectory> members_;
  UpdateHead head_;
};

}  // namespace

Result<TakenUpdate> take_update(const TakeOrder& order) { return Taking(order).run(); }

}  // namespace lamina::update
