// A layer's record for tests, signed as a publisher signs it.
#pragma once

#include "shared/format/record.hpp"

namespace lamina::tests {

// For one platform, of revision 1; what a test is about it changes before it signs.
inline format::LayerRecord layer_record(const std::string& name, const std::string& version,
                                        const format::ManifestRef& manifest) {
  return {.name = name,
          .version = version,
          .revision = 1,
          .platform = {"linux", "debian", "12", "x86_64"},
          .manifest = manifest};
}

inline Buffer signed_layer(const format::LayerRecord& record, const PrivateKey& signer) {
  return format::sign_record(format::RecordType::layer, format::encode(record), signer);
}

}  // namespace lamina::tests
