#include "shared/update/programs.hpp"

#include "shared/os/gzip.hpp"

namespace lamina::update {

delta::Programs machine_programs() {
  return {.gzip = os::gzip, .gzip_version = os::gzip_version().value_or("")};
}

}  // namespace lamina::update
