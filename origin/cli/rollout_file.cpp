#include "origin/cli/rollout_file.hpp"

#include "origin/cli/toml_reader.hpp"
#include "shared/os/file.hpp"

namespace lamina::origin::cli {
namespace {

void read_share(TomlReader& in, const toml::node& node, wire::RolloutShare& share) {
  const auto* table = node.as_table();
  if (table == nullptr) return in.wrong(node, "a share is { site = \"NAME\", percent = 10 }");
  in.table(*table, {{"site", in.text(share.site)}, {"percent", in.number(share.percent, 1, 100)}});
  in.needs(*table, "site");
  in.needs(*table, "percent");
}

void read_wave(TomlReader& in, const toml::node& node, wire::RolloutWave& wave) {
  const auto* table = node.as_table();
  if (table == nullptr) return in.wrong(node, "a wave is a table: [[wave]]");
  in.table(*table, {{"name", in.text(wave.name)},
                    {"sites", in.texts(wave.sites)},
                    {"devices", in.devices(wave.devices)},
                    {"shares",
                     [&](const toml::node& list) {
                       in.each(list, "a list of shares is needed", [&](const toml::node& share) {
                         read_share(in, share, wave.shares.emplace_back());
                       });
                     }},
                    {"warm", in.number(wave.warm_percent, 0, 100)},
                    {"success", in.number(wave.success_percent, 0, 100)},
                    {"failure", in.number(wave.failure_percent, 0, 100)},
                    {"soak", in.duration(wave.soak_ms)}});
  if (wave.sites.empty() && wave.devices.empty() && wave.shares.empty())
    in.wrong(node, "it names no sites, devices or shares");
}

}  // namespace

Result<wire::RolloutRequest> parse_rollout_file(std::string_view text, const std::string& file) {
  auto parsed = parse_toml(text, file);
  if (!parsed) return fail(std::move(parsed.error()));
  const toml::table& top = *parsed;
  wire::RolloutRequest plan;
  TomlReader in(file);
  const auto read_waves = [&](const toml::node& node) {
    in.each(node, "waves are tables: [[wave]]", [&](const toml::node& wave) {
      plan.waves.emplace_back();
      in.set_where("wave " + std::to_string(plan.waves.size()) + ": ");
      read_wave(in, wave, plan.waves.back());
      in.set_where("");
    });
  };
  in.table(top, {{"name", in.text(plan.name)},
                 {"layers", in.texts(plan.layers)},
                 {"wan_budget", in.optional_text(plan.wan_budget)},
                 {"sites_at_once", in.number(plan.sites_at_once, 1, 10'000)},
                 {"wave", read_waves}});
  for (const char* key : {"name", "layers", "wave"}) in.needs(top, key);
  if (in.error()) return fail(*in.error());
  return plan;
}

Result<wire::RolloutRequest> read_rollout_file(const std::string& file) {
  constexpr std::size_t kFileMax = std::size_t{1} << 20;
  auto text = os::read_text(file, kFileMax);
  if (!text) return fail(std::move(text.error()).in("--file"));
  return parse_rollout_file(*text, file);
}

}  // namespace lamina::origin::cli
