#include "origin/cli/platform.hpp"

#include <elf.h>
#include <fcntl.h>

namespace lamina::origin::cli {
namespace {

// The value of KEY=value or KEY="value" in an os-release file (os-release(5)).
std::string value_of(std::string_view text, std::string_view key) {
  while (!text.empty()) {
    std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
    if (!line.starts_with(key) || line.size() <= key.size() || line[key.size()] != '=') continue;
    line.remove_prefix(key.size() + 1);
    if (line.size() >= 2 && (line.front() == '"' || line.front() == '\'') &&
        line.back() == line.front())
      line = line.substr(1, line.size() - 2);
    return std::string(line);
  }
  return {};
}

std::string read_start(const os::Root& tree, const std::string& path, std::size_t most) {
  auto file = tree.open_at(path, O_RDONLY | O_NONBLOCK);
  if (!file) return {};
  Buffer bytes(most);
  auto size = os::read_some(file->get(), bytes, path);
  return size ? std::string(as_text(ByteView(bytes).first(*size))) : std::string();
}

std::string architecture_of(std::string_view elf) {
  if (elf.size() < 20 ||
      !elf.starts_with("\x7f"
                       "ELF") ||
      elf[EI_DATA] != ELFDATA2LSB)
    return {};
  const unsigned machine = static_cast<unsigned char>(elf[18]) |
                           static_cast<unsigned>(static_cast<unsigned char>(elf[19])) << 8;
  switch (machine) {
    case EM_X86_64: return "x86_64";
    case EM_AARCH64: return "aarch64";
    case EM_386: return "i386";
    case EM_ARM: return "arm";
    case EM_RISCV: return "riscv64";
    default: return {};
  }
}

}  // namespace

format::Platform platform_of(const os::Root& tree) {
  format::Platform platform;
  std::string release = read_start(tree, "usr/lib/os-release", 65536);
  if (release.empty()) release = read_start(tree, "etc/os-release", 65536);
  if (!release.empty()) {
    platform.os_family = "linux";
    platform.distribution = value_of(release, "ID");
    platform.release = value_of(release, "VERSION_ID");
    platform.release = platform.release.substr(0, platform.release.find('.'));
  }
  // bin may be a symlink to usr/bin, and sh one to dash: paths are not followed.
  for (const char* path : {"usr/bin/dash", "usr/bin/bash", "bin/dash", "bin/bash", "bin/sh",
                           "usr/bin/env", "bin/busybox"})
    if (platform.architecture.empty())
      platform.architecture = architecture_of(read_start(tree, path, 64));
  return platform;
}

}  // namespace lamina::origin::cli
