#include "shared/store/pack_writer.hpp"

#include <mutex>
#include <utility>

#include "shared/base/assert.hpp"

namespace lamina {

// Compression contexts, lent to worker threads: making one costs more than coding a small frame.
class PackWriter::Compressors {
 public:
  explicit Compressors(int level) : level_(level) {}

  format::CodedFrame encode(ByteView plain) {
    std::unique_ptr<ZstdCompressor> lent;
    {
      const std::lock_guard lock(mutex_);
      if (!free_.empty()) {
        lent = std::move(free_.back());
        free_.pop_back();
      }
    }
    if (!lent) lent = std::make_unique<ZstdCompressor>(level_);
    auto coded = format::encode_frame(plain, *lent);
    const std::lock_guard lock(mutex_);
    free_.push_back(std::move(lent));
    return coded;
  }

 private:
  int level_;
  std::mutex mutex_;
  std::vector<std::unique_ptr<ZstdCompressor>> free_;
};

struct PackWriter::NewPack {
  NewPack(std::string temporary, os::Descriptor opened)
      : path(std::move(temporary)),
        file(std::move(opened)),
        builder([this](ByteView part) { return os::write_all(file.get(), part, path); }) {}
  explicit NewPack(std::uint64_t expected)
      : builder([this](ByteView part) -> Status {
          bytes.append(as_text(part));
          return Done{};
        }) {
    bytes.reserve(expected);
  }
  ~NewPack() {
    // A pack given up halfway; a later open of the directory removes what cannot be removed now.
    if (!path.empty()) static_cast<void>(os::remove_file(path));
  }
  NewPack(const NewPack&) = delete;
  NewPack& operator=(const NewPack&) = delete;

  std::string path;  // Empty: in memory.
  os::Descriptor file;
  std::string bytes;
  format::PackBuilder builder;
};

PackWriter::PackWriter(const PackFiles* files, Options options, OnPack on_pack, OnBytes on_bytes)
    : files_(files),
      options_(options),
      on_pack_(std::move(on_pack)),
      on_bytes_(std::move(on_bytes)),
      compressors_(std::make_unique<Compressors>(options.level)),
      small_compressors_(std::make_unique<Compressors>(options.small_level)),
      is_small_(options.small_bytes > 0) {}

PackWriter::PackWriter(const PackFiles& files, Options options, OnPack on_pack)
    : PackWriter(&files, options, std::move(on_pack), nullptr) {}

PackWriter::PackWriter(Options options, OnBytes on_bytes)
    : PackWriter(nullptr, options, nullptr, std::move(on_bytes)) {}

PackWriter::~PackWriter() = default;

Status PackWriter::add(const format::ChunkRef& ref, ByteView plain, ContentClass content) {
  LAMINA_ASSERT(plain.size() == ref.length && ref.length > 0 && ref.length <= format::kChunkMax);
  if (!given_.insert(ref.id).second) return Done{};
  const auto index = static_cast<std::size_t>(content);
  Gathering& gathering = gathering_[index];
  if (!gathering.plain.empty() && gathering.plain.size() + plain.size() > options_.frame_bytes)
    if (auto done = start_coding(index); !done) return done;
  if (gathering.plain.empty()) gathering.plain.reserve(options_.frame_bytes);
  gathering.plain.insert(gathering.plain.end(), plain.begin(), plain.end());
  gathering.chunks.push_back(ref);
  return Done{};
}

Status PackWriter::add_frame(const format::Frame& frame, ByteView coded) {
  for (const format::ChunkRef& chunk : frame.chunks) given_.insert(chunk.id);
  return append(frame.coder, coded, frame.chunks);
}

Status PackWriter::start_coding(std::size_t content) {
  Gathering gathering = std::exchange(gathering_[content], {});
  // What is stored as it is can be written at any time.
  const bool as_is = content == static_cast<std::size_t>(ContentClass::compressed);
  if (as_is || !is_small_) return code(std::move(gathering), as_is, *compressors_);
  bytes_held_ += gathering.plain.size();
  held_.push_back(std::move(gathering));
  if (bytes_held_ <= options_.small_bytes) return Done{};
  is_small_ = false;
  return code_held(*compressors_);
}

Status PackWriter::code_held(Compressors& compressors) {
  for (Gathering& gathering : std::exchange(held_, {}))
    if (auto done = code(std::move(gathering), false, compressors); !done) return done;
  return Done{};
}

Status PackWriter::code(Gathering gathering, bool as_is, Compressors& compressors) {
  if (coding_.size() == kFramesInFlight)
    if (auto done = write_oldest(); !done) return done;
  coding_.push_back(
      {.coded = std::async(std::launch::async,
                           [&compressors, as_is, plain = std::move(gathering.plain)]() mutable {
                             if (as_is)
                               return format::CodedFrame{format::Coder::raw, std::move(plain)};
                             return compressors.encode(plain);
                           }),
       .chunks = std::move(gathering.chunks)});
  return Done{};
}

Status PackWriter::write_oldest() {
  Coding oldest = std::move(coding_.front());
  coding_.pop_front();
  const format::CodedFrame coded = oldest.coded.get();
  return append(coded.coder, coded.bytes, std::move(oldest.chunks));
}

Status PackWriter::append(format::Coder coder, ByteView coded,
                          std::vector<format::ChunkRef> chunks) {
  const bool is_patch = coder == format::Coder::patch;
  if (pack_ && (pack_->builder.size() + coded.size() > options_.pack_bytes ||
                pack_->builder.has_patches() != is_patch))
    if (auto done = end_pack(); !done) return done;
  if (!pack_) {
    auto begun = begin_pack();
    if (!begun) return fail(std::move(begun.error()));
    pack_ = std::move(*begun);
  }
  return pack_->builder.add(coder, coded, std::move(chunks));
}

Result<std::unique_ptr<PackWriter::NewPack>> PackWriter::begin_pack() const {
  if (files_ == nullptr) return std::make_unique<NewPack>(options_.pack_bytes);
  auto path = files_->new_temporary();
  if (!path) return fail(std::move(path.error()));
  auto file = os::open_write(*path);
  if (!file) return fail(std::move(file.error()));
  return std::make_unique<NewPack>(std::move(*path), std::move(*file));
}

Status PackWriter::end_pack() {
  if (!pack_) return Done{};
  auto summary = pack_->builder.finish();
  if (!summary) return fail(std::move(summary.error()));
  if (files_ != nullptr) {
    if (auto done = files_->publish(pack_->path, summary->id, summary->block_hashes); !done)
      return done;
    pack_->path.clear();
  }
  std::string bytes = std::move(pack_->bytes);
  pack_.reset();
  ++packs_written_;
  bytes_written_ += summary->size;
  return files_ != nullptr ? on_pack_(*summary) : on_bytes_(*summary, std::move(bytes));
}

Status PackWriter::finish() {
  for (std::size_t content = 0; content < gathering_.size(); ++content)
    if (!gathering_[content].chunks.empty())
      if (auto done = start_coding(content); !done) return done;
  if (auto done = code_held(is_small_ ? *small_compressors_ : *compressors_); !done) return done;
  while (!coding_.empty())
    if (auto done = write_oldest(); !done) return done;
  return end_pack();
}

}  // namespace lamina
