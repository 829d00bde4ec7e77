#include "shared/update/programs.hpp"

#include "shared/delta/container.hpp"
#include "shared/os/filter.hpp"

namespace lamina::update {
namespace {

// m: 256 MiB, which is as much as a container may hold, take 25 s at level 9.
constexpr const char* kSeconds = "60";

}  // namespace

delta::Programs machine_programs() {
  return {.gzip = [](ByteView plain, int level) {
    return os::run_filter({"timeout", kSeconds, "gzip", "-" + std::to_string(level), "-n"}, plain,
                          delta::kContainerMax);
  }};
}

}  // namespace lamina::update
