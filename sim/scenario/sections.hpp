// The parts of a scenario's files, each read by a function of its own; private to this folder.
//
// They note what is wrong and go on, so a scenario is good only if `findings` stayed empty.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "sim/scenario/document.hpp"
#include "sim/scenario/fields.hpp"
#include "sim/scenario/findings.hpp"
#include "sim/scenario/scenario.hpp"

namespace lamina::sim {

// What all readers share.
struct Reading {
  Scenario scenario;
  Findings findings;
  Names regions{"region"};
  Names loads{"load"};
  Names presences{"presence"};
  Names versions{"version"};
  Names mixes{"mix"};
  Names sites{"site"};
  struct SiteLine {
    Place place;
    bool is_wrong = false;  // A finding says why: what follows from it needs no other.
  };
  std::vector<SiteLine> site_lines;  // Of the scenario's sites.
};

// --- read_tables.cpp: tables of the TOML file. Each takes the top table's fields.

void read_run(Fields& top, Reading& reading);
void read_origin(Fields& top, Reading& reading);
void read_regions(Fields& top, Reading& reading);
void read_loads(Fields& top, Reading& reading);
void read_content(Fields& top, Reading& reading);
// Presences, and the mixes of them and the content's versions.
void read_mixes(Fields& top, Reading& reading);
void read_tcp(Fields& top, Reading& reading);
void read_swarm(Fields& top, Reading& reading);
// Adds a point with its "peers" and "pieces"; its efficiency is read by the caller.
void read_efficiency_point(Fields& point, Swarm& swarm);
// In their order; a finding of `fields` if two are the same.
void order_efficiency(Fields& fields, Swarm& swarm);
void read_uploads(Fields& top, Reading& reading);
void read_deaths(Fields& top, Reading& reading);
void read_uncertainty(Fields& top, Reading& reading);

struct Table {
  std::string file;
  std::string_view text;
};

// --- calibration.cpp: before all others, whose values replace its own.

void read_calibration(const Table& file, Reading& reading);

// --- read_sites.cpp: tables of sites and devices.

// `forced`: columns that overrides give the same value for every site.
void read_sites(const Table& table, Fields& top, const std::vector<Override>& forced,
                Reading& reading);
// How many devices of which kind the sites have, for those that it names.
void read_devices(const Table& table, Reading& reading);
// Once all of them are read.
void check_sites(const std::string& file, Reading& reading);

// --- read_rollout.cpp: after the sites.

void read_rollout(Fields& top, Reading& reading);

}  // namespace lamina::sim
