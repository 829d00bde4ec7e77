// OwnNetwork: while it lives, the calling thread, and threads that it starts, are on a machine of
// their own with one Ethernet, "lan0", which has no address yet. Needs root and iproute2.
#pragma once

#include <fcntl.h>
#include <sched.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstdlib>
#include <string>

namespace lamina::tests {

class OwnNetwork {
 public:
  OwnNetwork() : before_(::open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC)) {
    if (before_ < 0 || ::unshare(CLONE_NEWNET) != 0) return;
    is_entered_ = true;
    // Without addresses by themselves, which nobody could use for the first second or two. The
    // far end is up so that there is a carrier.
    is_there_ = run("ip link add lan0 type veth peer name far0") &&
                run("ip link set lan0 addrgenmode none up") &&
                run("ip link set far0 addrgenmode none up");
  }
  ~OwnNetwork() {
    // With its last thread the network is gone.
    if (is_entered_ && ::setns(before_, CLONE_NEWNET) != 0) std::abort();
    if (before_ >= 0) ::close(before_);
  }
  OwnNetwork(const OwnNetwork&) = delete;
  OwnNetwork& operator=(const OwnNetwork&) = delete;

  // False: this machine does not let a test have one, and there is nothing to be tested.
  bool is_there() const {
    if (!is_there_) WARN("no network of its own (not root, or no iproute2): not tested");
    return is_there_;
  }
  void add(const std::string& address) const {
    const bool is_v6 = address.find(':') != std::string::npos;
    REQUIRE(run("ip address add " + address + " dev lan0" + (is_v6 ? " nodad" : "")));
  }

 private:
  static bool run(const std::string& command) {
    return std::system((command + " 2>/dev/null").c_str()) == 0;
  }

  int before_;
  bool is_entered_ = false;
  bool is_there_ = false;
};

}  // namespace lamina::tests
