"""A laboratory on one machine: network namespaces, a WAN line between two routers, daemons with logs
and peaks of memory. Python's standard library only; needs root and iproute2.

    origin ── router A ══ line (rate, delay, jitter, loss, queue) ══ router B ── bridge ── device 1..n

Everything carries a name of this process's own, lives below one run directory, is wrapped in
timeouts and goes away with the Lab, also after a failure or a signal. Traffic stays inside.
"""

import atexit
import contextlib
import ctypes
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time

PREFIX = "lamlab"
_PR_SET_PDEATHSIG = 1
_CLONE_NEWNET = 0x40000000


class LabError(Exception):
    """What went wrong, in one line that names the thing."""


def ip(*words, timeout=20):
    """Runs `ip WORDS...`; raises LabError with ip's own words."""
    done = subprocess.run(["ip", *map(str, words)], capture_output=True, text=True, timeout=timeout)
    if done.returncode != 0:
        raise LabError(f"ip {' '.join(map(str, words))}: {done.stderr.strip()}")
    return done.stdout


def wait_until(condition, seconds, what, every=0.1):
    """Returns the first true value of condition(); LabError names `what` after `seconds`."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise LabError(f"{what}: not after {seconds:.0f} s")
        time.sleep(every)


def can_make_namespaces():
    """None, or the reason why this machine and user cannot have network namespaces and TAP devices."""
    if os.geteuid() != 0:
        return "not root"
    if shutil.which("ip") is None:
        return "iproute2 is not installed"
    if not os.path.exists("/dev/net/tun"):
        return "/dev/net/tun is missing"
    name = f"{PREFIX}{os.getpid()}-probe"
    try:
        ip("netns", "add", name)
        ip("-n", name, "link", "add", "probe", "type", "veth", "peer", "name", "probe2")
        ip("-n", name, "link", "add", "bridge", "type", "bridge")
    except (LabError, subprocess.SubprocessError) as error:
        return str(error)
    finally:
        subprocess.run(["ip", "netns", "del", name], capture_output=True, timeout=20)
    return None


class Process:
    """One program, its log file and its peak memory (VmHWM, as the kernel counts it)."""

    def __init__(self, name, argv, log, stdin=None, env=None, cwd=None):
        self.name, self.argv, self.log = name, argv, log
        self.peak_rss = 0
        self._log = open(log, "ab")
        parent = os.getpid()

        def die_with_parent():
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != parent:
                os._exit(1)

        self.popen = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL if stdin is None else stdin, stdout=self._log, stderr=self._log,
            start_new_session=True, preexec_fn=die_with_parent, env=env, cwd=cwd)

    @property
    def pid(self):
        return self.popen.pid

    def running(self):
        return self.popen.poll() is None

    def sample(self):
        """Notes the peak so far. `ip netns exec` and `unshare` become the program they start, but a
        program they have not started yet must not count."""
        try:
            with open(f"/proc/{self.pid}/status", encoding="ascii", errors="replace") as file:
                text = file.read()
            name = re.search(r"^Name:\s*(.*)$", text, re.M)
            peak = re.search(r"^VmHWM:\s*(\d+) kB", text, re.M)
            if peak and name and name.group(1) not in ("ip", "unshare", "python3", "nsenter", "setpriv"):
                self.peak_rss = max(self.peak_rss, int(peak.group(1)) * 1024)
        except OSError:
            pass

    def kill(self, how=signal.SIGKILL):
        self.sample()
        if self.running():
            with contextlib.suppress(ProcessLookupError):
                self.popen.send_signal(how)

    def stop(self, seconds=10):
        """SIGTERM, then SIGKILL after `seconds`. Returns the exit code."""
        self.kill(signal.SIGTERM)
        # A stopped process would not see the signal.
        with contextlib.suppress(ProcessLookupError):
            self.popen.send_signal(signal.SIGCONT)
        try:
            code = self.popen.wait(seconds)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            code = self.popen.wait(10)
        self._log.close()
        return code

    def text(self):
        with open(self.log, encoding="utf-8", errors="replace") as file:
            return file.read()

    def tail(self, lines=15):
        return "\n".join(self.text().splitlines()[-lines:])


class Done:
    """What a finished command said: code, out, err, seconds, peak_rss."""

    def __init__(self, code, out, err, seconds, peak_rss):
        self.code, self.out, self.err, self.seconds, self.peak_rss = code, out, err, seconds, peak_rss


class Lab:
    """Owns the namespaces, processes and the run directory. Use it as a context manager."""

    def __init__(self, run_dir, keep=False):
        self.run_dir = os.path.abspath(run_dir)
        self.keep = keep
        self.tag = f"{PREFIX}{os.getpid()}"
        self.namespaces, self.processes, self._received = [], [], []
        self.peaks = {}
        self._closed = threading.Event()
        os.makedirs(os.path.join(self.run_dir, "log"), exist_ok=True)
        _remove_leftovers()
        atexit.register(self.close)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda n, _frame: sys.exit(128 + n))
        threading.Thread(target=self._watch, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def _watch(self):
        while not self._closed.wait(2):
            for process in list(self.processes):
                process.sample()

    # Namespaces.

    def namespace(self, name):
        full = f"{self.tag}-{name}"
        ip("netns", "add", full)
        self.namespaces.append(full)
        ip("-n", full, "link", "set", "lo", "up")
        return full

    def inside(self, name_space, argv):
        """The command line that runs argv in a namespace; "" is the machine's own, None has no network."""
        argv = [str(word) for word in argv]
        if name_space is None:
            return ["unshare", "-n", *argv] if os.geteuid() == 0 else argv
        return ["ip", "netns", "exec", name_space, *argv] if name_space else argv

    def watch(self, name_space, device):
        """The Received of an interface."""
        self._received.append(Received(name_space, device))
        return self._received[-1]

    # Processes.

    def start(self, name, argv, name_space="", env=None):
        """A daemon with the log <run>/log/<name>.log; a second start of the same name appends."""
        process = Process(name, self.inside(name_space, argv), os.path.join(self.run_dir, "log", name + ".log"),
                          env=env)
        self.processes.append(process)
        return process

    def run(self, argv, name_space="", seconds=60, check=True, env=None, name=None, input=None):
        """Runs a command to its end. With check, a failure raises LabError with the command's last line."""
        argv = [str(word) for word in argv]
        begun = time.monotonic()
        popen = subprocess.Popen(self.inside(name_space, argv), stdin=subprocess.PIPE if input else subprocess.DEVNULL,
                                 stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env, start_new_session=True)
        watched = Process.__new__(Process)
        watched.popen, watched.peak_rss = popen, 0
        over = threading.Event()

        def watch():
            while not over.wait(0.05):
                watched.sample()

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        try:
            out, err = popen.communicate(input, timeout=seconds)
        except subprocess.TimeoutExpired:
            popen.kill()
            popen.communicate()
            raise LabError(f"{' '.join(argv[:4])}...: no end after {seconds} s") from None
        finally:
            over.set()
            watcher.join()
        out, err = out.decode(errors="replace"), err.decode(errors="replace")
        done = Done(popen.returncode, out, err, time.monotonic() - begun, watched.peak_rss)
        with open(os.path.join(self.run_dir, "log", "commands.log"), "a", encoding="utf-8") as file:
            file.write(f"$ {' '.join(argv)}\n{err}{out[-4000:]}[exit {done.code}, {done.seconds:.2f} s, "
                       f"peak {done.peak_rss >> 20} MiB]\n")
        if name:
            self.peaks[name] = max(self.peaks.get(name, 0), done.peak_rss)
        if check and done.code != 0:
            said = (err.strip() or out.strip() or "no output").splitlines()[-1]
            raise LabError(f"{' '.join(argv)}: exit code {done.code}: {said}")
        return done

    def stop(self, process, seconds=10):
        code = process.stop(seconds)
        self._note(process)
        if process in self.processes:
            self.processes.remove(process)
        return code

    def _note(self, process):
        kind = re.sub(r"-?\d+$", "", process.name)
        self.peaks[kind] = max(self.peaks.get(kind, 0), process.peak_rss)

    def peak_rss(self):
        """Peak resident bytes by kind of program ("node-3" counts as "node")."""
        for process in self.processes:
            process.sample()
            self._note(process)
        return dict(sorted(self.peaks.items()))

    def close(self):
        if self._closed.is_set():
            return
        self._closed.set()
        processes, self.processes = self.processes, []
        for process in reversed(processes):
            process.kill(signal.SIGTERM)
        for process in reversed(processes):
            with contextlib.suppress(Exception):
                process.stop(5)
        for received in self._received:
            received.close()  # It would keep its namespace.
        for name in reversed(self.namespaces):
            with contextlib.suppress(Exception):
                ip("netns", "del", name)
        self.namespaces.clear()
        atexit.unregister(self.close)


