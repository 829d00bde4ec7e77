#include "shared/delta/encode_update.hpp"

#include <algorithm>
#include <condition_variable>
#include <map>
#include <mutex>
#include <set>
#include <thread>

namespace lamina::delta {
namespace {

// Frames that wait for one before them, which takes longer: a large program's takes as long as
// many.
constexpr std::size_t kFramesAhead = 256;

Result<Buffer> encode_group(const Tree& old_tree, const Tree& next_tree,
                            const EncodedUpdate& update, const Group& group, Effort effort) {
  TreeReader old_reader(old_tree), next_reader(next_tree);
  std::vector<Item> items, references;
  const auto open = [](TreeReader& reader, const Content& content,
                       std::vector<Item>& list) -> Status {
    auto source = reader.open(content.name);
    if (!source) return fail(std::move(source.error()).in(printable(content.path)));
    list.push_back({content.name, std::move(*source)});
    return Done{};
  };
  for (const std::size_t i : group.items)
    if (auto done = open(next_reader, update.next.contents[i], items); !done)
      return fail(std::move(done.error()));
  for (const std::size_t i : group.references)
    if (auto done = open(old_reader, update.old.contents[i], references); !done)
      return fail(std::move(done.error()));
  return encode_frame(items, references, effort);
}

// Encodes groups on threads of its own, at most kFramesAhead before the one that is awaited.
class Encoders {
 public:
  using Encode = std::function<Result<Buffer>(std::size_t group)>;

  Encoders(std::size_t groups, unsigned threads, Encode encode)
      : groups_(groups), encode_(std::move(encode)) {
    for (unsigned i = 0; i < std::max(1U, threads); ++i) threads_.emplace_back([this] { work(); });
  }
  ~Encoders() {
    {
      const std::lock_guard lock(mutex_);
      groups_ = 0;
    }
    changed_.notify_all();
    for (std::thread& thread : threads_) thread.join();
  }
  Encoders(const Encoders&) = delete;
  Encoders& operator=(const Encoders&) = delete;

  // Call for each group once, ascending.
  Result<Buffer> take(std::size_t group) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return done_.contains(group); });
    Result<Buffer> frame = std::move(done_.extract(group).mapped());
    awaited_ = group + 1;
    lock.unlock();
    changed_.notify_all();
    return frame;
  }

 private:
  void work() {
    std::unique_lock lock(mutex_);
    for (;;) {
      changed_.wait(lock, [this] { return next_ >= groups_ || next_ < awaited_ + kFramesAhead; });
      if (next_ >= groups_) return;
      const std::size_t group = next_++;
      lock.unlock();
      Result<Buffer> frame = encode_(group);
      lock.lock();
      done_.emplace(group, std::move(frame));
      changed_.notify_all();
    }
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::size_t groups_;
  Encode encode_;
  std::size_t next_ = 0, awaited_ = 0;
  std::map<std::size_t, Result<Buffer>> done_;
  std::vector<std::thread> threads_;
};

}  // namespace

Result<EncodedUpdate> encode_update(const Tree& old, const Tree& next, const EncodeOptions& options,
                                    const OnFrame& on_frame) {
  const auto go_on = [&]() -> Status {
    if (options.is_stopping && options.is_stopping())
      return fail(ErrorKind::unavailable, "the update is not made: this program is stopping");
    return Done{};
  };
  EncodedUpdate update;
  auto survey_old = survey(
      old, [](const Sha256Digest&) { return false; }, nullptr);
  if (!survey_old) return fail(std::move(survey_old.error()));
  update.old = std::move(*survey_old);
  if (auto going = go_on(); !going) return fail(std::move(going.error()));
  std::set<Sha256Digest> known(update.old.files.begin(), update.old.files.end());
  for (const Content& content : update.old.contents) known.insert(content.digest);
  auto survey_next = survey(
      next, [&](const Sha256Digest& digest) { return known.contains(digest); }, &options.programs,
      options.survey);
  if (!survey_next) return fail(std::move(survey_next.error()));
  update.next = std::move(*survey_next);
  update.plan = plan_update(update.old, update.next, options.group_bytes);

  Encoders encoders(update.plan.groups.size(), options.threads, [&](std::size_t group) {
    return encode_group(old, next, update, update.plan.groups[group], options.effort);
  });
  for (std::size_t group = 0; group < update.plan.groups.size(); ++group) {
    if (auto going = go_on(); !going) return fail(std::move(going.error()));
    auto frame = encoders.take(group);
    if (!frame) return fail(std::move(frame.error()));
    if (auto done = on_frame(update.next, update.plan.groups[group], std::move(*frame)); !done)
      return fail(std::move(done.error()));
  }
  return update;
}

}  // namespace lamina::delta
