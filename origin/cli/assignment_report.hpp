// What an assignment would do, device by device, from what the origin knows: `assign --dry-run`.
//
// Compared are the stack that a device says it has applied and the one that it would get; what its
// user changed since is not known here. Devices with the same two stacks are compared once.
#pragma once

#include <functional>
#include <map>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "shared/format/record.hpp"
#include "shared/image/layer_conflicts.hpp"
#include "shared/image/protection.hpp"
#include "shared/wire/admin.hpp"

namespace lamina::origin::cli {

struct Session;

// What an apply of one stack over another does to the machine's area of a device.
struct StackChange {
  std::uint64_t adds = 0;
  std::uint64_t replaces = 0;
  std::uint64_t metadata = 0;  // Of what keeps its content.
  std::uint64_t removes = 0;
  Bytes to_write;  // Of files that are added or replaced.
  bool operator==(const StackChange&) const = default;
};

enum class PathChange { adds, replaces, metadata, removes };
std::string_view name_of(PathChange change);
using OnPath = std::function<void(PathChange, const std::string& path)>;

// `before` and `after` are layers, base first, and `chunks` gives theirs; `protection` is the
// device's.
Result<StackChange> compare_stacks(std::vector<format::LayerRecord> before,
                                   std::vector<format::LayerRecord> after,
                                   const format::ChunkSource& chunks,
                                   const image::Protection& protection, const OnPath& on_path);

// The same of layers that the origin has, by their names.
Result<StackChange> compare_stacks(Session& session, const std::vector<std::string>& before,
                                   const std::vector<std::string>& after,
                                   const image::Protection& protection, const OnPath& on_path);

// What the volume must have free, as the device's worker checks it.
Bytes space_for(const StackChange& change);

// How a layer comes to devices.
using LayerPacks = std::vector<format::DistributedPack>;

// The packs of the layers `wanted` that a device with all of `held` lacks, in bytes. What it would
// not need beside a layer that it has does not count.
Bytes to_download(const std::map<LayerId, LayerPacks>& wanted,
                  const std::map<LayerId, LayerPacks>& held);

// The layers of an origin, and how they come to devices, each asked for once.
class KnownLayers {
 public:
  // `session` outlives the object.
  static Result<KnownLayers> open(Session& session);
  const wire::LayerList& list() const { return list_; }
  // By NAME:VERSION; null when there is none.
  const wire::LayerInfo* find(const std::string& name) const;
  // Lives as long as the object.
  Result<const LayerPacks*> packs_of(const wire::LayerInfo& layer);

 private:
  KnownLayers(Session& session, wire::LayerList list)
      : session_(&session), list_(std::move(list)) {}
  Session* session_;
  wire::LayerList list_;
  std::map<LayerId, LayerPacks> packs_;
};

// What a device with the layers `before` fetches to have `after`; NAME:VERSION or ids.
Result<Bytes> download_between(Session& session, const std::vector<std::string>& before,
                               const std::vector<std::string>& after);

// What an administrator should know before; nothing of it keeps the assignment from being made.
// `download` and `base` are of the stack that the device would get.
std::vector<std::string> warnings_for(const wire::DeviceInfo& device, Bytes download,
                                      const wire::LayerInfo* base, WallTime now);

struct ReportRequest {
  wire::AssignmentRequest assignment;
  bool paths = false;  // Name every path.
};

// Where the origin takes it.
std::string assignment_path(const wire::AssignmentRequest& request);

// Asks the origin whether it would take the assignment (its answer is the same as to the real one),
// and prints what becomes of each device, with the conflicts of the new stacks.
Status report_assignment(Session& session, const ReportRequest& request);

// "etc/issue: mail:1 hides what web:1 has"; of a conflict of layers with these names.
std::string text_of(const image::LayerConflict& conflict, const std::vector<std::string>& names);

}  // namespace lamina::origin::cli
