"""`python3 hostile.py ADDRESS PORT COUNT`: keeps COUNT TCP connections to a port open until it is killed: a third
silent, a third with noise, a third with the beginning of a TLS handshake. What is closed is opened again."""

import os
import selectors
import socket
import sys
import time

FIRST = [b"", os.urandom(2000), bytes.fromhex("1603010200010001fc0303")]


def main(address, port, count):
    selector, opened = selectors.DefaultSelector(), 0
    print("ready", flush=True)
    while True:
        while len(selector.get_map()) < count:
            one = socket.socket()
            one.setblocking(False)
            one.connect_ex((address, port))
            selector.register(one, selectors.EVENT_WRITE, FIRST[opened % 3])
            opened += 1
        for key, _ in selector.select(1.0):
            try:
                if key.data is not None:
                    if key.data:
                        key.fileobj.send(key.data)
                    selector.modify(key.fileobj, selectors.EVENT_READ, None)
                elif not key.fileobj.recv(4096):
                    raise ConnectionResetError
            except OSError:
                selector.unregister(key.fileobj)
                key.fileobj.close()
                time.sleep(0.002)  # Some hundred attempts a second are attack enough for two cores.


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
