// What a fleet costs its origin: a real `lamina-origin serve` on loopback, thousands of simulated
// devices over kept mutual-TLS connections, and the kernel's own figures about the process.
// usage: load_bench --help
#include <sys/resource.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <deque>
#include <iostream>
#include <nlohmann/json.hpp>

#include "shared/cli/exit_code.hpp"
#include "shared/cli/table.hpp"
#include "shared/net/certificates.hpp"
#include "shared/net/https_client.hpp"
#include "shared/os/file.hpp"
#include "shared/wire/admin.hpp"
#include "shared/wire/enrol.hpp"
#include "shared/wire/protocol.hpp"
#include "tests/bench/load/devices.hpp"
#include "tests/bench/load/origin_process.hpp"

using namespace lamina;
using namespace lamina::bench;
using namespace std::chrono_literals;

namespace {

struct Options {
  std::size_t devices = 2000;
  std::size_t sites = 200;
  int seconds = 60;
  int transfer_seconds = 20;
  int handshake_seconds = 10;
  double cpu_max = 0;
  std::string origin;
  bool json = false;
};

// Beside the devices' connections: the program's files, its log, and the handshakes' own.
constexpr std::size_t kDescriptorsBeside = 100;
constexpr std::size_t kEnrolAtOnce = 8;
constexpr std::size_t kHandshakesAtOnce = 16;
// One address a branch, as behind its router; the origin bounds the connections of an address.
constexpr std::uint32_t kFirstSource = 0x7f010001;      // 127.1.0.1
constexpr std::uint32_t kHandshakeSource = 0x7f640001;  // 127.100.0.1

double seconds_of(Duration time) { return std::chrono::duration<double>(time).count(); }

// The q-th quantile, 0 when there is nothing.
double quantile(std::vector<double> values, double q) {
  if (values.empty()) return 0;
  const auto at =
      values.begin() + static_cast<std::ptrdiff_t>(q * static_cast<double>(values.size() - 1));
  std::nth_element(values.begin(), at, values.end());
  return *at;
}

std::string number(double value, int digits = 1) {
  std::ostringstream text;
  text << std::fixed << std::setprecision(digits) << value;
  return text.str();
}

struct Identity {
  std::string site;
  std::string certificate_pem;
  std::string key_pem;
};

class Bench {
 public:
  Bench(Options options, OriginProcess& origin, Fleet& fleet)
      : options_(std::move(options)), origin_(origin), fleet_(fleet), devices_(fleet) {}

  Status run() {
    out_["devices"] = options_.devices;
    out_["sites"] = options_.sites;
    if (auto done = make_sites(); !done) return done;
    if (auto done = enrol(); !done) return done;
    if (auto done = steady(); !done) return done;
    if (options_.transfer_seconds > 0)
      if (auto done = transfers(); !done) return done;
    devices_.stop();
    if (options_.handshake_seconds > 0)
      if (auto done = handshakes(); !done) return done;
    return leave();
  }

  void print(std::ostream& out) const {
    if (options_.json) {
      out << nlohmann::json{{"load", out_}}.dump(2) << '\n';
      return;
    }
    cli::write_table(out, rows_);
  }
  bool passed() const {
    return failures_ == 0 && (options_.cpu_max <= 0 || cpu_percent_ < options_.cpu_max);
  }

 private:
  // Kept for the end, and said at once: a large fleet takes minutes.
  void row(const std::string& what, const std::string& value) {
    std::cerr << "load_bench: " << what << ": " << value << '\n';
    rows_.push_back({what, value});
  }

  Result<std::string> admin(const std::string& path, std::string body) {
    net::Call call{.method = "POST", .target = path, .body = std::move(body)};
    call.headers.add("Authorization", "Bearer " + origin_.admin_token());
    call.content_type = std::string(wire::kJson);
    auto reply = net::check(admin_->send(std::move(call)));
    if (!reply) return fail(std::move(reply.error()));
    return std::move(reply->body);
  }

  std::string site_name(std::size_t site) const { return "site-" + std::to_string(site); }

  Status make_sites() {
    auto client = net::BlockingClient::create(
        {.host = "127.0.0.1", .port = origin_.port(), .ca_pem = origin_.ca_pem()});
    if (!client) return fail(std::move(client.error()));
    admin_ = std::move(*client);
    for (std::size_t site = 0; site < options_.sites; ++site) {
      auto made = admin("/v1/sites", wire::to_json(wire::SiteRequest{.name = site_name(site)}));
      if (!made) return fail(std::move(made.error()));
      const wire::TokenRequest request{.name = site_name(site),
                                       .kind = "enrol",
                                       .uses = static_cast<std::int64_t>(options_.devices),
                                       .ttl_ms = 24 * 3600 * 1000,
                                       .site = site_name(site)};
      auto token = admin("/v1/tokens", wire::to_json(request));
      if (!token) return fail(std::move(token.error()));
      auto reply = wire::parse_token_reply(*token);
      if (!reply) return fail(std::move(reply.error()));
      tokens_.push_back(reply->secret);
    }
    return Done{};
  }

