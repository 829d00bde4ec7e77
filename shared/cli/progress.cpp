#include "shared/cli/progress.hpp"

#include <unistd.h>

namespace lamina::cli {

std::string progress_text(Bytes done, Bytes total, Duration since_start) {
  std::string text = to_text(done);
  if (total.count > 0) text += " of " + to_text(total);
  if (since_start < std::chrono::seconds{1} || done.count <= 0) return text;
  const double seconds = std::chrono::duration<double>(since_start).count();
  const double bytes_per_second = static_cast<double>(done.count) / seconds;
  constexpr double kBitsPerByte = 8;
  text += ", " + to_text(BitRate{static_cast<std::int64_t>(bytes_per_second * kBitsPerByte)});
  if (total.count > done.count) {
    const std::chrono::duration<double> left(static_cast<double>((total - done).count) /
                                             bytes_per_second);
    // Longer than this is no forecast, and would not fit a Duration.
    if (left < std::chrono::hours{24 * 365})
      text += ", " + to_text(std::chrono::duration_cast<Duration>(left)) + " left";
  }
  return text;
}

void Progress::show(Bytes done, Bytes total, Instant now) {
  if (!draws_) return;
  if (!start_) start_ = now;
  constexpr Duration kRedrawAfter = std::chrono::milliseconds{200};
  if (last_ && now - *last_ < kRedrawAfter) return;
  last_ = now;
  say(progress_text(done, total, now - *start_));
}

void Progress::say(const std::string& text) {
  if (!draws_ || text == drawn_) return;
  drawn_ = text;
  out_ << "\r\x1b[K" << text << std::flush;
}

void Progress::clear() {
  if (!drawn_.empty()) out_ << "\r\x1b[K" << std::flush;
  drawn_.clear();
}

bool stderr_is_terminal() { return isatty(STDERR_FILENO) != 0; }

}  // namespace lamina::cli