def _remove_leftovers():
    """Deletes namespaces of labs whose process is gone (killed with -9)."""
    try:
        listed = os.listdir("/run/netns")
    except OSError:
        return
    for name in listed:
        match = re.match(PREFIX + r"(\d+)-", name)
        if match and not os.path.exists(f"/proc/{match.group(1)}"):
            subprocess.run(["ip", "netns", "del", name], capture_output=True, timeout=20)


class Received:
    """What an interface in a namespace has received, read without starting a program each time."""

    def __init__(self, name_space, device):
        self.device = device + ":"
        opened = []

        def look():  # A thread may go into another namespace by itself, and is not needed any more then.
            with open(f"/run/netns/{name_space}", "rb") as space:
                if ctypes.CDLL(None, use_errno=True).setns(space.fileno(), _CLONE_NEWNET) == 0:
                    opened.append(open("/proc/thread-self/net/dev", encoding="ascii"))

        thread = threading.Thread(target=look)
        thread.start()
        thread.join()
        if not opened:
            raise LabError(f"cannot look into the namespace {name_space}")
        self._file = opened[0]

    def read(self):
        """(bytes, packets)"""
        self._file.seek(0)
        for line in self._file:
            words = line.split()
            if words[0] == self.device:
                return int(words[1]), int(words[2])
        raise LabError(f"there is no interface {self.device[:-1]} any more")

    def close(self):
        self._file.close()


