// Kv: ordered keys and values in one LMDB environment, changed by atomic, durable transactions.
//
// Many readers and one writer at a time, also across processes of the same user. A reading
// transaction pins the pages it sees: no waiting on disk, network or locks inside `look`. `write`
// must not be called from inside `read` or `write` of the same thread. Otherwise any thread.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "shared/base/result.hpp"
#include "shared/base/units.hpp"

namespace lamina {

class Kv {
 public:
  static constexpr std::size_t kKeyMax = 511;  // LMDB's limit.

  // What one transaction sees. Valid only inside the function it was handed to.
  class View {
   public:
    // `invalid` for an empty or too long key.
    Result<std::optional<std::string>> get(std::string_view key) const;
    // Rows whose key starts with `prefix` and is not before `from`, in byte order, until `visit`
    // returns false. The views last for that call; `visit` changes nothing.
    Status scan(std::string_view prefix,
                const std::function<bool(std::string_view key, std::string_view value)>& visit,
                std::string_view from = {}) const;
    // The greatest key that starts with `prefix`.
    Result<std::optional<std::string>> last_key(std::string_view prefix) const;
    // Of the newest transaction that this sees, or, inside write(), of this one. They only grow
    // while the database's files are the same.
    std::uint64_t transaction() const;

   protected:
    friend class Kv;
    struct State;
    explicit View(State& state) : state_(state) {}
    State& state_;
  };
  class Edit : public View {
   public:
    Status put(std::string_view key, std::string_view value);
    Status erase(std::string_view key);  // A key that is not there is fine.

   private:
    friend class Kv;
    using View::View;
  };

  // Makes the directory's files (mode 0600) when they are not there; the directory must exist.
  // `map_max` is the map at first; it doubles when half full: address space, not disk. Slots of
  // dead readers are freed. `unavailable` names directory and reason, `corrupt` a damaged file.
  // `Durable::but_the_last`: a power failure may undo the last transaction, and nothing else, until
  // sync() or the next one; one wait for the disk less a transaction, for callers who can redo it.
  enum class Durable { all, but_the_last };
  static Result<std::unique_ptr<Kv>> open(const std::filesystem::path& directory,
                                          Bytes map_max = 64_GiB, Durable durable = Durable::all);
  ~Kv();
  Kv(const Kv&) = delete;
  Kv& operator=(const Kv&) = delete;

  Status read(const std::function<Status(const View&)>& look) const;
  // Durable when it returns success; without a trace when `change` or the commit fails.
  // `out_of_space` when the disk is full, or one change fills half the map.
  Status write(const std::function<Status(Edit&)>& change);
  // Makes the last transaction durable too.
  Status sync() const;

 private:
  struct Environment;
  explicit Kv(std::unique_ptr<Environment> environment);
  std::unique_ptr<Environment> environment_;
};

}  // namespace lamina
