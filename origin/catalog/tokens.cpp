#include <set>

#include "origin/catalog/rows.hpp"
#include "origin/catalog/rules.hpp"
#include "origin/catalog/secret.hpp"

namespace lamina::origin {
namespace {

constexpr std::int64_t kTtlMaxMs = std::int64_t{366} * 24 * 3600 * 1000;
constexpr std::int64_t kUsesMax = 100'000;

Status check_request(const wire::TokenRequest& request) {
  if (auto name = check_name("the token's name", request.name); !name) return name;
  if (request.kind != "admin" && request.kind != "enrol" && request.kind != "metrics" &&
      request.kind != "seeder")
    return fail(ErrorKind::invalid,
                "a token is of kind 'admin', 'enrol', 'metrics' or 'seeder', not '" +
                    printable(request.kind, 40) + "'");
  if (request.ttl_ms <= 0 || request.ttl_ms > kTtlMaxMs)
    return fail(ErrorKind::invalid, "a token must expire within 366 days; give --ttl, as in 30d");
  const bool enrol = request.kind == "enrol";
  if (enrol && (request.uses < 1 || request.uses > kUsesMax))
    return fail(ErrorKind::invalid,
                "an enrolment token is good for 1 to 100000 devices; give --uses");
  if (request.cvd && (!enrol || request.uses != 1))
    return fail(ErrorKind::invalid, "a token that brings a CVD along enrols one device");
  if (!enrol && (request.uses != 0 || !request.site.empty()))
    return fail(ErrorKind::invalid, "uses and site belong to enrolment tokens only");
  return Done{};
}

// The name of the token if `is_good` likes its kind; else `refused` with `why`, alike for all.
Result<std::string> check_token(const Table& table, std::string_view secret, WallTime now,
                                const std::function<bool(const std::string& kind)>& is_good,
                                const std::string& why) {
  const std::string hash = sha256_hex(secret);
  return reading<std::string>(table, [&](const Rows& rows) -> Result<std::string> {
    // Looked up by hash: a guesser cannot steer a SHA-256 towards a stored one byte by byte. The
    // comparison that decides takes constant time all the same.
    auto info = load(rows, "token/" + hash, wire::parse_token_info, "unknown token");
    if (!info && info.error().kind() != ErrorKind::not_found) return fail(std::move(info.error()));
    std::optional<std::string> named;
    if (info) {
      auto found = rows.get("token-name/" + info->name);
      if (!found) return fail(std::move(found.error()));
      named = std::move(*found);
    }
    if (!info || !named || !same_secret(*named, hash) || !is_good(info->kind) ||
        info->expires_ms <= ms(now))
      return fail(ErrorKind::refused, why);
    return info->name;
  });
}

}  // namespace

Result<wire::TokenReply> Catalog::create_token(const Act& act, const wire::TokenRequest& request) {
  if (auto ok = check_request(request); !ok) return fail(std::move(ok.error()));
  auto random = random_bytes(32);
  if (!random) return fail(std::move(random.error()));
  const std::string secret = to_hex(*random);
  const wire::TokenInfo info{.name = request.name,
                             .kind = request.kind,
                             .site = request.site,
                             .created_ms = ms(act.now),
                             .expires_ms = ms(act.now) + request.ttl_ms,
                             .uses_left = request.uses,
                             .cvd = request.cvd};
  return writing<wire::TokenReply>(table_, [&](Rows& rows) -> Result<wire::TokenReply> {
    auto taken = rows.get("token-name/" + request.name);
    if (!taken) return fail(std::move(taken.error()));
    if (*taken)
      return fail(ErrorKind::refused, "there is a token '" + request.name +
                                          "' already; revoke it or choose another name");
    if (!request.site.empty())
      if (auto site = load_site(rows, request.site); !site) return fail(std::move(site.error()));
    if (request.cvd) {
      auto device = load_device(rows, *request.cvd);
      if (!device) return fail(std::move(device.error()));
      if (device->cvd != wire::kCvdArchived)
        return fail(ErrorKind::refused, "the CVD of device " + request.cvd->hex() +
                                            " is in use; `lamina cvd archive` or `lamina device "
                                            "decommission --archive` first");
    }
    const std::string hash = sha256_hex(secret);
    if (auto put = rows.put("token/" + hash, wire::to_json(info)); !put)
      return fail(std::move(put.error()));
    if (auto put = rows.put("token-name/" + request.name, hash); !put)
      return fail(std::move(put.error()));
    if (auto noted = append_audit(rows, act, "token.create", request.name,
                                  request.kind + " uses=" + std::to_string(request.uses));
        !noted)
      return fail(std::move(noted.error()));
    return wire::TokenReply{request.name, secret, info.expires_ms};
  });
}

Result<std::vector<wire::TokenInfo>> Catalog::tokens() const {
  return reading<std::vector<wire::TokenInfo>>(
      table_, [](const Rows& rows) { return load_all(rows, "token/", wire::parse_token_info); });
}

Status Catalog::revoke_token(const Act& act, const std::string& name) {
  return table_.write([&](Rows& rows) -> Status {
    auto hash = rows.get("token-name/" + name);
    if (!hash) return fail(std::move(hash.error()));
    if (!*hash)
      return fail(ErrorKind::not_found, "there is no token '" + printable(name, 80) +
                                            "'; `lamina token ls` lists the tokens");
    if (auto gone = rows.erase("token/" + **hash); !gone) return gone;
    if (auto gone = rows.erase("token-name/" + name); !gone) return gone;
    return append_audit(rows, act, "token.revoke", name, "");
  });
}

Result<std::string> Catalog::check_admin(std::string_view secret, WallTime now) const {
  return check_token(
      table_, secret, now, [](const std::string& kind) { return kind == "admin"; },
      "the administrator token is unknown, revoked or expired; make one with `lamina token create "
      "--kind admin`");
}

Result<std::string> Catalog::check_metrics(std::string_view secret, WallTime now) const {
  return check_token(
      table_, secret, now,
      [](const std::string& kind) { return kind == "admin" || kind == "metrics"; },
      "the token is unknown, revoked, expired or not for metrics; make one with `lamina token "
      "create --kind metrics`");
}

Result<std::string> Catalog::check_seeder_token(std::string_view secret, WallTime now) const {
  return check_token(
      table_, secret, now, [](const std::string& kind) { return kind == "seeder"; },
      "the token is unknown, revoked, expired or not for a seeder; make one with `lamina token "
      "create --kind seeder`");
}

}  // namespace lamina::origin
