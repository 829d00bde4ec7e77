#include "tests/bench/load/origin_process.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <charconv>
#include <condition_variable>
#include <fstream>
#include <mutex>
#include <sstream>
#include <thread>
#include <vector>

#include "shared/os/errno.hpp"
#include "shared/os/file.hpp"

namespace lamina::bench {
namespace {

// A child with its standard error in `log`, which ends with this process.
pid_t spawn(const std::vector<std::string>& words, int log) {
  std::vector<char*> arguments;
  for (const std::string& word : words) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  const pid_t child = ::fork();
  if (child != 0) return child;
  ::prctl(PR_SET_PDEATHSIG, SIGTERM);
  ::dup2(log, STDERR_FILENO);
  ::dup2(log, STDOUT_FILENO);
  ::execv(arguments[0], arguments.data());
  ::_exit(127);
}

// The number behind `key` in a file of /proc, or nothing.
std::optional<std::int64_t> number_in(const std::string& path, std::string_view key) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);)
    if (line.starts_with(key)) return std::stoll(line.substr(key.size()));
  return std::nullopt;
}

}  // namespace

struct OriginProcess::Log {
  os::Descriptor pipe;
  std::mutex mutex;
  std::condition_variable more;
  std::string begin;  // Up to where it serves, for the port and for errors.
  bool ended = false;
  std::atomic<std::uint64_t> bytes = 0;
  std::thread reader;

  void drain() {
    for (std::array<char, 4096> text;;) {
      const auto count = ::read(pipe.get(), text.data(), text.size());
      const std::lock_guard lock(mutex);
      if (count <= 0) {
        ended = true;
        more.notify_all();
        return;
      }
      bytes += static_cast<std::uint64_t>(count);
      if (begin.size() < 64 * 1024) begin.append(text.data(), static_cast<std::size_t>(count));
      more.notify_all();
    }
  }
};

Result<std::unique_ptr<OriginProcess>> OriginProcess::start(
    const std::string& program, const std::string& directory,
    const std::vector<std::string>& options) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return fail(os::last_error("making a pipe"));
  auto log = std::make_shared<Log>();
  log->pipe = os::Descriptor(ends[0]);
  os::Descriptor writing(ends[1]);

  std::unique_ptr<OriginProcess> origin(new OriginProcess);
  origin->directory_ = directory;
  origin->log_ = log;
  int status = 0;
  const pid_t init = spawn({program, "init", "--data", directory, "--name", "127.0.0.1"}, ends[1]);
  if (init < 0 || ::waitpid(init, &status, 0) != init || status != 0)
    return fail(ErrorKind::unavailable, program + " init failed with status " +
                                            std::to_string(status) + "; run ./dev build first");
  std::vector<std::string> serve{program, "serve", "--data", directory, "--listen", "127.0.0.1:0"};
  serve.insert(serve.end(), options.begin(), options.end());
  origin->child_ = spawn(serve, ends[1]);
  writing = os::Descriptor();
  log->reader = std::thread([log] { log->drain(); });

  constexpr std::string_view kServing = " serving ";
  constexpr std::string_view kPort = " port=";
  std::unique_lock lock(log->mutex);
  log->more.wait(lock, [&] {
    const auto at = log->begin.find(kServing);
    return log->ended ||
           (at != std::string::npos && log->begin.find('\n', at) != std::string::npos);
  });
  const auto at = log->begin.find(kPort, std::min(log->begin.find(kServing), log->begin.size()));
  if (at == std::string::npos)
    return fail(ErrorKind::unavailable, program + " does not serve:\n" + log->begin);
  const char* digits = log->begin.data() + at + kPort.size();
  std::from_chars(digits, log->begin.data() + log->begin.size(), origin->port_);

  auto ca = os::read_text(directory + "/keys/api-ca.pem");
  if (!ca) return fail(std::move(ca.error()));
  auto token = os::read_text(directory + "/keys/admin.token");
  if (!token) return fail(std::move(token.error()));
  origin->ca_pem_ = std::move(*ca);
  origin->admin_token_ = token->substr(0, token->find('\n'));
  return origin;
}

OriginProcess::~OriginProcess() {
  if (child_ > 0) {
    ::kill(child_, SIGTERM);
    int status = 0;
    ::waitpid(child_, &status, 0);
  }
  if (log_ && log_->reader.joinable()) log_->reader.join();
}

Result<OriginProcess::Sample> OriginProcess::sample() const {
  const std::string proc = "/proc/" + std::to_string(child_);
  auto stat = os::read_text(proc + "/stat");
  if (!stat) return fail(std::move(stat.error()));
  // Fields 14 and 15; the name in field 2 may hold blanks, so counting begins behind it.
  std::istringstream fields(stat->substr(stat->rfind(')') + 2));
  std::string skipped;
  for (int i = 3; i < 14; ++i) fields >> skipped;
  std::int64_t user = 0, system = 0;
  fields >> user >> system;
  const auto tick = std::chrono::nanoseconds{std::chrono::seconds{1}} / ::sysconf(_SC_CLK_TCK);

  Sample sample{.cpu = (user + system) * tick, .log_bytes = log_->bytes};
  const auto resident = number_in(proc + "/status", "VmRSS:");
  const auto peak = number_in(proc + "/status", "VmHWM:");
  if (!resident || !peak)
    return fail(ErrorKind::unavailable, "lamina-origin serve has ended:\n" + log_->begin);
  sample.resident = Bytes{*resident << 10};
  sample.resident_peak = Bytes{*peak << 10};
  struct stat info {};
  if (::stat((directory_ + "/catalog/data.mdb").c_str(), &info) == 0)
    sample.catalog = Bytes{info.st_size};
  if (auto open = os::list_directory(proc + "/fd"))
    sample.descriptors = static_cast<int>(open->size());
  return sample;
}

}  // namespace lamina::bench
