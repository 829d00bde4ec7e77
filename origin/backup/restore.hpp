// `lamina-origin restore`: a data directory from a backup; `lamina-origin move`: from another one.
#pragma once

#include <ostream>
#include <string>

#include "origin/backup/backup.hpp"

namespace lamina::origin {

struct RestoreRequest {
  std::string from;
  bool as_json = false;
};
// Makes `data`, which must be empty, missing, or what a killed restore of the same origin left:
// `refused` otherwise. Every pack and every record that is named by its content is proven by its
// bytes. origin.json comes last: without it nothing serves the directory.
//
// The backup may be older than what devices and seeders have seen, who refuse a target sequence and
// a lease epoch below the newest that they saw. So both begin anew above every one that can have
// been given out (Catalog::note_restored).
//
// `corrupt` when the directory was made, but without damaged things that are named.
Status run_restore(const DataDirectory& data, const RestoreRequest& request, WallTime now,
                   std::ostream& out, lamina::cli::Progress& progress,
                   const Copier::OnStep& on_step = {});

struct MoveRequest {
  std::string to;
  bool as_json = false;
  bool dry_run = false;  // Changes nothing: fails as a move would before it copies.
};
// Copies the origin in `data` to `request.to` as a restore does, and takes origin.json out of
// `data` (it is origin.json.moved then), so that the two are never both served. `unavailable` while
// `serve` runs, `refused` for another user than the directory's. Nothing else of the old directory
// is changed; removing it is for the caller.
Status run_move(const DataDirectory& data, const MoveRequest& request, std::ostream& out,
                lamina::cli::Progress& progress, const Copier::OnStep& on_step = {});

}  // namespace lamina::origin
