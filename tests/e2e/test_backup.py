# SPDX-License-Identifier: Apache-2.0
"""The registry as a file: copied while it is in use, put back while nothing runs, and never lost on the way."""
import os
import sqlite3
import subprocess
import threading

import pytest
import volant
from volant import says
from test_policy import tiny_vm


def backup(host, tmp_path, name="b.db"):
    path = str(tmp_path / name)
    host.volar("system", "backup", path)
    return path


def refused(host, path, *words):
    """Is not put back: says why, and nothing has changed."""
    before = host.vms(), sorted(os.listdir(host.state))
    done = host.volar("system", "restore", str(path), check=False)
    assert done.returncode == 1, done.stdout
    says(done.stderr, words)
    assert ".copy-" not in done.stderr  # a name that nobody has seen
    volant.wait_until(lambda: sorted(os.listdir(host.state)) == before[1], 30)  # a worker removes what came
    assert host.vms() == before[0]
    assert not host.volar("system", "info", check=False).returncode


def test_a_copy_is_put_back(tiny_host, tiny, tmp_path):
    host = tiny_host
    tiny_vm(host, tiny, "kept")
    host.volar("vms", "stop", "kept")
    path = backup(host, tmp_path)
    assert os.stat(path).st_mode & 0o777 == 0o600
    tiny_vm(host, tiny, "later")
    host.wait_status("later", "running")
    refused(host, path, "later|kept", "running", "volar vms stop")
    host.volar("vms", "stop", "later")
    pid = host.process.pid
    assert "Registry restored" in host.volar("system", "restore", path).stdout
    assert [v["name"] for v in host.vms()] == ["kept"] and host.process.poll() is None and host.process.pid == pid
    host.volar("vms", "start", "kept", "--wait", "ready")
    with sqlite3.connect(host.inside("state.db.before-restore")) as db:
        assert db.execute("SELECT name FROM vms ORDER BY id").fetchall() == [("kept",), ("later",)]
    tiny_vm(host, tiny, "new")
    assert host.vm("new")["id"] > 2  # the folder of `later` was there: its id is not given again
    says(host.logged(), ["the registry was restored"])


def test_backup_while_vms_are_made(tiny_host, tiny, tmp_path):
    host = tiny_host
    made, done = [], threading.Event()

    def make():
        while not done.is_set() and len(made) < 30:
            made.append(tiny_vm(host, tiny, f"v{len(made)}")["name"])

    maker = threading.Thread(target=make)
    maker.start()
    copies = [backup(host, tmp_path, f"{i}.db") for i in range(5)]
    done.set()
    maker.join()
    for path in copies:
        with sqlite3.connect(path) as db:
            assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            names = [row[0] for row in db.execute("SELECT name FROM vms ORDER BY id")]
            assert names == made[:len(names)]
            assert db.execute("SELECT count(*) FROM ip_allocations").fetchone()[0] == len(names)
    assert not [n for n in os.listdir(host.state) if ".copy-" in n]


def test_where_a_backup_goes(tiny_host, tmp_path):
    host = tiny_host
    path = tmp_path / "there"
    path.write_text("precious")
    done = host.volar("system", "backup", str(path), check=False)
    assert done.returncode == 1 and "--force" in done.stderr and path.read_text() == "precious"
    host.volar("system", "backup", str(path), "--force")
    assert path.read_bytes().startswith(b"SQLite format 3")
    raw = subprocess.run([volant.program("volar"), "system", "backup", "-"], env=host.env, capture_output=True,
                         check=True, timeout=60).stdout
    assert raw.startswith(b"SQLite format 3") and len(raw) % 4096 == 0
    done = host.volar("system", "backup", cwd=tmp_path)
    assert done.stdout.startswith("Registry saved to volant-20")
    done = host.volar("system", "backup", str(tmp_path / "no" / "where"), check=False)
    assert done.returncode == 1 and "No such file" in done.stderr
    assert not [n for n in os.listdir(tmp_path) if n.endswith(".tmp")]


def test_what_is_no_backup_is_refused(tiny_host, tmp_path):
    host = tiny_host
    good = backup(host, tmp_path)
    with open(good, "rb") as f:
        data = f.read()

    def variant(name, content=None, sql=None):
        path = str(tmp_path / name)
        with open(path, "wb") as f:
            f.write(data if content is None else content)
        if sql:
            with sqlite3.connect(path) as db:
                db.executescript(sql)
        return path

    refused(host, variant("garbage", os.urandom(20000)), "no backup of volantd", "not a database")
    refused(host, variant("empty", b""), "empty")
    refused(host, variant("cut", data[:len(data) // 2]), "damaged|malformed|no backup")
    refused(host, variant("flipped", data[:4096] + bytes(8192) + data[12288:]), "damaged|malformed|no backup")
    refused(host, variant("another", sql="PRAGMA application_id = 42"), "another program")
    refused(host, variant("newer", sql="PRAGMA user_version = 99; UPDATE volant SET version = '9.9.9'"), "9.9.9", "99")
    refused(host, variant("orphan", sql="PRAGMA foreign_keys = OFF; INSERT INTO ip_allocations VALUES (1, 4711)"),
            "foreign_key")
    refused(host, tmp_path / "missing", "No such file")
    refused(host, tmp_path, "no file")
    answer = host.api("PUT", "/api/v1/system/restore", body=b"x" * 100)
    assert answer.status == 400 and "backup" in answer.json["error"]


def test_full_disks(tiny, tmp_path):
    """On the client's side, and on volantd's: an error that says so, nothing left behind."""
    with volant.Host(VOLANT_DISK_RESERVE="0") as host:
        host.stop()
        small = tmp_path / "small"
        small.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(small)], check=True)
        try:
            host.start()
            done = host.volar("system", "backup", str(small / "b.db"), check=False)
            assert done.returncode == 1
            says(done.stderr, ["No space left"])
            assert os.listdir(small) == []
        finally:
            subprocess.run(["umount", str(small)], check=True)


def test_a_file_put_there_by_hand(tiny_host, tiny, tmp_path):
    """The way when volantd does not start: a copy beside the database, taken at the next start or refused."""
    host = tiny_host
    tiny_vm(host, tiny, "t")
    host.volar("vms", "stop", "t")
    good = backup(host, tmp_path)
    host.stop()
    with open(host.inside("state.db"), "r+b") as f:
        f.seek(4096)
        f.write(bytes(20000))
    done = subprocess.run([volant.program("volantd")], env=host.env, stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, timeout=30, check=False)
    assert done.returncode == 1
    says(done.stderr, ["damaged", "backup"])
    pending = host.inside("state.db.restore")
    with open(pending, "wb") as f:
        f.write(b"nonsense" * 1000)
    done = subprocess.run([volant.program("volantd")], env=host.env, stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, timeout=30, check=False)
    assert done.returncode == 1
    says(done.stderr, ["state.db.restore", "cannot be put back", "remove it"])
    with open(good, "rb") as f, open(pending, "wb") as g:
        g.write(f.read())
    host.start()
    assert [v["name"] for v in host.vms()] == ["t"]
    assert os.path.exists(host.inside("state.db.before-restore")) and not os.path.exists(pending)


@pytest.mark.parametrize("cut", ["-wal", ""])
def test_leftovers_of_a_crash(tiny_host, cut):
    """What a volantd that was killed while copying has left is removed by the next one."""
    host = tiny_host
    host.stop()
    with open(host.inside("state.db.copy-0123456789abcdef" + cut), "wb") as f:
        f.write(b"half")
    host.start()
    assert not [n for n in os.listdir(host.state) if ".copy-" in n]
    says(host.logged(), ["unfinished copies"])