class Counters:
    """What the line has carried: Ethernet frames with their headers, both ways."""

    def __init__(self, down_bytes=0, down_packets=0, up_bytes=0, up_packets=0):
        self.down_bytes, self.down_packets = down_bytes, down_packets
        self.up_bytes, self.up_packets = up_bytes, up_packets

    def __add__(self, other):
        return Counters(self.down_bytes + other.down_bytes, self.down_packets + other.down_packets,
                        self.up_bytes + other.up_bytes, self.up_packets + other.up_packets)

    def __sub__(self, before):
        return Counters(self.down_bytes - before.down_bytes, self.down_packets - before.down_packets,
                        self.up_bytes - before.up_bytes, self.up_packets - before.up_packets)


def no_offloads(name_space, device):
    """Where bytes and packets are counted, packets are as on a wire. TAP devices refuse some of these: they
    have none. A site's own cables keep them, as network cards do that work for the processor."""
    subprocess.run(["ip", "netns", "exec", name_space, "ethtool", "-K", device, "tso", "off", "gso", "off",
                    "gro", "off", "tx", "off", "sg", "off"], capture_output=True, timeout=20)


class Line:
    """A line from the data centre's router to that of one site or more, with its counters on both."""

    def __init__(self, lab, build, number, near, far, rate, up_rate=0, rtt_ms=30, loss=0.0, queue_ms=60, jitter_ms=0):
        self.number, self.near, self.far, self.device = number, near, far, f"wan{number}"
        self.near_address, self.far_address = f"10.80.1.{4 * number + 1}", f"10.80.1.{4 * number + 2}"
        self.process = lab.start("line" if number == 0 else f"line-{number}", [
            os.path.join(build, "tests/support/lamina-link"), near, far, self.device, f"rate={rate}",
            f"up_rate={up_rate}", f"delay_us={int(rtt_ms * 500)}", f"jitter_us={int(jitter_ms * 500)}",
            f"loss_ppm={int(loss * 1e6)}", f"queue_bytes={max(30_000, int(rate / 8 * queue_ms / 1000))}"])
        wait_until(lambda: "ready" in self.process.text() or not self.process.running(), 10, "the line")
        if not self.process.running():
            raise LabError(f"the line does not start: {self.process.tail(1)}")
        # What it delays must not depend on how busy the devices keep this machine.
        with contextlib.suppress(PermissionError):
            os.sched_setscheduler(self.process.pid, os.SCHED_FIFO, os.sched_param(10))
        for router, address in ((near, self.near_address), (far, self.far_address)):
            ip("-n", router, "addr", "add", address + "/30", "dev", self.device)
            ip("-n", router, "link", "set", self.device, "up", "txqueuelen", 2000)
            no_offloads(router, self.device)
        self._down, self._up = lab.watch(far, self.device), lab.watch(near, self.device)
        # The routers know each other: address resolution would cost the first packet a round trip.
        for router, other, address in ((near, far, self.far_address), (far, near, self.near_address)):
            peer = json.loads(ip("-n", other, "-j", "link", "show", "dev", self.device))[0]["address"]
            ip("-n", router, "neigh", "replace", address, "lladdr", peer, "dev", self.device, "nud", "permanent")
        ip("-n", far, "route", "add", "default", "via", self.near_address)

    def counters(self):
        """Read on the routers' own interfaces: what came out of the line at either end."""
        return Counters(*self._down.read(), *self._up.read())


