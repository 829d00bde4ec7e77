#include "reflector/range_fetch.hpp"

#include <algorithm>

#include "shared/os/random.hpp"

namespace lamina::reflector {
namespace {

constexpr Duration kHandOverMax = std::chrono::seconds{2};  // m: 10 ms.
constexpr int kHandOversMax = 5;  // Of one piece; then it is fetched again.

}  // namespace

void RangeFetch::fetch(swarm::PieceMap chosen) {
  chosen_ = std::move(chosen);
  ask();
}

void RangeFetch::stop() {
  source_->stop();
  ranges_.stop();
  again_.cancel();
  chosen_.clear();
  received_.clear();
  hashes_.clear();
}

void RangeFetch::ask() {
  while (const auto run = ranges_.next(chosen_, loop_.now())) {
    const auto owner = host_.owner_of(run->pack);
    if (!owner) {  // Left since it was chosen.
      ranges_.withdraw(run->number);
      chosen_.erase(run->pack);
    } else if (!host_.take_out(owner->torrent, *run)) {
      ranges_.withdraw(run->number);
      return pause();
    } else {
      ask_for(*run, *owner);
    }
  }
  if (const auto next = ranges_.next_change(loop_.now()))
    again_ = loop_.after(*next - loop_.now(), [weak = weak_from_this()] {
      if (const auto self = weak.lock()) self->ask();
    });
}

void RangeFetch::ask_for(const Ranges::Run& run, const Host::Owner& owner) {
  swarm::PieceSource::Range range{.layer = owner.layer,
                                  .pack = run.pack,
                                  .offset = std::uint64_t{run.first} * swarm::kPieceSize,
                                  .size = 0};
  for (std::uint32_t i = 0; i < run.count; ++i)
    range.size += static_cast<std::uint64_t>(host_.size_of_piece(run.pack, run.first + i).count);
  source_->fetch(range, ticket_->get().first,
                 [weak = weak_from_this(), run, torrent = owner.torrent](Result<Buffer> bytes) {
                   if (const auto self = weak.lock()) self->came(run, torrent, std::move(bytes));
                 });
}

void RangeFetch::came(const Ranges::Run& run, const TorrentId& torrent, Result<Buffer> bytes) {
  host_.check_lease();
  if (!bytes) {
    ranges_.fail(run.number, os::random_number(), loop_.now());
    host_.range_failed(std::move(bytes.error()).in("fetching pieces over the API's port"));
  } else if (ranges_.arrive(run.number, loop_.now())) {
    std::size_t at = 0;
    for (std::uint32_t piece = run.first; piece < run.first + run.count; ++piece) {
      if (!host_.has(torrent, run.pack)) {  // Left meanwhile.
        ranges_.settle(run.pack, piece);
        continue;
      }
      const auto size = static_cast<std::size_t>(host_.size_of_piece(run.pack, piece).count);
      const auto rest = ByteView(*bytes).subspan(std::min(at, bytes->size()));
      const auto mine = rest.first(std::min(size, rest.size()));
      at += size;
      piece_came(torrent, run.pack, piece, Buffer(mine.begin(), mine.end()));
    }
  }
  ask();
}

void RangeFetch::piece_came(const TorrentId& torrent, const PackId& pack, std::uint32_t piece,
                            Buffer bytes) {
  if (host_.holds(pack, piece)) return ranges_.settle(pack, piece);
  auto known = hashes_.find(torrent);
  if (known == hashes_.end()) {
    auto read = swarm::PieceHashes::of(host_.torrent_file(torrent));
    if (!read) return spoil(pack, piece, read.error().text());
    known = hashes_.emplace(torrent, std::move(*read)).first;
  }
  if (!known->second.fit(pack, piece, bytes)) return spoil(pack, piece, "its hash is wrong");
  host_.hand_over(torrent, pack, piece, bytes);
  received_[{pack, piece}] = {torrent, std::move(bytes), loop_.now()};
}

void RangeFetch::spoil(const PackId& pack, std::uint32_t piece, const std::string& why) {
  ranges_.spoil(pack, piece, os::random_number(), loop_.now());
  host_.range_failed({ErrorKind::corrupt, "piece " + std::to_string(piece) + " of pack " +
                                              pack.short_hex() + " over the API's port: " + why});
}

// What the LAN session did not take: a peer's bad block may have spoilt it, or its disk was full.
void RangeFetch::tick(Instant now) {
  std::vector<Place> hopeless;
  for (auto& [place, piece] : received_) {
    if (now - piece.handed_over < kHandOverMax || !host_.takes(piece.torrent)) continue;
    if (++piece.times > kHandOversMax) {
      hopeless.push_back(place);
      continue;
    }
    piece.handed_over = now;
    host_.hand_over(piece.torrent, place.first, place.second, piece.bytes);
  }
  for (const auto& [pack, piece] : hopeless) {
    received_.erase({pack, piece});
    spoil(pack, piece, "it was verified, but could not be kept");
  }
}

void RangeFetch::settle(const PackId& pack, std::uint32_t piece) {
  received_.erase({pack, piece});
  ranges_.settle(pack, piece);
  const auto chosen = chosen_.find(pack);
  if (chosen != chosen_.end() && piece < chosen->second.size()) chosen->second[piece] = false;
}

void RangeFetch::forget(const TorrentId& torrent) {
  hashes_.erase(torrent);
  std::erase_if(received_, [&](const auto& entry) {
    if (entry.second.torrent != torrent) return false;
    ranges_.settle(entry.first.first, entry.first.second);
    return true;
  });
}

}  // namespace lamina::reflector
