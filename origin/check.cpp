#include "origin/check.hpp"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "origin/catalog/catalog.hpp"
#include "origin/catalog/journal.hpp"
#include "origin/catalog/kv_table.hpp"
#include "origin/lost_chunks.hpp"
#include "origin/scrub.hpp"
#include "origin/touched.hpp"
#include "shared/format/record.hpp"
#include "shared/format/signed_layer.hpp"
#include "shared/os/clock.hpp"
#include "shared/store/chunk_index.hpp"
#include "shared/swarm/torrent_file.hpp"

namespace lamina::origin {
namespace {

using Need = Catalog::ChunkNeed;

constexpr std::uint32_t kPartsMax = 10'000;
constexpr std::size_t kNamesShown = 8;
constexpr int kJournalTries = 3;

struct Finding {
  std::string kind;
  std::string space;  // "layers", "cvd", "objects".
  std::string text;
  std::string next;
  std::set<ChunkId> unreadable;
  std::set<std::string> layers;   // That are touched, by full name...
  std::set<std::string> devices;  // ...and devices: they are assigned such a layer, or it is of
                                  // their own content.
  std::set<std::string> snapshots = {};
  PackId pack = {};  // None: of no single pack.
};

std::string full_name(const wire::LayerInfo& layer) { return layer.name + ':' + layer.version; }

std::string next_step(StoreFinding::Kind kind, const std::string& space, const std::string& data) {
  using Kind = StoreFinding::Kind;
  switch (kind) {
    case Kind::index_lost:
    case Kind::rows_wrong:
      return "stop `lamina-origin serve`, then `lamina-origin repair` makes the index anew from "
             "the "
             "packs";
    case Kind::hashes_broken:
      return "stop `lamina-origin serve`, then `lamina-origin repair` makes them anew from the "
             "pack";
    case Kind::pack_lost:
    case Kind::pack_broken:
      return "the scrub of `lamina-origin serve` sets it aside and heals it; at once: stop `serve` "
             "and type `lamina-origin repair --data " +
             data + " --from BACKUP`";
    case Kind::pack_aside: return next_for_lost(space, data);
  }
  return {};
}

class Check {
 public:
  Check(const DataDirectory& data, const CheckRequest& request) : data_(data), request_(request) {}

  Status look(const StoreCheckOptions& options);
  void print(std::ostream& out) const;
  std::size_t findings() const { return findings_.size(); }

 private:
  Status look_at_space(const std::string& name, const std::string& directory,
                       const StoreCheckOptions& options);
  Status look_at_journal(const Kv& kv);
  Status look_at_rows(const Kv& kv);
  Status look_at_needs(const Catalog& catalog);
  Status look_at_objects(const Catalog& catalog);
  void look_at_distribution(const LayerId& id, const std::string& name, const PublicKey& target);
  Status look_at_named(const Catalog& catalog);
  void touch(Finding& finding, const LayerId& layer) const;
  Status name_touched(const Catalog& catalog);
  // Of what the catalogue has no row of its own: the id.
  std::string layer_name(const LayerId& id) const;
  std::string device_name(const DeviceId& id) const;
  void print_json(std::ostream& out) const;
  void object(const std::string& kind, const std::string& text, const std::string& layer,
              const std::string& device, const std::string& next);

