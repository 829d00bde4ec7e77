// Tables of numbers, written as what changes from row to row. Sorted or regular columns become
// small numbers that repeat. Little-endian; sums wrap, so that every input has its way back; bytes
// behind the last whole row stay as they are. In place, pure; any thread.
#pragma once

#include <span>

#include "shared/base/bytes.hpp"

namespace lamina::delta {

// Rows of `columns` 32-bit numbers: differences from row to row, and then all lowest bytes of the
// first column, all second ones, and so on.
void to_byte_planes(std::span<std::byte> bytes, std::size_t columns);
void from_byte_planes(std::span<std::byte> bytes, std::size_t columns);

// Elf64_Rela (ELF-64 Object File Format, 1.5): differences of offset and addend.
void to_rela_differences(std::span<std::byte> bytes);
void from_rela_differences(std::span<std::byte> bytes);

}  // namespace lamina::delta
