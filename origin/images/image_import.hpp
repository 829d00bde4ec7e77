// ImageImport: the archives of an image as layers: entries in path order, then their content.
//
// An archive is read twice. First all of them, to the end: what they add up to, each against its
// digest, every name against hostile ones; nothing leaves this machine before that. Then those that
// hold content which a layer needs, and only that is handed on: what an upper layer hides never
// reaches a device. One thread.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <unordered_set>
#include <vector>

#include "origin/images/image_files.hpp"
#include "shared/tree/capture.hpp"

namespace lamina::origin::images {

class ImageImport {
 public:
  struct Options {
    ImageTree::Include include = [](const std::string&, bool) { return image::Take::keep; };
    bool squash = false;         // One layer: what they add up to.
    bool allow_devices = false;  // Device nodes are entries too; otherwise they are refused.
    // Called now and then.
    std::function<void(std::uint64_t members, std::uint64_t bytes)> progress = [](std::uint64_t,
                                                                                  std::uint64_t) {};
  };

  // Errors name the archive and the member.
  static Result<std::unique_ptr<ImageImport>> read(Image image, Options options);

  // As many as there are archives, or one. A layer may be empty.
  std::size_t layers() const { return layers_.size(); }
  const std::string& name_of(std::size_t layer) const { return layers_[layer].what; }
  // The entries of a layer; of an upper one what it changes, with whiteouts. Ends with the import.
  std::unique_ptr<format::EntryStream> entries(std::size_t layer) const;
  // Of the whole tree; see ImageTree.
  std::string read_start(const std::string& path, std::size_t most) const {
    return tree_.read_start(path, most);
  }
  // What libarchive had to say of members, at most kNotesMax.
  const std::vector<std::string>& warnings() const { return warnings_; }

  // Hands the chunks of `wanted` on, each at least once. `corrupt` when an archive is not what it
  // was; errors of the sink are passed on.
  Status send(std::unordered_set<ChunkId, IdHash> wanted, const ContentSink& sink) const;

 private:
  struct Layer {
    std::string what;
    std::vector<format::Entry> entries;
  };

  ImageImport(Image image, Options options)
      : image_(std::move(image)), options_(std::move(options)) {}
  Status read_archive(const Blob& blob);
  Status take_layer(std::string what);
  std::unique_ptr<format::EntryStream> tree_entries() const {
    return tree_.entries(options_.include, options_.allow_devices);
  }

  Image image_;
  Options options_;
  ImageTree tree_;
  std::vector<Layer> layers_;
  std::unique_ptr<format::EntryStream> below_;  // What is beneath the next layer.
  std::vector<std::string> warnings_;
  std::uint64_t members_seen_ = 0;
  std::uint64_t bytes_seen_ = 0;
};

}  // namespace lamina::origin::images
