#include "shared/format/record.hpp"

#include <catch2/catch.hpp>

#include "tests/shared/format/record_samples.hpp"

using namespace lamina;
using namespace lamina::format;

namespace {

// Round trip, every truncation, and bytes behind the end; `newest`: the version that is known.
template <class Record, class Parse>
void check_record(const Record& record, Parse parse, int newest = 1) {
  const Buffer bytes = encode(record);
  const auto read = parse(bytes);
  REQUIRE(read);
  CHECK(*read == record);
  CHECK(encode(*read) == bytes);
  for (std::size_t size = 0; size < bytes.size(); ++size)
    CHECK_FALSE(parse(ByteView(bytes).first(size)));
  Buffer longer = bytes;
  longer.push_back(std::byte{0});
  CHECK_FALSE(parse(longer));
  // Whatever parses writes back to the same bytes: one record, one digest.
  Buffer changed = bytes;
  for (auto& byte : changed) {
    byte ^= std::byte{1};
    if (const auto other = parse(changed)) CHECK(encode(*other) == changed);
    byte ^= std::byte{1};
  }
  changed[5] = static_cast<std::byte>(newest + 1);
  const auto version = parse(changed);
  REQUIRE_FALSE(version);
  CHECK(version.error().text().find("version " + std::to_string(newest + 1)) != std::string::npos);
  changed[5] = bytes[5];
  changed[6] = std::byte{8};
  const auto features = parse(changed);
  REQUIRE_FALSE(features);
  CHECK(features.error().text().find("bits 8") != std::string::npos);
}

}  // namespace

TEST_CASE("record: every type reads back, and nothing broken is accepted", "[format]") {
  check_record(samples::layer(), parse_layer);
  LayerRecord application = samples::layer();
  application.has_record_changes = true;
  CHECK(encode(application)[6] == std::byte{1});
  check_record(application, parse_layer);
  check_record(samples::layer_with_scripts(), parse_layer);
  check_record(samples::enforcing_target(), parse_target);
  check_record(samples::distribution(), parse_distribution, 3);
  check_record(samples::distribution_with_bases(), parse_distribution, 3);
  check_record(samples::distribution_with_updates(), parse_distribution, 3);
  check_record(samples::target(), parse_target);
  check_record(samples::lease(), parse_lease, 2);
  check_record(samples::lease_of_shares(), parse_lease, 2);
  check_record(samples::snapshot(), parse_snapshot);
  check_record(samples::snapshot_of_policy(), parse_snapshot);
  check_record(samples::snapshot_of_volumes(), parse_snapshot);
  check_record(samples::members(), parse_members);
}

TEST_CASE("record: what programs must know to apply a layer or target is a required feature",
          "[format]") {
  CHECK(encode(samples::layer_with_scripts())[6] == std::byte{6});
  LayerRecord scripts_only = samples::layer_with_scripts();
  scripts_only.running = {};
  CHECK(encode(scripts_only)[6] == std::byte{2});
  LayerRecord restart_only = samples::layer();
  restart_only.running.restart = true;
  CHECK(encode(restart_only)[6] == std::byte{4});
  CHECK(parse_layer(encode(restart_only)).value() == restart_only);
  CHECK(encode(samples::enforcing_target())[6] == std::byte{1});
}

TEST_CASE("record: a snapshot says what its policy left out", "[format]") {
  CHECK(encode(samples::snapshot())[6] == std::byte{0});
  CHECK(encode(samples::snapshot_of_policy())[6] == std::byte{1});
  SnapshotRecord record = samples::snapshot();
  record.unprotected.assign(kProtectionRulesMax, {"x", {"a"}, {}});
  CHECK(parse_snapshot(encode(record)).value() == record);
  record.unprotected.push_back({"y", {"a"}, {}});
  CHECK_FALSE(parse_snapshot(encode(record)));
  record.unprotected.assign(1, {"x", std::vector<std::string>(kProtectionPatternsMax, "a"), {}});
  CHECK(parse_snapshot(encode(record)).value() == record);
  record.unprotected.front().except.emplace_back("a");
  CHECK_FALSE(parse_snapshot(encode(record)));
}