  const DataDirectory& data_;
  const CheckRequest& request_;
  std::map<std::string, StoreCheck> spaces_;
  std::map<LayerId, std::string> layers_;                  // Full names.
  std::map<DeviceId, std::string> devices_;                // Host names and ids.
  std::map<std::string, std::set<std::string>> assigned_;  // Layer to devices.
  std::size_t snapshots_ = 0;
  std::vector<Finding> findings_;
};

Status Check::look(const StoreCheckOptions& options) {
  if (auto is = check_is_origin(data_); !is) return is;
  auto still = hold_still(data_);
  if (!still) return fail(std::move(still.error()));
  for (const auto& [name, directory] :
       {std::pair("layers", data_.layers()), std::pair("cvd", data_.cvds())})
    if (auto done = look_at_space(name, directory, options); !done) return done;
  if (!os::exists(data_.catalog() + "/data.mdb")) {
    object("catalogue-lost", "there is no catalogue in " + printable(data_.catalog()), "", "",
           os::exists(data_.journal())
               ? "`lamina-origin rebuild` makes it from its journal; without that, restore a backup"
               : "restore a backup");
    return Done{};
  }
  auto kv = Kv::open(data_.catalog());
  if (!kv) return fail(std::move(kv.error()));
  KvTable table(**kv);
  const Catalog catalog(table);
  auto layers = catalog.layers();
  if (!layers) return fail(std::move(layers.error()));
  for (const wire::LayerInfo& layer : *layers) layers_[layer.id] = full_name(layer);
  auto devices = catalog.devices();
  if (!devices) return fail(std::move(devices.error()));
  for (const wire::DeviceInfo& device : *devices) {
    const std::string& name = devices_[device.id] =
        device.host_name.empty() ? device.id.hex() : device.host_name + ' ' + device.id.hex();
    for (const std::string& layer : device.target) assigned_[layer].insert(name);
  }
  if (auto done = look_at_journal(**kv); !done) return done;
  if (auto done = look_at_needs(catalog); !done) return done;
  if (auto done = look_at_objects(catalog); !done) return done;
  return name_touched(catalog);
}

Status Check::look_at_space(const std::string& name, const std::string& directory,
                            const StoreCheckOptions& options) {
  // Made when something is first taken in.
  if (!os::exists(directory + "/packs")) return Done{};
  auto check = check_store(directory, options);
  if (!check) return fail(std::move(check.error()));
  for (StoreFinding& finding : check->findings)
    findings_.push_back({std::string(name_of(finding.kind)),
                         name,
                         finding.text,
                         next_step(finding.kind, name, data_.root()),
                         std::move(finding.unreadable),
                         {},
                         {},
                         {},
                         finding.pack});
  check->findings.clear();
  spaces_[name] = std::move(*check);
  return Done{};
}

// Whether the journal has all that the catalogue has, and nothing else. `serve` may write both
// meanwhile: what the catalogue had before the journal was read must be in it.
Status Check::look_at_journal(const Kv& kv) {
  JournalNumber known;
  bool is_foreign = false;
  const auto look = [&](const Kv::View& view) -> Status {
    auto row = view.get(kJournalRow);
    if (!row) return fail(std::move(row.error()));
    auto number = *row ? parse_journal_row(**row) : Result<JournalNumber>(JournalNumber{});
    if (!number) return fail(std::move(number.error()));
    known = *number;
    is_foreign = known.transaction != view.transaction();
    return Done{};
  };
  if (auto looked = kv.read(look); !looked) return looked;
  Result<std::uint64_t> newest = newest_of_journal(data_.journal());
  // Files go when newer rows are written, and a transaction may be seen while half of it is there.
  for (int tries = 0; tries < kJournalTries && !newest; ++tries)
    newest = newest_of_journal(data_.journal());
  std::string text;
  if (!newest)
    text = newest.error().text();
  else if (is_foreign || *newest < known.number)
    text = "the catalogue has changes that its journal does not have";
  if (!text.empty()) {
    object("journal-differs", text, "", "",
           "stop and start `lamina-origin serve`: the journal begins anew with all rows");
    return Done{};
  }
  return look_at_rows(kv);
}

Status Check::look_at_rows(const Kv& kv) {
  Result<std::optional<std::string>> differs = std::nullopt;
  Status compared = Done{};
  for (int tries = 0; compared && (tries == 0 || (!differs && tries < kJournalTries)); ++tries)
    compared = kv.read([&](const Kv::View& view) -> Status {
      differs = row_that_differs(data_.journal(), view);
      return Done{};
    });
  if (!compared) return compared;
  if (!differs) return fail(std::move(differs.error()));
  if (*differs)
    object("catalogue-differs",
           "the catalogue is damaged: by what its journal says, it " + **differs, "", "",
           "stop `lamina-origin serve`, move " + data_.catalog() +
               " away; `lamina-origin rebuild` makes it anew from the journal");
  return Done{};
}

// What the catalogue needs and no pack has.
Status Check::look_at_needs(const Catalog& catalog) {
  // Without an index nothing can be said of single chunks; where it is lost, that is a finding
  // already, and where nothing was ever taken in there is none yet.
  const auto is_lost = [](const Finding& finding) {
    return finding.kind == name_of(StoreFinding::Kind::index_lost);
  };
  if (spaces_.size() < 2 || std::ranges::any_of(findings_, is_lost)) return Done{};
  std::set<ChunkId> explained;  // By the pack that they were in.
  for (const Finding& finding : findings_)
    explained.insert(finding.unreadable.begin(), finding.unreadable.end());
  std::map<std::string, Finding> lost;
  auto looked = for_each_lost(data_, catalog, [&](const Need& need) {
    const std::string owner =
        need.layer ? "layer " + layer_name(*need.layer) : "device " + device_name(*need.device);
    if (!explained.contains(need.chunk)) lost[owner].unreadable.insert(need.chunk);
  });
  if (!looked) return looked;
  for (auto& [owner, finding] : lost) {
    if (finding.unreadable.empty()) continue;
    const bool is_layer = owner.starts_with("layer ");
    finding.kind = "chunks-lost";
    finding.space = is_layer ? "layers" : "cvd";
    finding.text = std::to_string(finding.unreadable.size()) + " chunks that " + owner +
                   " needs are not in the index";
    finding.next =
        "stop `lamina-origin serve`; `lamina-origin repair` finds them where packs have them that "
        "the index does not know; else restore the packs from a backup" +
        std::string(is_layer ? ", or publish the layer's next version" : "");
    findings_.push_back(std::move(finding));
  }
  return Done{};
}

void Check::object(const std::string& kind, const std::string& text, const std::string& layer,
                   const std::string& device, const std::string& next) {
  Finding finding{kind, "objects", text, next, {}, {}, {}};
  if (!layer.empty()) {
    finding.layers.insert(layer);
    if (const auto on = assigned_.find(layer); on != assigned_.end()) finding.devices = on->second;
  }
  if (!device.empty()) finding.devices.insert(device);
  findings_.push_back(std::move(finding));
}

// What a layer is handed out with: the record that the origin signed, and the torrent that it
// names, once as the API gives it and once as seeders read it.
void Check::look_at_distribution(const LayerId& id, const std::string& name,
                                 const PublicKey& target) {
  const auto damaged = [&](const std::string& what, const std::string& path, const Error& error) {
    const bool is_lost = error.kind() == ErrorKind::not_found;
    object("distribution-lost",
           what + " of layer " + name + (is_lost ? " is not there" : " is damaged"), name, "",
           "restore " + path + " from a backup");
  };
  const std::string record_path = "objects/distributions/" + id.hex();
  auto envelope = os::read_file(data_.root() + '/' + record_path, format::kRecordMax);
  if (!envelope) return damaged("the distribution record", record_path, envelope.error());
  auto distribution = format::open_distribution(id, *envelope, target);
  if (!distribution) return damaged("the distribution record", record_path, distribution.error());
  const std::string torrent_path = "objects/torrents/" + id.hex();
  auto torrent = os::read_file(data_.root() + '/' + torrent_path, swarm::kTorrentBytesMax);
  if (!torrent) return damaged("the torrent", torrent_path, torrent.error());
  auto content = swarm::read_torrent(*torrent);
  if (!content) return damaged("the torrent", torrent_path, content.error());
  if (content->id != distribution->torrent)
    return damaged("the torrent", torrent_path, {ErrorKind::corrupt, "another one"});
  const std::string seeded_path = "torrents/" + distribution->torrent.hex() + ".torrent";
  auto seeded = os::read_file(data_.root() + '/' + seeded_path, swarm::kTorrentBytesMax);
  if (!seeded) return damaged("the seeders' torrent", seeded_path, seeded.error());
  // The id does not cover all of a torrent.
  if (*seeded != *torrent)
    damaged("one of the two torrents", seeded_path + " or " + torrent_path,
            {ErrorKind::corrupt, "two that differ"});
}

Status Check::look_at_objects(const Catalog& catalog) {
  auto target_text = os::read_text(data_.key("target.pub"), 1024);
  if (!target_text) return fail(std::move(target_text.error()));
  auto target = PublicKey::parse(std::string_view(*target_text).substr(0, 64));
  if (!target) return fail(std::move(target.error()).in(data_.key("target.pub")));
  const auto read = [&](const std::string& kind, const std::string& hex) {
    return os::read_file(data_.object(kind, hex), format::kRecordMax);
  };
  for (const auto& [id, name] : layers_) {
    const auto record = read("layers", id.hex());
    if (!record || format::layer_id(*record) != id)
      object("record-broken",
             "the signed record of layer " + name + (record ? " has other bytes" : " is not there"),
             name, "", "restore objects/layers/" + id.hex() + " from a backup");
    look_at_distribution(id, name, *target);
  }
  for (const auto& [id, name] : devices_) {
    auto snapshots = catalog.snapshots(id);
    if (!snapshots) return fail(std::move(snapshots.error()));
    snapshots_ += snapshots->size();
    for (const wire::SnapshotInfo& snapshot : *snapshots) {
      const auto record = read("snapshots", snapshot.id.hex());
      if (record && format::snapshot_id(*record) == snapshot.id) continue;
      object("snapshot-lost",
             "snapshot " + std::to_string(snapshot.number) + " of device " + name +
                 (record ? " has other bytes" : " is not there"),
             "", name, "restore objects/snapshots/" + snapshot.id.hex() + " from a backup");
    }
  }
  return look_at_named(catalog);
}

// Packs that layers name. One that is not there is told of already where the index knew it.
Status Check::look_at_named(const Catalog& catalog) {
  auto lost = find_lost_packs(data_, catalog);
  if (!lost) return fail(std::move(lost.error()));
  for (const auto& [pack, layers] : *lost) {
    if (std::ranges::find(findings_, pack, &Finding::pack) != findings_.end()) continue;
    object(std::string(name_of(StoreFinding::Kind::pack_lost)),
           "pack " + pack.hex() + " is not there", layer_name(layers.front()), "",
           next_for_lost("layers", data_.root()));
    for (const LayerId& layer : layers) touch(findings_.back(), layer);
  }
  return Done{};
}

// And the devices that are assigned it.
void Check::touch(Finding& finding, const LayerId& layer) const {
  const std::string name = layer_name(layer);
  finding.layers.insert(name);
  if (const auto on = assigned_.find(name); on != assigned_.end())
    finding.devices.insert(on->second.begin(), on->second.end());
}

Status Check::name_touched(const Catalog& catalog) {
  std::vector<std::set<ChunkId>> damages;
  for (const Finding& finding : findings_) damages.push_back(finding.unreadable);
  ChunkReader reader({data_.cvds(), data_.layers()});
  auto touched = find_touched(
      catalog, [&](const format::ChunkRef& ref) { return reader.read(ref); },
      [&](const SnapshotId& id) {
        return os::read_file(data_.object("snapshots", id.hex()), format::kRecordMax);
      },
      damages);
  if (!touched) return fail(std::move(touched.error()));
  for (std::size_t i = 0; i < findings_.size(); ++i) {
    Finding& finding = findings_[i];
    for (const DeviceId& device : (*touched)[i].devices)
      finding.devices.insert(device_name(device));
    for (const Touched::Snapshot& snapshot : (*touched)[i].snapshots)
      finding.snapshots.insert(std::to_string(snapshot.number) + " of " +
                               device_name(snapshot.device));
    for (const LayerId& id : (*touched)[i].layers) touch(finding, id);
  }
  // What was set aside and nothing needs is no loss.
  std::erase_if(findings_, [](const Finding& finding) {
    return finding.kind == name_of(StoreFinding::Kind::pack_aside) && finding.layers.empty() &&
           finding.devices.empty();
  });
  return Done{};
}

std::string Check::layer_name(const LayerId& id) const {
  const auto at = layers_.find(id);
  return at == layers_.end() ? id.hex() : at->second;
}

std::string Check::device_name(const DeviceId& id) const {
  const auto at = devices_.find(id);
  return at == devices_.end() ? id.hex() : at->second;
}

std::string some_of(const std::set<std::string>& names) {
  std::string text;
  std::size_t shown = 0;
  for (const std::string& name : names) {
    if (shown++ == kNamesShown)
      return text + " and " + std::to_string(names.size() - kNamesShown) + " more";
    text += (text.empty() ? "" : ", ") + printable(name);
  }
  return text;
}

void Check::print(std::ostream& out) const {
  if (request_.as_json) return print_json(out);
  for (const auto& [name, space] : spaces_)
    out << name << std::string(10 - name.size(), ' ') << space.packs << " packs, " << space.chunks
        << " chunks (" << space.unknown << " of them not in use), "
        << (request_.read_data ? to_text(space.read) + " read" : "content not read") << '\n';
  out << "objects   " << layers_.size() << " layers, " << devices_.size() << " devices, "
      << snapshots_ << " snapshots\n";
  for (const Finding& finding : findings_) {
    out << '\n' << finding.kind << ": " << finding.text << '\n';
    if (!finding.unreadable.empty())
      out << "  chunks   " << finding.unreadable.size() << " cannot be read\n";
    if (!finding.layers.empty()) out << "  layers   " << some_of(finding.layers) << '\n';
    if (!finding.devices.empty()) out << "  devices  " << some_of(finding.devices) << '\n';
    if (!finding.snapshots.empty()) out << "  snapshots " << some_of(finding.snapshots) << '\n';
    out << "  next     " << finding.next << '\n';
  }
  if (findings_.empty()) out << "nothing wrong\n";
}

void Check::print_json(std::ostream& out) const {
  nlohmann::json spaces = nlohmann::json::object();
  for (const auto& [name, space] : spaces_)
    spaces[name] = {{"packs", space.packs},
                    {"chunks", space.chunks},
                    {"unknown_chunks", space.unknown},
                    {"read_bytes", space.read.count}};
  nlohmann::json findings = nlohmann::json::array();
  for (const Finding& finding : findings_)
    findings.push_back({{"kind", finding.kind},
                        {"space", finding.space},
                        {"text", finding.text},
                        {"unreadable_chunks", finding.unreadable.size()},
                        {"layers", finding.layers},
                        {"devices", finding.devices},
                        {"snapshots", finding.snapshots},
                        {"next", finding.next}});
  out << nlohmann::json{{"check",
                         {{"spaces", spaces},
                          {"layers", layers_.size()},
                          {"devices", devices_.size()},
                          {"snapshots", snapshots_},
                          {"read_data", request_.read_data},
                          {"findings", findings}}}}
             .dump()
      << '\n';
}

// "2/7".
Status parse_subset(const std::string& text, StoreCheckOptions& options) {
  if (text.empty()) return Done{};
  const auto slash = text.find('/');
  const auto number = [](std::string_view digits) -> std::uint32_t {
    const bool good = !digits.empty() && digits.size() <= 5 &&
                      digits.find_first_not_of("0123456789") == std::string_view::npos;
    return good ? static_cast<std::uint32_t>(std::stoul(std::string(digits))) : 0;
  };
  const std::string_view view(text);
  options.part = number(view.substr(0, slash));
  options.parts = slash == std::string::npos ? 0 : number(view.substr(slash + 1));
  if (options.part >= 1 && options.part <= options.parts && options.parts <= kPartsMax)
    return Done{};
  return fail(ErrorKind::invalid,
              "--subset takes N/T with 1 <= N <= T <= " + std::to_string(kPartsMax) +
                  ", as in 2/7, not '" + printable(text, 40) + "'");
}

}  // namespace

Status run_check(const DataDirectory& data, const CheckRequest& request, std::ostream& out,
                 lamina::cli::Progress& progress) {
  StoreCheckOptions options{.read_data = request.read_data,
                            .progress = [&](Bytes read, Bytes total) {
                              progress.show(read, total, os::system_clock().now());
                            }};
  if (auto good = parse_subset(request.subset, options); !good) return good;
  Check check(data, request);
  if (auto looked = check.look(options); !looked) return looked;
  progress.clear();
  check.print(out);
  if (check.findings() == 0) return Done{};
  return fail(ErrorKind::corrupt, std::to_string(check.findings()) +
                                      (check.findings() == 1 ? " finding" : " findings") +
                                      ", each with its next step");
}

}  // namespace lamina::origin
