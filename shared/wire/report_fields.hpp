// The fields of a Report, which is a message of its own and part of a device's listing, and of what
// is part of a poll and of the listing; for the .cpp files of this folder only.
#pragma once

#include "shared/wire/json_fields.hpp"

namespace lamina::wire {

template <class A>
void fields(A& a, LayerState& m) {
  a("layer", m.layer);
  a("reason", m.reason, 64);
  a("missing_bytes", m.missing_bytes);
}

template <class A>
void fields(A& a, ByteCounts& m) {
  a("since_ms", m.since_ms);
  a("by_source", m.by_source, 16);
}

template <class A>
void fields(A& a, DiskSpace& m) {
  a("free_bytes", m.free_bytes);
  a("total_bytes", m.total_bytes);
}

template <class A>
void fields(A& a, Hardware& m) {
  a("dmi", m.dmi, kDmiMax);
  a("pci", m.pci, kPciMax);
}

template <class A>
void fields(A& a, ScriptEnd& m) {
  a("layer", m.layer, 300);
  a("name", m.name, 128);
  a("code", m.code);
  a("late", m.late);
  a("trouble", m.trouble, 1024);
  a("output", m.output, kScriptOutputMax);
}

template <class A>
void fields(A& a, Report& m) {
  a("operation", m.operation, 64);
  a("layers", m.layers, 256);
  a("target_sequence", m.target_sequence);
  a("started_ms", m.started_ms);
  a("finished_ms", m.finished_ms);
  a("ok", m.ok);
  a("text", m.text, 4096);
  a("bytes_by_source", m.bytes_by_source, 16);
  a("counts", m.counts, 32);
  a("scripts", m.scripts, kScriptEndsMax);
}

}  // namespace lamina::wire
