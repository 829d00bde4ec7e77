#include "sim/report/result_csv.hpp"

#include <charconv>

#include "shared/base/csv.hpp"
#include "sim/report/figures.hpp"

namespace lamina::sim {
namespace {

// One line, field by field.
class Line {
 public:
  explicit Line(std::ostream& out) : out_(out) {}
  ~Line() { out_ << '\n'; }
  Line(const Line&) = delete;
  Line& operator=(const Line&) = delete;

  Line& text(std::string_view text) {
    if (!std::exchange(is_first_, false)) out_ << ',';
    out_ << csv_field(text);
    return *this;
  }
  Line& number(std::int64_t number) { return text(std::to_string(number)); }
  Line& bytes(Bytes bytes) { return number(bytes.count); }
  // To a thousandth, without zeros at the end.
  Line& real(double number) {
    char text[40];
    const auto [end, error] =
        std::to_chars(text, text + sizeof text, number, std::chars_format::fixed, 3);
    std::string_view digits(text, static_cast<std::size_t>(end - text));
    while (digits.ends_with('0')) digits.remove_suffix(1);
    if (digits.ends_with('.')) digits.remove_suffix(1);
    return this->text(digits);
  }
  Line& seconds(std::optional<Duration> time) {
    return time ? real(std::chrono::duration<double>(*time).count()) : text("");
  }
  Line& seconds(std::optional<Instant> at) {
    return seconds(at ? std::optional(at->time_since_epoch()) : std::nullopt);
  }

 private:
  std::ostream& out_;
  bool is_first_ = true;
};

}  // namespace

void write_waves_csv(std::ostream& out, const RunResult& result) {
  out << "wave,devices,done,failed,unfinished,began_s,ended_s,p50_s,p95_s,p99_s,p95_lowest_s,"
         "p95_median_s,p95_highest_s,replicas_reaching_p95,replicas\n";
  for (std::size_t i = 0; i < result.waves.size(); ++i) {
    const WaveResult& wave = result.waves[i];
    const auto p95 = spread_of_wave(result, i).p95;
    Line(out)
        .text(wave.name)
        .number(wave.devices)
        .number(wave.done)
        .number(wave.failed)
        .number(wave.devices - wave.done - wave.failed)
        .seconds(wave.began)
        .seconds(wave.ended)
        .seconds(wave.completion.p50)
        .seconds(wave.completion.p95)
        .seconds(wave.completion.p99)
        .seconds(p95.lowest)
        .seconds(p95.median)
        .seconds(p95.highest)
        .number(static_cast<std::int64_t>(p95.reached))
        .number(static_cast<std::int64_t>(p95.replicas));
  }
}

void write_sites_csv(std::ostream& out, const Scenario& scenario, const RunResult& result) {
  {
    Line header(out);
    for (const char* name : {"site", "region", "devices", "done", "finished_s"}) header.text(name);
    for (std::size_t i = 0; i < kSources; ++i)
      header.text("bytes " + std::string(name_of(static_cast<Source>(i))));
    for (const char* name : {"uploaded bytes", "upload left bytes", "busiest hour",
                             "bytes of busiest hour", "line down saturated_s"})
      header.text(name);
    for (std::size_t i = 0; i < kLimits; ++i)
      header.text("waiting share " + std::string(name_of(static_cast<Limit>(i))));
  }
  for (Index i = 0; i < result.sites.size(); ++i) {
    const Site& site = scenario.sites[i];
    const SiteResult& of = result.sites[i];
    const LineResult& down = line_of_site(result, i, Direction::down);
    const auto busiest = busiest_hour(down);
    Line line(out);
    line.text(site.name)
        .text(site.region ? scenario.regions[*site.region].name : "")
        .number(of.devices)
        .number(of.done)
        .seconds(of.finished);
    for (const Bytes bytes : of.bytes) line.bytes(bytes);
    line.bytes(of.uploaded).bytes(of.upload_left);
    line.text(busiest ? std::to_string(busiest->hour) : "")
        .text(busiest ? std::to_string(busiest->bytes.count) : "")
        .seconds(std::optional(down.saturated));
    for (const double share : shares_of(of.waiting)) line.real(share);
  }
}

void write_lines_csv(std::ostream& out, const Scenario& scenario, const RunResult& result) {
  {
    Line header(out);
    for (const char* name : {"line", "kind", "direction", "bits_per_s", "saturated_s"})
      header.text(name);
    const std::size_t hours = result.lines.empty() ? 0 : result.lines.front().hours.size();
    for (std::size_t hour = 0; hour < hours; ++hour)
      header.text("bytes of hour " + std::to_string(hour));
  }
  for (const LineResult& of : result.lines) {
    Line line(out);
    line.text(name_of_line(of, scenario))
        .text(name_of(of.kind))
        .text(name_of(of.direction))
        .number(of.rate.bits_per_second)
        .seconds(std::optional(of.saturated));
    for (const Bytes bytes : of.hours) line.bytes(bytes);
  }
}

}  // namespace lamina::sim
