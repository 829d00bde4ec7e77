#include "sim/scenario/load.hpp"

#include <catch2/catch.hpp>

#include "sim/scenario/calibration.hpp"
#include "tests/sim/scenario/files.hpp"

using namespace lamina;
using namespace lamina::sim;
using namespace std::chrono_literals;

namespace {

// All findings of files that are wrong; a good scenario gives "good".
std::string said(const Files& files, const std::vector<Override>& overrides = {}) {
  const auto loaded = files.load(overrides);
  return loaded ? "good\n" : loaded.error().text();
}

Scenario good(const Files& files, const std::vector<Override>& overrides = {}) {
  auto loaded = files.load(overrides);
  INFO((loaded ? "" : loaded.error().text()));
  REQUIRE(loaded);
  return std::move(*loaded);
}

// A change of a sound file, and what is said of it.
struct Case {
  const char* from;
  const char* to;
  const char* said;
};

}  // namespace

TEST_CASE("scenario: everything that stands in the files is read", "[scenario]") {
  const Scenario s = good({});
  CHECK(s.name == "Office update");
  CHECK(s.run == Run{.seed = 7,
                     .replicas = 3,
                     .duration = 36h,
                     .start = {1'772'470'800'000'000'000},
                     .utc_offset = 1h});
  CHECK(s.origin == Origin{BitRate{1'000'000'000}, BitRate{1'000'000'000}});

  // Parents come first, whatever the order in the file.
  REQUIRE(s.regions.size() == 2);
  CHECK(s.regions[0] == Region{.name = "land", .seeder = BitRate{2'000'000'000}});
  CHECK(s.regions[1] == Region{.name = "east", .parent = 0, .down = BitRate{500'000'000}});

  REQUIRE(s.loads.size() == 1);
  CHECK(s.loads[0].down[7] == 0.05);
  CHECK(s.loads[0].down[8] == 0.6);
  CHECK(s.loads[0].down[17] == 0.6);
  CHECK(s.loads[0].down[18] == 0.05);
  CHECK(s.loads[0].down[5 * 24 + 12] == 0.05);  // Saturday.
  CHECK(s.loads[0].up == s.loads[0].down);

  REQUIRE(s.presences.size() == 2);
  CHECK(s.presences[0] == Presence{.name = "always"});
  CHECK(s.presences[1] ==
        Presence{.name = "day", .windows = {{0x1f, 480, 1050}}, .spread = 30min, .absent = 0.1});

  CHECK(s.content.parts ==
        std::vector<Part>{{"common", {300'000'000}}, {"for 12.8", {1'200'000'000}}});
  CHECK(s.content.versions == std::vector<Version>{{"12.9", 0b01}, {"12.8", 0b11}});

  REQUIRE(s.mixes.size() == 1);
  REQUIRE(s.mixes[0].kinds.size() == 4);
  CHECK(s.mixes[0].kinds[1] == DeviceKind{0.6 * 0.7, 0, 1, Access::by_site});

  REQUIRE(s.sites.size() == 3);
  CHECK(s.sites[0] == Site{.name = "berlin-1",
                           .region = 1,
                           .utc_offset = 1h,
                           .devices = 40,
                           .wan_down = BitRate{20'000'000},
                           .wan_up = BitRate{2'000'000},
                           .rtt = 40ms,
                           .load = 0,
                           .lan = BitRate{1'000'000'000},
                           .wireless_share = 0.3,
                           .wireless = BitRate{200'000'000}});
  CHECK_FALSE(s.sites[1].load);
  CHECK_FALSE(s.sites[2].region);
  CHECK(s.sites[2].utc_offset == Duration(0));
  CHECK(devices_of(s) == 125);

  CHECK(s.rollout.mode == Mode::reflector);
  REQUIRE(s.rollout.admission);
  CHECK(s.rollout.admission->sites_max == 50);
  REQUIRE(s.rollout.waves.size() == 2);
  CHECK(s.rollout.waves[0] == Wave{.name = "pilot", .members = {{0, 10}, {1, 10}}});
  CHECK(s.rollout.waves[1] == Wave{.name = "all",
                                   .members = {{0, 100}, {1, 100}, {2, 100}},
                                   .start = 4h,
                                   .gates = {.success_percent = 80, .soak = 30min}});

  CHECK(s.tcp == Tcp{.congestion = Congestion::bbr});
  CHECK(s.uploads == Uploads{.per_day = {50'000'000}});
  CHECK(s.deaths == std::vector<ReflectorDeaths>{{0.05, Instant{10h}}});
  CHECK(s.input_hash.size() == 64);
}

TEST_CASE("scenario: the hash is of every file and override", "[scenario]") {
  const std::string hash = good({}).input_hash;
  CHECK(good({}).input_hash == hash);
  CHECK(good(Files().change("Office", "Home")).input_hash != hash);
  CHECK(good(Files().change_sites("berlin-1,40", "berlin-1,41")).input_hash != hash);
  CHECK(good({}, {{"origin.uplink", "2Gbit"}}).input_hash != hash);
  CHECK(good({}, {{"site.rtt", "1ms"}}).input_hash != hash);
  CHECK(good({}, {{"site.cap", "8Mbit"}}).input_hash !=
        good({}, {{"site.cap", "9Mbit"}}).input_hash);
}

TEST_CASE("scenario: a small file is enough", "[scenario]") {
  Files files;
  files.toml = R"(name = "small"
sites = "sites.csv"
[run]
start = 2026-03-02T18:00:00Z
[origin]
uplink = "1Gbit"
[[content.version]]
name = "12.9"
fetch = "400MB"
[rollout]
[[rollout.wave]]
name = "all"
)";
  files.others["sites.csv"] = "site,devices,wan_down\nnorth,10,20Mbit\n";
  const Scenario s = good(files);
  CHECK(s.presences == std::vector<Presence>{{.name = "always"}});
  CHECK(s.mixes == std::vector<Mix>{{"all", {DeviceKind{}}}});
  CHECK(s.sites[0].wan_up == s.sites[0].wan_down);
  CHECK(s.rollout.admission->sites_max == policy::Admission::Limits().sites_max);
}

TEST_CASE("scenario: mixes, devices.csv and rules", "[scenario]") {
  Files files;
  files.change("sites = \"sites.csv\"",
               "sites = \"sites.csv\"\ndevices = \"devices.csv\"\nrules = \"rules.csv\"");
  files.toml += R"(
[[mix]]
name = "shop"
versions = { "12.9" = 1.0 }

[[mix]]
name = "lab"
kinds = [{ share = "50%", version = "12.8", presence = "day", access = "wireless" },
         { share = "50%", version = "12.9", presence = "always" }]
)";
  files.change("rtt = \"40ms\"", "rtt = \"40ms\"\nmix = \"lab\"");
  files.change_sites("lisbon,25", "lisbon,");
  files.others["devices.csv"] =
      "site,devices,version,access\nlisbon,3,12.8,wired\nlisbon,5,12.9,\nlisbon,2,12.8,wired\n";
  files.others["rules.csv"] = "berlin-1 is no subnet,,1,1,08:00,18:00,*\n";
  CHECK(said(files) ==
        "rules.csv: line 1: field 'subnet': 'berlin-1 is no subnet' is no subnet like "
        "10.1.4.0/24\n");
  files.others["rules.csv"] = ",berlin-1,250,125,08:00,18:00,mon-fri\n";

  const Scenario s = good(files);
  REQUIRE(s.mixes.size() == 3);
  REQUIRE(s.mixes[0].kinds.size() == 2);
  CHECK(s.mixes[0].kinds[1] == DeviceKind{0.7, 0, 1, Access::by_site});
  REQUIRE(s.mixes[1].kinds.size() == 2);
  CHECK(s.mixes[1].kinds[0] == DeviceKind{0.5, 1, 1, Access::wireless});
  CHECK(s.sites[0].mix == 1);
  CHECK(s.sites[2].mix == 2);
  CHECK(s.sites[2].devices == 10);
  CHECK(s.mixes[2] == Mix{"lisbon", {{5, 1, 0, Access::wired}, {5, 0, 0, Access::by_site}}});
  REQUIRE(s.rules.size() == 1);
  CHECK(s.rules[0].download_kb == 250);
}

TEST_CASE("scenario: a wave takes shares of single sites, and assumptions are kept", "[scenario]") {
  Files files;
  files.change("sites = \"sites.csv\"",
               "sites = \"sites.csv\"\nassumptions = [\"no rain\", \"a\\tb\"]");
  files.change("sites = [\"berlin*\"]",
               "sites = [\"berlin*\"]\nshares = [{ site = \"berlin-2\", percent = 50 }, "
               "{ site = \"lisbon\", percent = 4 }]");
  const Scenario s = good(files);
  CHECK(s.rollout.waves[0].members == std::vector<Wave::Member>{{0, 10}, {1, 50}, {2, 4}});
  CHECK(s.assumptions == std::vector<std::string>{"no rain", "a\\x09b"});
  files.change("sites = [\"berlin*\"]\n", "");
  CHECK(good(files).rollout.waves[0].members == std::vector<Wave::Member>{{1, 50}, {2, 4}});
}

TEST_CASE("scenario: overrides of sites count for all of them", "[scenario]") {
  const Scenario s = good(
      {}, {{"site.wan_down", "8Mbit"}, {"site.reflectors", "0"}, {"rollout.wave.all.start", "6h"}});
  for (const Site& site : s.sites) {
    CHECK(site.wan_down == BitRate{8'000'000});
    CHECK(site.reflectors == 0);
  }
  CHECK(s.rollout.waves[1].start == Duration(6h));

  const Scenario capped = good({}, {{"site.cap", "8Mbit"}});
  CHECK(policy::limits_at(capped.rules, "lisbon", "", 0).download == BitRate{8'000'000});

  CHECK(said({}, {{"site.wan_dwn", "8Mbit"}, {"site.rtt", "far"}, {"site.cap", "0"}}) ==
        "--set site.cap: '0' has no unit: it is one of bit/s, kbit/s, kbit, Mbit/s, Mbit, Gbit/s, "
        "Gbit, KB/s, MB/s\n"
        "--set site.wan_dwn: sites have no value 'wan_dwn' that all could share; is it "
        "'wan_down'?\n"
        "--set site.rtt: 'far' is not a quantity like '30 s'\n");
}

TEST_CASE("scenario: what is wrong in the file is told with its place and a way out",
          "[scenario]") {
  const auto [from, to, expected] = GENERATE(values<Case>({
      {"uplink =", "uplnk =",
       "scenario.toml:10:1: origin: 'uplink' is missing\n"
       "scenario.toml:11:1: origin: unknown key 'uplnk'; is it 'uplink'?\n"},
      {"\"1Gbit\"", "\"0Gbit\"",
       "scenario.toml:11:10: origin: uplink: '0Gbit' is too little: at least 1000bit/s\n"},
      {"\"1Gbit\"", "nan",
       "scenario.toml:11:10: origin: uplink: 'nan' is not a quantity like '20 Mbit/s'\n"},
      {"\"1Gbit\"", "[\"1Gbit\"]",
       "scenario.toml:11:10: origin: uplink: a list stands where one value belongs\n"},
      {"[origin]\n", "[[origin]]\n",
       "scenario.toml:10:1: origin: a list stands where a table belongs\n"},
      {"duration = \"36h\"", "duration = \"-36h\"",
       "scenario.toml:6:12: run: duration: '-36h' is negative: it cannot be\n"},
      {"duration = \"36h\"", "duration = \"99d\"",
       "scenario.toml:6:12: run: duration: '99d' is too much: at most 744h\n"},
      {"T18:00:00+01:00", "T18:00:00",
       "scenario.toml:5:9: run: start: a date with its distance from UTC is needed, from 1970 to "
       "2200, in whole minutes and without quotes: 2026-03-02T18:00:00+01:00\n"},
      {"replicas = 3", "replicas = 0",
       "scenario.toml:8:12: run: replicas: '0' is too little: at least 1\n"},
      {"name = \"land\"", "name = \"land\"\nparent = \"east\"",
       "scenario.toml:19:10: region 'east': the regions lie in a circle: 'east' in 'land' in "
       "'east': take one 'parent' away\n"
       "scenario.toml:24:10: region 'land': the regions lie in a circle: 'land' in 'east' in "
       "'land': take one 'parent' away\n"},
      {"name = \"land\"", "name = \"land\"\nparent = \"land\"",
       "scenario.toml:19:10: region 'east': its parent 'land' lies in a region itself: there are "
       "two levels at most\n"
       "scenario.toml:24:10: region 'land': the regions lie in a circle: 'land' in 'land': take "
       "one "
       "'parent' away\n"},
      {"parent = \"land\"", "parent = \"lnd\"",
       "scenario.toml:19:10: region 1: parent: there is no region 'lnd'; is it 'land'?\n"},
      {"name = \"land\"", "name = \"east\"",
       "scenario.toml:19:10: region 1: parent: there is no region 'land'; known are east\n"
       "scenario.toml:23:8: region 2: the name 'east' is there already\n"},
      {"share = \"60%\" }]", "share = \"160%\" }]",
       "scenario.toml:28:87: load 1: down 2: share: '160%' is too much: at most 1\n"},
      {"start = \"08:00\", end = \"18:00\", share", "start = \"08:30\", end = \"18:00\", share",
       "scenario.toml:28:27: load 1: down 2: start and end are whole hours, such as 08:00\n"},
      {"[{ share = \"5%\" }, { days = \"mon-fri\", start = \"08:00\", end = \"18:00\", share = "
       "\"60%\" }]",
       "[{ share = 1 }]",
       "scenario.toml:26:1: load 1: it leaves nothing of the line in any hour: nobody would ever "
       "finish\n"},
      {"share = \"30%\"", "share = \"20%\"",
       "scenario.toml:30:1: the shares of all presences add up to 90%: make them 100%\n"},
      {"share = \"30%\"\n", "",
       "scenario.toml:30:1: some of all presences have a share and some have none: give each its "
       "own\n"},
      {"end = \"17:30\"", "end = \"08:00\"",
       "scenario.toml:34:1: presence 2: it ends when it starts; the whole day is 00:00 to 24:00\n"},
      {"absent = \"10%\"", "absent = 1.0",
       "scenario.toml:41:10: presence 2: absent: '1' is too much: at most 0.99\n"},
      {"absent = \"10%\"", "reboot_every = \"1h\"\nreboot_takes = \"2h\"",
       "scenario.toml:34:1: presence 2: a reboot takes longer than the time between two of them\n"},
      {"size = \"300MB\"", "size = \"0MB\"",
       "scenario.toml:45:8: content: part 1: size: '0MB' is too little: at least 1B\n"},
      {"parts = [\"common\"]\n\n", "parts = [\"comon\"]\n\n",
       "scenario.toml:50:10: content: version 1: parts: there is no part 'comon'; is it "
       "'common'?\n"},
      {"parts = [\"common\"]\n\n", "\n",
       "scenario.toml:47:1: content: version 1: it says neither 'parts' nor 'fetch': how much does "
       "it fetch?\n"},
      {"mode = \"reflector\"", "mode = \"reflectr\"",
       "scenario.toml:59:8: rollout: mode: 'reflectr' is unknown here; is it 'reflector'?\n"},
      {"sites_at_once = 50", "sites_at_once = 0",
       "scenario.toml:60:17: rollout: sites_at_once: neither \"all\" nor a number of sites: '0' is "
       "too little: at least 1\n"},
      {"sites = [\"berlin*\"]", "sites = [\"berlin*\", \"lsbon\", \"x*\"]",
       "scenario.toml:64:21: wave 1: sites: there is no site 'lsbon'; is it 'lisbon'?\n"
       "scenario.toml:64:30: wave 1: sites: 'x*' fits no site's name\n"},
      {"percent = 10", "shares = [{ site = \"lsbon\", percent = 0 }]",
       "scenario.toml:65:11: wave 1: shares: there is no site 'lsbon'; is it 'lisbon'?\n"
       "scenario.toml:65:39: a share: percent: '0' is too little: at least 1\n"},
      {"percent = 10", "shares = [{ percent = 5 }]",
       "scenario.toml:65:11: a share: 'site' is missing\n"},
      {"sites = \"sites.csv\"", "sites = \"sites.csv\"\nassumptions = [\"a\", [1]]",
       "scenario.toml:3:21: assumptions: a list is no text\n"},
      {"percent = 10", "percent = 101",
       "scenario.toml:65:11: wave 1: percent: '101' is too much: at most 100\n"},
      {"start = \"22:00\"\nsuccess", "start = \"37h\"\nsuccess",
       "scenario.toml:69:9: wave 2: it begins after the end of the run: make run.duration "
       "longer\n"},
      {"percent = 10", "percent = 10\nstart = \"5h\"",
       "scenario.toml:70:9: wave 2: it starts before the wave in front of it; a time of the day is "
       "the first one of the run: write \"26h\" for the next day's\n"},
      {"start = \"22:00\"\nsuccess", "sites = [\"berlin-1\"]\npercent = 5\nsuccess",
       "scenario.toml:67:1: wave 2: all its devices are in earlier waves already: 'percent' counts "
       "from the first device of a site, so that 10 and then 50 make half of it\n"},
      {"name = \"all\"", "name = \"\"",
       "scenario.toml:68:8: wave 2: a name is 1 to 64 printable characters, without blanks at its "
       "ends\n"},
      {"\"bbr\"", "\"bbr2\"",
       "scenario.toml:74:14: tcp: congestion: 'bbr2' is unknown here; is it 'bbr'?\n"},
      {"per_day = \"50MB\"", "per_day = \"50MB\"\nstart = \"18:00\"\nend = \"08:00\"",
       "scenario.toml:76:1: uploads: 'end' is not after 'start': uploads become due within one "
       "day\n"},
      {"at = \"04:00\"", "at = \"4am\"",
       "scenario.toml:81:6: reflector_deaths 1: at: '4am' is neither a time of the day like 22:00 "
       "nor a time since the start of the run like 90m\n"},
      {"at = \"04:00\"", "at = \"40h\"",
       "scenario.toml:79:1: reflector_deaths 1: it happens after the end of the run\n"},
      {"sites = \"sites.csv\"", "sites = \"site.csv\"",
       "scenario.toml:2:9: sites: site.csv: no such file\n"},
      {"[tcp]", "[tpc]", "scenario.toml:73:2: unknown key 'tpc'; is it 'tcp'?\n"},
      {"seed = 7", "seed = 7\nseed = 8",
       "scenario.toml:8:8: Error while parsing key-value pair: cannot redefine existing integer "
       "'seed'\n"},
  }));
  CAPTURE(from, to);
  CHECK(said(Files().change(from, to)) == expected);
}

TEST_CASE("scenario: what is wrong in the table of sites is told with line and column",
          "[scenario]") {
  const auto [from, to, expected] = GENERATE(values<Case>({
      {"berlin-1,40", "berlin-1,0",
       "sites.csv:2:10: devices: a site without devices: leave its line out\n"},
      {"berlin-1,40", "berlin-1,",
       "sites.csv:2: site 'berlin-1' has no devices: give their number in the column 'devices'\n"},
      {"berlin-1,40", "berlin-1,-40", "sites.csv:2:10: devices: '-40' is too little: at least 1\n"},
      {"berlin-1,40", "berlin-1,1000000000",
       "sites.csv:2:10: devices: '1000000000' is too much: at most 5000000\n"},
      {"berlin-1,40", "berlin-1,5000000",
       "sites.csv: all sites together have more than 5000000 devices: split the scenario, by "
       "region "
       "perhaps\n"},
      {"berlin-1,40", "berlin-2,40", "sites.csv:3: site 'berlin-2' is there already\n"},
      {"berlin-1,40", ",40", "sites.csv:2: the line has no site's name\n"},
      {"berlin-1,40", "berlin 1,40",
       "sites.csv:2:1: site: 'berlin 1' is no name of a site: 1 to 64 letters, digits and ._+-~\n"},
      {"20Mbit", "20Mbps",
       "sites.csv:2:25: wan_down: '20Mbps' has none of the units bit/s, kbit/s, kbit, Mbit/s, "
       "Mbit, Gbit/s, Gbit, KB/s, MB/s\n"},
      {",east,+01:00,20", ",est,+01:00,20",
       "sites.csv:2:13: region: there is no region 'est'; is it 'east'?\n"},
      {"+01:00,20", "CET,20",
       "sites.csv:2:18: utc: 'CET' is no distance from UTC like +01:00 (from -14:00 to +14:00) or "
       "Z\n"},
      {"30%", "nan", "sites.csv:2:39: wireless_share: 'nan' is no number like 0.05 or 5%\n"},
      {"wan_down", "wan_dwn", "sites.csv:1:25: unknown column 'wan_dwn'; is it 'wan_down'?\n"},
      {"wan_down", "devices", "sites.csv:1:25: column 'devices' is there twice\n"},
      {"office,30%", "office", "sites.csv:2: the line has 6 fields, the header 7\n"},
      {"office,30%", "\"office,30%", "sites.csv:2:32: a quote is not closed\n"},
  }));
  CAPTURE(from, to);
  CHECK(said(Files().change_sites(from, to)) == expected);
}

TEST_CASE("scenario: empty and foreign tables", "[scenario]") {
  Files files;
  files.others["sites.csv"] = "";
  CHECK(said(files).find("sites.csv: the table is empty\n") != std::string::npos);
  files.others["sites.csv"] = "site,devices,wan_down\n";
  CHECK(said(files).find("sites.csv: the table has no sites\n") != std::string::npos);
  files.others["sites.csv"] = "site;devices;wan_down\nnorth;10;20Mbit\n";
  CHECK(said(files).find("sites.csv:1:1: the columns are separated by ';': save the table with "
                         "commas\n") != std::string::npos);
  files.others["sites.csv"] = std::string("\xff\xfes\0i\0t\0e\0", 10);
  CHECK(said(files).find("sites.csv: it is written in UTF-16: save it as CSV in UTF-8\n") !=
        std::string::npos);
}

TEST_CASE("scenario: another table's columns are one finding", "[scenario]") {
  Files files;
  files.others["sites.csv"] = "site,presence,colour,wan_dwn\nberlin-1,1,2,3\n";
  const std::string text = said(files);
  CHECK(text.starts_with(
      "sites.csv:1:6: unknown columns 'presence', 'colour'; known are site, devices, region,"));
  CHECK(text.find("sites.csv:1:22: unknown column 'wan_dwn'; is it 'wan_down'?\n") !=
        std::string::npos);
  CHECK(text.find("known are") == text.rfind("known are"));
  std::string columns = "site";
  for (int i = 0; i < 12; ++i) columns += ",qqqqqqqqqqq" + std::to_string(i);
  files.others["sites.csv"] = columns + '\n';
  CHECK(said(files).find("'qqqqqqqqqqq7' and 4 more; known are site,") != std::string::npos);
}

TEST_CASE("scenario: what needs the sites' names is not looked at without them", "[scenario]") {
  Files files;
  files.others["sites.csv"] = "devices,wan_down\n10,20Mbit\n";
  CHECK(said(files) == "sites.csv:1: the column 'site' is missing\n");
}

TEST_CASE("scenario: devices.csv that contradicts sites.csv", "[scenario]") {
  Files files;
  files.change("sites = \"sites.csv\"", "sites = \"sites.csv\"\ndevices = \"devices.csv\"");
  files.others["devices.csv"] = "site,devices,version\nberlin-1,30,12.9\n";
  CHECK(
      said(files) ==
      "devices.csv:2: site 'berlin-1' has 30 devices here and 40 in sites.csv:2: leave one out\n");
  files.others["devices.csv"] = "site,devices,version\nberlin-1,,12.9\n";
  CHECK(said(files) == "devices.csv:2: site and devices are needed in every line\n");
  files.others["devices.csv"] = "site,version\nberlin-1,12.9\n";
  CHECK(said(files) == "devices.csv:1: the column 'devices' is missing\n");
  files.others["devices.csv"] = "site;devices\nberlin-1;12\n";
  CHECK(said(files) ==
        "devices.csv:1:1: the columns are separated by ';': save the table with commas\n");
  files.others["devices.csv"] = "site,devices,version\nberlin-1,40,12.7\nhamburg,1,12.9\n";
  CHECK(
      said(files) ==
      "devices.csv:2:13: version: there is no version '12.7'; is it '12.8'?\n"
      "devices.csv:3:1: site: there is no site 'hamburg'; known are berlin-1, berlin-2, lisbon\n");
}

TEST_CASE("scenario: a hundred thousand wrong lines are a page of findings", "[scenario]") {
  Files files;
  std::string& sites = files.others["sites.csv"];
  for (int i = 0; i < 100'000; ++i) sites += "s,1,,,1Mbit,,\n";
  const auto loaded = files.load();
  REQUIRE_FALSE(loaded);
  CHECK(loaded.error().list().size() == Findings::kMax);
  CHECK(loaded.error().left_out() > 90'000);
}

TEST_CASE("scenario: a calibration gives what the scenario does not say itself", "[scenario]") {
  const Calibration calibration{
      .goodput = Factor{0.941, 0.94, 0.942, 3},
      .unevenness = Factor{0.4, 0.3, 0.5, 2},
      .start_takes = Factor{0.8504, 0.8, 0.9, 3},
      .rules_take = Factor{2.5, 2.5, 2.5, 1},
      .takeover = Factor{5.25, 5, 5.5, 2},
      .efficiency = {{10, 64, {0.3, 0.29, 0.31, 2}}, {20, 64, {0.25, 0.25, 0.25, 1}}}};
  Files files;
  files.others["found.toml"] = "# From some runs.\n" + to_toml(calibration);
  files.change("name = \"Office", "calibration = \"found.toml\"\nname = \"Office");
  const std::string hash = good({}).input_hash;

  const Scenario taken = good(files);
  CHECK(taken.tcp.goodput == Approx(0.941));
  CHECK(taken.tcp.unevenness == 0.4);
  CHECK(taken.rollout.start_takes == 850ms);
  CHECK(taken.rollout.rules_take == 2500ms);
  CHECK(taken.deaths[0].takeover == 5250ms);
  CHECK(taken.swarm.efficiency == std::vector<Efficiency>{{10, 64, 0.3}, {20, 64, 0.25}});
  CHECK(taken.input_hash != hash);

  const Scenario own =
      good(files, {{"tcp.goodput", "0.9"},
                   {"rollout.start_takes", "2s"},
                   {"rollout.rules_take", "1s"},
                   {"reflector_deaths.1.takeover", "9s"},
                   {"swarm.efficiency", "[{ peers = 2, pieces = 1, eta = 0.7 }]"}});
  CHECK(own.tcp.goodput == 0.9);
  CHECK(own.rollout.start_takes == 2s);
  CHECK(own.rollout.rules_take == 1s);
  CHECK(own.deaths[0].takeover == 9s);
  CHECK(own.swarm.efficiency == std::vector<Efficiency>{{2, 1, 0.7}});
}

TEST_CASE("scenario: a calibration that is wrong is named with its place", "[scenario]") {
  const std::string sound =
      to_toml({.goodput = Factor{0.9, 0.9, 0.9, 1}, .efficiency = {{10, 64, {0.3, 0.3, 0.3, 2}}}});
  const Case cases[] = {
      {"lamina-sim-calibration", "shopping list", "found.toml: it is no calibration"},
      {"version = 1", "version = 2", "it is no calibration of this version"},
      {"goodput", "godput", "found.toml:3:1: unknown key 'godput'; is it 'goodput'?"},
      {"mean = 0.9", "mean = 9", "goodput: mean"},
      {", runs = 1 ", " ", "goodput: 'runs' is missing"},
      {"peers = 10, ", "", "efficiency 1: 'peers' is missing"},
  };
  for (const Case& one : cases) {
    Files files;
    std::string text = sound;
    const auto at = text.find(one.from);
    REQUIRE(at != text.npos);
    files.others["found.toml"] = text.replace(at, std::string(one.from).size(), one.to);
    files.change("name = \"Office", "calibration = \"found.toml\"\nname = \"Office");
    INFO(said(files));
    CHECK(said(files).find(one.said) != std::string::npos);
  }
}
