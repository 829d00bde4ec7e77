// A member of a site that lies: with a valid certificate it says that it holds every pack, and then
// sends wrong bytes, or none.
//
//   lamina-bad-peer corrupt|silent STATE ADDRESS:PORT TORRENT PACKS
//     STATE    a device's state directory, for its swarm certificate
//     PACKS    a directory of its own; corrupt packs, all zeros, are made there
//
// Prints "ready" once it listens, and serves until SIGTERM.
#include <fcntl.h>
#include <unistd.h>

#include <fmt/format.h>
#include <csignal>

#include "shared/net/loop.hpp"
#include "shared/os/file.hpp"
#include "shared/swarm/session.hpp"

using namespace lamina;

namespace {

int die(const std::string& why) {
  fmt::print(stderr, "lamina-bad-peer: {}\n", why);
  return 1;
}

Status run(const std::string& mode, const std::string& state, const std::string& listen,
           const std::string& torrent_path, const std::string& directory) {
  constexpr std::size_t kMost = 64 << 20;
  auto key = os::read_text(state + "/net/swarm.key", kMost);
  if (!key) return fail(std::move(key.error()));
  auto certificate = os::read_text(state + "/net/swarm.pem", kMost);
  if (!certificate) return fail(std::move(certificate.error()));
  auto torrent = os::read_file(torrent_path, kMost);
  if (!torrent) return fail(std::move(torrent.error()));
  auto content = swarm::read_torrent(*torrent);
  if (!content) return fail(std::move(content.error()));
  if (auto made = os::make_directories(directory + "/packs"); !made) return made;
  swarm::Session::Held held;
  for (const auto& pack : content->packs) {
    held.complete.insert(pack.id);
    const std::string path = directory + "/packs/" + pack.id.hex();
    const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    const bool sized = fd >= 0 && ::ftruncate(fd, static_cast<off_t>(pack.size)) == 0;
    if (fd >= 0) ::close(fd);
    if (!sized) return fail(ErrorKind::unavailable, "cannot make " + path);
  }
  net::Loop loop;
  auto session = swarm::Session::start(
      {.kind = swarm::Session::Kind::lan,
       .listen = listen,
       .directory = directory,
       .identity = {*certificate, *key},
       // 1 kB/s: what it says it has gets through, and a block in 16 s among all who ask.
       .send_max = mode == "silent" ? BitRate{8000} : BitRate{}},
      [] {});
  if (!session) return fail(std::move(session.error()));
  std::vector<std::string> everybody;
  for (int host = 1; host < 255; ++host)
    everybody.push_back(listen.substr(0, listen.rfind('.') + 1) + std::to_string(host));
  if (auto allowed = (*session)->allow_only(everybody); !allowed) return allowed;
  if (auto added = (*session)->add(*torrent, held, {}); !added) return added;
  fmt::print("ready\n");
  std::fflush(stdout);
  net::Timer timer;
  std::function<void()> look = [&] {
    static_cast<void>((*session)->take_events());
    timer = loop.after(std::chrono::milliseconds{100}, look);
  };
  look();
  loop.on_signal({SIGTERM, SIGINT}, [&loop](int) { loop.stop(); });
  loop.run();
  fmt::print("sent {}\n", (*session)->traffic(content->id).sent.count);
  return Done{};
}

}  // namespace

int main(int argc, char** argv) {
  const std::string mode = argc > 1 ? argv[1] : "";
  if (argc != 6 || (mode != "corrupt" && mode != "silent"))
    return die("usage: lamina-bad-peer corrupt|silent STATE ADDRESS:PORT TORRENT PACKS");
  if (auto done = run(mode, argv[2], argv[3], argv[4], argv[5]); !done)
    return die(done.error().text());
  return 0;
}