  // Every device for real: its own key, POST /v1/enroll, the certificate that came back.
  Status enrol() {
    auto before = origin_.sample();
    if (!before) return fail(std::move(before.error()));
    const Instant begun = fleet_.now();
    std::size_t next = 0;
    std::size_t ended = 0;
    std::optional<Error> error;
    identities_.resize(options_.devices);
    std::function<void(std::size_t)> one = [&](std::size_t stranger) {
      if (next >= options_.devices || error) return;
      const std::size_t index = next++;
      const std::size_t site = index % options_.sites;
      auto made = net::make_key_and_request();
      if (!made) return void(error = std::move(made.error()));
      identities_[index] = {site_name(site), "", made->key_pem};
      const wire::EnrolRequest request{.token = tokens_[site],
                                       .csr_pem = made->csr_pem,
                                       .hardware_uuid = {},
                                       .host_name = "host-" + std::to_string(index),
                                       .node_version = LAMINA_VERSION,
                                       .attributes = {}};
      fleet_.send(stranger, http_request("POST", "/v1/enroll", wire::to_json(request)),
                  [&, index, stranger](const Reply& answer) {
                    ++ended;
                    auto reply = wire::parse_enrol_reply(answer.body);
                    if (answer.status == 201 && reply)
                      identities_[index].certificate_pem = reply->certificate_pem;
                    else
                      error = Error(ErrorKind::unavailable, "enrolling: " + answer.body);
                    one(stranger);
                  });
    };
    std::vector<std::size_t> strangers;
    for (std::size_t i = 0; i < kEnrolAtOnce; ++i) {
      auto stranger = fleet_.add(kHandshakeSource, "", "");
      if (!stranger) return fail(std::move(stranger.error()));
      strangers.push_back(*stranger);
      one(*stranger);
    }
    fleet_.run([&] { return error || ended == options_.devices; });
    for (const std::size_t stranger : strangers) fleet_.drop(stranger);
    if (error) return fail(std::move(*error));
    auto after = origin_.sample();
    if (!after) return fail(std::move(after.error()));
    const double took = seconds_of(fleet_.now() - begun);
    const double count = static_cast<double>(options_.devices);
    out_["enrolment"] = {{"seconds", took},
                         {"devices_per_second", count / took},
                         {"cpu_ms_each", seconds_of(after->cpu - before->cpu) * 1000 / count}};
    row("enrolled for real", std::to_string(options_.devices) + " in " + number(took) + " s");

    // At most 50 devices an address; more stand for a branch with several lines.
    std::map<std::string, std::pair<std::size_t, std::uint32_t>> places;
    std::uint32_t source = kFirstSource;
    for (const Identity& identity : identities_) {
      auto& [used, address] = places[identity.site];
      if (used++ % 50 == 0) address = source++;
      if (auto done =
              devices_.add(identity.site, address, identity.certificate_pem, identity.key_pem);
          !done)
        return done;
    }
    return Done{};
  }

