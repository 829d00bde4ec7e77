// How a command line names an origin, and an administrator's connection to it. One thread.
#pragma once

#include <memory>
#include <string>

#include "shared/net/https_client.hpp"

namespace CLI {
class App;
}

namespace lamina::net {

struct OriginAccess {
  std::string origin;          // HOST:PORT.
  std::string ca_file;         // Either a file with the origin's CA...
  std::string ca_fingerprint;  // ...or the SHA-256 of that.
  std::string token_file;      // With an administrator's token.
  Duration answer_within{};    // 0: as a client has it.
};

// --origin, --ca, --ca-fingerprint and --token-file; LAMINA_ORIGIN, LAMINA_CA and LAMINA_TOKEN
// where they are not given. `access` outlives the parsing.
void add_origin_options(CLI::App& app, OriginAccess& access);

// Nothing is sent yet. `invalid`: something is not said, or is none; `not_found`: a file cannot be
// read.
Result<std::unique_ptr<BlockingClient>> connect_to(const OriginAccess& access);

// The body of the 2xx answer to a GET of `path`; any other answer as the error that it carries.
Result<std::string> get(BlockingClient& client, const std::string& path);

}  // namespace lamina::net
