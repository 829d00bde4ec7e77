#include "shared/tree/account_names.hpp"

#include <fcntl.h>

#include <charconv>

#include "shared/format/entry.hpp"

namespace lamina {
namespace {

constexpr std::size_t kAccountFileMax = 16 << 20;

const std::string& find(const std::map<std::uint32_t, std::string>& names, std::uint32_t id) {
  static const std::string none;
  const auto found = names.find(id);
  return found == names.end() ? none : found->second;
}

std::optional<std::uint32_t> find(const std::map<std::string, std::uint32_t>& ids,
                                  const std::string& name) {
  const auto found = ids.find(name);
  return found == ids.end() ? std::nullopt : std::optional(found->second);
}

std::string read(const os::Root& root, const std::string& path) {
  auto file = root.open_at(path, O_RDONLY | O_NONBLOCK);
  if (!file) return {};
  auto size = os::file_size(file->get(), path);
  if (!size || *size > kAccountFileMax) return {};
  auto bytes = os::read_at(file->get(), 0, *size, path);
  return bytes ? std::string(as_text(*bytes)) : std::string();
}

}  // namespace

// "name:password:id:..." a line; both files begin so.
AccountNames::Accounts AccountNames::parse(std::string_view rest) {
  Accounts accounts;
  while (!rest.empty()) {
    const std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(rest.size(), line.size() + 1));
    const std::size_t name_end = line.find(':');
    if (name_end == 0 || name_end == std::string_view::npos || name_end > format::kOwnerNameMax ||
        line.substr(0, name_end).find('\0') != std::string_view::npos)
      continue;
    const std::size_t id_start = line.find(':', name_end + 1);
    if (id_start == std::string_view::npos) continue;
    std::uint32_t id = 0;
    const char* const end = line.data() + line.size();
    const auto [stop, error] = std::from_chars(line.data() + id_start + 1, end, id);
    if (error != std::errc() || stop == end || *stop != ':') continue;
    const std::string name(line.substr(0, name_end));
    accounts.names.emplace(id, name);
    accounts.ids.emplace(name, id);
  }
  return accounts;
}

AccountNames AccountNames::of_tree(const os::Root& root) {
  AccountNames names;
  names.users_ = parse(read(root, "etc/passwd"));
  names.groups_ = parse(read(root, "etc/group"));
  return names;
}

AccountNames AccountNames::of_texts(std::string_view passwd, std::string_view group) {
  AccountNames names;
  names.users_ = parse(passwd);
  names.groups_ = parse(group);
  return names;
}

const std::string& AccountNames::user(std::uint32_t uid) const { return find(users_.names, uid); }
const std::string& AccountNames::group(std::uint32_t gid) const { return find(groups_.names, gid); }
std::optional<std::uint32_t> AccountNames::user_id(const std::string& name) const {
  return find(users_.ids, name);
}
std::optional<std::uint32_t> AccountNames::group_id(const std::string& name) const {
  return find(groups_.ids, name);
}

}  // namespace lamina
