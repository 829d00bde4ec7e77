"""One real origin on loopback, and the administrator's commands to it."""

import os
import select
import signal
import socket
import subprocess


def run(*args, seconds=60):
    return subprocess.run(args, capture_output=True, text=True, timeout=seconds)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class OriginOnLoopback:
    """Made and served in the directory `data` while the block runs."""

    def __init__(self, origin_program, lamina_program, data):
        self.data, self.api = data, free_port()
        self.programs = origin_program, lamina_program

    def __enter__(self):
        made = run(self.programs[0], "init", "--data", self.data, "--name", "localhost,127.0.0.1", "--api-port",
                   str(self.api), "--swarm-port", str(free_port()))
        if made.returncode != 0:
            raise RuntimeError(made.stderr)
        self.process = subprocess.Popen([self.programs[0], "serve", "--data", self.data], stderr=subprocess.PIPE)
        log = b""
        while b" serving " not in log:
            if not select.select([self.process.stderr], [], [], 20)[0]:
                raise TimeoutError(f"the origin does not serve: {log.decode()}")
            piece = os.read(self.process.stderr.fileno(), 65536)
            if not piece:
                raise RuntimeError(log.decode())
            log += piece
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        self.process.communicate(timeout=20)

    def lamina(self, *args):
        return run(self.programs[1], "--origin", f"127.0.0.1:{self.api}", "--ca", self.data + "/keys/api-ca.pem",
                   "--token-file", self.data + "/keys/admin.token", *args)
