// What every way of making a layer ends with: its content is sent, its record signed and published.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "origin/cli/upload.hpp"
#include "shared/format/record.hpp"
#include "shared/wire/admin.hpp"

namespace CLI {
class App;
}

namespace lamina::origin::cli {

// m, 2.05 GB of Debian with a browser and a desktop: level 2 gives 605 MB for 17 s of processor, 3
// 587 MB for 23 s; what is above costs a minute and more. What is small is coded better anyway.
constexpr int kDefaultLevel = 3;

struct LayerOrder {
  std::string name;
  std::string version;  // "": the one after the newest of that name.
  std::string kind;
  std::string key;
  std::uint64_t revision = 0;  // 0: one above those that exist.
  int level = kDefaultLevel;
  std::vector<std::string> scripts;    // Files; each is called by its name in reports.
  std::string script_limit = "10min";  // How long each may run.
  format::RunningNeeds running;
  // Versions from which there shall be updates, "auto" or "none"; and the work that goes into them.
  std::string against = "auto";
  std::string effort = "default";
  format::Platform platform;  // What is given here is not detected.
};

// The options of `command` that fill it in. Both must outlive the parsing.
void add_layer_options(CLI::App& command, LayerOrder& order, const std::string& default_kind);

// "12.12" after "12.11", "3" after "2", "1.0.1" after "1.0.", "1" after "". What ends in no number
// gets ".1".
std::string version_after(const std::string& version);

// `platform` with what was `found` where nothing was given. `invalid` names the option that says
// what cannot be told.
Status complete(format::Platform& platform, const format::Platform& found);

// A layer on its way to the origin.
class Publication {
 public:
  // Everything that can be wrong with an order before anything is read or sent. `session` must
  // outlive the publication.
  static Result<Publication> prepare(Session& session, LayerOrder order);

  const LayerOrder& order() const { return order_; }  // Its version is a real one.
  std::string full_name() const { return order_.name + ':' + order_.version; }

  // The layer's chunks are sent through it.
  Upload& upload() { return *upload_; }

  struct Content {
    format::ManifestRef manifest;
    std::vector<std::string> rules;  // Names of the rules that left things out.
    bool has_record_changes = false;
  };
  // Ends the upload, signs and publishes, and says so: a line on stdout, or the origin's record.
  Status publish(Content content);

 private:
  Publication(Session& session, LayerOrder order, format::LayerKind kind, PrivateKey key)
      : session_(&session),
        order_(std::move(order)),
        kind_(kind),
        key_(std::move(key)),
        upload_(std::make_unique<Upload>(session, order_.level)) {}

  Session* session_;
  LayerOrder order_;
  format::LayerKind kind_;
  PrivateKey key_;
  std::unique_ptr<Upload> upload_;
  std::vector<format::LayerScript> scripts_;
};

}  // namespace lamina::origin::cli
