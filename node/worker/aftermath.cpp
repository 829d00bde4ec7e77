#include "node/worker/aftermath.hpp"

#include <algorithm>

#include "shared/os/file.hpp"

namespace lamina::node {
namespace {

constexpr std::string_view kMagic = "LMaf0001";
constexpr std::size_t kLayerMax = 2 * format::kNameMax + 1;
constexpr std::size_t kServiceMax = 255;
constexpr std::size_t kTroubleMax = 1024;

void encode_end(const wire::ScriptEnd& end, Writer& out) {
  out.varint(static_cast<std::uint64_t>(end.code));
  out.u8(end.late.value_or(false) ? 1 : 0);
  out.u8(end.trouble ? 1 : 0);
  out.text(end.trouble.value_or(""));
  out.text(end.output);
}

wire::ScriptEnd decode_end(std::string layer, std::string name, Reader& in) {
  wire::ScriptEnd end{.layer = std::move(layer), .name = std::move(name)};
  end.code = static_cast<int>(in.varint(255));
  if (in.u8() == 1) end.late = true;
  const bool has_trouble = in.u8() == 1;
  std::string trouble = in.text(kTroubleMax);
  if (has_trouble) end.trouble = std::move(trouble);
  end.output = in.text(wire::kScriptOutputMax);
  return end;
}

void encode_script(const DueScript& due, Writer& out) {
  out.text(due.layer);
  out.text(due.script.name);
  out.varint(due.script.limit);
  out.text(due.script.text);
  out.u8(due.starts);
  out.u8(due.end ? 1 : 0);
  if (due.end) encode_end(*due.end, out);
}

DueScript decode_script(Reader& in) {
  DueScript due;
  due.layer = in.text(kLayerMax);
  due.script.name = in.text(format::kNameMax);
  due.script.limit = static_cast<std::uint32_t>(in.varint(format::kScriptLimitMax));
  due.script.text = in.text(format::kScriptBytesMax);
  due.starts = in.u8();
  if (in.u8() == 1) due.end = decode_end(due.layer, due.script.name, in);
  return due;
}

void encode_earlier(const EarlierEnds& earlier, Writer& out) {
  out.u64(earlier.sequence);
  out.varint(earlier.ends.size());
  for (const wire::ScriptEnd& end : earlier.ends) {
    out.text(end.layer);
    out.text(end.name);
    encode_end(end, out);
  }
}

EarlierEnds decode_earlier(Reader& in) {
  EarlierEnds earlier{.sequence = in.u64(), .ends = {}};
  const std::uint64_t ends = in.count(7);
  for (std::uint64_t i = 0; i < ends && !in.failed(); ++i) {
    std::string layer = in.text(kLayerMax);
    std::string name = in.text(format::kNameMax);
    earlier.ends.push_back(decode_end(std::move(layer), std::move(name), in));
  }
  return earlier;
}

}  // namespace

void encode_needs(const LayerNeeds& needs, Writer& out) {
  out.text(needs.layer);
  out.varint(needs.needs.services.size());
  for (const std::string& service : needs.needs.services) out.text(service);
  out.u8(needs.needs.restart ? 1 : 0);
}

LayerNeeds decode_needs(Reader& in) {
  LayerNeeds needs;
  needs.layer = in.text(kLayerMax);
  const std::uint64_t count = in.count(2);
  for (std::uint64_t i = 0; i < count && !in.failed(); ++i)
    needs.needs.services.push_back(in.text(kServiceMax));
  needs.needs.restart = in.u8() == 1;
  return needs;
}

std::size_t Aftermath::take_untold(const Aftermath& last) {
  earlier = last.earlier;
  if (!last.is_told && !last.scripts.empty()) {
    EarlierEnds& ended = earlier.emplace_back(EarlierEnds{.sequence = last.sequence, .ends = {}});
    for (const DueScript& due : last.scripts) {
      ended.ends.push_back(
          due.end.value_or(wire::ScriptEnd{.layer = due.layer, .name = due.script.name}));
      if (!due.end) ended.ends.back().trouble = "it had not run when the next change came";
    }
  }
  std::size_t kept = 0, dropped = 0;
  for (const EarlierEnds& ended : earlier) kept += ended.ends.size();
  while (kept > wire::kScriptEndsMax) {
    std::vector<wire::ScriptEnd>& oldest = earlier.front().ends;
    const std::size_t over = std::min(kept - wire::kScriptEndsMax, oldest.size());
    oldest.erase(oldest.begin(), oldest.begin() + static_cast<std::ptrdiff_t>(over));
    if (oldest.empty()) earlier.erase(earlier.begin());
    kept -= over;
    dropped += over;
  }
  return dropped;
}

bool Aftermath::tell(std::uint64_t sequence_told) {
  const bool is_news = sequence == sequence_told && !scripts.empty() && !is_told;
  if (is_news) is_told = true;
  return std::erase_if(earlier, [&](const auto& e) { return e.sequence == sequence_told; }) > 0 ||
         is_news;
}

Buffer encode(const Aftermath& aftermath) {
  Writer out;
  out.raw(as_view(kMagic));
  out.u64(aftermath.sequence);
  out.varint(aftermath.scripts.size());
  for (const DueScript& due : aftermath.scripts) encode_script(due, out);
  out.u8(aftermath.is_told ? 1 : 0);
  out.varint(aftermath.restart.size());
  for (const std::string& layer : aftermath.restart) out.text(layer);
  out.text(aftermath.boot);
  // Only where there are any: files of nodes that kept none are read as they are.
  if (aftermath.earlier.empty()) return out.take();
  out.varint(aftermath.earlier.size());
  for (const EarlierEnds& earlier : aftermath.earlier) encode_earlier(earlier, out);
  return out.take();
}

Result<Aftermath> parse_aftermath(ByteView bytes) {
  Reader in(bytes);
  const bool magic = as_text(in.raw(kMagic.size())) == kMagic;
  Aftermath aftermath;
  aftermath.sequence = in.u64();
  const std::uint64_t scripts = in.count(6);
  for (std::uint64_t i = 0; i < scripts && !in.failed(); ++i)
    aftermath.scripts.push_back(decode_script(in));
  aftermath.is_told = in.u8() == 1;
  const std::uint64_t restart = in.count(1);
  for (std::uint64_t i = 0; i < restart && !in.failed(); ++i)
    aftermath.restart.push_back(in.text(kLayerMax));
  aftermath.boot = in.text(64);
  const std::uint64_t earlier = in.remaining() > 0 ? in.count(9) : 0;
  for (std::uint64_t i = 0; i < earlier && !in.failed(); ++i)
    aftermath.earlier.push_back(decode_earlier(in));
  if (!magic || !in.finished())
    return fail(ErrorKind::corrupt,
                "the list of what follows an apply (.lamina/after) is damaged: remove it");
  return aftermath;
}

std::string boot_id() {
  auto text = os::read_text("/proc/sys/kernel/random/boot_id", 64);
  if (!text) return {};
  while (!text->empty() && text->back() == '\n') text->pop_back();
  return *text;
}

}  // namespace lamina::node
