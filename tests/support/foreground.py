"""A foreground TCP transfer over the lab's line, as `python3 foreground.py send|receive ADDRESS PORT SECONDS`.

The receiver connects and reads; the sender sends as fast as TCP (cubic) lets it, for SECONDS. The receiver prints
a JSON list of the bytes received in each tenth of a second, from the first byte on.
"""

import json
import socket
import sys
import time


def send(address, port, seconds):
    with socket.create_server((address, port)) as listener:
        listener.settimeout(30)
        print("ready", flush=True)
        connection, _ = listener.accept()
        with connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, b"cubic")
            connection.settimeout(10)
            block, end = bytes(16_384), time.monotonic() + seconds
            while time.monotonic() < end:
                connection.send(block)


def receive(address, port, seconds):
    tenths = []
    with socket.create_connection((address, port), timeout=30) as connection:
        connection.settimeout(10)
        data, begun = connection.recv(65_536), time.monotonic()
        while data:
            tenth = int((time.monotonic() - begun) * 10)
            tenths += [0] * (tenth + 1 - len(tenths))
            tenths[tenth] += len(data)
            data = connection.recv(65_536)
    print(json.dumps(tenths))


if __name__ == "__main__":
    {"send": send, "receive": receive}[sys.argv[1]](sys.argv[2], int(sys.argv[3]), float(sys.argv[4]))
