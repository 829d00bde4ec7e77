#!/usr/bin/env python3
"""Nobody without a valid identity gets a byte of content: no certificate, one of another CA, a pending
device, a rejected one, a device that poses as a server, a swarm peer without a lease at the seeder."""

import os
import re
import shutil
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support"))
from fleet import API_PORT, SWARM_PORT  # noqa: E402
from lab import wait_until  # noqa: E402
from scenario import BASE, scenario_main  # noqa: E402

# One request with the standard library: status, and how many bytes of body came.
ASK = """
import http.client, ssl, sys
host, port, ca, certificate, key, method, path = sys.argv[1:8]
context = ssl.create_default_context(cafile=ca)
context.check_hostname = False
if certificate:
    context.load_cert_chain(certificate, key)
try:
    connection = http.client.HTTPSConnection(host, int(port), context=context, timeout=10)
    connection.request(method, path, "{}" if method == "POST" else None,
                       {"Lamina-Protocol": "1", "Content-Type": "application/json"})
    reply = connection.getresponse()
    print(reply.status, len(reply.read()))
except (OSError, http.client.HTTPException) as error:
    print(0, 0, type(error).__name__)
"""

# A TLS server with a device's certificate, and a client that trusts the API's CA.
POSE = """
import socket, ssl, sys
address, certificate, key = sys.argv[1:4]
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(certificate, key)
listener = socket.create_server((address, 8443))
print("listening", flush=True)
while True:
    peer, _ = listener.accept()
    try:
        context.wrap_socket(peer, server_side=True).recv(1)
    except (OSError, ssl.SSLError):
        pass
"""

# Says a BitTorrent handshake over TLS to the seeder and counts what comes back.
PEER = """
import hashlib, os, socket, ssl, struct, sys
host, port, certificate, key, infohash = sys.argv[1:6]
context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
context.check_hostname = False
context.verify_mode = ssl.CERT_NONE
if certificate:
    context.load_cert_chain(certificate, key)
got, pieces = 0, 0
try:
    raw = socket.create_connection((host, int(port)), timeout=10)
    peer = context.wrap_socket(raw, server_hostname=infohash[:40])
    reserved = bytes([0, 0, 0, 0, 0, 0x10, 0, 0x10])
    peer.sendall(b"\\x13BitTorrent protocol" + reserved + bytes.fromhex(infohash)[:20] + os.urandom(20))
    # Interested, and requests for the first blocks, without a word about a lease.
    peer.sendall(struct.pack(">IB", 1, 2) + b"".join(struct.pack(">IBIII", 13, 6, 0, i * 16384, 16384) for i in range(8)))
    peer.settimeout(6)
    buffer = b""
    while data := peer.recv(65536):
        got += len(data)
        buffer += data
    pieces = buffer.count(struct.pack(">IB", 16384 + 9, 7))
except (OSError, ssl.SSLError) as error:
    print(type(error).__name__, end=" ")
print("bytes", got, "blocks", pieces)
"""


