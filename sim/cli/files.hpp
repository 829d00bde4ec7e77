// The files of lamina-sim: the one place of the simulator that touches a disk.
//
// Failures name the file and say what is the matter. One thread.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "sim/scenario/load.hpp"

namespace lamina::sim {

// The scenario in `path`; files that it names are looked for beside it.
tl::expected<Scenario, Findings> load_scenario_file(const std::string& path,
                                                    const std::vector<Override>& overrides = {});

bool is_there(const std::string& path);
// `path` from the root.
std::string absolute_path(const std::string& path);
// A text of at most `most` bytes.
Result<std::string> read_text_file(const std::string& path, Bytes most);
// Replaces the file in one step.
Status write_text_file(const std::string& path, std::string_view text);
// Makes the directory and what is missing above it; one that is there is no error.
Status make_directory(const std::string& path);

// Whether both are there and the same.
bool is_same_directory(const std::string& a, const std::string& b);

using NamedTexts = std::vector<std::pair<std::string, std::string_view>>;  // Name and content.
// Writes all of them into `directory`, which is made; `refused`, and nothing is written, when one
// of them is there already.
Status write_new_files(const std::string& directory, const NamedTexts& files);

}  // namespace lamina::sim
