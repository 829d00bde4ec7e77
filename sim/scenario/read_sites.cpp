#include <algorithm>

#include "shared/base/bytes.hpp"
#include "shared/base/csv.hpp"
#include "sim/scenario/quantities.hpp"
#include "sim/scenario/sections.hpp"

namespace lamina::sim {
namespace {

using namespace std::chrono_literals;

// One column of a table: its name, and what it does with a cell.
template <class Row>
struct Column {
  const char* name;
  std::function<Status(Row&, const std::string&)> take;
};
template <class Row>
using Columns = std::vector<Column<Row>>;

template <class T, class Row, class Parse, class... Bounds>
auto into(T Row::*member, Parse parse, Bounds... bounds) {
  return [=](Row& row, const std::string& text) -> Status {
    auto parsed = parse(text, bounds...);
    if (!parsed) return fail(std::move(parsed.error()));
    row.*member = static_cast<T>(std::move(*parsed));
    return Done{};
  };
}
template <class T, class Row>
auto named(T Row::*member, const Names& names) {
  return into<T, Row>(member, [&names](const std::string& name) { return names.find(name); });
}

template <class Row>
const Column<Row>* column_of(const Columns<Row>& columns, std::string_view name) {
  const auto at = std::ranges::find(
      columns, name, [](const auto& column) { return std::string_view(column.name); });
  return at == columns.end() ? nullptr : &*at;
}

template <class Row>
std::vector<std::string_view> names_of(const Columns<Row>& columns) {
  std::vector<std::string_view> names;
  for (const auto& column : columns) names.emplace_back(column.name);
  return names;
}

// Reads a table with a header line row by row.
template <class Row>
class TableReader {
 public:
  TableReader(const Table& table, const Columns<Row>& columns, Findings& findings)
      : file_(table.file), columns_(columns), findings_(findings), lines_(table.text) {
    read_header(table.text);
    is_header_wrong_ = std::exchange(is_row_wrong_, false);
  }

  bool has(std::string_view name) const {
    return std::ranges::any_of(
        header_, [&](const auto* column) { return column != nullptr && column->name == name; });
  }
  Place place() const { return {file_, lines_.number(), 0}; }
  // Something of the row that next() read, or of the header, was noted.
  bool is_wrong() const { return is_header_wrong_ || is_row_wrong_; }

  // Fills the row's cells in; empty ones leave it as it is. False: there is no more.
  bool next(Row& row) {
    if (header_.empty() || !lines_.next()) return false;
    is_row_wrong_ = false;
    auto fields = split_csv_line(lines_.text());
    if (!fields) {
      wrong(fields.error().column, fields.error().text);
    } else if (fields->size() != header_.size()) {
      wrong(0, "the line has " + std::to_string(fields->size()) + " fields, the header " +
                   std::to_string(header_.size()));
    } else {
      for (std::size_t i = 0; i < fields->size(); ++i) take((*fields)[i], header_[i], row);
    }
    return true;
  }

 private:
  void read_header(std::string_view text) {
    if (CsvLines::is_utf16(text))
      return wrong(0, "it is written in UTF-16: save it as CSV in UTF-8");
    if (!lines_.next()) return findings_.add({file_, 0, 0}, "the table is empty");
    auto fields = split_csv_line(lines_.text());
    if (!fields) return wrong(fields.error().column, fields.error().text);
    if (fields->size() == 1 && lines_.text().find(';') != std::string_view::npos)
      return wrong(1, "the columns are separated by ';': save the table with commas");
    std::vector<CsvField> strange;  // Like no column: maybe this is another table.
    for (const CsvField& field : *fields) {
      const auto* column = column_of(columns_, field.text);
      if (column == nullptr && nearest(field.text, names_of(columns_)).empty()) {
        strange.push_back(field);
      } else if (column == nullptr) {
        wrong(field.column, "unknown column '" + printable(field.text, 60) + '\'' +
                                suggestion(field.text, names_of(columns_)));
      } else if (std::ranges::find(header_, column) != header_.end()) {
        wrong(field.column, "column '" + field.text + "' is there twice");
        column = nullptr;
      }
      header_.push_back(column);
    }
    if (!strange.empty()) note_strange(strange);
  }

  // In one finding: what is known is the same for all of them.
  void note_strange(const std::vector<CsvField>& fields) {
    constexpr std::size_t kShown = 8;
    std::string text = fields.size() == 1 ? "unknown column " : "unknown columns ";
    for (std::size_t i = 0; i < std::min(fields.size(), kShown); ++i)
      text += (i == 0 ? "'" : ", '") + printable(fields[i].text, 60) + '\'';
    if (fields.size() > kShown) text += " and " + std::to_string(fields.size() - kShown) + " more";
    wrong(fields.front().column, text + suggestion(fields.front().text, names_of(columns_)));
  }

