#include "origin/cli/platform.hpp"

#include <elf.h>
#include <fcntl.h>

namespace lamina::origin::cli {
namespace {

// What a shell makes of the value of an assignment (os-release(5)): without its quotes, and
// without the backslash before a character that needs one.
std::string unquoted(std::string_view text) {
  if (text.size() >= 2 && (text.front() == '"' || text.front() == '\'') &&
      text.back() == text.front())
    text = text.substr(1, text.size() - 2);
  std::string value;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 1 < text.size()) ++i;
    value += text[i];
  }
  return value;
}

// The value of KEY=value in an os-release file; the last one counts, as it does in a shell.
std::string value_of(std::string_view text, std::string_view key) {
  std::string value;
  while (!text.empty()) {
    std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.starts_with(key) && line.size() > key.size() && line[key.size()] == '=')
      value = unquoted(line.substr(key.size() + 1));
  }
  return value;
}

std::string architecture_of(std::string_view elf) {
  if (elf.size() < 20 || !elf.starts_with(ELFMAG)) return {};
  const bool is_big = elf[EI_DATA] == ELFDATA2MSB, is_64 = elf[EI_CLASS] == ELFCLASS64;
  const auto byte = [&](std::size_t at) {
    return static_cast<unsigned>(static_cast<unsigned char>(elf[at]));
  };
  switch (is_big ? byte(18) << 8 | byte(19) : byte(19) << 8 | byte(18)) {
    case EM_X86_64: return is_64 ? "x86_64" : "x32";
    case EM_AARCH64: return is_big ? "aarch64_be" : "aarch64";
    case EM_386: return "i386";
    case EM_ARM: return is_big ? "armeb" : "arm";
    case EM_RISCV: return is_64 ? "riscv64" : "riscv32";
    case EM_PPC64: return is_big ? "ppc64" : "ppc64le";
    case EM_S390: return is_64 ? "s390x" : "s390";
    default: return {};
  }
}

// The shell is what every system has, by its own name where nothing is called sh; then what is left
// of a system that has none.
constexpr const char* kPrograms[] = {"bin/sh",    "usr/bin/sh",   "bin/dash",    "usr/bin/dash",
                                     "bin/bash",  "usr/bin/bash", "bin/busybox", "usr/bin/env",
                                     "sbin/init", "sbin/ldconfig"};

}  // namespace

format::Platform platform_of(const ReadStart& read_start) {
  format::Platform platform;
  std::string release = read_start("etc/os-release", 65536);
  if (release.empty()) release = read_start("usr/lib/os-release", 65536);
  if (!release.empty()) {
    platform.os_family = "linux";
    platform.distribution = value_of(release, "ID");
    if (platform.distribution.empty()) platform.distribution = "linux";  // As os-release(5) says.
    platform.release = value_of(release, "VERSION_ID");
    platform.release = platform.release.substr(0, platform.release.find('.'));
    // A release that is not out yet has a name and no number.
    if (platform.release.empty()) platform.release = value_of(release, "VERSION_CODENAME");
  }
  for (const char* program : kPrograms)
    if (platform.architecture.empty())
      platform.architecture = architecture_of(read_start(program, 64));
  return platform;
}

format::Platform platform_of(const os::Root& tree) {
  return platform_of([&tree](const std::string& path, std::size_t most) -> std::string {
    auto file = tree.open_in_root(path, O_RDONLY | O_NONBLOCK);
    if (!file) return {};
    auto bytes = os::read_up_to(file->get(), most, path);
    return bytes ? std::string(as_text(*bytes)) : std::string();
  });
}

}  // namespace lamina::origin::cli
