// Content: the origin's bytes. Layers are taken in and published; devices' own content is taken in,
// committed and read back. The two never mix: layer packs refer to nothing of a device.
//
// Functions marked (slow) read or write packs: run them on a worker thread. They touch the stores
// only, which are thread-safe; everything of the catalogue is done by the caller on the loop
// thread.
#pragma once

#include <atomic>
#include <memory>
#include <set>

#include "origin/content/intakes.hpp"
#include "origin/content/layer_updates.hpp"
#include "shared/format/record.hpp"
#include "shared/store/chunk_store.hpp"
#include "shared/swarm/torrent_file.hpp"
#include "shared/wire/admin.hpp"

namespace lamina::origin {

// What a signed layer record turned out to be, ready to be entered in the catalogue.
struct Publication {
  wire::LayerInfo info;
  std::vector<ChunkId> chunks;  // All that the layer needs, each once.
  Buffer record;                // The publisher's envelope.
  Buffer distribution;          // Signed by the origin.
  TorrentId torrent;
  Buffer torrent_file;
  Bytes written_anew;  // Of packs of other layers that are worn for this one.
  std::vector<LayerUpdate> updates;
};

// What a snapshot needs, read from its manifest.
struct SnapshotContent {
  format::SnapshotRecord record;
  SnapshotId id;
  std::vector<ChunkId> chunks;  // Each once; as far as the manifest could be read.
  bool manifest_complete =
      true;  // False: some of its own chunks are missing; they are in `chunks`.
};

class Content {
 public:
  struct Keys {
    std::vector<PublicKey> publishers;
    PrivateKey target;
    std::string swarm_ca_pem;
  };

  // Opens the stores below the origin's data directory, making what is missing.
  static Result<std::unique_ptr<Content>> open(const std::string& data, Keys keys);

  ChunkStore& layers() { return *layers_; }
  ChunkStore& cvds() { return *cvds_; }
  const ChunkStore& cvds() const { return *cvds_; }
  // Whoever takes in what a device sent is among them until it is linked to the device.
  Intakes& intakes() { return intakes_; }
  const std::string& data() const { return data_; }

  // Checks signature and form of a layer's record: `refused` or `invalid`.
  Result<format::LayerRecord> read_layer(ByteView envelope) const;
  // (slow) Checks the record and that every chunk is here; writes anew what lies in worn packs
  // (layer_packs.hpp); makes updates from the layers of `wish`, torrent and distribution.
  // `refused`, `invalid` or `not_found` says what is wrong and names the first missing chunk.
  Result<Publication> examine(ByteView envelope, WallTime now, const UpdateWish& wish = {}) const;
  // What takes minutes ends soon, with `unavailable`. Any thread.
  void stop() { is_stopping_ = true; }
  bool is_stopping() const { return is_stopping_; }
  // (slow) Writes the objects of a publication, durably: the torrent last, since a seeder serves
  // whatever torrent it finds.
  Status keep(const Publication& publication) const;
  Result<Buffer> layer_record(const LayerId& id) const;
  Result<Buffer> distribution(const LayerId& id) const;
  Result<format::DistributionRecord> distribution_record(const LayerId& id) const;
  Result<Buffer> torrent(const LayerId& id) const;
  // The same without updates, for programs that know none: the layer's own packs, in a torrent of
  // their own, which keep() leaves for seeders too. What there is anyway when there are no updates.
  struct Plain {
    Buffer distribution;
    TorrentId torrent;
    Buffer torrent_file;
  };
  Result<Plain> without_updates(const LayerId& id) const;

  // (slow) What the patches of the pack at `path` build upon: the device that sent it must have all
  // of it. Nothing of a pack without patches.
  Result<std::vector<ChunkId>> references_of(const std::string& path) const;
  // (slow) Takes in a pack of a device as ChunkStore::take_in_new(); patches build upon chunks of
  // CVDs and layers.
  Result<std::vector<ChunkId>> take_in_cvd(const std::string& path, const PackId& expected) const;

  // (slow) Reads a snapshot record and its manifest. `refused` when it is another device's.
  Result<SnapshotContent> examine_snapshot(ByteView record, const DeviceId& device) const;
  Status keep_snapshot(const SnapshotContent& snapshot, ByteView record) const;
  Result<Buffer> snapshot_record(const SnapshotId& id) const;
  // Those of `ids`, chunks of a device, that went with a damaged pack and are nowhere now: a device
  // that has them is to send them again.
  Result<std::vector<ChunkId>> lost(const std::vector<ChunkId>& ids) const;
  // Chunks of CVDs or layers. This must outlive it.
  format::ChunkSource source() const;

  // (slow) Puts these chunks, of CVDs or layers, into one pack file and gives its path, which the
  // caller removes. At most kGatherMax bytes of plain content: `invalid` above. A frame of which
  // all chunks are asked for goes as it is stored. No other chunk is in it.
  static constexpr std::uint64_t kGatherMax = std::uint64_t{48} << 20;
  Result<std::string> gather(const std::vector<format::ChunkRef>& chunks) const;

 private:
  Content(std::string data, Keys keys, std::unique_ptr<ChunkStore> layers,
          std::unique_ptr<ChunkStore> cvds)
      : data_(std::move(data)),
        keys_(std::move(keys)),
        layers_(std::move(layers)),
        cvds_(std::move(cvds)) {}

  // A frame of one of the two stores.
  struct StoredIn {
    bool is_cvd = false;
    ChunkStore::FramePlace frame;
    auto operator<=>(const StoredIn&) const = default;
  };
  // The layers whose distributions are here, but for one.
  Result<std::vector<Published>> published_beside(const LayerId& layer) const;
  Result<LayerPacks> packs_of(const format::LayerRecord& record,
                              const std::vector<Published>& published) const;
  Result<swarm::TorrentFile> torrent_of(const std::vector<format::DistributedPack>& packs) const;
  Result<StoredIn> find_any(const ChunkId& id) const;
  Result<Buffer> read_any(const format::ChunkRef& ref) const;
  Result<std::string> gather_once(const std::vector<format::ChunkRef>& chunks) const;

  std::string data_;
  Keys keys_;
  std::unique_ptr<ChunkStore> layers_;
  std::unique_ptr<ChunkStore> cvds_;
  Intakes intakes_;
  std::atomic<bool> is_stopping_ = false;
};

}  // namespace lamina::origin
