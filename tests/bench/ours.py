"""Lamina as an administrator and a device use it: the real programs on loopback, everything below one directory."""

import os
import time

from fleet import Fleet
from lab import Lab, Loopback, wait_until
from measure import Daemons, Sample, execute, flush, sent_on_loopback, size_of

LAYER = "system"
NOTICE_EVERY = 0.02  # How often a device's log is looked at; its own time stamps are what counts.

TOLD = {
    "capture": "lamina layer capture (level 3) to lamina-origin serve; processor and memory of both",
    "stage": "lamina stage, one device; with polls, records and the headers of all packets",
    "apply": "the worker's and the node's part from apply_starts to applied in the device's log, packs in its cache",
    "snapshot": "lamina-node sync --protected; processor and memory of worker, node and lamina-origin serve with it",
    "transfer": "lamina layer capture --against, stage and the update taken, all bytes on the line; -fast and -high are "
                "other efforts; -frames: delta_bench, two threads of the sender, without manifest and entries",
    "restore": "lamina cvd restore from lamina-origin serve; processor and memory of both",
}


class Lamina:
    """An origin and its devices. `folder` may be the mount point of a volume that is unmounted and comes back between
    stop() and start()."""

    def __init__(self, folder, build, devices=1):
        self.lab = Lab(folder)
        self.fleet = Fleet(self.lab, Loopback(devices), build)
        self.env = {"TMPDIR": os.path.join(folder, "tmp")}
        os.makedirs(self.env["TMPDIR"], exist_ok=True)
        self.fleet.init_origin()
        self.fleet.start_origin()
        self.fleet.cli("site", "add", "branch", "--subnet", self.fleet.net.SUBNET)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.lab.close()

    def stop(self):
        for process in list(self.lab.processes):
            self.lab.stop(process)

    def start(self):
        self.fleet.start_origin()
        for device in self.fleet.devices:
            self._start(device)

    def daemons(self, device=None):
        of_device = [device.worker.pid, device.node.pid] if device else []
        return Daemons([self.fleet.serve.pid, *of_device])

    # Layers.

    def bytes_stored(self):
        """Packs, their hashes, records, torrents and the index of chunks: all but the catalogue of devices."""
        return size_of(self.fleet.data, leave_out=("catalog",))

    def capture(self, tree, version, against="none", effort="default"):
        """`against`: what devices get updates from; what these add is in the sample's bytes."""
        before, daemons = self.bytes_stored(), self.daemons()
        words = [*self.fleet.capture_words(LAYER, version, tree), "--against", against, "--effort", effort]
        sample = execute(self.fleet.administrator(*words), env=self.env)
        sample = daemons.with_client(sample)
        sample.bytes = self.bytes_stored() - before
        return sample

    def add_device(self):
        """A device whose volume is its own directory; what is mounted there comes before enrol()."""
        return self.fleet.add_device()

    def enrol(self, device):
        device.give_identity()
        device.enroll(self.fleet.token(f"device-{device.number}", 1, "branch"))
        self._start(device)

    def _start(self, device):
        begun = time.time()
        device.start()
        wait_until(lambda: any(when > begun - 0.01 for when, _ in device.events("origin_reached")), 30,
                   f"{device.name} at the origin")

    def packs_added(self, capture, version):
        """Bytes of the packs that a capture sent: without those that were written anew from older ones."""
        before = set(self.fleet.layer_packs())
        capture()
        new = sum(size for name, size in self.fleet.layer_packs().items() if name not in before)
        return new - self.fleet.fresh_bytes(f"{LAYER}:{version}")

    def bring(self, device, version):
        """The layer's packs into the device's cache; nothing is applied. Measures what is sent meanwhile."""
        sent = sent_on_loopback()
        self.fleet.cli("stage", "--device", device.id, "--layers", f"{LAYER}:{version}")

        def here():
            return any(said.get("name") == f"{LAYER} {version}" for _, said in device.events("layer_complete"))

        wait_until(here, 600, f"{LAYER} {version} in the cache of {device.name}", every=0.5)
        return Sample(bytes=sent_on_loopback() - sent)

    def take(self, device, version):
        """The same, and until the update of which the packs are is taken. Processor and memory of the device."""
        daemons, taken = Daemons([device.node.pid]), len(device.events("update_taken"))
        sample = self.bring(device, version)
        wait_until(lambda: len(device.events("update_taken")) > taken, 900, f"the update on {device.name}")
        return Sample(cpu=daemons.cpu(), rss=daemons.rss(), bytes=sample.bytes)

    def apply(self, device, version):
        """Assigns a layer that is in the cache already. Measures the apply itself, and until the volume's file system
        has it on its disk; not the removal of what the apply before it had kept for a revert, which follows."""
        begun, applied = len(device.events("apply_starts")), len(device.events("applied"))
        self.fleet.cli("assign", "--device", device.id, "--layers", f"{LAYER}:{version}")
        wait_until(lambda: len(device.events("apply_starts")) > begun, 300, f"the apply on {device.name}", NOTICE_EVERY)
        daemons = Daemons([device.worker.pid, device.node.pid])
        wait_until(lambda: len(device.events("applied")) > applied, 900, f"{version} on {device.name}", NOTICE_EVERY)
        seconds = device.events("applied")[-1][0] - device.events("apply_starts")[-1][0]
        sample = Sample(seconds, daemons.cpu(), daemons.rss())
        sample = sample.then(flush(device.volume))
        trash = os.path.join(device.volume, ".lamina", "trash")
        wait_until(lambda: not os.path.exists(trash), 60, f"removal of {trash}", NOTICE_EVERY)
        return sample

    # Snapshots.

    def snapshot(self, device):
        before, sent, daemons = self.bytes_stored(), sent_on_loopback(), self.daemons(device)
        sample = execute([self.fleet.program("node/lamina-node"), "sync", "--protected", "--json", "--state",
                          device.state])
        sample = daemons.with_client(sample)
        sample.bytes, sample.stored = sent_on_loopback() - sent, self.bytes_stored() - before
        return sample

    def restore(self, device, path, target):
        daemons = self.daemons()
        sample = execute(self.fleet.administrator("cvd", "restore", device.id, "--path", path, "--to", target),
                         env=self.env)
        return daemons.with_client(sample)
