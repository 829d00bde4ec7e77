#include "shared/net/origin_access.hpp"

#include <CLI/CLI.hpp>
#include <cctype>
#include <fstream>
#include <iterator>

namespace lamina::net {
namespace {

Result<std::string> read_text(const std::string& path, const std::string& what) {
  std::ifstream in(path, std::ios::binary);
  if (!in)
    return fail(ErrorKind::not_found,
                "cannot read the " + what + " '" + path + "'; name a readable file");
  return std::string(std::istreambuf_iterator<char>(in), {});
}

}  // namespace

void add_origin_options(CLI::App& app, OriginAccess& access) {
  app.add_option("--origin", access.origin, "HOST:PORT of the origin")->envname("LAMINA_ORIGIN");
  app.add_option("--ca", access.ca_file, "file with the origin's CA")->envname("LAMINA_CA");
  app.add_option("--ca-fingerprint", access.ca_fingerprint, "SHA-256 of the CA, instead of --ca");
  app.add_option("--token-file", access.token_file, "file with an administrator's token")
      ->envname("LAMINA_TOKEN");
}

Result<std::unique_ptr<BlockingClient>> connect_to(const OriginAccess& access) {
  if (access.origin.empty() || access.token_file.empty() ||
      (access.ca_file.empty() && access.ca_fingerprint.empty()))
    return fail(ErrorKind::invalid,
                "--origin, --token-file and --ca or --ca-fingerprint are needed");
  auto place = parse_host_port(access.origin, 8443);
  if (!place) return fail(std::move(place.error()).in("--origin"));
  ClientOptions options{.host = place->host, .port = place->port};
  options.ca_fingerprint = access.ca_fingerprint;
  if (!access.ca_file.empty()) {
    auto ca = read_text(access.ca_file, "CA");
    if (!ca) return fail(std::move(ca.error()));
    options.ca_pem = *ca;
    options.ca_fingerprint.clear();
  }
  auto token = read_text(access.token_file, "token file");
  if (!token) return fail(std::move(token.error()));
  while (!token->empty() && std::isspace(static_cast<unsigned char>(token->back())))
    token->pop_back();
  options.bearer = *token;
  if (access.answer_within > Duration{}) options.stall_timeout = access.answer_within;
  return BlockingClient::create(std::move(options));
}

Result<std::string> get(BlockingClient& client, const std::string& path) {
  constexpr Bytes kListMax = 512_MiB;  // A fleet of some hundred thousand devices.
  auto reply = check(client.send({.method = "GET", .target = path, .reply_max = kListMax}));
  if (!reply) return fail(std::move(reply.error()));
  return std::move(reply->body);
}

}  // namespace lamina::net