  void take(const CsvField& field, const Column<Row>* column, Row& row) {
    if (column == nullptr || field.text.empty()) return;
    const Status taken = column->take(row, field.text);
    if (!taken) wrong(field.column, std::string(column->name) + ": " + taken.error().text());
  }

  void wrong(std::size_t column, std::string text) {
    is_row_wrong_ = true;
    findings_.add({file_, lines_.number(), column}, std::move(text));
  }

  std::string file_;
  const Columns<Row>& columns_;
  Findings& findings_;
  CsvLines lines_;
  std::vector<const Column<Row>*> header_;  // nullptr: of a column that does not count.
  bool is_header_wrong_ = false;
  bool is_row_wrong_ = false;
};

Status take_devices(Site& site, const std::string& text) {
  if (text == "0") return fail(ErrorKind::invalid, "a site without devices: leave its line out");
  return into(&Site::devices, parse_count, Range<std::int64_t>{1, kDevicesMax})(site, text);
}

Status take_site(Site& site, const std::string& text) {
  site.name = text;
  if (policy::is_site_name(text)) return Done{};
  return fail(ErrorKind::invalid, '\'' + printable(text, 80) +
                                      "' is no name of a site: 1 to 64 letters, digits and ._+-~");
}

Status take_address(Site& site, const std::string& text) {
  site.address = text;
  if (policy::parse_address(text)) return Done{};
  return fail(ErrorKind::invalid, '\'' + printable(text, 80) + "' is no IP address");
}

Columns<Site> site_columns(const Reading& reading) {
  return {{"site", take_site},
          {"devices", take_devices},
          {"region", named(&Site::region, reading.regions)},
          {"utc", into(&Site::utc_offset, parse_utc_offset)},
          {"mix", named(&Site::mix, reading.mixes)},
          {"wan_down", into(&Site::wan_down, parse_rate, kLineRates)},
          {"wan_up", into(&Site::wan_up, parse_rate, kLineRates)},
          {"rtt", into(&Site::rtt, parse_period, Range<Duration>{0s, 10s})},
          {"loss", into(&Site::loss, parse_share, Range<double>{0, 0.49})},
          {"load", named(&Site::load, reading.loads)},
          {"lan", into(&Site::lan, parse_rate, kLineRates)},
          {"wireless_share", into(&Site::wireless_share, parse_share, Range<double>{0, 1})},
          {"wireless", into(&Site::wireless, parse_rate, kLineRates)},
          {"reflectors", into(&Site::reflectors, parse_count,
                              Range<std::int64_t>{0, policy::SiteLease::kReflectorsMax})},
          {"address", take_address}};
}

// What the table leaves out: [defaults] says it for all sites.
Site read_defaults(Fields& top, const Columns<Site>& columns, Reading& reading) {
  Site site{.utc_offset = reading.scenario.run.utc_offset,
            .rtt = 30ms,
            .lan = BitRate{1'000'000'000},
            .wireless = BitRate{200'000'000}};
  const Value* value = top.find("defaults");
  if (value == nullptr) return site;
  Fields fields(*value, "defaults", reading.findings);
  for (const auto& column : columns) {
    const std::string_view name = column.name;
    if (name == "site" || name == "address") continue;  // Every site has its own.
    fields.read(column.name, site, [&](const std::string& text) -> Result<Site> {
      Site changed = site;
      if (const Status taken = column.take(changed, text); !taken) return fail(taken.error());
      return changed;
    });
  }
  fields.done();
  return site;
}

std::vector<std::pair<const Column<Site>*, std::string>> forced_columns(
    const std::vector<Override>& forced, const Columns<Site>& columns, Site& probe,
    Reading& reading) {
  std::vector<std::pair<const Column<Site>*, std::string>> found;
  for (const Override& given : forced) {
    const Place place{"--set " + given.path, 0, 0};
    const std::string name = given.path.substr(given.path.find('.') + 1);
    const auto* column = column_of(columns, name);
    if (column == nullptr || name == "site" || name == "address") {
      reading.findings.add(place, "sites have no value '" + printable(name, 60) +
                                      "' that all could share" +
                                      suggestion(name, names_of(columns)));
    } else if (const Status taken = column->take(probe, given.value); !taken) {
      reading.findings.add(place, taken.error().text());
    } else {
      found.emplace_back(column, given.value);
    }
  }
  return found;
}

struct DeviceRow {
  std::optional<Index> site;
  std::int64_t devices = 0;
  std::optional<Index> version;
  std::optional<Index> presence;
  Access access = Access::by_site;
};

Columns<DeviceRow> device_columns(const Reading& reading) {
  return {{"site", named(&DeviceRow::site, reading.sites)},
          {"devices", into(&DeviceRow::devices, parse_count, Range<std::int64_t>{1, kDevicesMax})},
          {"version", named(&DeviceRow::version, reading.versions)},
          {"presence", named(&DeviceRow::presence, reading.presences)},
          {"access", into(&DeviceRow::access, parse_access)}};
}

// The kinds that a table of devices gave one site.
struct Counted {
  std::vector<DeviceKind> kinds;
  std::int64_t devices = 0;
  Place place;  // Of the first.
};

void add_row(const DeviceRow& row, const Place& place, std::vector<Counted>& counted) {
  Counted& site = counted[*row.site];
  if (site.kinds.empty()) site.place = place;
  site.devices += row.devices;
  const DeviceKind kind{static_cast<double>(row.devices), row.version.value_or(0),
                        row.presence.value_or(0), row.access};
  const auto same = std::ranges::find_if(site.kinds, [&](const DeviceKind& known) {
    return known.version == kind.version && known.presence == kind.presence &&
           known.access == kind.access;
  });
  if (same == site.kinds.end())
    site.kinds.push_back(kind);
  else
    same->weight += kind.weight;
}

}  // namespace

void read_sites(const Table& table, Fields& top, const std::vector<Override>& forced,
                Reading& reading) {
  auto& sites = reading.scenario.sites;
  const Columns<Site> columns = site_columns(reading);
  const Site defaults = read_defaults(top, columns, reading);
  Site probe = defaults;
  const auto fixed = forced_columns(forced, columns, probe, reading);

  TableReader<Site> rows(table, columns, reading.findings);
  if (!rows.has("site")) {
    if (!rows.is_wrong()) reading.findings.add({table.file, 1, 0}, "the column 'site' is missing");
    return;  // Without names nothing else about the sites can be said.
  }
  for (Site site = defaults; rows.next(site); site = defaults) {
    if (sites.size() == kSitesMax)
      return reading.findings.add(rows.place(),
                                  "more than " + std::to_string(kSitesMax) + " sites");
    for (const auto& [column, text] : fixed) (void)column->take(site, text);  // Tried before.
    if (site.name.empty() && !rows.is_wrong())
      reading.findings.add(rows.place(), "the line has no site's name");
    else if (!site.name.empty() && !reading.sites.add(site.name, static_cast<Index>(sites.size())))
      reading.findings.add(rows.place(),
                           "site '" + printable(site.name, 80) + "' is there already");
    if (site.wan_up.bits_per_second == 0) site.wan_up = site.wan_down;
    sites.push_back(std::move(site));
    reading.site_lines.push_back({rows.place(), rows.is_wrong()});
  }
}

void read_devices(const Table& table, Reading& reading) {
  Scenario& scenario = reading.scenario;
  const Columns<DeviceRow> columns = device_columns(reading);
  TableReader<DeviceRow> rows(table, columns, reading.findings);
  for (const char* name : {"site", "devices"})
    if (!rows.has(name) && !rows.is_wrong())
      return reading.findings.add({table.file, 1, 0},
                                  std::string("the column '") + name + "' is missing");
  std::vector<Counted> counted(scenario.sites.size());
  for (DeviceRow row; rows.next(row); row = {})
    if (row.site && row.devices > 0)
      add_row(row, rows.place(), counted);
    else if (!rows.is_wrong())
      reading.findings.add(rows.place(), "site and devices are needed in every line");

  for (std::size_t i = 0; i < counted.size(); ++i) {
    if (counted[i].kinds.empty()) continue;
    Site& site = scenario.sites[i];
    if (site.devices != 0 && site.devices != counted[i].devices)
      reading.findings.add(counted[i].place,
                           "site '" + site.name + "' has " + std::to_string(counted[i].devices) +
                               " devices here and " + std::to_string(site.devices) + " in " +
                               text_of(reading.site_lines[i].place) + ": leave one out");
    site.devices = counted[i].devices;
    site.mix = static_cast<Index>(scenario.mixes.size());
    scenario.mixes.push_back({site.name, std::move(counted[i].kinds)});
  }
}

void check_sites(const std::string& file, Reading& reading) {
  const auto& sites = reading.scenario.sites;
  std::int64_t devices = 0;
  for (std::size_t i = 0; i < sites.size(); ++i) {
    const auto& [place, is_wrong] = reading.site_lines[i];
    if (sites[i].devices == 0 && !is_wrong)
      reading.findings.add(place,
                           "site '" + printable(sites[i].name, 80) +
                               "' has no devices: give their number in the column 'devices'");
    if (sites[i].wan_down.bits_per_second == 0 && !is_wrong)
      reading.findings.add(place, "site '" + printable(sites[i].name, 80) +
                                      "' has no line: give 'wan_down' here or in [defaults]");
    devices = std::min(devices + sites[i].devices, 2 * kDevicesMax);
  }
  if (sites.empty() && reading.findings.empty())
    reading.findings.add({file, 0, 0}, "the table has no sites");
  if (devices > kDevicesMax)
    reading.findings.add({file, 0, 0}, "all sites together have more than " +
                                           std::to_string(kDevicesMax) +
                                           " devices: split the scenario, by region perhaps");
}

}  // namespace lamina::sim
