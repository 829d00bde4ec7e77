"""Real programs on loopback: one origin, whoever else is started, and the administrator's commands."""

import signal
import socket
import subprocess
import threading


def run(*args, seconds=60):
    return subprocess.run(args, capture_output=True, text=True, timeout=seconds)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Daemon:
    """A program that says on stderr when it is ready. What it says is read as it comes, so that it never waits."""

    def __init__(self, *args, ready):
        self.log, self._news, self._has_ended = "", threading.Condition(), False
        self.process = subprocess.Popen(args, stderr=subprocess.PIPE, text=True)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.wait_for(ready)

    def _read(self):
        for line in self.process.stderr:
            with self._news:
                self.log += line
                self._news.notify_all()
        with self._news:
            self._has_ended = True
            self._news.notify_all()

    def here(self):
        """For `after`: what it says from now on."""
        with self._news:
            return len(self.log)

    def _line(self, texts, after):
        return next((line for line in self.log[after:].splitlines() if all(text in line for text in texts)), None)

    def wait_for(self, *texts, after=0, seconds=20):
        """The first line with all of these texts."""
        with self._news:
            self._news.wait_for(lambda: self._line(texts, after) is not None or self._has_ended, seconds)
            line = self._line(texts, after)
            if line is None:
                raise RuntimeError(f"no {' '.join(texts)!r} within {seconds} s: {self.log[-20_000:]}")
            return line

    def stop(self, number=signal.SIGTERM):
        """Its exit code."""
        self.process.send_signal(number)
        code = self.process.wait(timeout=20)
        self._reader.join(timeout=20)
        return code

    def kill(self):
        self.stop(signal.SIGKILL)


class ServedOrigin:
    """`lamina-origin serve` with these `options` on the data directory of an origin that exists."""

    def __init__(self, origin_program, lamina_program, data, api, options=()):
        self.data, self.api, self.lamina_program = data, api, lamina_program
        self.serve = Daemon(origin_program, "serve", "--data", data, "--listen", f"127.0.0.1:{api}", *options,
                            ready=" serving ")
        self.access = ("--origin", f"127.0.0.1:{api}", "--ca", data + "/keys/api-ca.pem",
                       "--token-file", data + "/keys/admin.token")

    def lamina(self, *args):
        return run(self.lamina_program, *self.access, *args)

    def told(self, *args):
        """What a command prints that has to succeed."""
        done = self.lamina(*args)
        if done.returncode != 0:
            raise RuntimeError(f"lamina {' '.join(args)}: {done.stderr}")
        return done.stdout

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.serve.stop()


class OriginOnLoopback(ServedOrigin):
    """Made and served in the directory `data`; stopped at the end of the block."""

    def __init__(self, origin_program, lamina_program, data, options=()):
        api, self.swarm = free_port(), free_port()
        made = run(origin_program, "init", "--data", data, "--name", "localhost,127.0.0.1", "--api-port", str(api),
                   "--swarm-port", str(self.swarm))
        made.check_returncode()
        self.fingerprint = next(line.split()[-1] for line in made.stdout.splitlines() if "fingerprint" in line)
        super().__init__(origin_program, lamina_program, data, api, options)
