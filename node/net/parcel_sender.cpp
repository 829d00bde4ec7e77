#include "node/net/parcel_sender.hpp"

#include <unistd.h>

#include "shared/net/https_client.hpp"
#include "shared/net/key_signature.hpp"
#include "shared/os/file.hpp"
#include "shared/wire/protocol.hpp"

namespace lamina::node {
namespace {

using Feed = std::function<Status(const BoxSink&)>;

struct SealedFile {
  format::ParcelId id;
  std::string path;
  Bytes size;
};

Status feed_file(const std::string& path, const BoxSink& sink) {
  auto file = os::open_read(path);
  if (!file) return fail(std::move(file.error()));
  Buffer step(256 * 1024);
  for (;;) {
    auto count = os::read_some(file->get(), step, path);
    if (!count) return fail(std::move(count.error()));
    if (*count == 0) return Done{};
    if (auto done = sink(ByteView(step).first(*count)); !done) return done;
  }
}

// The box first: the head says its size and digest. Then both into one file, the head in front.
Result<SealedFile> seal(format::ParcelHead head, const BoxPublicKey& recipient,
                        const std::string& key_pem, const std::string& directory,
                        const Feed& feed) {
  const std::string box_path = directory + "/box";
  auto box = os::open_write(box_path);
  if (!box) return fail(std::move(box.error()));
  Sha256 hasher;
  auto sealer = BoxSealer::create(recipient, format::box_context(head), [&](ByteView bytes) {
    hasher.update(bytes);
    head.box_size += bytes.size();
    return os::write_all(box->get(), bytes, box_path);
  });
  if (!sealer) return fail(std::move(sealer.error()));
  Status done = feed([&](ByteView bytes) { return sealer->update(bytes); });
  if (done) done = sealer->finish();
  if (!done) return fail(std::move(done.error()));
  head.box_digest = hasher.finish();
  auto proof = net::sign_with_key(key_pem, format::signed_bytes(head));
  if (!proof) return fail(std::move(proof.error()).in("the device's key"));
  const Buffer front =
      format::encode(format::ParcelFront{head, proof->public_key, proof->signature});

  SealedFile sealed{.id = format::parcel_id(head),
                    .path = directory + "/parcel",
                    .size = Bytes{static_cast<std::int64_t>(front.size() + head.box_size)}};
  auto out = os::open_write(sealed.path);
  if (!out) return fail(std::move(out.error()));
  done = os::write_all(out->get(), front, sealed.path);
  if (done)
    done = feed_file(box_path,
                     [&](ByteView bytes) { return os::write_all(out->get(), bytes, sealed.path); });
  if (done) done = os::remove_file(box_path);
  if (!done) return fail(std::move(done.error()));
  return sealed;
}

}  // namespace

struct ParcelSender::State : std::enable_shared_from_this<State> {
  State(net::Loop& on, Options with, std::unique_ptr<net::HttpsClient> opened)
      : loop(on), options(std::move(with)), client(std::move(opened)) {}

  net::Loop& loop;
  Options options;
  std::unique_ptr<net::HttpsClient> client;
  std::uint32_t number = 0;

  template <class Call>
  auto later(Call call) {
    return [weak = weak_from_this(), call = std::move(call)](auto... values) {
      if (const auto self = weak.lock()) call(*self, std::move(values)...);
    };
  }

  void send(format::ParcelHead head, Feed feed, Then then) {
    head.device = options.device;
    head.sequence = options.sequence;
    head.number = number++;
    loop.offload_value(
        [head, feed = std::move(feed), key = options.origin_key, pem = options.device_key_pem,
         directory = options.directory] { return seal(head, key, pem, directory, feed); },
        later([then = std::move(then)](State& self, const Result<SealedFile>& sealed) {
          if (!sealed) return then(fail(sealed.error()));
          self.put(*sealed, then);
        }));
  }

  void put(const SealedFile& sealed, const Then& then) {
    net::Call call{.method = "PUT",
                   .target = "/v1/relay/parcels/" + sealed.id.hex(),
                   .content_type = std::string(wire::kBinary),
                   .upload_file = sealed.path};
    client->send(
        std::move(call), later([sealed, then](State&, Result<net::Reply> reply) {
          static_cast<void>(os::remove_file(sealed.path));  // The next one is written over.
          auto taken = net::check(std::move(reply));
          if (!taken) return then(fail(std::move(taken.error())));
          then(sealed.size);
        }));
  }
};

ParcelSender::ParcelSender(std::shared_ptr<State> state) : state_(std::move(state)) {}
ParcelSender::~ParcelSender() = default;

Result<std::unique_ptr<ParcelSender>> ParcelSender::open(net::Loop& loop, Options options) {
  if (auto done = os::remove_tree(options.directory); !done) return fail(std::move(done.error()));
  if (auto done = os::make_directories(options.directory, 0700); !done)
    return fail(std::move(done.error()));
  auto client = net::HttpsClient::create(loop, {.host = options.address,
                                                .port = options.port,
                                                .ca_pem = options.identity.ca_pem,
                                                .ca_fingerprint = {},
                                                .certificate_pem = options.identity.certificate_pem,
                                                .key_pem = options.identity.key_pem,
                                                .peer = options.relay,
                                                .connections_max = 1,
                                                .connect_timeout = std::chrono::seconds{5}});
  if (!client) return fail(std::move(client.error()));
  return std::unique_ptr<ParcelSender>(
      new ParcelSender(std::make_shared<State>(loop, std::move(options), std::move(*client))));
}

void ParcelSender::send_pack(const std::string& path, Then then) {
  state_->send(
      {.kind = format::ParcelKind::pack},
      [path](const BoxSink& sink) { return feed_file(path, sink); }, std::move(then));
}

void ParcelSender::send_snapshot(const SnapshotId& snapshot, Buffer record, Then then) {
  state_->send(
      {.kind = format::ParcelKind::snapshot, .snapshot = snapshot},
      [record = std::move(record)](const BoxSink& sink) { return sink(record); }, std::move(then));
}

const DeviceId& ParcelSender::relay() const { return state_->options.relay; }

}  // namespace lamina::node
