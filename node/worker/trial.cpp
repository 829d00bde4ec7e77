#include "node/worker/trial.hpp"

#include "shared/codec/reader.hpp"
#include "shared/codec/writer.hpp"

namespace lamina::node {
namespace {

constexpr std::string_view kMagic = "LMtr0001";
constexpr std::size_t kTroubleMax = 4096;

}  // namespace

Buffer encode(const Trial& trial) {
  Writer out;
  out.raw(as_view(kMagic));
  out.u8(static_cast<std::uint8_t>(trial.stage));
  out.u8(trial.is_revert ? 1 : 0);
  out.u64(trial.sequence);
  out.u8(trial.starts);
  out.text(trial.trouble.substr(0, kTroubleMax));
  return out.take();
}

Result<Trial> parse_trial(ByteView bytes) {
  Reader in(bytes);
  const bool magic = as_text(in.raw(kMagic.size())) == kMagic;
  Trial trial;
  const std::uint8_t stage = in.u8();
  trial.stage = static_cast<Trial::Stage>(stage);
  trial.is_revert = in.u8() == 1;
  trial.sequence = in.u64();
  trial.starts = in.u8();
  trial.trouble = in.text(kTroubleMax);
  if (!magic || !in.finished() || stage < 1 || stage > 4)
    return fail(ErrorKind::corrupt,
                "the record of a start from a new stack (.lamina/trial) is damaged: remove it");
  return trial;
}

}  // namespace lamina::node