TEST_CASE("record: the volumes of a snapshot are places in a tree, each once and in order",
          "[format]") {
  SnapshotRecord record = samples::snapshot();
  CHECK(encode(samples::snapshot_of_volumes())[6] == std::byte{3});
  for (std::size_t i = 0; i < kProtectedVolumesMax; ++i)
    record.volumes.push_back("v" + std::to_string(100 + i));
  CHECK(parse_snapshot(encode(record)).value() == record);
  record.volumes.emplace_back("w");
  CHECK_FALSE(parse_snapshot(encode(record)));
  using Volumes = std::vector<std::string>;
  for (const Volumes& wrong : {Volumes{""}, {"/srv"}, {"srv/.."}, {"b", "a"}, {"a", "a"}}) {
    record.volumes = wrong;
    CHECK_FALSE(parse_snapshot(encode(record)));
  }
}

TEST_CASE("protection: a path is on the innermost volume above it", "[format]") {
  const std::vector<std::string> volumes{"srv", "srv/data"};
  const auto place = [&](std::string_view path) {
    const std::string* volume = volume_of(path, volumes);
    return volume ? *volume : "/";
  };
  CHECK(place("srv") == "/");
  CHECK(place("srv/data") == "srv");
  CHECK(place("srv/data/x/y") == "srv/data");
  CHECK(place("srv/data-2") == "srv");
  CHECK(place("srv2/x") == "/");
}

TEST_CASE("record: scripts and services beyond the limits are refused by name", "[format]") {
  const auto refused = [](const LayerRecord& record, const char* why) {
    const auto read = parse_layer(encode(record));
    INFO(why);
    REQUIRE_FALSE(read);
    CHECK(read.error().text().find(why) != std::string::npos);
  };
  LayerRecord record = samples::layer_with_scripts();
  record.scripts[1].name = record.scripts[0].name;
  refused(record, "script '10-defaults.sh' is there twice");
  record.scripts[1] = {"20", 60, ""};
  refused(record, "script '20' is empty");
  record.scripts[1] = {"20", 0, "true"};
  refused(record, "script '20' must have between 1 s and 24 h");
  record.scripts.assign(5, {"x", 60, std::string(kScriptBytesMax, 'x')});
  for (std::size_t i = 0; i < 5; ++i) record.scripts[i].name += std::to_string(i);
  refused(record, "script 'x4' is too long");
  record = samples::layer_with_scripts();
  record.running.services = {"-h"};
  refused(record, "service '-h' is no name of a unit");
  record.running.services = {"a.service", "a.service"};
  refused(record, "service 'a.service' is there twice");
  record.running = {};
  for (std::size_t i = 0; i <= kScriptsMax; ++i)
    record.scripts.push_back({"s" + std::to_string(i), 60, "true"});
  CHECK_FALSE(parse_layer(encode(record)));
}

TEST_CASE("record: a target enforces in one of two ways, with a number", "[format]") {
  CHECK(parse_enforce("keep-user-apps").value() == Enforce::keep_user_apps);
  CHECK(parse_enforce(name_of(Enforce::remove_user_apps)).value() == Enforce::remove_user_apps);
  CHECK_FALSE(parse_enforce(""));
  DeviceTarget target = samples::enforcing_target();
  target.enforce_number = 0;
  CHECK_FALSE(parse_target(encode(target)));
  target = samples::enforcing_target();
  target.enforce = static_cast<Enforce>(3);
  CHECK_FALSE(parse_target(encode(target)));
}

TEST_CASE("record: a member list names each device once, in order", "[format]") {
  SiteMembers list = samples::members();
  list.members[1].device = list.members[0].device;
  CHECK_FALSE(parse_members(encode(list)));
  std::swap(list.members[0], list.members[2]);
  CHECK_FALSE(parse_members(encode(list)));
}