  // Runs for `seconds` and says what the origin did meanwhile.
  Result<nlohmann::json> measure(const std::string& name, int seconds) {
    devices_.take_counts();
    auto before = origin_.sample();
    if (!before) return fail(std::move(before.error()));
    const Instant begun = fleet_.now();
    bool over = false;
    fleet_.at(begun + std::chrono::seconds{seconds}, [&] { over = true; });
    fleet_.run([&] { return over; });
    auto after = origin_.sample();
    if (!after) return fail(std::move(after.error()));
    const double took = seconds_of(fleet_.now() - begun);
    const Counts counts = devices_.take_counts();
    std::uint64_t failed = 0;
    for (const auto& [text, times] : counts.failures) failed += times;
    failures_ += failed;
    const double cpu = 100 * seconds_of(after->cpu - before->cpu) / took;
    const double calls = static_cast<double>(counts.polls() + counts.renew_ms.size());
    const double cpu_each = cpu / 100 * took * 1000 / std::max(1.0, calls);
    const double polls = static_cast<double>(counts.polls()) / took;
    nlohmann::json figures{
        {"seconds", took},
        {"cpu_percent", cpu},
        {"connections", fleet_.open()},
        {"cpu_ms_per_call", cpu_each},
        {"polls_per_second", polls},
        {"polls_per_second_wanted", devices_.polls_per_second()},
        {"poll_ms_p50", quantile(counts.at_once_ms, 0.5)},
        {"poll_ms_p99", quantile(counts.at_once_ms, 0.99)},
        {"waiting_polls_answered_by_news", counts.news},
        {"waiting_late_ms_p50", quantile(counts.late_ms, 0.5)},
        {"waiting_late_ms_p99", quantile(counts.late_ms, 0.99)},
        {"renewals_per_second", static_cast<double>(counts.renew_ms.size()) / took},
        {"renew_ms_p50", quantile(counts.renew_ms, 0.5)},
        {"renew_ms_p99", quantile(counts.renew_ms, 0.99)},
        {"resident_begin_bytes", before->resident.count},
        {"resident_end_bytes", after->resident.count},
        {"catalog_growth_bytes", after->catalog.count - before->catalog.count},
        {"log_bytes", after->log_bytes - before->log_bytes},
        {"failures", counts.failures}};
    out_[name] = figures;
    row(name + ": CPU of one core", number(cpu) + " %");
    row(name + ": CPU a call", number(cpu_each, 3) + " ms");
    row(name + ": polls/s; wanted", number(polls) + "; " + number(devices_.polls_per_second()));
    row(name + ": poll p50, p99", number(quantile(counts.at_once_ms, 0.5), 2) + ", " +
                                      number(quantile(counts.at_once_ms, 0.99), 2) + " ms");
    row(name + ": waiting polls late p50, p99", number(quantile(counts.late_ms, 0.5), 2) + ", " +
                                                    number(quantile(counts.late_ms, 0.99), 2) +
                                                    " ms");
    if (!counts.renew_ms.empty())
      row(name + ": renewals/s; p50, p99",
          number(static_cast<double>(counts.renew_ms.size()) / took) + "; " +
              number(quantile(counts.renew_ms, 0.5), 2) + ", " +
              number(quantile(counts.renew_ms, 0.99), 2) + " ms");
    row(name + ": resident begin, end",
        to_text(before->resident) + ", " + to_text(after->resident));
    row(name + ": catalogue, log growth",
        to_text(after->catalog - before->catalog) + ", " +
            to_text(Bytes{static_cast<std::int64_t>(after->log_bytes - before->log_bytes)}));
    if (failed > 0) row(name + ": FAILED CALLS", std::to_string(failed));
    return figures;
  }

  Status steady() {
    auto idle = origin_.sample();
    if (!idle) return fail(std::move(idle.error()));
    idle_descriptors_ = idle->descriptors;
    const Instant begun = fleet_.now();
    devices_.connect_all();
    auto connected = origin_.sample();
    if (!connected) return fail(std::move(connected.error()));
    const Counts counts = devices_.take_counts();
    for (const auto& [text, times] : counts.failures)
      return fail(ErrorKind::unavailable,
                  "connecting: " + std::to_string(times) + " times " + text);
    const double each = static_cast<double>((connected->resident - idle->resident).count) /
                        static_cast<double>(options_.devices);
    out_["connect"] = {{"seconds", seconds_of(fleet_.now() - begun)},
                       {"cpu_seconds", seconds_of(connected->cpu - idle->cpu)},
                       {"resident_before_bytes", idle->resident.count},
                       {"resident_bytes", connected->resident.count},
                       {"resident_bytes_each", each}};
    row("resident before the connections", to_text(idle->resident));
    row("resident a connection", to_text(Bytes{static_cast<std::int64_t>(each)}));
    auto figures = measure("steady", options_.seconds);
    if (!figures) return fail(std::move(figures.error()));
    cpu_percent_ = (*figures)["cpu_percent"];
    // Fewer: what was measured is an origin that does not keep up.
    // Not told in less than a device's period: the polls that wait are not back yet.
    if (options_.seconds >= 60 &&
        (*figures)["polls_per_second"] < 0.9 * devices_.polls_per_second())
      ++failures_;
    return Done{};
  }

