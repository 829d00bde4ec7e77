// Stack: layers as the one tree that they add up to on a device.
//
// What layers hold of a file's records is merged here into whole files, and names decide about ids:
// a system account that has another id on the device, or would share it with another name, gets the
// device's, and so do the files of all layers that its name owns. The merged files' chunks are in
// no pack: source() gives them too. One thread at a time; source() may be called by another one
// when the entries were read.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "shared/format/content.hpp"
#include "shared/format/record.hpp"
#include "shared/image/records/accounts.hpp"

namespace lamina::image {

class Stack {
 public:
  // `layers` base first. `chunks` gives every chunk of their manifests, and those of their files
  // that are merged by record. `invalid` when a layer's manifest or record changes are broken,
  // naming it.
  static Result<std::unique_ptr<Stack>> open(std::vector<format::LayerRecord> layers,
                                             format::ChunkSource chunks, const Accounts& device);

  // The merged entries, with no whiteouts and no record changes. Call once; the object must outlive
  // the stream.
  Result<std::unique_ptr<format::EntryStream>> entries();
  // Whether any layer puts something other than a removal at `path`.
  Result<bool> has(const std::string& path) const;
  // Of the chunks of all entries. The object must outlive it.
  format::ChunkSource source() const { return made_.source(chunks_); }
  // Names that do not get the ids that their layers say.
  const std::vector<IdClash>& clashes() const { return ids_.clashes; }

 private:
  class Merged;

  Stack(std::vector<format::LayerRecord> layers, format::ChunkSource chunks)
      : layers_(std::move(layers)), chunks_(std::move(chunks)) {}

  Status settle(const Accounts& device);
  Result<std::unique_ptr<format::ManifestReader>> open_manifest(std::size_t layer) const;
  Result<RecordList> records_of(std::size_t layer, const format::Entry& entry) const;

  std::vector<format::LayerRecord> layers_;
  format::ChunkSource chunks_;
  std::vector<Accounts> accounts_;  // Of each layer, with the ids of this device.
  AccountIds ids_;
  format::MadeContent made_;
};

// What a layer says of the records of a file that has a record rule: all of them, or its changes.
// `invalid` names the file when its changes are broken.
Result<RecordList> records_of(const format::Entry& entry, const format::ChunkSource& chunks);

// The account files of a device, read by path ("" where there is none).
Result<Accounts> read_accounts(const std::function<Result<std::string>(const std::string&)>& read);

// "user postgres has id 105 here, not 101, which avahi has": of a clash, for reports.
std::string text_of(const IdClash& clash);

}  // namespace lamina::image