TEST_CASE("record: a member list holds so many devices and no more", "[format]") {
  SiteMembers list{.site = "north", .sequence = 1, .issued = {}, .members = {}};
  for (std::uint32_t i = 0; i <= kMembersMax; ++i) {
    std::array<std::byte, DeviceId::kSize> bytes{};
    bytes[0] = std::byte(i >> 8);
    bytes[1] = std::byte(i);
    list.members.push_back({DeviceId(bytes), "", 0, 0});
  }
  CHECK_FALSE(parse_members(encode(list)));
  list.members.pop_back();
  CHECK(parse_members(encode(list)));
}

TEST_CASE("record: a lease names some of the shares that there are, or is for all", "[format]") {
  const Buffer bytes = encode(samples::lease_of_shares());
  const auto with_end = [&](int count, int low, int high) {
    Buffer changed = bytes;
    changed[changed.size() - 3] = static_cast<std::byte>(count);
    changed[changed.size() - 2] = static_cast<std::byte>(low);
    changed[changed.size() - 1] = static_cast<std::byte>(high);
    return parse_lease(changed);
  };
  REQUIRE(with_end(12, 0x01, 0));
  CHECK(with_end(12, 0x01, 0)->shares == ShareSet::one(0));
  CHECK_FALSE(with_end(12, 0, 0));        // None.
  CHECK_FALSE(with_end(12, 0xff, 0x0f));  // All: that is version 1.
  CHECK_FALSE(with_end(12, 0x01, 0x10));  // The thirteenth.
  const auto other = with_end(16, 1, 0);
  REQUIRE_FALSE(other);
  CHECK(other.error().text().find("16 shares; this program knows 12") != std::string::npos);
  const auto old = parse_lease(encode(samples::lease()));
  REQUIRE(old);
  CHECK(old->shares.is_all());
}

TEST_CASE("record: one type does not pass for another", "[format]") {
  const auto read = parse_target(encode(samples::lease()));
  REQUIRE_FALSE(read);
  CHECK(read.error().text().find("device target") != std::string::npos);
}

TEST_CASE("record: names of layers are plain", "[format]") {
  for (const auto* name : {"", "../x", "a b", "-x", "a/b", "a:b", "\xc3\xa4"}) {
    CAPTURE(name);
    CHECK_FALSE(check_name(name, "layer name"));
    LayerRecord record = samples::layer();
    record.name = name;
    CHECK_FALSE(parse_layer(encode(record)));
  }
  CHECK(check_name("debian-12.5_amd64+x", "layer name"));
}

TEST_CASE("record: packs of a distribution have one order", "[format]") {
  auto record = samples::distribution();
  std::swap(record.packs[1], record.packs[2]);
  CHECK_FALSE(parse_distribution(encode(record)));
  record = samples::distribution();
  std::swap(record.packs[0], record.packs[2]);
  CHECK_FALSE(parse_distribution(encode(record)));
}

TEST_CASE("record: a distribution names its bases once, in order, and only known audiences",
          "[format]") {
  const Buffer good = encode(samples::distribution_with_bases());
  const auto at = [&good](std::size_t from_end) { return good.size() - from_end; };
  // It ends with the last pack's audience: 1, two bases, 0 and 1.
  const auto changed = [&](std::size_t position, unsigned char value) {
    Buffer bytes = good;
    bytes[position] = std::byte{value};
    return parse_distribution(bytes);
  };
  REQUIRE(parse_distribution(good));
  CHECK_FALSE(changed(at(1), 0));  // The same base twice.
  CHECK_FALSE(changed(at(1), 2));  // One that is not listed.
  CHECK_FALSE(changed(at(2), 1));  // Not ascending.
  const auto unknown = changed(at(4), 7);
  REQUIRE_FALSE(unknown);
  CHECK(unknown.error().kind() == ErrorKind::invalid);
  CHECK(unknown.error().text().find("audience 7") != std::string::npos);

  auto record = samples::distribution_with_bases();
  record.packs[2].unless = {samples::id<LayerId>(0x21), samples::id<LayerId>(0x20)};
  CHECK_FALSE(parse_distribution(encode(record)));
  // Of version 2, with a base that no pack names.
  Buffer bytes = encode(samples::distribution());
  bytes[5] = std::byte{2};
  CHECK_FALSE(parse_distribution(bytes));
}