  Status transfers() {
    devices_.start_transfers();
    // Every reflector polls within 5 s and is granted its site's lease.
    const Instant begun = fleet_.now();
    const Instant latest = begun + 30s;
    auto before = origin_.sample();
    if (!before) return fail(std::move(before.error()));
    fleet_.at(latest, [] {});
    fleet_.run([&] { return devices_.holders() == options_.sites || fleet_.now() >= latest; });
    if (devices_.holders() != options_.sites)
      return fail(ErrorKind::unavailable, "only " + std::to_string(devices_.holders()) +
                                              " sites have a lease holder after 30 s");
    auto after = origin_.sample();
    if (!after) return fail(std::move(after.error()));
    const Counts counts = devices_.take_counts();
    const double took = seconds_of(fleet_.now() - begun);
    const double cpu = seconds_of(after->cpu - before->cpu);
    for (const auto& [text, times] : counts.failures) failures_ += times;
    out_["leases"] = {{"seconds", took},
                      {"cpu_seconds", cpu},
                      {"grants", counts.granted_ms.size()},
                      {"granted_ms_p50", quantile(counts.granted_ms, 0.5)},
                      {"granted_ms_p99", quantile(counts.granted_ms, 0.99)},
                      {"polls", counts.polls()},
                      {"poll_ms_p50", quantile(counts.at_once_ms, 0.5)},
                      {"poll_ms_p99", quantile(counts.at_once_ms, 0.99)},
                      {"failures", counts.failures}};
    row("every site has a lease after; CPU", number(took) + " s; " + number(cpu) + " s");
    row("lease wanted to held p50, p99", number(quantile(counts.granted_ms, 0.5), 0) + ", " +
                                             number(quantile(counts.granted_ms, 0.99), 0) + " ms");
    auto figures = measure("transfer", options_.transfer_seconds);
    if (!figures) return fail(std::move(figures.error()));
    return Done{};
  }

  // Connect, handshake, one GET, close, as often as it goes. Returns handshakes and resumed ones.
  Status handshakes_with(const std::string& name, Fleet::Resume resume) {
    const std::vector<std::size_t>& callers = handshakers_;
    auto before = origin_.sample();
    if (!before) return fail(std::move(before.error()));
    const Instant begun = fleet_.now();
    const Instant end = begun + std::chrono::seconds{options_.handshake_seconds};
    std::vector<double> times;
    std::size_t resumed = 0;
    std::size_t busy = 0;
    std::optional<std::string> error;
    std::deque<std::size_t> free(callers.begin(), callers.end());
    std::function<void()> one = [&] {
      if (fleet_.now() >= end || error) return;
      const std::size_t caller = free.front();
      free.pop_front();
      ++busy;
      fleet_.send(
          caller, http_request("GET", "/health"),
          [&, caller](const Reply& answer) {
            --busy;
            if (answer.status == 200)
              times.push_back(std::chrono::duration<double, std::milli>(answer.handshake).count());
            else
              error = answer.status == 0 ? answer.body : std::to_string(answer.status);
            resumed += answer.resumed;
            fleet_.drop(caller);
            free.push_back(caller);
            one();
          },
          resume);
    };
    for (std::size_t i = 0; i < kHandshakesAtOnce; ++i) one();
    fleet_.run([&] { return busy == 0; });
    if (error) return fail(ErrorKind::unavailable, "handshakes: " + *error);
    auto after = origin_.sample();
    if (!after) return fail(std::move(after.error()));
    const double took = seconds_of(fleet_.now() - begun);
    const double count = static_cast<double>(times.size());
    const double cpu = seconds_of(after->cpu - before->cpu);
    out_[name] = {{"per_second", count / took},
                  {"per_cpu_second", count / cpu},
                  {"resumed", resumed},
                  {"ms_p50", quantile(times, 0.5)},
                  {"ms_p99", quantile(times, 0.99)}};
    row(name + "/s; a CPU second", number(count / took, 0) + "; " + number(count / cpu, 0));
    return Done{};
  }

  Status handshakes() {
    // Apart from the devices' own connections, with the identities of some of them.
    for (std::size_t i = 0; i < 8 * kHandshakesAtOnce; ++i) {
      const Identity& identity = identities_[i % identities_.size()];
      auto caller = fleet_.add(kHandshakeSource + 1 + static_cast<std::uint32_t>(i % 64),
                               identity.certificate_pem, identity.key_pem);
      if (!caller) return fail(std::move(caller.error()));
      handshakers_.push_back(*caller);
    }
    if (auto done = handshakes_with("full_handshakes", Fleet::Resume::no); !done) return done;
    out_["sessions_offered"] = fleet_.sessions_offered();
    if (fleet_.sessions_offered() == 0) {
      row("resumed_handshakes/s", "the origin offers no session resumption");
      return Done{};
    }
    return handshakes_with("resumed_handshakes", Fleet::Resume::yes);
  }

