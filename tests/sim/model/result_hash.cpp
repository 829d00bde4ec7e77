#include "sim/engine/random.hpp"
#include "tests/sim/model/small_scenario.hpp"

namespace lamina::sim::testing {
namespace {

struct Hash {
  std::uint64_t value = 0;
  void add(std::uint64_t bits) { value = mix(value ^ bits); }
  void add(std::int64_t number) { add(static_cast<std::uint64_t>(number)); }
  void add(Bytes bytes) { add(bytes.count); }
  void add(Instant instant) { add(std::int64_t{instant.time_since_epoch().count()}); }
  void add(Duration duration) { add(std::int64_t{duration.count()}); }
  template <class Value>
  void add(const std::optional<Value>& value_or_none) {
    add(std::int64_t{value_or_none.has_value()});
    if (value_or_none) add(*value_or_none);
  }
  void add(const Percentiles& of) {
    add(of.p50);
    add(of.p95);
    add(of.p99);
  }
  void add(const Totals& totals) {
    add(totals.origin);
    add(totals.wan_down);
    add(totals.wan_up);
    add(totals.peak.bits_per_second);
    add(totals.devices);
    add(totals.done);
    add(totals.finished);
  }
};

}  // namespace

std::uint64_t hash_of(const RunResult& result) {
  Hash hash;
  for (const WaveResult& wave : result.waves) {
    hash.add(wave.devices);
    hash.add(wave.done);
    hash.add(wave.failed);
    hash.add(wave.began);
    hash.add(wave.ended);
    hash.add(wave.completion);
    for (const CurvePoint& point : wave.curve) {
      hash.add(point.at);
      hash.add(point.done);
    }
  }
  for (const SiteResult& site : result.sites) {
    hash.add(site.devices);
    hash.add(site.done);
    hash.add(site.finished);
    for (const Bytes bytes : site.bytes) hash.add(bytes);
    hash.add(site.uploaded);
    hash.add(site.upload_left);
    for (const std::int64_t waited : site.waiting) hash.add(waited);
  }
  for (const LineResult& line : result.lines) {
    hash.add(static_cast<std::int64_t>(line.kind));
    hash.add(std::int64_t{line.index});
    hash.add(line.rate.bits_per_second);
    for (const Bytes bytes : line.hours) hash.add(bytes);
    hash.add(line.saturated);
  }
  hash.add(result.totals);
  hash.add(result.direct);
  for (const Replica& replica : result.replicas) {
    hash.add(replica.seed);
    hash.add(replica.totals);
    for (const Replica::Wave& wave : replica.waves) {
      hash.add(wave.done);
      hash.add(wave.began);
      hash.add(wave.completion);
    }
  }
  return hash.value;
}

}  // namespace lamina::sim::testing