class Branch:
    """Sites behind a line. Addresses: the origin 10.80.0.2, device i 10.80.(2+site).(10+i); devices are dealt to
    the sites in turn, or as `site_of_device` says. Further seeders of the data centre, on hosts of their own:
    10.80.(100+n).2, n from 2. With `own_lines`, each site has a router and a line of its own: for each what differs
    (rate, up_rate, rtt_ms, loss). `lan_rates`: bits a second of a device's port, each direction, by site; None: as
    fast as the machine is."""

    ORIGIN = "10.80.0.2"
    SUBNET = "10.80.2.0/24"
    shaped = True

    def __init__(self, lab, build, devices, rate=20_000_000, rtt_ms=30, loss=0.0, queue_ms=60, congestion="cubic",
                 sites=1, seeders=1, jitter_ms=0, own_lines=None, lan_rates=None,
                 site_of_device=None):
        self.lab, self.rate, self.rtt_ms, self.sites = lab, rate, rtt_ms, sites
        self.congestion, self.lan_rates, self.site_of_device = congestion, lan_rates, site_of_device
        self.origin = lab.namespace("origin")
        self.near = lab.namespace("near")
        fars = [lab.namespace("far" if number == 0 else f"far{number}") for number in range(len(own_lines or [0]))]
        self.far = fars[0]
        self.devices = []
        for router in (self.near, *fars):
            lab.run(["sysctl", "-qw", "net.ipv4.ip_forward=1"], router)
        # A switch has no packet filter, whatever this machine's bridges have.
        for far in fars:
            subprocess.run(["ip", "netns", "exec", far, "sysctl", "-qw", "net.bridge.bridge-nf-call-iptables=0",
                            "net.bridge.bridge-nf-call-arptables=0"], capture_output=True, timeout=20)
        self._cable(self.origin, "eth0", self.ORIGIN + "/24", self.near, "origin0", "10.80.0.1/24")
        self._default_route(self.origin, "10.80.0.1")
        self.seeders = {1: self.origin}  # By number; the first is the origin's own.
        for number in range(2, seeders + 1):
            space = self.seeders[number] = lab.namespace(f"seeder{number}")
            self._cable(space, "eth0", self.seeder_address(number) + "/24", self.near, self._seeder_port(number),
                        f"10.80.{100 + number}.1/24")
            self._default_route(space, f"10.80.{100 + number}.1")

        common = {"rate": rate, "rtt_ms": rtt_ms, "loss": loss, "queue_ms": queue_ms, "jitter_ms": jitter_ms}
        self.lines = [Line(lab, build, number, self.near, fars[number], **{**common, **own})
                      for number, own in enumerate(own_lines or [{}])]
        for site in range(sites):
            line = self.line_of(site)
            ip("-n", self.near, "route", "add", self.subnet(site), "via", line.far_address)
            ip("-n", line.far, "link", "add", f"lan{site}", "type", "bridge")
            ip("-n", line.far, "addr", "add", self.gateway(site) + "/24", "dev", f"lan{site}")
            ip("-n", line.far, "link", "set", f"lan{site}", "up")
        self._watched = False
        for _ in range(devices):
            self.add_device()

    def _cable(self, space_a, device_a, address_a, space_b, device_b, address_b, counted=True):
        ip("-n", space_a, "link", "add", device_a, "type", "veth", "peer", "name", device_b, "netns", space_b)
        for space, device, address in ((space_a, device_a, address_a), (space_b, device_b, address_b)):
            if address:
                ip("-n", space, "addr", "add", address, "dev", device)
            ip("-n", space, "link", "set", device, "up")
            if counted:
                no_offloads(space, device)

    def _default_route(self, name_space, gateway):
        # The machine's default may be bbr: a measurement names its congestion control.
        ip("-n", name_space, "route", "replace", "default", "via", gateway, "congctl", self.congestion)

    def subnet(self, site):
        return f"10.80.{2 + site}.0/24"

    def gateway(self, site):
        return f"10.80.{2 + site}.1"

    def site_of(self, number):
        return self.site_of_device[number - 1] if self.site_of_device else (number - 1) % self.sites

    def line_of(self, site):
        return self.lines[site if len(self.lines) > 1 else 0]

    def add_device(self):
        """One more namespace on the LAN whose turn it is; returns its number, counted from 1."""
        number = len(self.devices) + 1
        self.devices.append(self._plug(f"device{number}", self.device_address(number), self.site_of(number),
                                       f"port{number}"))
        return number

    def add_stranger(self, site=0):
        """A namespace on a site's LAN that is no device: a visitor's computer."""
        return self._plug("stranger", f"10.80.{2 + site}.200", site, "guest0")

    def _plug(self, name, address, site, port):
        space, far = self.lab.namespace(name), self.line_of(site).far
        self._cable(space, "eth0", address + "/24", far, port, None, counted=False)
        ip("-n", far, "link", "set", port, "master", f"lan{site}")
        self.route_home(space, site)
        if self.lan_rates and self.lan_rates[site]:
            for end, device in ((space, "eth0"), (far, port)):
                self._limit(end, device, self.lan_rates[site])
        return space

    def _limit(self, name_space, device, rate):
        """What leaves by that device. A short queue: acknowledgements wait in it behind what the device serves, and a
        seeder takes more than 20 ms of it for somebody else's transfer on the line, and gives way."""
        self.lab.run(["tc", "qdisc", "replace", "dev", device, "root", "tbf", "rate", f"{rate}bit", "burst", "16kb",
                      "latency", "5ms"], name_space)

    def route_home(self, space, site):
        """The way out of a site, also after its cable was out."""
        self._default_route(space, self.gateway(site))

    def device_address(self, number):
        return f"10.80.{2 + self.site_of(number)}.{10 + number}"

    def unplug(self, number):
        ip("-n", self.devices[number - 1], "link", "set", "eth0", "down")

    def plug_in(self, number):
        ip("-n", self.devices[number - 1], "link", "set", "eth0", "up")
        self.route_home(self.devices[number - 1], self.site_of(number))

    def seeder_address(self, number):
        return self.ORIGIN if number == 1 else f"10.80.{100 + number}.2"

    def _seeder_port(self, number):
        return "origin0" if number == 1 else f"seeder{number}"

    def unplug_seeder(self, number):
        ip("-n", self.near, "link", "set", self._seeder_port(number), "down")

    def plug_in_seeder(self, number):
        ip("-n", self.near, "link", "set", self._seeder_port(number), "up")

    def sent_by_seeders(self):
        """Bytes that each seeder's host has sent, as the router counted them."""
        return {number: json.loads(ip("-n", self.near, "-s", "-j", "link", "show", "dev", self._seeder_port(number)))[0]
                ["stats64"]["rx"]["bytes"] for number in self.seeders}

    def cut(self):
        ip("-n", self.near, "link", "set", "origin0", "down")

    def mend(self):
        ip("-n", self.near, "link", "set", "origin0", "up")

    def _rules(self, *rules):
        for rule in rules:
            self.lab.run(["nft", *rule.split()], self.far)

    def close_port(self, port):
        """A firewall between the sites and the origin that lets a TCP port's connections through to nobody."""
        self._rules("add table inet firewall",
                    "add chain inet firewall out { type filter hook forward priority 0 ; }",
                    f"add rule inet firewall out oifname wan0 tcp dport {port} reject with tcp reset")

    def watch_between_sites(self):
        self._rules("add table inet watch", "add chain inet watch between { type filter hook forward priority 1 ; }",
                    *(f"add rule inet watch between iifname lan{a} oifname lan{b} counter"
                      for a in range(self.sites) for b in range(self.sites) if a != b))
        self._watched = True

    def bytes_between_sites(self):
        if not self._watched:
            return 0
        listed = json.loads(self.lab.run(["nft", "-j", "list", "table", "inet", "watch"], self.far).out)
        return sum(part["counter"]["bytes"] for item in listed["nftables"] for part in item.get("rule", {}).get("expr", [])
                   if "counter" in part)

    def counters(self):
        """Of all lines together."""
        return sum((line.counters() for line in self.lines), Counters())


class Loopback:
    """The same shape without root or namespaces: every address is the machine's own, no line."""

    ORIGIN = "127.0.0.1"
    SUBNET = "127.0.0.0/8"
    shaped = False
    origin = ""

    def __init__(self, devices, rate=20_000_000, rtt_ms=30):
        self.rate, self.rtt_ms = rate, rtt_ms
        self.devices = [""] * devices

    def device_address(self, number):
        return f"127.0.1.{10 + number}"

    def counters(self):
        return Counters()
