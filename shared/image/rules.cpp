#include "shared/image/rules.hpp"

#include <algorithm>
#include <map>
#include <optional>
#include <vector>

namespace lamina::image {
namespace {

// Debian's paths. /etc/mtab, /etc/localtime and the account files are content: an applied minbase
// is complete with them. systemd makes a machine-id at the first start without one.
constexpr Rule kRules[] = {
    {"lamina-volume", Area::lamina, ".lamina"},
    {"lamina-node", Area::lamina, "var/lib/lamina-node"},
    {"lamina-config", Area::lamina, "etc/lamina"},
    {"lamina-boot", Area::lamina, "boot/lamina"},

    {"fstab", Area::identity, "etc/fstab"},
    {"crypttab", Area::identity, "etc/crypttab"},
    {"mdadm", Area::identity, "etc/mdadm/mdadm.conf"},
    {"lvm-backup", Area::identity, "etc/lvm/backup/*"},
    {"lvm-archive", Area::identity, "etc/lvm/archive/*"},
    {"machine-id", Area::identity, "etc/machine-id"},
    {"machine-id", Area::identity, "var/lib/dbus/machine-id"},
    {"machine-info", Area::identity, "etc/machine-info"},
    {"host-id", Area::identity, "etc/hostid"},
    {"host-name", Area::identity, "etc/hostname"},
    {"host-name", Area::identity, "etc/mailname"},
    {"hosts", Area::identity, "etc/hosts"},
    {"clock", Area::identity, "etc/adjtime"},
    {"ssh-host-keys", Area::identity, "etc/ssh/ssh_host_*"},
    {"snakeoil-certificate", Area::identity, "etc/ssl/private/ssl-cert-snakeoil.key"},
    {"snakeoil-certificate", Area::identity, "etc/ssl/certs/ssl-cert-snakeoil.pem"},
    {"iscsi-initiator", Area::identity, "etc/iscsi/initiatorname.iscsi"},
    {"nvme-host", Area::identity, "etc/nvme/host*"},
    {"interfaces", Area::identity, "etc/network/interfaces"},
    {"interfaces", Area::identity, "etc/network/interfaces.d/*"},
    {"networkd", Area::identity, "etc/systemd/network/*"},
    {"netplan", Area::identity, "etc/netplan/*"},
    {"network-manager", Area::identity, "etc/NetworkManager/system-connections/*"},
    {"network-manager", Area::identity, "var/lib/NetworkManager/*"},
    {"persistent-net", Area::identity, "etc/udev/rules.d/70-persistent-*"},
    {"resolver", Area::identity, "etc/resolv.conf"},
    {"dhcp-leases", Area::identity, "var/lib/dhcp/*"},
    {"dhcp-leases", Area::identity, "var/lib/dhcpcd/*"},
    {"random-seed", Area::identity, "var/lib/systemd/random-seed"},
    {"random-seed", Area::identity, "var/lib/urandom/random-seed"},
    {"random-seed", Area::identity, "var/lib/misc/random-seed"},
    {"credential-secret", Area::identity, "var/lib/systemd/credential.secret"},
    {"clock", Area::identity, "var/lib/systemd/timesync/*"},
    {"bluetooth", Area::identity, "var/lib/bluetooth/*"},
    {"survey-id", Area::identity, "etc/popularity-contest.conf"},
    {"cloud-instance", Area::identity, "var/lib/cloud/*"},

    {"grub-config", Area::boot, "boot/grub/grub.cfg"},
    {"grub-config", Area::boot, "boot/grub/grubenv"},
    {"grub-config", Area::boot, "boot/grub/device.map"},
    // Of one make with the loader's image, which is in no file system.
    {"grub-modules", Area::boot, "boot/grub/*/*"},
    {"grub-config", Area::boot, "etc/default/grub"},
    {"grub-config", Area::boot, "etc/default/grub.d/*"},
    {"efi-partition", Area::boot, "boot/efi/*"},
    {"boot-entries", Area::boot, "boot/loader/*"},
    {"boot-entries", Area::boot, "boot/extlinux/extlinux.conf"},
    {"kernel-command-line", Area::boot, "etc/kernel/cmdline"},
    {"resume-device", Area::boot, "etc/initramfs-tools/conf.d/resume"},

    {"home", Area::user, "home/*"},
    {"root-home", Area::user, "root/*"},

    {"proc", Area::runtime, "proc/*"},
    {"sys", Area::runtime, "sys/*"},
    {"dev", Area::runtime, "dev/*"},
    {"run", Area::runtime, "run/*"},
    {"tmp", Area::runtime, "tmp/*"},
    {"var-tmp", Area::runtime, "var/tmp/*"},
    {"mounts", Area::runtime, "mnt/*"},
    {"mounts", Area::runtime, "media/*"},
    {"lost-and-found", Area::runtime, "lost+found"},
    {"swap", Area::runtime, "swapfile"},
    {"swap", Area::runtime, "swap.img"},

    {"logs", Area::leftover, "var/log/*", Covers::contents},
    {"downloaded-packages", Area::leftover, "var/cache/apt/archives/*.deb"},
    {"package-lists", Area::leftover, "var/lib/apt/lists/*", Covers::contents},
    {"package-lists", Area::leftover, "var/lib/apt/periodic/*"},
    {"crash-dumps", Area::leftover, "var/crash/*"},
    {"crash-dumps", Area::leftover, "var/lib/systemd/coredump/*"},
    {"log-rotation", Area::leftover, "var/lib/logrotate/status"},
};

// Debian's paths, with and without the link of /lib to /usr/lib. The boot loader's configuration is
// the device's own and names kernels by their files.
constexpr std::string_view kUnownedKept[] = {
    "boot/*",
    "vmlinuz",
    "vmlinuz.old",
    "initrd.img",
    "initrd.img.old",
    "lib/modules/*",
    "usr/lib/modules/*",
    "lib/systemd/system/lamina-*",
    "usr/lib/systemd/system/lamina-*",
    "etc/systemd/system/lamina-*",
    "etc/systemd/system/*.wants/lamina-*",
    "usr/lib/sysusers.d/lamina-*",
    "etc/sysusers.d/lamina-*",
    "usr/lib/tmpfiles.d/lamina-*",
    "etc/tmpfiles.d/lamina-*",
};

using Patterns = std::string_view[];

// Debian's, with the commands of the packages' own triggers (deb-triggers(5)).
constexpr Patterns kLinkerCache = {"etc/ld.so.cache", "var/cache/ldconfig/aux-cache"};
constexpr Patterns kLibraries = {"etc/ld.so.conf",  "etc/ld.so.conf.d/*.conf", "lib/*.so*",
                                 "lib/*/*.so*",     "usr/lib/*.so*",           "usr/lib/*/*.so*",
                                 "usr/lib64/*.so*", "usr/local/lib/*.so*"};
// depmod(8). The other modules.* come with the kernel.
constexpr Patterns kModuleMaps = {
    "lib/modules/*/modules.alias*",      "lib/modules/*/modules.builtin*.bin",
    "lib/modules/*/modules.dep*",        "lib/modules/*/modules.devname",
    "lib/modules/*/modules.softdep",     "lib/modules/*/modules.symbols*",
    "usr/lib/modules/*/modules.alias*",  "usr/lib/modules/*/modules.builtin*.bin",
    "usr/lib/modules/*/modules.dep*",    "usr/lib/modules/*/modules.devname",
    "usr/lib/modules/*/modules.softdep", "usr/lib/modules/*/modules.symbols*"};
constexpr Patterns kModules = {"lib/modules/*", "usr/lib/modules/*"};
constexpr Patterns kInitramfs = {"boot/initrd.img-*"};
constexpr Patterns kEarlyBoot = {"lib/modules/*",         "usr/lib/modules/*",
                                 "etc/initramfs-tools/*", "usr/share/initramfs-tools/*",
                                 "etc/modprobe.d/*",      "etc/modules-load.d/*",
                                 "usr/lib/firmware/*",    "lib/firmware/*"};
constexpr Patterns kHardwareBase = {"etc/udev/hwdb.bin", "usr/lib/udev/hwdb.bin",
                                    "lib/udev/hwdb.bin"};
constexpr Patterns kHardwareFacts = {"etc/udev/hwdb.d/*", "usr/lib/udev/hwdb.d/*",
                                     "lib/udev/hwdb.d/*"};
constexpr Patterns kJournalCatalog = {"var/lib/systemd/catalog/database"};
constexpr Patterns kJournalTexts = {"usr/lib/systemd/catalog/*"};
constexpr Patterns kSchemaCache = {"usr/share/glib-2.0/schemas/gschemas.compiled"};
constexpr Patterns kSchemas = {"usr/share/glib-2.0/schemas/*"};
constexpr Patterns kMimeCache = {
    "usr/share/mime/XMLnamespaces", "usr/share/mime/aliases",    "usr/share/mime/generic-icons",
    "usr/share/mime/globs",         "usr/share/mime/globs2",     "usr/share/mime/icons",
    "usr/share/mime/magic",         "usr/share/mime/mime.cache", "usr/share/mime/subclasses",
    "usr/share/mime/treemagic",     "usr/share/mime/types",      "usr/share/mime/version"};
constexpr Patterns kMimeTypes = {"usr/share/mime/packages/*"};
constexpr Patterns kDesktopCache = {"usr/share/applications/mimeinfo.cache"};
constexpr Patterns kDesktopFiles = {"usr/share/applications/*.desktop"};
constexpr Patterns kIconCaches = {"usr/share/icons/*/icon-theme.cache"};
constexpr Patterns kIcons = {"usr/share/icons/*/*"};
constexpr Patterns kFontCache = {"var/cache/fontconfig/*"};
constexpr Patterns kFonts = {"etc/fonts/*", "usr/share/fonts/*", "usr/local/share/fonts/*"};
constexpr Patterns kManualIndex = {"var/cache/man/*"};
constexpr Patterns kManuals = {"usr/share/man/*"};
constexpr Patterns kPackageCaches = {"var/cache/apt/pkgcache.bin", "var/cache/apt/srcpkgcache.bin"};

constexpr DerivedRule kDerived[] = {
    {"ld-so-cache", kLinkerCache, kLibraries, "ldconfig"},
    {"module-maps", kModuleMaps, kModules, "depmod {}"},
    {"hardware-database", kHardwareBase, kHardwareFacts, "systemd-hwdb update"},
    {"initramfs", kInitramfs, kEarlyBoot, "update-initramfs -u -k all"},
    {"journal-catalog", kJournalCatalog, kJournalTexts, "journalctl --update-catalog"},
    {"glib-schemas", kSchemaCache, kSchemas, "glib-compile-schemas /usr/share/glib-2.0/schemas"},
    {"mime-database", kMimeCache, kMimeTypes, "update-mime-database /usr/share/mime"},
    {"desktop-database", kDesktopCache, kDesktopFiles, "update-desktop-database -q"},
    {"icon-cache", kIconCaches, kIcons, "gtk-update-icon-cache -q -f /usr/share/icons/{}"},
    {"font-cache", kFontCache, kFonts, "fc-cache -s"},
    {"manual-index", kManualIndex, kManuals, "mandb -q"},
    {"package-cache", kPackageCaches, {}, ""},
};

// The rules by the first component of their patterns, which none has a '*' in: most paths of a tree
// have none at all.
const std::map<std::string_view, std::vector<const Rule*>>& rules_by_top() {
  static const auto sorted = [] {
    std::map<std::string_view, std::vector<const Rule*>> by_top;
    for (const Rule& rule : kRules) {
      std::string_view pattern = rule.pattern;
      by_top[take_component(pattern)].push_back(&rule);
    }
    return by_top;
  }();
  return sorted;
}

}  // namespace

std::string_view name_of(Area area) {
  switch (area) {
    case Area::identity: return "identity";
    case Area::boot: return "boot";
    case Area::user: return "user";
    case Area::lamina: return "lamina";
    case Area::runtime: return "runtime";
    case Area::leftover: return "leftover";
  }
  return "";
}

std::span<const Rule> factory_rules() { return kRules; }

const Rule* factory_rule(std::string_view path, bool is_directory) {
  const auto rules = rules_by_top().find(path.substr(0, path.find('/')));
  if (rules == rules_by_top().end()) return nullptr;
  for (const Rule* rule : rules->second) {
    if (rule->covers == Covers::contents && is_directory) continue;
    if (matches(rule->pattern, path)) return rule;
  }
  return nullptr;
}

std::span<const DerivedRule> derived_rules() { return kDerived; }

const DerivedRule* derived_rule(std::string_view path) {
  for (const DerivedRule& rule : kDerived)
    for (const std::string_view pattern : rule.files)
      if (matches(pattern, path)) return &rule;
  return nullptr;
}

bool is_kept_unowned(std::string_view path) {
  return std::ranges::any_of(kUnownedKept, [&](std::string_view p) { return matches(p, path); });
}

void Regeneration::add(std::string_view changed_path) {
  if (derived_rule(changed_path)) return;
  for (std::size_t i = 0; i < std::size(kDerived); ++i)
    for (std::string_view pattern : kDerived[i].made_from) {
      if (!matches(pattern, changed_path)) continue;
      std::string_view path = changed_path, name;
      while (!pattern.empty() && name.empty()) {
        const std::string_view component = take_component(path);
        if (take_component(pattern).find('*') != std::string_view::npos) name = component;
      }
      const bool is_one = kDerived[i].command.find("{}") != std::string_view::npos;
      due_.emplace(i, is_one ? name : std::string_view());
    }
}

std::vector<std::vector<std::string>> Regeneration::commands() const {
  std::vector<std::vector<std::string>> commands;
  for (const auto& [rule, name] : due_) {
    // No tool's file; the command would take it for an option.
    if (name.starts_with('-')) continue;
    std::vector<std::string> words;
    for (std::string_view rest = kDerived[rule].command; !rest.empty();) {
      const std::size_t end = std::min(rest.find(' '), rest.size());
      std::string word(rest.substr(0, end));
      rest.remove_prefix(std::min(end + 1, rest.size()));
      if (const std::size_t at = word.find("{}"); at != std::string::npos)
        word.replace(at, 2, name);
      words.push_back(std::move(word));
    }
    commands.push_back(std::move(words));
  }
  return commands;
}

}  // namespace lamina::image
