# SPDX-License-Identifier: Apache-2.0
"""Real images become VMs that do their job: built of Debian's packages, out of a registry, by fledge, to a served port."""
import base64
import json
import os
import re
import socket
import struct
import zlib

import images
import oci_image
import pytest
import volant
from test_oci_build import Fledge
from volant import says

pytestmark = pytest.mark.long
READY_S = 180


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """fledge and two registries, one of which wants a password, for all images."""
    path = tmp_path_factory.mktemp("images")
    (path / "open").mkdir()
    (path / "closed").mkdir()
    fledge = Fledge(path)
    fledge.env |= {"HOME": str(path / "home")}
    fledge.env.pop("REGISTRY_AUTH_FILE", None)
    fledge.open, fledge.closed = images.Registry(path / "open"), images.Registry(path / "closed", password="secret")
    auth = {"auths": {fledge.closed.host: {"auth": base64.b64encode(b"me:secret").decode()}}}
    os.makedirs(path / "home" / ".docker")
    (path / "home" / ".docker" / "config.json").write_text(json.dumps(auth))
    yield fledge
    fledge.open.stop()
    fledge.closed.stop()


def pushed(place, name):
    registry = place.closed if name == "nginx" else place.open
    return registry.push_from("dir:" + images.image(name), name + ":1")


# --- what each does ---------------------------------------------------------------------------------------------------


def ask_nginx(port):
    status, body = volant.fetch(port, "/")
    assert status == 200 and b"a page of Debian's nginx" in body
    assert volant.fetch(port, "/echo")[1] == b"GET\n"


def ask_redis(port):
    with socket.create_connection(("127.0.0.1", port), timeout=20) as s:
        s.sendall(b"SET greeting hello\r\nGET greeting\r\nINFO persistence\r\n")
        said = b""
        while b"aof_enabled" not in said:
            more = s.recv(4096)
            assert more, said
            said += more
    assert said.startswith(b"+OK\r\n$5\r\nhello\r\n") and b"aof_enabled:1" in said


def message(kind, body):
    return kind + struct.pack("!I", len(body) + 4) + body


def ask_postgres(port):
    """The protocol's simple query: what rows of data hold."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as s:
        s.sendall(message(b"", struct.pack("!I", 196608) + b"user\0postgres\0database\0postgres\0\0"))
        said = s.makefile("rb")
        rows, ready = [], 0
        while ready < 2:
            kind, (length,) = said.read(1), struct.unpack("!I", said.read(4))
            body = said.read(length - 4)
            assert kind != b"E", body
            if kind == b"D":
                rows.append(body)
            if kind == b"Z":
                ready += 1
                if ready == 1:
                    s.sendall(message(b"Q", b"create table t (n int); insert into t values (20), (22); "
                                            b"select sum(n) from t\0"))
    assert rows and rows[-1].endswith(b"42"), rows


def ask_python(port):
    for seen in 1, 2:
        answer = json.loads(volant.fetch(port, "/some/path", timeout=30)[1])
        assert answer == {"seen": seen, "rows": seen, "greeting": "hello", "uid": 1000,
                          "crc": zlib.crc32(b"/some/path")}


def ask_static(port):
    assert volant.fetch(port)[1] == b"alone\n"


def ask_setuid(port):
    assert volant.fetch(port)[1] == b"server 1000, user 1000 as 0\n"


JOBS = {"nginx": (80, 128, ask_nginx), "redis": (6379, 128, ask_redis), "postgres": (5432, 384, ask_postgres),
        "python": (5000, 256, ask_python), "static": (8000, 64, ask_static), "setuid": (80, 64, ask_setuid)}


# --- the images as they are built -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", JOBS)
def test_build(name, place):
    """Every one comes out of its registry, and its manifest says what its Dockerfile said."""
    port, _, _ = JOBS[name]
    reference = pushed(place, name)
    says(place.build(reference), [f"{name} 1", "sha256:", f"{name}.squashfs"])
    assert "from the cache" in place.build(reference)
    manifest = place.manifest(name)
    assert manifest["workload"]["exposed_ports"] == [f"{port}/tcp"]
    tree = oci_image.tree_of_squashfs(place.path(name + ".squashfs"))
    if name == "nginx":
        check = manifest["health_check"]
        assert check["command"][:2] == ["/bin/sh", "-c"] and "wget" in check["command"][2]
        assert (check["interval_ms"], check["check_timeout_ms"]) == (5000, 20000)
        assert manifest["workload"]["stop_signal"] == "SIGQUIT"
    if name == "redis":
        assert manifest["workload"]["volumes"] == ["/data"] and manifest["workload"]["user"] == "redis"
        assert manifest["workload"]["command_index"] == 5
    if name == "postgres":
        assert tree[b"data/db/PG_VERSION"]["uid"] == 999 and tree[b"data/db"]["mode"] & 0o777 == 0o700
    if name == "setuid":
        assert tree[b"usr/bin/whois"]["mode"] & 0o7777 == 0o4755
        assert "security.capability" in tree[b"usr/bin/bind80"]["xattrs"]
    if name == "static":
        assert {path for path in tree if path} == {b"page"}


@pytest.mark.parametrize("name", JOBS)
def test_out_of_its_disk_image(name, place, host):
    """Read-only, with an overlay in memory; capabilities, setuid and owners as the image has them."""
    port, memory, ask = JOBS[name]
    place.build(pushed(place, name))
    host.install(place.path(name + ".manifest.json"))
    host.volar("vms", "create", "vm", "--plugin", name, "-p", str(port), "--memory", str(memory))
    volant.wait_until(lambda: host.vm("vm")["ready"] or host.vm("vm")["status"] in ("failed", "crashed", "stopped"), READY_S)
    ask(host.vm("vm")["ports"][0]["host_port"])


@pytest.mark.parametrize("name", ["nginx", "redis", "python", "static"])
def test_in_an_initramfs(name, place, host):
    """The same out of memory alone; file capabilities would be lost in it."""
    port, memory, ask = JOBS[name]
    with open(place.path("fledge.toml"), "w", encoding="utf-8") as f:
        f.write(f'[plugin]\nname = "{name}"\nversion = "1"\nstrategy = "initramfs"\n'
                f'[oci_source]\nimage = "{pushed(place, name)}"\n[resources]\nmemory_mb = {memory}\n')
    small = place.run("build")
    if small.returncode:  # fledge knows what volantd would say, and how much it takes
        needed = re.search(r"write memory_mb = (\d+)", small.stderr)[1]
        with open(place.path("fledge.toml"), encoding="utf-8") as f:
            text = f.read()
        with open(place.path("fledge.toml"), "w", encoding="utf-8") as f:
            f.write(text.replace(f"memory_mb = {memory}", f"memory_mb = {needed}"))
        place.build()
    host.install(place.path(name + ".manifest.json"))
    host.volar("vms", "create", "vm", "--plugin", name, "-p", str(port))
    volant.wait_until(lambda: host.vm("vm")["ready"] or host.vm("vm")["status"] in ("failed", "crashed", "stopped"), READY_S)
    ask(host.vm("vm")["ports"][0]["host_port"])
