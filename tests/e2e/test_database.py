# SPDX-License-Identifier: Apache-2.0
"""What is done to the database from outside: a newer one, changed copies, a disk without room, a client that goes away."""
import json
import os
import socket
import sqlite3
import subprocess

import pytest
import volant
from test_disk_full import SmallDisk
from test_policy import tiny_vm
from volant import says


def without_leftovers(host):
    return not [n for n in os.listdir(host.inside()) if ".copy-" in n]


def test_a_newer_database_is_refused(host):
    host.stop()
    with sqlite3.connect(host.inside("state.db")) as db:
        db.executescript("PRAGMA user_version = 77; UPDATE volant SET version = '9.8.7'")
    db.close()
    with open(host.inside("state.db"), "rb") as f:
        before = f.read()
    done = subprocess.run([volant.program("volantd")], env=host.env, stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, timeout=30, check=False)
    assert done.returncode == 1
    says(done.stderr, ["schema 77", "knows 1 to", "run volantd 9.8.7 or newer", "backup"])
    with open(host.inside("state.db"), "rb") as f:
        assert f.read() == before


@pytest.mark.parametrize("change, words", [
    ("CREATE TRIGGER t AFTER UPDATE ON volant BEGIN DELETE FROM vms; END", ["'t'", "nobody changed"]),
    ("CREATE VIEW v AS SELECT 1", ["'v'"]),
    ("DROP TABLE events", ["'events'"]),
    (None, ["cut off", "middle of a page"]),
])
def test_a_changed_copy_is_not_put_back(host, tmp_path, change, words):
    path = str(tmp_path / "b.db")
    host.volar("system", "backup", path)
    if change:
        with sqlite3.connect(path) as db:
            db.executescript(change)
        db.close()
    else:
        os.truncate(path, os.path.getsize(path) - 1)
    done = host.volar("system", "restore", path, check=False)
    assert done.returncode == 1
    says(done.stderr, words)
    volant.wait_until(lambda: without_leftovers(host), 30)  # a worker removes what came
    assert not os.path.exists(host.inside("state.db.before-restore"))


def test_a_refusal_is_read_whole(tiny_host, tiny, tmp_path):
    """It comes before the file is sent: the reason is never lost to a connection that is closed meanwhile."""
    path = str(tmp_path / "b.db")
    tiny_host.volar("system", "backup", path)
    tiny_vm(tiny_host, tiny, "web")
    tiny_host.wait_status("web", "running")
    said = {tiny_host.volar("system", "restore", path, check=False).stderr for _ in range(100)}
    assert len(said) == 1 and "'web' is " in said.pop()


def test_each_former_registry_is_kept(host, busybox, tmp_path):
    path = str(tmp_path / "empty.db")
    host.volar("system", "backup", path)
    for name in ("state.db.before-restore", "state.db.before-restore.1"):
        host.install(busybox)
        host.volar("system", "restore", path)
        assert host.api("GET", "/api/v1/plugins").json == {"plugins": []}
        assert name in host.logged()
    for name in ("state.db.before-restore", "state.db.before-restore.1"):
        with sqlite3.connect(host.inside(name)) as db:
            assert db.execute("SELECT name FROM plugins").fetchall() == [("busybox",)]
    refused = host.volar("artifacts", "prune", check=False)
    assert refused.returncode == 1
    says(refused.stderr, [host.inside("state.db.before-restore"), "-wal", "-shm", "start volantd again"])


def test_no_room_beside_the_database(tmp_path):
    """The numbers, nothing left behind, and volantd goes on; room made for it is all it takes."""
    with SmallDisk(16) as host:
        path = str(tmp_path / "b.db")
        host.volar("system", "backup", path)
        size = os.path.getsize(path)
        host.leave(64 << 10)
        done = host.volar("system", "backup", str(tmp_path / "full.db"), check=False)
        assert done.returncode == 1 and os.listdir(tmp_path) == ["b.db"]
        says(done.stderr, ["copy of the registry", "are free", "make room"])
        host.make_room()
        host.leave(size // 2)
        done = host.volar("system", "restore", path, check=False)
        assert done.returncode == 1
        says(done.stderr, [f"the file has {size} bytes", "there is room for", "make room"])
        with open(path, "rb") as f:  # in pieces, without saying how much it will be
            answer = host.api("PUT", "/api/v1/system/restore", body=iter([f.read()]))
        assert answer.status == 507, answer
        says(answer.json["error"], ["there is room for", "make room"])
        volant.wait_until(lambda: without_leftovers(host), 30)
        host.make_room()
        host.volar("system", "restore", path)
        host.volar("system", "backup", str(tmp_path / "again.db"))


def test_a_client_that_goes_away(host):
    """In the middle of a copy on either way: nothing is left, and nothing has changed."""
    for head, body in (("GET /api/v1/system/backup HTTP/1.1\r\nHost: localhost\r\n\r\n", b""),
                       ("PUT /api/v1/system/restore HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9999999\r\n\r\n",
                        bytes(600000))):
        for _ in range(5):
            with socket.socket(socket.AF_UNIX) as s:
                s.connect(host.socket)
                s.sendall(head.encode() + body)
        volant.wait_until(lambda: without_leftovers(host), 30)
    held = [os.readlink(f"/proc/{host.process.pid}/fd/{fd}") for fd in os.listdir(f"/proc/{host.process.pid}/fd")]
    assert not [path for path in held if ".copy-" in path]
    assert json.loads(host.volar("vms", "list", "-o", "json").stdout) == []