  Status leave() {
    devices_.drop_all();
    const Instant latest = fleet_.now() + 15s;
    bool gone = false;
    std::function<void()> look = [&] {
      const auto sample = origin_.sample();
      gone = !sample || sample->descriptors <= idle_descriptors_ || fleet_.now() >= latest;
      if (!gone) fleet_.at(fleet_.now() + 100ms, look);
    };
    look();
    fleet_.run([&] { return gone; });
    auto after = origin_.sample();
    if (!after) return fail(std::move(after.error()));
    out_["resident_after_bytes"] = after->resident.count;
    out_["resident_peak_bytes"] = after->resident_peak.count;
    out_["descriptors_left"] = after->descriptors - idle_descriptors_;
    row("resident after all left; peak",
        to_text(after->resident) + "; " + to_text(after->resident_peak));
    return Done{};
  }

  Options options_;
  OriginProcess& origin_;
  Fleet& fleet_;
  Devices devices_;
  std::unique_ptr<net::BlockingClient> admin_;
  std::vector<std::string> tokens_;
  std::vector<Identity> identities_;
  std::vector<std::size_t> handshakers_;
  int idle_descriptors_ = 0;
  double cpu_percent_ = 0;
  std::uint64_t failures_ = 0;
  nlohmann::json out_;
  cli::Rows rows_{{"what", "figure"}};
};

// As many descriptors as this user may have; the devices are cut to what fits, which is said.
void fit_descriptors(Options& options) {
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  rlimit wanted{std::max<rlim_t>(limit.rlim_max, options.devices + 2 * kDescriptorsBeside),
                std::max<rlim_t>(limit.rlim_max, options.devices + 2 * kDescriptorsBeside)};
  if (::setrlimit(RLIMIT_NOFILE, &wanted) != 0) {
    wanted = {limit.rlim_max, limit.rlim_max};
    ::setrlimit(RLIMIT_NOFILE, &wanted);
  }
  const std::size_t most = static_cast<std::size_t>(wanted.rlim_cur) - kDescriptorsBeside;
  if (options.devices <= most) return;
  std::cerr << "load_bench: a process may open " << wanted.rlim_cur
            << " files here (ulimit -Hn), so " << options.devices << " devices do not fit: " << most
            << " are simulated\n";
  options.devices = most;
}

Status run(const Options& options, bool& passed) {
  auto directory = os::TemporaryDirectory::make(os::temporary_root(), "lamina-load-");
  if (!directory) return fail(std::move(directory.error()));
  auto origin = OriginProcess::start(options.origin, directory->path() + "/origin", {});
  if (!origin) return fail(std::move(origin.error()));
  auto fleet = Fleet::make((*origin)->ca_pem(), (*origin)->port());
  if (!fleet) return fail(std::move(fleet.error()));
  Bench bench(options, **origin, **fleet);
  auto done = bench.run();
  bench.print(std::cout);
  passed = bench.passed();
  return done;
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  CLI::App app{"What a fleet of simulated devices costs a real lamina-origin serve on loopback"};
  app.footer("Example:\n  ./dev bench load --devices 2000 --sites 200");
  app.add_option("--devices", options.devices, "simulated devices")->check(CLI::PositiveNumber);
  app.add_option("--sites", options.sites, "sites; the first device of each is its reflector")
      ->check(CLI::PositiveNumber);
  app.add_option("--seconds", options.seconds, "of polling that is measured")
      ->check(CLI::Range(1, 86400));
  app.add_option("--transfer-seconds", options.transfer_seconds,
                 "of renewals each second beside it; 0: leave out");
  app.add_option("--handshake-seconds", options.handshake_seconds,
                 "of connect, handshake, one GET, close; 0: leave out");
  app.add_option("--cpu-max", options.cpu_max,
                 "fail when polling takes this many percent of a core, or a call fails");
  app.add_option("--origin", options.origin, "another lamina-origin program");
  app.add_flag("--json", options.json, "print {\"load\": {...}} instead of a table");
  app.option_defaults()->always_capture_default();
  CLI11_PARSE(app, argc, argv);
  options.sites = std::min(options.sites, options.devices);
  if (options.origin.empty())
    options.origin =
        (std::filesystem::canonical("/proc/self/exe").parent_path() / "../../origin/lamina-origin")
            .lexically_normal();
  fit_descriptors(options);
  bool passed = false;
  const auto done = run(options, passed);
  if (!done) {
    std::cerr << "load_bench: " << done.error().text() << '\n';
    return cli::exit_code_of(done.error().kind());
  }
  return passed ? cli::ok : cli::failed;
}