def scenario(stage):
    fleet, checks = stage.fleet, stage.checks
    stage.origin_with_layer(4)
    ca = os.path.join(fleet.data, "keys/api-ca.pem")
    layer = fleet.cli_json("layer", "ls")[0]["id"]
    python = sys.executable

    def ask(space, certificate, key, method, path):
        words = fleet.lab.run([python, "-c", ASK, stage.net.ORIGIN, API_PORT, ca, certificate, key, method, path],
                              space).out.split()
        return int(words[0]), int(words[1])

    token = fleet.token("identity", 2)
    pending, rejected = fleet.add_device(), fleet.add_device()
    for device in (pending, rejected):
        device.enroll(token)
    fleet.cli("device", "assign", rejected.id, "--site", "branch")
    fleet.cli("device", "reject", rejected.id)
    foreign = os.path.join(fleet.run_dir, "foreign")
    os.makedirs(foreign)
    fleet.lab.run(["openssl", "req", "-x509", "-newkey", "ed25519", "-nodes", "-days", "2", "-subj",
                   "/CN=" + pending.id, "-keyout", foreign + "/key.pem", "-out", foreign + "/cert.pem"])

    def pair(device):
        return os.path.join(device.state, "net/device.pem"), os.path.join(device.state, "net/device.key")

    content = [("GET", f"/v1/node/layers/{layer}/{what}") for what in ("record", "distribution", "torrent")] + \
        [("POST", "/v1/node/swarm-certificate"), ("GET", "/v1/layers"), ("GET", "/v1/cvds"), ("GET", "/v1/audit")]
    for name, certificate, key, allowed in (
            ("no certificate", "", "", ()),
            ("a certificate of another CA", foreign + "/cert.pem", foreign + "/key.pem", ()),
            ("a pending device", *pair(pending), ()),
            ("a rejected device", *pair(rejected), ())):
        answers = [ask(pending.space, certificate, key, *call) for call in content]
        refused = all(status in (0, 401, 403) for status, _ in answers)
        checks.check(f"{name} gets no content", refused, " ".join(str(status) for status, _ in answers))

    # A device's certificate must not pass for a server's, not even with the true CA behind it.
    chain = os.path.join(fleet.run_dir, "chain.pem")
    with open(chain, "wb") as out:
        for path in (pair(pending)[0], ca):
            with open(path, "rb") as file:
                out.write(file.read())
    poser = fleet.lab.start("poser", [python, "-c", POSE, pending.address, chain, pair(pending)[1]], pending.space)
    wait_until(lambda: "listening" in poser.text(), 10, "the posing server")
    victim = fleet.lab.run([fleet.program("node/lamina-node"), "enroll", "--origin", f"{pending.address}:8443",
                            "--ca-fingerprint", fleet.fingerprint, "--token", "whatever", "--state",
                            os.path.join(fleet.run_dir, "victim"), "--volume", fleet.run_dir],
                           rejected.space, check=False)
    checks.check("a device that poses as the origin is refused", victim.code not in (0, 1, 2),
                 f"exit code {victim.code}: {(victim.err or victim.out).strip().splitlines()[-1]}")

    # The seeder: with no certificate, a foreign one, and a device's API certificate.
    torrents = os.listdir(os.path.join(fleet.data, "torrents"))
    infohash = re.search(r"[0-9a-f]{40,64}", torrents[0]).group(0)
    for name, certificate, key in (("no certificate", "", ""),
                                   ("a foreign certificate", foreign + "/cert.pem", foreign + "/key.pem"),
                                   ("a device's API certificate", *pair(pending))):
        said = fleet.lab.run([python, "-c", PEER, stage.net.ORIGIN, SWARM_PORT, certificate, key, infohash],
                             pending.space, seconds=40).out.strip()
        checks.check(f"the seeder gives nothing to {name}", said.endswith("blocks 0"), said)

    # A member of the swarm that has no lease: it is assigned, holds the swarm's certificate, and asks.
    fleet.cli("device", "assign", pending.id, "--site", "branch")
    pending.start()
    fleet.cli("assign", "--site", "branch", "--layers", f"{BASE}:1.0")
    fleet.wait_applied([f"{BASE}:1.0"], 60, [pending])
    member = (os.path.join(pending.state, "net/swarm.pem"), os.path.join(pending.state, "net/swarm.key"))
    said = fleet.lab.run([python, "-c", PEER, stage.net.ORIGIN, SWARM_PORT, *member, infohash], pending.space,
                         seconds=40).out.strip()
    checks.check("the seeder gives nothing to a member without lease", said.endswith("blocks 0"), said)

    # A device that was away for longer than its certificate lives.
    fleet.lab.stop(pending.node)
    expire(fleet, pending)
    answers = [ask(pending.space, *pair(pending), *call)[0]
               for call in [*content[:4], ("POST", "/v1/node/poll"), ("POST", "/v1/node/lease")]]
    checks.check("an expired certificate opens nothing", all(status in (401, 403) for status in answers),
                 " ".join(map(str, answers)))
    pending.start_node()
    wait_until(lambda: any(fields.get("which") == "api" for _, fields in pending.events("certificate_renewed")) and
               pending.events("origin_reached"), 60, "the renewal of an expired certificate")
    checks.check("but the enrolled device renews it by itself", True, "and polls again")


def expire(fleet, device):
    """Replaces the device's certificate by one for the same key that the API's CA issued, and that has run out."""
    keys, net = os.path.join(fleet.data, "keys"), os.path.join(device.state, "net")
    usage, request = os.path.join(fleet.run_dir, "usage"), os.path.join(fleet.run_dir, "expired.csr")
    with open(usage, "w", encoding="ascii") as file:
        file.write("extendedKeyUsage = clientAuth\n")
    fleet.lab.run(["openssl", "req", "-new", "-key", net + "/device.key", "-subj", "/CN=" + device.id, "-out", request])
    fleet.lab.run(["openssl", "x509", "-req", "-in", request, "-CA", keys + "/api-ca.pem", "-CAkey", keys + "/api-ca.key",
                   "-set_serial", "4711", "-days", "-1", "-extfile", usage, "-out", net + "/device.pem"])
    shutil.chown(net + "/device.pem", fleet.user)
    # Its first second must be over: until then it is not expired but not valid yet.
    wait_until(lambda: fleet.lab.run(["openssl", "verify", "-CAfile", keys + "/api-ca.pem", net + "/device.pem"],
                                     check=False).err.find("expired") >= 0, 10, "the end of a certificate")


if __name__ == "__main__":
    sys.exit(scenario_main(scenario, name="identity", devices=2, rate=100_000_000, rtt_ms=5))
