// Programs that run from files which an apply replaced: the old versions lie beneath .lamina.
#pragma once

#include <string>
#include <vector>

namespace lamina::node {

// The processes that have files beneath the directory `path` mapped, as "nginx (pid 812)". Those
// that this process may not look at are left out, and so are all where there is no /proc.
std::vector<std::string> processes_using(const std::string& path);

}  // namespace lamina::node
