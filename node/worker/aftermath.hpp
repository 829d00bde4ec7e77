// Aftermath: what is left to do, or to tell, once an apply or a revert counts. Kept beside the
// applied stack until the next one, so that a kill forgets nothing of it. Plain values.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "shared/format/record.hpp"
#include "shared/wire/node.hpp"

namespace lamina::node {

// What a layer of the stack needs of the running system.
struct LayerNeeds {
  std::string layer;  // "NAME VERSION"
  format::RunningNeeds needs;
  bool operator==(const LayerNeeds&) const = default;
};
void encode_needs(const LayerNeeds& needs, Writer& out);
LayerNeeds decode_needs(Reader& in);

// A script that has to run, or how it ended.
struct DueScript {
  std::string layer;           // "NAME VERSION"
  format::LayerScript script;  // Without its text once it ended.
  std::optional<wire::ScriptEnd> end = std::nullopt;
  std::uint8_t starts = 0;  // More than one: a kill came in between.
  bool operator==(const DueScript&) const = default;
};

// How the scripts ended that followed an apply before the last one.
struct EarlierEnds {
  std::uint64_t sequence = 0;  // Of the target that was applied.
  std::vector<wire::ScriptEnd> ends;
  bool operator==(const EarlierEnds&) const = default;
};

struct Aftermath {
  std::uint64_t sequence = 0;  // Of the target that was applied.
  std::vector<DueScript> scripts = {};
  bool is_told = false;  // The origin knows how they ended.
  // What the origin does not know yet; the oldest first, at most wire::kScriptEndsMax ends in all.
  std::vector<EarlierEnds> earlier = {};
  std::vector<std::string> restart = {};  // The layers because of which to restart the device...
  std::string boot = {};                  // ...while this start of it lasts.
  bool operator==(const Aftermath&) const = default;

  // Takes over what the origin does not know of `last`, which this one comes after. Returns how
  // many ends had to be dropped, the oldest applies' first, because more wait than is kept.
  std::size_t take_untold(const Aftermath& last);
  // The origin knows how the scripts ended that followed the apply of this target. Whether that is
  // news.
  bool tell(std::uint64_t sequence_told);

  bool is_nothing() const { return scripts.empty() && earlier.empty() && restart.empty(); }
  bool is_restart_due(std::string_view boot_now) const {
    return !restart.empty() && boot == boot_now;
  }
};
Buffer encode(const Aftermath& aftermath);
Result<Aftermath> parse_aftermath(ByteView bytes);
// What it takes at most: every layer of a stack with all of its scripts.
constexpr std::size_t kAftermathMax = format::kStackMax * (format::kScriptsBytesMax + (64 << 10));

// Names this start of the machine: another one after every restart. Empty where it cannot be read.
std::string boot_id();

}  // namespace lamina::node
