// Seeders on machines of their own: who joined, with which key, until when its certificate lasts.
#include "origin/catalog/rows.hpp"

namespace lamina::origin {
namespace {

std::string key_of(const DeviceId& id) { return "seeder/" + id.hex(); }
std::string name_key(const std::string& name) { return "seeder-name/" + name; }
std::string fingerprint_key(const DeviceId& id) { return "seeder-key/" + id.hex(); }

Result<wire::SeederInfo> load_seeder(const Rows& rows, const DeviceId& id) {
  return load(rows, key_of(id), wire::parse_seeder_info,
              "seeder " + id.hex() +
                  " is not one of this origin's, or was removed; join it anew "
                  "with a new token (`lamina token create --kind seeder`)");
}

}  // namespace

Result<wire::SeederInfo> Catalog::join_seeder(WallTime now, std::string_view token,
                                              const std::string& key_fingerprint, DeviceId id) {
  auto name = check_seeder_token(token, now);
  if (!name) return fail(std::move(name.error()));
  return writing<wire::SeederInfo>(table_, [&](Rows& rows) -> Result<wire::SeederInfo> {
    auto taken = rows.get(name_key(*name));
    if (!taken) return fail(std::move(taken.error()));
    if (*taken) {
      auto known = DeviceId::parse(**taken);
      if (!known) return fail(corrupt_row(name_key(*name)));
      auto key = rows.get(fingerprint_key(*known));
      if (!key) return fail(std::move(key.error()));
      if (*key == key_fingerprint) return load_seeder(rows, *known);
      return fail(ErrorKind::refused,
                  "there is a seeder '" + *name +
                      "' already; make a token of another name, or remove it first (`lamina seeder "
                      "rm " +
                      *name + "`)");
    }
    const wire::SeederInfo info{.id = id, .name = *name, .joined_ms = ms(now)};
    for (const auto& [key, value] : {std::pair{key_of(id), wire::to_json(info)},
                                     {name_key(*name), id.hex()},
                                     {fingerprint_key(id), key_fingerprint}})
      if (auto put = rows.put(key, value); !put) return fail(std::move(put.error()));
    if (auto noted = append_audit(rows, {"seeder:" + *name, now}, "seeder.join", *name, id.hex());
        !noted)
      return fail(std::move(noted.error()));
    return info;
  });
}

Result<wire::SeederInfo> Catalog::seeder(const DeviceId& id) const {
  return reading<wire::SeederInfo>(table_, [&](const Rows& rows) { return load_seeder(rows, id); });
}

Result<std::string> Catalog::seeder_key_fingerprint(const DeviceId& id) const {
  return reading<std::string>(table_, [&](const Rows& rows) -> Result<std::string> {
    auto value = rows.get(fingerprint_key(id));
    if (!value) return fail(std::move(value.error()));
    if (!*value) return fail(ErrorKind::not_found, "seeder " + id.hex() + " is not known");
    return **value;
  });
}

Result<std::vector<wire::SeederInfo>> Catalog::seeders() const {
  return reading<std::vector<wire::SeederInfo>>(
      table_, [](const Rows& rows) { return load_all(rows, "seeder/", wire::parse_seeder_info); });
}

Status Catalog::seeder_certified(const Act& act, const DeviceId& id, std::int64_t expires_ms) {
  return table_.write([&](Rows& rows) -> Status {
    auto info = load_seeder(rows, id);
    if (!info) return fail(std::move(info.error()));
    info->certificate_expires_ms = expires_ms;
    if (auto put = rows.put(key_of(id), wire::to_json(*info)); !put) return put;
    return append_audit(rows, act, "seeder.certificate", info->name, "");
  });
}

Result<DeviceId> Catalog::remove_seeder(const Act& act, const std::string& name) {
  return writing<DeviceId>(table_, [&](Rows& rows) -> Result<DeviceId> {
    auto found = rows.get(name_key(name));
    if (!found) return fail(std::move(found.error()));
    if (!*found)
      return fail(ErrorKind::not_found, "there is no seeder '" + printable(name, 80) +
                                            "'; `lamina seeder ls` lists them");
    auto id = DeviceId::parse(**found);
    if (!id) return fail(corrupt_row(name_key(name)));
    for (const std::string& key : {key_of(*id), name_key(name), fingerprint_key(*id)})
      if (auto gone = rows.erase(key); !gone) return fail(std::move(gone.error()));
    // Else it would join again with it.
    auto hash = rows.get("token-name/" + name);
    if (!hash) return fail(std::move(hash.error()));
    if (*hash) {
      auto token = load(rows, "token/" + **hash, wire::parse_token_info, "unknown token");
      if (!token) return fail(std::move(token.error()));
      if (token->kind == "seeder")
        for (const std::string& key : {"token/" + **hash, "token-name/" + name})
          if (auto gone = rows.erase(key); !gone) return fail(std::move(gone.error()));
    }
    if (auto noted = append_audit(rows, act, "seeder.remove", name, id->hex()); !noted)
      return fail(std::move(noted.error()));
    return *id;
  });
}

}  // namespace lamina::origin
