#include "shared/store/kv.hpp"

#include <lmdb.h>

#include <cerrno>
#include <mutex>
#include <shared_mutex>

#include "shared/base/bytes.hpp"
#include "shared/os/file.hpp"

namespace lamina {

struct Kv::View::State {
  MDB_txn* transaction = nullptr;
  MDB_dbi rows = 0;
};
struct Kv::Environment {
  ~Environment() { close(); }
  // LMDB's codes.
  int open(std::size_t map_size);
  void close();
  int begin(unsigned flags, std::shared_lock<std::shared_mutex>& held, MDB_txn*& transaction);
  void open_again_after_panic();
  Status grow_when_due();

  std::string directory;
  unsigned flags = 0;
  MDB_env* handle = nullptr;  // None: it could not be opened again.
  MDB_dbi rows = 0;
  std::string name;
  // Shared by transactions: the map is another one only while there are none. A thread may hold it
  // twice, for a read inside another transaction: who shares it goes before who waits to be alone.
  std::shared_mutex map;
};

namespace {

MDB_val to_val(std::string_view text) {
  return {text.size(), const_cast<char*>(text.data())};  // LMDB does not write through inputs.
}
std::string_view to_view(const MDB_val& value) {
  return {static_cast<const char*>(value.mv_data), value.mv_size};
}

Error lmdb_error(int code, const std::string& doing) {
  const std::string text = doing + ": " + mdb_strerror(code);
  switch (code) {
    case ENOSPC:
    case EDQUOT:
    case MDB_MAP_FULL: return {ErrorKind::out_of_space, text + "; free space on its disk"};
    case MDB_CORRUPTED:
    case MDB_INVALID:
    case MDB_PAGE_NOTFOUND:
    case MDB_VERSION_MISMATCH: return {ErrorKind::corrupt, text + "; restore it from a backup"};
    default: return {ErrorKind::unavailable, text};
  }
}

Status check_key(std::string_view key) {
  if (!key.empty() && key.size() <= Kv::kKeyMax) return Done{};
  return fail(ErrorKind::invalid, "a key of " + std::to_string(key.size()) +
                                      " bytes does not fit a database with keys of 1 to 511 bytes");
}

struct Cursor {
  ~Cursor() {
    if (handle) mdb_cursor_close(handle);
  }
  int open(MDB_txn* transaction, MDB_dbi rows) {
    return mdb_cursor_open(transaction, rows, &handle);
  }
  int move(MDB_cursor_op operation) { return mdb_cursor_get(handle, &key, &value, operation); }
  MDB_cursor* handle = nullptr;
  MDB_val key{}, value{};
};

// The smallest key greater than every key that starts with `prefix`; empty when there is none.
std::string after(std::string_view prefix) {
  std::string next(prefix);
  while (!next.empty() && static_cast<unsigned char>(next.back()) == 0xff) next.pop_back();
  if (!next.empty()) ++next.back();
  return next;
}

}  // namespace

int Kv::Environment::open(std::size_t map_size) {
  int code = mdb_env_create(&handle);
  if (code == 0) code = mdb_env_set_mapsize(handle, map_size);
  if (code == 0) code = mdb_env_open(handle, directory.c_str(), flags, 0600);
  int dead = 0;
  if (code == 0) code = mdb_reader_check(handle, &dead);
  MDB_txn* transaction = nullptr;
  if (code == 0) code = mdb_txn_begin(handle, nullptr, MDB_RDONLY, &transaction);
  if (code == 0) {
    code = mdb_dbi_open(transaction, nullptr, 0, &rows);
    mdb_txn_abort(transaction);
  }
  if (code != 0) close();
  return code;
}

void Kv::Environment::close() {
  if (handle != nullptr) mdb_env_close(handle);
  handle = nullptr;
}

// A disk that is full for a page that is written over (btrfs, a thin volume) may fail the one that
// ends a transaction. Then LMDB refuses everything until it is opened anew; what is on the disk is
// the transaction before.
void Kv::Environment::open_again_after_panic() {
  const std::lock_guard alone(map);
  MDB_envinfo info{};
  if (handle != nullptr) {
    MDB_txn* transaction = nullptr;
    const int code = mdb_txn_begin(handle, nullptr, MDB_RDONLY, &transaction);
    if (code == 0) mdb_txn_abort(transaction);
    if (code != MDB_PANIC) return;
    mdb_env_info(handle, &info);
  }
  close();
  // A failure shows with the next transaction.
  static_cast<void>(open(info.me_mapsize));
}

// A transaction, and what holds the map for it. Another process may have made the database larger
// than the map.
int Kv::Environment::begin(unsigned flags, std::shared_lock<std::shared_mutex>& held,
                           MDB_txn*& transaction) {
  held = std::shared_lock(map);
  if (handle == nullptr) return MDB_PANIC;
  int code = mdb_txn_begin(handle, nullptr, flags, &transaction);
  if (code != MDB_MAP_RESIZED) return code;
  held.unlock();
  {
    const std::lock_guard alone(map);
    code = mdb_env_set_mapsize(handle, 0);
  }
  held.lock();
  return code != 0 ? code : mdb_txn_begin(handle, nullptr, flags, &transaction);
}

Status Kv::Environment::grow_when_due() {
  const auto due = [this]() -> std::size_t {
    if (handle == nullptr) return 0;
    MDB_envinfo info{};
    MDB_stat stat{};
    mdb_env_info(handle, &info);
    mdb_env_stat(handle, &stat);
    return (info.me_last_pgno + 1) * stat.ms_psize > info.me_mapsize / 2 ? info.me_mapsize * 2 : 0;
  };
  if (const std::shared_lock held(map); due() == 0) return Done{};
  const std::lock_guard alone(map);
  const std::size_t size = due();  // Another thread may have been faster.
  const int code = size == 0 ? 0 : mdb_env_set_mapsize(handle, size);
  if (code != 0) return fail(lmdb_error(code, "growing " + name));
  return Done{};
}

Result<std::optional<std::string>> Kv::View::get(std::string_view key) const {
  if (auto ok = check_key(key); !ok) return fail(std::move(ok.error()));
  MDB_val at = to_val(key), value{};
  const int code = mdb_get(state_.transaction, state_.rows, &at, &value);
  if (code == MDB_NOTFOUND) return std::nullopt;
  if (code != 0) return fail(lmdb_error(code, "reading '" + printable(key, 80) + "'"));
  return std::string(to_view(value));
}

Status Kv::View::scan(
    std::string_view prefix,
    const std::function<bool(std::string_view key, std::string_view value)>& visit,
    std::string_view from) const {
  Cursor cursor;
  int code = cursor.open(state_.transaction, state_.rows);
  if (code == 0) {
    const std::string_view first = std::max(prefix, from);
    cursor.key = to_val(first);
    code = cursor.move(first.empty() ? MDB_FIRST : MDB_SET_RANGE);
  }
  for (; code == 0; code = cursor.move(MDB_NEXT))
    if (!to_view(cursor.key).starts_with(prefix) ||
        !visit(to_view(cursor.key), to_view(cursor.value)))
      return Done{};
  if (code == MDB_NOTFOUND) return Done{};
  return fail(lmdb_error(code, "scanning '" + printable(prefix, 80) + "'"));
}

Result<std::optional<std::string>> Kv::View::last_key(std::string_view prefix) const {
  Cursor cursor;
  int code = cursor.open(state_.transaction, state_.rows);
  if (code == 0) {
    const std::string next = after(prefix);
    cursor.key = to_val(next);
    const int found = next.empty() ? MDB_NOTFOUND : cursor.move(MDB_SET_RANGE);
    code = found == MDB_NOTFOUND ? cursor.move(MDB_LAST)
           : found == 0          ? cursor.move(MDB_PREV)
                                 : found;
  }
  if (code == MDB_NOTFOUND) return std::nullopt;
  if (code != 0) return fail(lmdb_error(code, "scanning '" + printable(prefix, 80) + "'"));
  if (!to_view(cursor.key).starts_with(prefix)) return std::nullopt;
  return std::string(to_view(cursor.key));
}

std::uint64_t Kv::View::transaction() const { return mdb_txn_id(state_.transaction); }

Status Kv::Edit::put(std::string_view key, std::string_view value) {
  if (auto ok = check_key(key); !ok) return ok;
  MDB_val at = to_val(key), what = to_val(value);
  const int code = mdb_put(state_.transaction, state_.rows, &at, &what, 0);
  if (code != 0) return fail(lmdb_error(code, "writing '" + printable(key, 80) + "'"));
  return Done{};
}

Status Kv::Edit::erase(std::string_view key) {
  if (auto ok = check_key(key); !ok) return ok;
  MDB_val at = to_val(key);
  const int code = mdb_del(state_.transaction, state_.rows, &at, nullptr);
  if (code != 0 && code != MDB_NOTFOUND)
    return fail(lmdb_error(code, "erasing '" + printable(key, 80) + "'"));
  return Done{};
}

namespace {

// LMDB makes a database in place, and waits for nothing: what a power failure leaves of one is none
// that it opens, or a file that has no name. So it is made beside its place.
Status make_database(const std::string& directory, const std::string& name) {
  const std::string beside = directory + "/new";
  if (auto done = os::remove_tree(beside); !done) return done;
  if (auto done = os::make_directories(beside, 0700); !done) return done;
  MDB_env* made = nullptr;
  int code = mdb_env_create(&made);
  const auto close = std::unique_ptr<MDB_env, void (*)(MDB_env*)>(made, mdb_env_close);
  if (code == 0) code = mdb_env_open(made, beside.c_str(), 0, 0600);
  if (code == 0) code = mdb_env_sync(made, 1);
  if (code != 0) return fail(lmdb_error(code, "making " + name));
  if (auto done = os::rename_file(beside + "/data.mdb", directory + "/data.mdb"); !done)
    return done;
  if (auto done = os::remove_tree(beside); !done) return done;
  return os::sync_directory(directory);
}

}  // namespace

Kv::Kv(std::unique_ptr<Environment> environment) : environment_(std::move(environment)) {}
Kv::~Kv() = default;

Result<std::unique_ptr<Kv>> Kv::open(const std::filesystem::path& directory, Bytes map_max,
                                     Durable durable) {
  auto environment = std::make_unique<Environment>();
  environment->name = "database " + printable(directory.string());
  if (os::exists(directory.string()) && !os::exists(directory.string() + "/data.mdb"))
    if (auto done = make_database(directory.string(), environment->name); !done)
      return fail(std::move(done.error()));
  // Transactions are tied to their object, not to the thread, so a pool may read. Neighbours in the
  // file are strangers by key: what the kernel reads ahead of a look-up only pushes others out.
  environment->directory = directory.string();
  environment->flags = MDB_NOTLS | MDB_NORDAHEAD | (durable == Durable::all ? 0 : MDB_NOMETASYNC);
  if (const int code = environment->open(static_cast<std::size_t>(map_max.count)); code != 0)
    return fail(lmdb_error(code, "opening " + environment->name));
  return std::unique_ptr<Kv>(new Kv(std::move(environment)));
}

Status Kv::read(const std::function<Status(const View&)>& look) const {
  View::State state{.transaction = nullptr, .rows = environment_->rows};
  std::shared_lock<std::shared_mutex> held;
  const int code = environment_->begin(MDB_RDONLY, held, state.transaction);
  if (code != 0) return fail(lmdb_error(code, "reading " + environment_->name));
  const auto end = std::unique_ptr<MDB_txn, void (*)(MDB_txn*)>(state.transaction, mdb_txn_abort);
  return look(View(state));
}

Status Kv::write(const std::function<Status(Edit&)>& change) {
  if (auto done = environment_->grow_when_due(); !done) return done;
  View::State state{.transaction = nullptr, .rows = environment_->rows};
  std::shared_lock<std::shared_mutex> held;
  int code = environment_->begin(0, held, state.transaction);
  if (code != 0) return fail(lmdb_error(code, "changing " + environment_->name));
  auto guard = std::unique_ptr<MDB_txn, void (*)(MDB_txn*)>(state.transaction, mdb_txn_abort);
  Edit edit(state);
  if (auto done = change(edit); !done) return done;
  code = mdb_txn_commit(guard.release());
  if (code == 0) return Done{};
  held.unlock();
  // After any other failure nothing that memory has of the file is to be believed.
  if (code == ENOSPC || code == EDQUOT) environment_->open_again_after_panic();
  return fail(lmdb_error(code, "changing " + environment_->name));
}

Status Kv::sync() const {
  const std::shared_lock held(environment_->map);
  const int code =
      environment_->handle == nullptr ? MDB_PANIC : mdb_env_sync(environment_->handle, 1);
  if (code != 0) return fail(lmdb_error(code, "syncing " + environment_->name));
  return Done{};
}

}  // namespace lamina
