#include "node/worker/aftermath.hpp"

#include "shared/os/file.hpp"

namespace lamina::node {
namespace {

constexpr std::string_view kMagic = "LMaf0001";
constexpr std::size_t kLayerMax = 2 * format::kNameMax + 1;
constexpr std::size_t kServiceMax = 255;
constexpr std::size_t kTroubleMax = 1024;

void encode_script(const DueScript& due, Writer& out) {
  out.text(due.layer);
  out.text(due.script.name);
  out.varint(due.script.limit);
  out.text(due.script.text);
  out.u8(due.starts);
  out.u8(due.end ? 1 : 0);
  if (!due.end) return;
  out.varint(static_cast<std::uint64_t>(due.end->code));
  out.u8(due.end->late.value_or(false) ? 1 : 0);
  out.u8(due.end->trouble ? 1 : 0);
  out.text(due.end->trouble.value_or(""));
  out.text(due.end->output);
}

DueScript decode_script(Reader& in) {
  DueScript due;
  due.layer = in.text(kLayerMax);
  due.script.name = in.text(format::kNameMax);
  due.script.limit = static_cast<std::uint32_t>(in.varint(format::kScriptLimitMax));
  due.script.text = in.text(format::kScriptBytesMax);
  due.starts = in.u8();
  if (in.u8() == 0) return due;
  wire::ScriptEnd end{.layer = due.layer, .name = due.script.name};
  end.code = static_cast<int>(in.varint(255));
  if (in.u8() == 1) end.late = true;
  const bool has_trouble = in.u8() == 1;
  std::string trouble = in.text(kTroubleMax);
  if (has_trouble) end.trouble = std::move(trouble);
  end.output = in.text(wire::kScriptOutputMax);
  due.end = std::move(end);
  return due;
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
