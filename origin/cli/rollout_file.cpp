#include "origin/cli/rollout_file.hpp"

#include <toml++/toml.h>
#include <functional>
#include <map>

#include "shared/base/units.hpp"
#include "shared/os/file.hpp"

namespace lamina::origin::cli {
namespace {

// Reads tables key by key and keeps the first thing that is wrong.
class Reader {
 public:
  explicit Reader(const std::string& file) : file_(file) {}

  const std::optional<Error>& error() const { return error_; }

  void wrong(const toml::node& node, const std::string& text) {
    if (error_) return;
    error_ = Error(ErrorKind::invalid,
                   file_ + ':' + std::to_string(node.source().begin.line) + ": " + where_ + text);
  }

  using Take = std::function<void(const toml::node&)>;
  // Every key of `table` must be one of `known`.
  void table(const toml::table& table, const std::map<std::string, Take>& known) {
    for (const auto& [key, node] : table) {
      const auto found = known.find(std::string(key.str()));
      if (found == known.end())
        wrong(node, "unknown key '" + printable(key.str(), 60) + "'; known are " + names(known));
      else
        found->second(node);
    }
  }
  void needs(const toml::table& table, const char* key) {
    if (!table.contains(key)) wrong(table, std::string("'") + key + "' is missing");
  }
  // What stands in front of the messages from now on.
  void set_where(std::string where) { where_ = std::move(where); }

  Take text(std::string& value) {
    return [this, &value](const toml::node& node) {
      if (const auto* text = node.as_string())
        value = text->get();
      else
        wrong(node, "a text in quotes is needed");
    };
  }
  Take optional_text(std::optional<std::string>& value) {
    return [this, &value](const toml::node& node) { text(value.emplace())(node); };
  }
  Take texts(std::vector<std::string>& values) {
    return [this, &values](const toml::node& node) {
      each(node, "a list of texts is needed",
           [this, &values](const toml::node& element) { text(values.emplace_back())(element); });
    };
  }
  Take devices(std::vector<DeviceId>& values) {
    return [this, &values](const toml::node& node) {
      each(node, "a list of device ids is needed", [this, &values](const toml::node& element) {
        std::string hex;
        text(hex)(element);
        auto id = DeviceId::parse(hex);
        if (id)
          values.push_back(*id);
        else
          wrong(element, "device: " + id.error().text());
      });
    };
  }
  Take number(int& value, int least, int most) {
    return [this, &value, least, most](const toml::node& node) {
      const auto* number = node.as_integer();
      if (number == nullptr || number->get() < least || number->get() > most)
        return wrong(node, "a whole number from " + std::to_string(least) + " to " +
                               std::to_string(most) + " is needed");
      value = static_cast<int>(number->get());
    };
  }
  Take duration(std::int64_t& value_ms) {
    return [this, &value_ms](const toml::node& node) {
      std::string words;
      text(words)(node);
      const auto duration = parse_duration(words);
      if (!duration) return wrong(node, duration.error().text());
      value_ms = duration->count() / 1'000'000;
    };
  }
  void each(const toml::node& node, const char* needed, const Take& take) {
    const auto* list = node.as_array();
    if (list == nullptr) return wrong(node, needed);
    for (const toml::node& element : *list) take(element);
  }

 private:
  static std::string names(const std::map<std::string, Take>& known) {
    std::string all;
    for (const auto& [name, take] : known) all += (all.empty() ? "" : ", ") + name;
    return all;
  }

  std::string file_;
  std::string where_;
  std::optional<Error> error_;
};

void read_share(Reader& in, const toml::node& node, wire::RolloutShare& share) {
  const auto* table = node.as_table();
  if (table == nullptr) return in.wrong(node, "a share is { site = \"NAME\", percent = 10 }");
  in.table(*table, {{"site", in.text(share.site)}, {"percent", in.number(share.percent, 1, 100)}});
  in.needs(*table, "site");
  in.needs(*table, "percent");
}

void read_wave(Reader& in, const toml::node& node, wire::RolloutWave& wave) {
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
  toml::table top;
  try {
    top = toml::parse(text, file);
  } catch (const toml::parse_error& error) {
    return fail(ErrorKind::invalid, file + ':' + std::to_string(error.source().begin.line) + ": " +
                                        printable(error.description(), 300));
  }
  wire::RolloutRequest plan;
  Reader in(file);
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
