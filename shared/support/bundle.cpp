#include "shared/support/bundle.hpp"

#include <sys/stat.h>
#include <sys/utsname.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "shared/base/bytes.hpp"
#include "shared/net/certificates.hpp"
#include "shared/os/file.hpp"

namespace lamina::support {
namespace {

constexpr int kLevels = 3;
constexpr std::size_t kListedMax = 1000;  // Files of one directory.

std::string mode_text(mode_t mode) {
  std::string digits(4, '0');
  for (int i = 3; i >= 0; --i, mode >>= 3) digits[static_cast<std::size_t>(i)] += mode & 7;
  return digits;
}

std::string line_of(const struct stat& facts, const std::string& name) {
  return mode_text(facts.st_mode & 07777) + ' ' + std::to_string(facts.st_uid) + ':' +
         std::to_string(facts.st_gid) + ' ' + std::to_string(facts.st_size) + ' ' +
         to_iso8601(WallTime{std::int64_t{facts.st_mtime} * 1'000'000'000}) + ' ' +
         printable(name, 200) + '\n';
}

// Sizes and permissions of one tree.
class Listing {
 public:
  Listing(std::string root, const std::vector<std::string>& listed, Bundle& problems)
      : root_(std::move(root)), listed_(listed), problems_(problems) {}

  std::string text() {
    directory("", 0);
    return "mode owner size changed name\n" + lines_;
  }

 private:
  struct Sum {
    std::uint64_t files = 0;
    std::uint64_t bytes = 0;
  };

  bool is_listed(const std::string& name) const {
    return name.empty() || std::find(listed_.begin(), listed_.end(), name) != listed_.end();
  }

  // Adds the lines of what is below `name`, and says what it holds.
  Sum directory(const std::string& name, int level) {
    const std::string path = name.empty() ? root_ : root_ + '/' + name;
    const auto names = os::list_directory(path);
    if (!names) return problems_.note(path, names.error()), Sum{};
    Sum sum;
    std::size_t shown = 0;
    std::vector<std::string> folders;
    for (const std::string& child : *names) {
      struct stat facts {};
      const std::string below = name.empty() ? child : name + '/' + child;
      if (::lstat((root_ + '/' + below).c_str(), &facts) != 0) continue;  // Gone since.
      if (S_ISDIR(facts.st_mode)) {
        folders.push_back(below);
        continue;
      }
      ++sum.files;
      sum.bytes += static_cast<std::uint64_t>(facts.st_size);
      if (is_listed(name) && ++shown <= kListedMax) lines_ += line_of(facts, below);
    }
    for (const std::string& folder : folders) {
      struct stat facts {};
      const bool is_shown = level < kLevels && ::lstat((root_ + '/' + folder).c_str(), &facts) == 0;
      const std::size_t at = lines_.size();
      const Sum inside = directory(folder, level + 1);
      if (is_shown)
        lines_.insert(at, line_of(facts, folder + '/') + "  " + std::to_string(inside.files) +
                              " files, " + std::to_string(inside.bytes) + " bytes in all\n");
      sum.files += inside.files;
      sum.bytes += inside.bytes;
    }
    return sum;
  }

  std::string root_;
  const std::vector<std::string>& listed_;
  Bundle& problems_;
  std::string lines_;
};

std::string system_versions() {
  std::string text;
  utsname system{};
  if (::uname(&system) == 0)
    text += std::string("kernel ") + system.sysname + ' ' + system.release + ' ' + system.machine +
            '\n';
  if (const auto release = os::read_text("/etc/os-release", 64 << 10)) {
    const std::size_t at = release->find("PRETTY_NAME=");
    if (at != std::string::npos)
      text += "system " +
              printable(release->substr(at + 12, release->find('\n', at) - at - 12), 200) + '\n';
  }
  return text;
}

}  // namespace

Result<Bundle> Bundle::create(const std::string& path, const std::string& program, WallTime now) {
  auto tar = archive::TarWriter::create(path, now);
  if (!tar) return fail(std::move(tar.error()));
  Bundle bundle(std::move(*tar));
  if (auto done = bundle.add("versions.txt", program + " " LAMINA_VERSION "\nmade " +
                                                 to_iso8601(now) + '\n' + system_versions());
      !done)
    return fail(std::move(done.error()));
  return bundle;
}

Status Bundle::add(const std::string& name, std::string_view text) { return tar_.add(name, text); }

Status Bundle::add_or_note(const std::string& name, const Result<std::string>& text) {
  if (text) return tar_.add(name, *text);
  note(name, text.error());
  return Done{};
}

Status Bundle::add_sizes(const std::string& root, const std::vector<std::string>& listed) {
  return add("sizes.txt", Listing(root, listed, *this).text());
}

Status Bundle::add_certificates(const std::map<std::string, std::string>& paths) {
  nlohmann::json all = nlohmann::json::array();
  for (const auto& [name, path] : paths) {
    auto pem = os::read_text(path);
    auto facts = pem ? net::certificate_facts(*pem)
                     : Result<net::CertificateFacts>(fail(std::move(pem.error())));
    if (!facts) {
      note("the certificate of " + name, facts.error());
      continue;
    }
    all.push_back({{"certificate", name},
                   {"common_name", printable(facts->common_name, 200)},
                   {"fingerprint", facts->fingerprint},
                   {"begins", to_iso8601(facts->not_before)},
                   {"ends", to_iso8601(facts->not_after)}});
  }
  return add("certificates.json", all.dump(2) + '\n');
}

void Bundle::note(const std::string& what, const Error& error) {
  problems_ += what + ": " + printable(error.text(), 500) + '\n';
}

Status Bundle::finish() {
  if (auto done = tar_.add("problems.txt", problems_); !done) return done;
  return tar_.finish();
}

}  // namespace lamina::support
