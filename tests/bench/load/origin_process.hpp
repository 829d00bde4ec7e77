// OriginProcess: a real `lamina-origin serve` on loopback with a data directory of its own, and
// what the kernel says about it. Owned by one thread; another one drains the program's log.
#pragma once

#include <sys/types.h>

#include <memory>
#include <string>

#include "shared/base/result.hpp"
#include "shared/base/units.hpp"

namespace lamina::bench {

class OriginProcess {
 public:
  // `lamina-origin init` in `directory` (which does not exist yet), then `serve` on a free port.
  // `options` are added to `serve`. `unavailable` says what it wrote instead of serving.
  static Result<std::unique_ptr<OriginProcess>> start(const std::string& program,
                                                      const std::string& directory,
                                                      const std::vector<std::string>& options);
  ~OriginProcess();  // Ends it.

  std::uint16_t port() const { return port_; }
  const std::string& ca_pem() const { return ca_pem_; }
  const std::string& admin_token() const { return admin_token_; }

  struct Sample {
    Duration cpu{};  // User and system time of all threads.
    Bytes resident;
    Bytes resident_peak;
    Bytes catalog;  // Of the catalogue's pages that are in use, not of its map.
    std::uint64_t log_bytes = 0;
    int descriptors = 0;
  };
  // `unavailable` when the process is gone.
  Result<Sample> sample() const;
  pid_t id() const { return child_; }

 private:
  OriginProcess() = default;
  struct Log;

  std::string directory_;
  pid_t child_ = -1;
  std::shared_ptr<Log> log_;
  std::uint16_t port_ = 0;
  std::string ca_pem_;
  std::string admin_token_;
};

}  // namespace lamina::bench
