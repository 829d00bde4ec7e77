// A node's state directory with a cache, as the network process fills it, and a worker over it.
#pragma once

#include <functional>

#include "node/worker/worker.hpp"
#include "shared/store/pack_writer.hpp"
#include "tests/shared/tree/trees.hpp"
#include "tests/support/signed_layer.hpp"

namespace lamina::tests {

using node::StateDirectory;
using node::Worker;

inline constexpr WallTime kNow{1'800'000'000'000'000'000};

struct FixedClock : os::Clock {
  Instant now() const override { return Instant{}; }
  WallTime wall() const override { return kNow; }
};

inline DeviceId device_id(unsigned char value) {
  std::array<std::byte, 16> bytes;
  bytes.fill(std::byte{value});
  return DeviceId(bytes);
}

struct WorkerBench {
  WorkerBench() {
    const os::User me{geteuid(), getegid(), "root"};
    REQUIRE(state.prepare(me));
    REQUIRE(os::make_directories(scratch / "volume"));
    REQUIRE(node::write_config(state, {.origin_host = "origin",
                                       .origin_port = 1,
                                       .device = device_id(7),
                                       .volume = scratch / "volume",
                                       .user = "root"}));
    REQUIRE(node::write_trust(state, "ca", {target_key.public_key(), {publisher.public_key()}}));
  }

  // Publishes a directory as a layer into the cache.
  LayerId layer(const std::string& tree, const std::string& version, const PrivateKey& signer,
                format::LayerKind kind = format::LayerKind::base, const char* release = "12",
                const std::function<void(format::LayerRecord&)>& change = {}) {
    const auto files = PackFiles::open(state.cache(), PackFiles::Access::write).value();
    std::vector<format::DistributedPack> packs;
    PackWriter writer(files, {.level = 1}, [&](const format::PackSummary& pack) -> Status {
      packs.push_back({pack.id, pack.size, false});
      return Done{};
    });
    const auto captured = capture(tree);
    for (const auto& [id, plain] : captured.chunks)
      REQUIRE(writer.add(ref_of(plain), plain, ContentClass::data));
    REQUIRE(writer.finish());
    std::ranges::sort(packs, {}, &format::DistributedPack::id);
    format::LayerRecord record = layer_record("layer", version, captured.result.manifest);
    record.kind = kind;
    record.platform.release = release;
    record.created = kNow;
    if (change) change(record);
    const Buffer envelope = signed_layer(record, signer);
    const LayerId id = format::layer_id(envelope);
    REQUIRE(os::write_file(state.records() + '/' + id.hex() + ".layer", envelope));
    distribute(id, packs);
    return id;
  }
  void distribute(const LayerId& id, const std::vector<format::DistributedPack>& packs) {
    REQUIRE(os::write_file(
        state.records() + '/' + id.hex() + ".distribution",
        format::sign_record(format::RecordType::distribution,
                            format::encode(format::DistributionRecord{.layer = id, .packs = packs}),
                            target_key)));
  }

  void target(std::uint64_t sequence, std::vector<LayerId> stack, const PrivateKey& signer,
              unsigned char device = 7, WallTime expires = {kNow.ns + 1},
              format::Enforce enforce = format::Enforce::no, std::uint64_t number = 0) {
    REQUIRE(os::write_file(
        state.records() + "/target",
        format::sign_record(format::RecordType::target,
                            format::encode(format::DeviceTarget{.device = device_id(device),
                                                                .sequence = sequence,
                                                                .issued = kNow,
                                                                .expires = expires,
                                                                .stack = std::move(stack),
                                                                .enforce = enforce,
                                                                .enforce_number = number}),
                            signer)));
  }

  node::WorkerReply apply() {
    auto worker = Worker::open(state, clock, services);
    if (!worker) FAIL(worker.error().text());
    return worker->apply(false);
  }
  void refused(const std::string& reason) {
    const auto reply = apply();
    REQUIRE(reply.error);
    CAPTURE(reply.error->text());
    CHECK(reply.error->kind() == ErrorKind::refused);
    CHECK(reply.error->text().find(reason) != std::string::npos);
    CHECK(os::list_directory(scratch / "volume").value() == std::vector<std::string>{".lamina"});
  }

  Scratch scratch;
  StateDirectory state{scratch / "state"};
  PrivateKey target_key = PrivateKey::generate().value();
  PrivateKey publisher = PrivateKey::generate().value();
  PrivateKey stranger = PrivateKey::generate().value();
  FixedClock clock;
  node::Services* services = nullptr;  // None: nothing runs from the volume.
};

}  // namespace lamina::tests