TEST_CASE("record: a distribution says what an update stands for, and which packs it has",
          "[format]") {
  const auto record = samples::distribution_with_updates();
  const Buffer good = encode(record);
  REQUIRE(parse_distribution(good));
  CHECK_FALSE(is_for_everyone(record.packs[1]));
  CHECK_FALSE(is_for_everyone(record.packs[3]));
  CHECK(is_for_everyone(samples::distribution().packs[1]));
  const auto changed = [&](std::size_t position, unsigned char value) {
    Buffer bytes = good;
    bytes[position] = std::byte{value};
    return parse_distribution(bytes);
  };
  // It ends with the last pack's audience: 2, two layers, 0 and 2 of three.
  CHECK_FALSE(changed(good.size() - 1, 0));
  CHECK_FALSE(changed(good.size() - 1, 3));
  CHECK_FALSE(changed(good.size() - 3, 0));
  CHECK_FALSE(changed(good.size() - 4, 4));
  // A program that knows no updates says so, and one without any is of an earlier version.
  CHECK_FALSE(changed(5, 2));
  Buffer bytes = encode(samples::distribution_with_bases());
  bytes[5] = std::byte{3};
  CHECK_FALSE(parse_distribution(bytes));
}

TEST_CASE("signed record: only a trusted key, the right type and the very bytes open it",
          "[format]") {
  const auto key = PrivateKey::generate().value();
  const auto other = PrivateKey::generate().value();
  const std::vector<PublicKey> trusted{key.public_key()};
  const Buffer record = encode(samples::layer());
  const Buffer envelope = sign_record(RecordType::layer, record, key);

  const auto opened = open_record(RecordType::layer, envelope, trusted);
  REQUIRE(opened);
  CHECK(opened->record == record);
  CHECK(opened->signer == key.public_key());

  const auto stranger =
      open_record(RecordType::layer, sign_record(RecordType::layer, record, other), trusted);
  REQUIRE_FALSE(stranger);
  CHECK(stranger.error().kind() == ErrorKind::refused);
  CHECK(stranger.error().text().find(other.public_key().short_hex()) != std::string::npos);

  CHECK_FALSE(open_record(RecordType::target, envelope, trusted));
  // The type is inside the signature: changing the envelope's byte does not help.
  Buffer retyped = envelope;
  retyped[4] = static_cast<std::byte>(RecordType::target);
  const auto wrong_type = open_record(RecordType::target, retyped, trusted);
  REQUIRE_FALSE(wrong_type);
  CHECK(wrong_type.error().kind() == ErrorKind::refused);

  Buffer changed = envelope;
  for (std::size_t i = 0; i < changed.size(); ++i) {
    changed[i] ^= std::byte{1};
    CHECK_FALSE(open_record(RecordType::layer, changed, trusted));
    changed[i] ^= std::byte{1};
  }
  for (std::size_t size = 0; size < envelope.size(); ++size)
    CHECK_FALSE(open_record(RecordType::layer, ByteView(envelope).first(size), trusted));
}

TEST_CASE("records: a target that stages layers reads back; an empty list is left out",
          "[format]") {
  auto target = samples::target();
  const auto without = encode(target);
  target.stage = {samples::id<LayerId>(0x24)};
  const auto with = encode(target);
  CHECK(with.size() == without.size() + 1 + LayerId::kSize);
  CHECK(parse_target(with).value() == target);
  Buffer empty = without;
  empty.push_back(std::byte{0});
  CHECK_FALSE(parse_target(empty));
  Buffer cut = with;
  cut.pop_back();
  CHECK_FALSE(parse_target(cut));
}
