// Monitor: what an operator's monitoring asks of the origin. It counts what passes the API, and
// gathers the figures of catalogue and sites when it is asked.
//
// Loop thread only. No socket and no clock: the caller tells the time.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>

#include "origin/sites/sites.hpp"
#include "shared/metrics/exposition.hpp"
#include "shared/wire/node.hpp"

namespace lamina::origin {

class Monitor {
 public:
  struct Options {
    std::map<std::string, WallTime> certificates;   // The origin's own: when each ends.
    std::function<Result<wire::DiskSpace>()> disk;  // Of the data directory.
    const Seeders* seeders = nullptr;               // Those elsewhere. Outlives this.
    // Collections of garbage since the start; none: nobody collects here.
    struct Garbage {
      std::int64_t collections = 0;
      std::int64_t failures = 0;
      Bytes freed;
      WallTime last;  // 0: none yet.
    };
    std::function<Garbage()> garbage = {};
    // The scrub of the packs; none: nobody scrubs here.
    struct Scrub {
      std::int64_t packs = 0;  // Since the start: looked at,
      std::int64_t set_aside = 0;
      std::int64_t mended = 0;
      std::int64_t rounds = 0;
      std::int64_t failures = 0;
      Bytes read;
      WallTime round_ended;  // The last one that came to its end; 0: none did.
      struct Lost {
        std::int64_t packs = 0;
        std::int64_t chunks = 0;
        Bytes bytes;
      };
      std::map<std::string, Lost> lost;  // By space: what is set aside and not back.
      std::int64_t wanted = 0;           // Packs that anybody may bring.
    };
    std::function<std::optional<Scrub>()> scrub = {};
  };

  // `catalog` and `sites` outlive this.
  Monitor(Catalog& catalog, const Sites& sites, Options options, WallTime started)
      : catalog_(catalog), sites_(sites), options_(std::move(options)), started_(started) {}

  // A request for `path` was answered with `status`.
  void answered(std::string_view path, int status);

  // All figures as text for Prometheus. `waiting`: polls that wait for news. Fails with the
  // catalogue's errors.
  Result<std::string> metrics(Moment moment, std::size_t waiting) const;

 private:
  Status add_catalogue(metrics::Exposition& out) const;
  Status add_seeders(metrics::Exposition& out, Moment moment) const;
  void add_sites(metrics::Exposition& out) const;
  void add_own(metrics::Exposition& out, WallTime now, std::size_t waiting) const;

  Catalog& catalog_;
  const Sites& sites_;
  Options options_;
  WallTime started_;
  std::map<metrics::Labels, metrics::Counter> requests_;
};

}  // namespace lamina::origin
