#!/usr/bin/env python3
"""The laboratory measured with plain sockets: rate, delay and counters are what was asked for."""

import argparse
import os
import sys
import tempfile

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from checks import Checks  # noqa: E402
from lab import Branch, Lab, can_make_namespaces, wait_until  # noqa: E402
from processor import Processor  # noqa: E402

SERVER = """
import socket, sys
listener = socket.create_server((sys.argv[1], 7000))
print("listening", flush=True)
while True:
    peer, _ = listener.accept()
    with peer:
        size = int(peer.recv(64))
        while size > 0:
            size -= peer.send(bytes(min(size, 65536)))
"""
CLIENT = """
import socket, sys, time
def connect():
    begun = time.monotonic()
    peer = socket.create_connection((sys.argv[1], 7000))
    return time.monotonic() - begun, peer
# The shortest of some: one alone is as long as the machine is busy, and the first one asks for the address, too.
took = []
for _ in range(5):
    seconds, peer = connect()
    took.append(seconds)
    peer.sendall(b"0")
    while peer.recv(1): pass
    peer.close()
peer = connect()[1]
peer.sendall(sys.argv[2].encode())
got = 0
while data := peer.recv(1 << 20):
    got += len(data)
    first = time.monotonic() if got == len(data) else first
print(min(took) * 1000, got * 8 / (time.monotonic() - first) / 1e6)
"""


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", default="build")
    build = os.path.abspath(parser.parse_args().build)
    reason = can_make_namespaces()
    if reason:
        print(f"SKIP the lab needs namespaces: {reason}")
        return 77
    checks = Checks()
    check = checks.check

    with tempfile.TemporaryDirectory() as directory:
        with Lab(directory) as lab:
            net = Branch(lab, build, devices=2, rate=20_000_000, rtt_ms=30)
            server = lab.start("server", [sys.executable, "-c", SERVER, net.ORIGIN], net.origin)
            wait_until(lambda: "listening" in server.text(), 10, "the server")
            size = 10_000_000
            before, processor = net.counters(), Processor()
            ms, mbit = map(float, lab.run([sys.executable, "-c", CLIENT, net.ORIGIN, size], net.devices[0]).out.split())
            line = net.counters() - before
            goodput = (line.down_bytes - 66 * line.down_packets) / size
            check("round trip of 30 ms", 30 <= ms < 40, f"{ms:.1f} ms")
            checks.check_time("rate of 20 Mbit/s", 18.2 < mbit < 19.3, f"{mbit:.2f} Mbit/s of payload",
                              processor.shares()["cpu_stolen"])
            check("bytes on the line", 1.0 <= goodput < 1.01, f"{goodput:.4f} of what was sent, without headers")
            lan = lab.start("lan", [sys.executable, "-c", SERVER, net.device_address(2)], net.devices[1])
            wait_until(lambda: "listening" in lan.text(), 10, "the second server")
            before = net.counters()
            ms, mbit = map(float, lab.run([sys.executable, "-c", CLIENT, net.device_address(2), 50_000_000],
                                          net.devices[0]).out.split())
            line = net.counters() - before
            check("the LAN is fast", mbit > 200 and ms < 10, f"{mbit:.0f} Mbit/s")
            check("LAN traffic stays off the line", line.down_bytes + line.up_bytes < 2000,
                  f"{line.down_bytes + line.up_bytes} bytes")
            lonely = lab.run([sys.executable, "-c", CLIENT, net.ORIGIN, 1], None, check=False)
            check("no network without a namespace", lonely.code != 0, lonely.err.strip().splitlines()[-1])
            names = list(lab.namespaces)
        left = [name for name in names if os.path.exists("/run/netns/" + name)]
        check("nothing stays behind", not left and not lab.processes, f"{len(names)} namespaces made")
    return checks.summary()


if __name__ == "__main__":
    sys.exit(main())
