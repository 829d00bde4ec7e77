// The fields of what is part of polls, of a device's listing, and a message of its own; for the
// .cpp files of this folder only.
#pragma once

#include "shared/wire/json_fields.hpp"
#include "shared/wire/reflector.hpp"

namespace lamina::wire {

template <class A>
void fields(A& a, ReflectorCommand& m) {
  a("number", m.number);
  a("what", m.what, 32);
}

template <class A>
void fields(A& a, ReflectorSettings& m) {
  a("version", m.version);
  a("mode", m.mode, 32);
  a("connections", m.connections);
  a("cache_bytes", m.cache_bytes);
  a("networks", m.networks, kReflectorNetworksMax);
  a("rejected", m.rejected, kReflectorRejectedMax);
  a("commands", m.commands, kReflectorCommandsMax);
  a("last_command", m.last_command);
}

template <class A>
void fields(A& a, CacheState& m) {
  a("bytes", m.bytes);
  a("limit_bytes", m.limit_bytes);
  a("kept_bytes", m.kept_bytes);
  a("over_bytes", m.over_bytes);
}

template <class A>
void fields(A& a, ServingState& m) {
  a("peers_connected", m.peers_connected);
  a("peers_served", m.peers_served);
  a("peers_waiting", m.peers_waiting);
  a("sent_bytes", m.sent_bytes);
}

}  // namespace lamina::wire
