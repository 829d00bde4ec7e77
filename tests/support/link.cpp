// A WAN line in user space: two TAP devices in two network namespaces, and between them a rate, a
// one-way delay, jitter, random loss and a tail-drop queue for each direction. It exists because
// the usual kernel modules for delay and loss (netem) are missing on many machines.
//
//   lamina-link NAMESPACE_A NAMESPACE_B DEVICE [key=value...]
//     rate=BITS_PER_SECOND   of the line, both directions       (20000000)
//     up_rate=...            B to A, where it differs           (rate)
//     delay_us=...           one way                            (15000)
//     jitter_us=...          on top, at most: frames arrive together, as over a radio link that may
//                            send only now and then               (0)
//     loss_ppm=...           packets lost per million           (0)
//     queue_bytes=...        that wait for the line, then drop  (150000)
//     seed=...               of the losses                      (1)
//
// Prints "ready" once both devices exist, and at SIGTERM one JSON line with its counts. A frame is
// charged with its Ethernet header (14 bytes), as the interface counters do. One thread.
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <fmt/format.h>
#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <deque>
#include <map>
#include <random>
#include <string>
#include <vector>

namespace {

constexpr std::int64_t kSecond = 1'000'000'000;
constexpr int kBurst = 64;  // Frames read from one side before the other gets its turn.

std::int64_t now_ns() {
  timespec t{};
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * kSecond + t.tv_nsec;
}

[[noreturn]] void die(const std::string& what) {
  fmt::print(stderr, "lamina-link: {}: {}\n", what, std::strerror(errno));
  std::exit(1);
}

// A TAP device without offloads: every frame read from it is one that a wire would carry.
int open_tap(const std::string& name_space, const std::string& device) {
  const int ns = open(("/run/netns/" + name_space).c_str(), O_RDONLY | O_CLOEXEC);
  if (ns < 0 || setns(ns, CLONE_NEWNET) != 0) die("namespace " + name_space);
  close(ns);
  const int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0) die("/dev/net/tun");
  ifreq request{};
  request.ifr_flags = IFF_TAP | IFF_NO_PI;
  device.copy(request.ifr_name, IFNAMSIZ - 1);
  if (ioctl(fd, TUNSETIFF, &request) != 0) die("device " + device + " in " + name_space);
  return fd;
}

struct Counts {
  std::int64_t frames = 0, bytes = 0, queue_drops = 0, losses = 0;
};

// One direction. A frame leaves the queue when the line has sent all before it, and arrives `delay`
// later; both instants are known when it comes in, so the queue needs no clock of its own.
class Direction {
 public:
  struct Line {
    std::int64_t rate, delay_ns, jitter_ns, queue_bytes, loss_ppm;
    std::uint64_t seed;
  };

  explicit Direction(const Line& line) : line_(line), random_(line.seed) {}

  void accept(const char* frame, std::size_t size, std::int64_t now) {
    const auto wait = std::max<std::int64_t>(0, free_at_ - now);
    const auto backlog = wait / 8 * (line_.rate / 1000) / (kSecond / 1000);
    if (backlog + std::int64_t(size) > line_.queue_bytes) {
      ++counts.queue_drops;
      return;
    }
    free_at_ = std::max(free_at_, now) + std::int64_t(size) * 8 * kSecond / line_.rate;
    counts.bytes += std::int64_t(size);
    ++counts.frames;
    // Lost on the way: it used the line all the same.
    if (line_.loss_ppm > 0 && std::int64_t(random_() % 1'000'000) < line_.loss_ppm) {
      ++counts.losses;
      return;
    }
    const std::int64_t due = free_at_ + line_.delay_ns;
    while (line_.jitter_ns > 0 && granted_ < due) granted_ += 1 + random_() % line_.jitter_ns;
    flying_.push_back({std::max(due, granted_), {frame, frame + size}});
  }

  void deliver(int fd, std::int64_t now) {
    while (!flying_.empty() && flying_.front().due <= now) {
      const auto& frame = flying_.front().bytes;
      // A device that is down or full drops frames, as a switch port does.
      if (write(fd, frame.data(), frame.size()) < 0) ++counts.losses;
      flying_.pop_front();
    }
  }

