// Small ELF-64 files for tests: real headers around sections of any bytes.
#pragma once

#include <elf.h>

#include <cstring>
#include <string>
#include <vector>

#include "shared/base/bytes.hpp"

namespace lamina::tests {

struct ElfSection {
  std::string name;
  std::uint32_t type = SHT_PROGBITS;
  std::uint64_t flags = 0;
  Buffer bytes;
};

// A shared library of x86-64 (`type` ET_DYN) or an object file (ET_REL). Sections lie 16 bytes
// aligned, with an address like their offset; `behind` follows the section headers.
inline Buffer elf_file(std::vector<ElfSection> sections, std::uint16_t type = ET_DYN,
                       ByteView behind = {}) {
  sections.insert(sections.begin(), ElfSection{"", SHT_NULL, 0, {}});
  std::string names;
  std::vector<Elf64_Shdr> headers;
  Buffer file(sizeof(Elf64_Ehdr) + 56);  // As if there was a program header.
  sections.push_back({".shstrtab", SHT_STRTAB, 0, {}});
  for (ElfSection& section : sections) {
    Elf64_Shdr header{};
    header.sh_name = static_cast<std::uint32_t>(names.size());
    names += section.name + '\0';
    if (section.name == ".shstrtab") section.bytes = to_buffer(names);
    header.sh_type = section.type;
    header.sh_flags = section.flags;
    header.sh_size = section.bytes.size();
    if (section.type != SHT_NULL) {
      file.resize((file.size() + 15) / 16 * 16);
      header.sh_offset = file.size();
      if ((section.flags & SHF_ALLOC) != 0) header.sh_addr = file.size();
      file.insert(file.end(), section.bytes.begin(), section.bytes.end());
    }
    headers.push_back(header);
  }
  file.resize((file.size() + 7) / 8 * 8);
  Elf64_Ehdr head{};
  constexpr unsigned char kIdent[] = {0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT};
  std::memcpy(head.e_ident, kIdent, sizeof kIdent);
  head.e_type = type;
  head.e_machine = EM_X86_64;
  head.e_ehsize = sizeof head;
  head.e_shentsize = sizeof(Elf64_Shdr);
  head.e_shnum = static_cast<std::uint16_t>(headers.size());
  head.e_shstrndx = static_cast<std::uint16_t>(headers.size() - 1);
  head.e_shoff = file.size();
  std::memcpy(file.data(), &head, sizeof head);
  const auto* header_bytes = reinterpret_cast<const std::byte*>(headers.data());
  file.insert(file.end(), header_bytes, header_bytes + headers.size() * sizeof(Elf64_Shdr));
  file.insert(file.end(), behind.begin(), behind.end());
  return file;
}

}  // namespace lamina::tests
