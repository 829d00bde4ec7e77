// BootLoader: which kernel, with which initramfs, the machine starts from next. One thread.
//
// Kernels belong to the volume, and come and go with its layers. While a volume that the machine
// starts from is being changed, a kernel and an initramfs that are no part of it are in charge:
// links to those that this start came from, then the volume's new ones. In between lies one rename.
#pragma once

#include <optional>
#include <string>

#include "shared/os/beneath.hpp"

namespace lamina::node {

class BootLoader {
 public:
  virtual ~BootLoader() = default;

  // In the running system.

  // Whether the next start can change the volume; `refused` says what is missing.
  virtual Status check() = 0;
  // The volume's own configuration is in charge again, made anew for the kernels that it has.
  virtual Status release() = 0;

  // At the start, before anything runs from the volume.

  // The kernel that this start came from is in charge until offer(), whatever becomes of the
  // volume.
  virtual Status keep() = 0;
  // Makes an initramfs for the volume's newest kernel and puts both in charge; the kept one is
  // there if that does not come up.
  virtual Status offer() = 0;
  virtual Status back_to_kept() = 0;
  // Whether this start came from the kept one.
  virtual bool is_kept_started() const = 0;
  // Removes what the last release() left.
  virtual Status tidy() = 0;
};

// What a configuration puts in charge: numbers of slots, directories with a kernel and its
// initramfs.
struct Charge {
  unsigned kept = 0;
  std::optional<unsigned> offered =
      std::nullopt;  // Of which the next starts are, then the kept one.
  bool operator==(const Charge&) const = default;
};

// GRUB's configuration for it. `arguments` are the kernel's command line; what the loader of this
// start put there, and an earlier configuration of this kind, is left out of it. When the loader
// can write its environment block, it starts the offered slot kOfferedStartsMax times and then the
// kept one; one that it cannot load at all, once. An offered kernel restarts the machine at a
// panic.
std::string grub_configuration(const Charge& charge, std::string_view arguments);
// The charge that a configuration of grub_configuration() puts there.
Result<Charge> parse_grub_configuration(std::string_view text);
constexpr int kOfferedStartsMax = 3;

// Debian's GRUB, whose grub.cfg reads /boot/lamina/grub.cfg (node/early/42_lamina), with /boot on
// the volume. GRUB reads a file system as the disk has it, without its journal: whatever it needs
// is settled there (FIFREEZE) before the configuration that names it.
class Grub : public BootLoader {
 public:
  struct Machine {
    std::string kernel;           // Release of the one that runs (uname -r).
    std::string arguments;        // Its command line (/proc/cmdline).
    bool had_early_part = false;  // This start had Lamina's part of the initramfs.
  };
  static Machine this_machine();

  // `volume` outlives the object.
  Grub(const os::Root& volume, Machine machine) : volume_(volume), machine_(std::move(machine)) {}

  Status check() override;
  Status release() override;
  Status keep() override;
  Status offer() override;
  Status back_to_kept() override;
  bool is_kept_started() const override;
  Status tidy() override;

 private:
  std::string at(const std::string& name) const;
  Result<std::optional<Charge>> charge() const;
  Status put_in_charge(const Charge& charge);
  Result<unsigned> make_slot() const;
  Status settle() const;
  Result<std::string> newest_kernel() const;

  const os::Root& volume_;
  Machine machine_;
};

// Left by Lamina's part of the initramfs for the running system.
inline constexpr const char* kEarlyMark = "/run/lamina-early";

}  // namespace lamina::node