  std::int64_t next_due(std::int64_t otherwise) const {
    return flying_.empty() ? otherwise : flying_.front().due;
  }

  Counts counts;

 private:
  struct Frame {
    std::int64_t due;
    std::vector<char> bytes;
  };
  Line line_;
  std::mt19937_64 random_;
  std::int64_t free_at_ = 0;
  std::int64_t granted_ = now_ns();  // When what is on the way may arrive.
  std::deque<Frame> flying_;         // In order of arrival, which is that of sending.
};

std::map<std::string, std::int64_t> options(int argc, char** argv) {
  std::map<std::string, std::int64_t> values{
      {"rate", 20'000'000}, {"up_rate", 0},           {"delay_us", 15'000}, {"jitter_us", 0},
      {"loss_ppm", 0},      {"queue_bytes", 150'000}, {"seed", 1}};
  for (int i = 4; i < argc; ++i) {
    const std::string argument = argv[i];
    const auto equals = argument.find('=');
    const auto known = values.find(argument.substr(0, equals));
    char* end = nullptr;
    const auto number =
        equals == std::string::npos ? -1 : std::strtoll(argument.c_str() + equals + 1, &end, 10);
    if (known == values.end() || number < 0 || *end != '\0') {
      fmt::print(stderr, "lamina-link: cannot use '{}'\n", argument);
      std::exit(2);
    }
    known->second = number;
  }
  if (values["rate"] < 1000) values["rate"] = 1000;
  if (values["up_rate"] == 0) values["up_rate"] = values["rate"];
  return values;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 4) {
    fmt::print(stderr, "usage: lamina-link NAMESPACE_A NAMESPACE_B DEVICE [key=value...]\n");
    return 2;
  }
  auto option = options(argc, argv);
  prctl(PR_SET_TIMERSLACK, 1);  // The default of 50 us would add up to a visible jitter.

  sigset_t stop;
  sigemptyset(&stop);
  sigaddset(&stop, SIGTERM);
  sigaddset(&stop, SIGINT);
  sigprocmask(SIG_BLOCK, &stop, nullptr);
  const int signals = signalfd(-1, &stop, SFD_CLOEXEC);

  const std::array<int, 2> side{open_tap(argv[1], argv[3]), open_tap(argv[2], argv[3])};
  const auto line = [&](const char* rate, int direction) {
    return Direction::Line{option[rate],
                           option["delay_us"] * 1000,
                           option["jitter_us"] * 1000,
                           option["queue_bytes"],
                           option["loss_ppm"],
                           std::uint64_t(option["seed"] + direction)};
  };
  std::array<Direction, 2> way{Direction(line("rate", 0)), Direction(line("up_rate", 1))};
  fmt::print("ready\n");
  std::fflush(stdout);

  std::array<pollfd, 3> waits{pollfd{side[0], POLLIN, 0}, pollfd{side[1], POLLIN, 0},
                              pollfd{signals, POLLIN, 0}};
  std::array<char, 65536> frame;
  while ((waits[2].revents & POLLIN) == 0) {
    auto now = now_ns();
    const auto due = std::min(way[0].next_due(now + kSecond), way[1].next_due(now + kSecond));
    const auto rest = std::clamp<std::int64_t>(due - now, 0, kSecond - 1);
    const timespec timeout{0, rest};
    ppoll(waits.data(), waits.size(), &timeout, nullptr);
    for (int from = 0; from < 2; ++from) {
      if (waits[from].revents == 0) continue;
      for (int i = 0; i < kBurst; ++i) {
        const auto size = read(side[from], frame.data(), frame.size());
        if (size <= 0) break;
        way[from].accept(frame.data(), std::size_t(size), now_ns());
      }
    }
    now = now_ns();
    for (int from = 0; from < 2; ++from) way[from].deliver(side[1 - from], now);
  }

  const auto report = [](const Counts& c) {
    return fmt::format(R"({{"frames":{},"bytes":{},"queue_drops":{},"losses":{}}})", c.frames,
                       c.bytes, c.queue_drops, c.losses);
  };
  fmt::print(R"({{"down":{},"up":{}}})"
             "\n",
             report(way[0].counts), report(way[1].counts));
  return 0;
}
