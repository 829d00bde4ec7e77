#include "shared/format/envelope.hpp"

#include "shared/format/record.hpp"

namespace lamina::format {

Result<PublicKey> claimed_signer(ByteView envelope) {
  Reader in(envelope);
  const bool magic = as_text(in.raw(4)) == "LMsg";
  in.raw(4);  // Type, version and features: open_record() judges them.
  in.bytes(kRecordMax);
  const auto signer = in.id<PublicKey>();
  in.raw(64);  // The signature.
  if (!in.finished() || !magic) return fail(ErrorKind::corrupt, "not a signed record");
  return signer;
}

}  // namespace lamina::format
