# SPDX-License-Identifier: Apache-2.0
"""A disk that is full while building or staging leaves no half artifact behind, and room made for it is all it takes.

The disks are small tmpfs in a mount namespace of the program under test. Needs root.
"""
import hashlib
import json
import os
import random
import subprocess

import appliance
import pytest
import volant
from test_bad_fledge import TOML
from volant import says


def bytes_that_do_not_shrink(n):
    return random.Random(1).randbytes(n)


def test_fledge_on_a_full_disk(tmp_path):
    source = tmp_path / "source"
    disk = tmp_path / "disk"
    source.mkdir()
    disk.mkdir()
    (source / "fledge.toml").write_text(TOML)
    (source / "app").write_bytes(appliance.read(volant.program("kestrel")) + bytes_that_do_not_shrink(2 << 20))
    script = """
        set -e
        mount -t tmpfs -o size=4m tmpfs disk
        cp source/* disk
        cd disk
        ls -A > ../before
        "$0" build 2> ../stderr && exit 9
        ls -A > ../after
        mount -o remount,size=32m .
        "$0" build >&2
        ls -A > ../later
    """
    done = subprocess.run(["unshare", "-m", "sh", "-c", script, volant.program("fledge")], cwd=tmp_path,
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done
    says((tmp_path / "stderr").read_text(), ["app.cpio.zst", "no space|disk is full|room"])
    assert (tmp_path / "before").read_text() == (tmp_path / "after").read_text()
    assert {"app.cpio.zst", "app.manifest.json"} <= set((tmp_path / "later").read_text().split())


class SmallDisk(volant.Host):
    """A host whose state folder is a disk of some megabytes."""

    def __init__(self, megabytes, reserve=0, **environment):
        super().__init__(VOLANT_DISK_RESERVE=str(reserve), **environment)
        os.mkdir(self.state)
        mount = f'mount -t tmpfs -o size={megabytes}m,mode=711 tmpfs "$0" && exec "$@"'
        self.wrapper = ["unshare", "-m", "sh", "-c", mount, self.state]

    def inside(self, *path):
        return os.path.join(f"/proc/{self.process.pid}/root{self.state}", *path)

    def room(self):
        st = os.statvfs(self.inside())
        return st.f_bavail * st.f_frsize

    def leave(self, n):
        """Fills the disk but for n bytes."""
        with open(self.inside("filler"), "wb") as f:
            f.write(bytes(max(0, self.room() - n)))

    def make_room(self):
        os.unlink(self.inside("filler"))

    def files(self):
        return {os.path.join(root, name) for root, _, names in os.walk(self.inside("artifacts")) for name in names}


FLOOR = 64 << 20  # that volantd leaves for its database


@pytest.fixture
def small():
    with SmallDisk(160) as h:
        yield h


def test_volantd_on_a_full_disk(small, tmp_path):
    """Each stage in turn finds the disk full: the blob, its unpacked form, a VM's initrd."""
    manifest = json.loads(appliance.read(appliance.write(
        str(tmp_path), {"bin/app": appliance.read(appliance.compile_guest(str(tmp_path), "probe")),
                        "ballast": bytes_that_do_not_shrink(3 << 20)},
        workload={"type": "http", "base_url": "http://127.0.0.1:80"})))
    packed = tmp_path / "app.cpio.zst"
    subprocess.run(["zstd", "-q", "-1", str(tmp_path / "app.cpio"), "-o", str(packed)], check=True)
    blob = packed.read_bytes()
    digest = "sha256:" + hashlib.sha256(blob).hexdigest()
    manifest["initramfs"] |= {"checksum": digest, "size": len(blob)}
    empty = small.files()

    small.leave(FLOOR + (1 << 20))
    answer = small.api("PUT", f"/api/v1/blobs/{digest}", blob)
    assert answer.status == 507, answer
    says(answer.json["error"], ["room|space"])
    assert small.files() == empty and small.api("HEAD", f"/api/v1/blobs/{digest}").status == 404
    small.make_room()
    assert small.api("PUT", f"/api/v1/blobs/{digest}", blob).status == 201

    with_blob = small.files()
    small.leave(FLOOR + (1 << 20))
    answer = small.api("POST", "/api/v1/plugins", manifest)
    assert answer.status == 507, answer
    says(answer.json["error"], ["room|space"])
    assert small.files() == with_blob and small.api("GET", "/api/v1/plugins").json == {"plugins": []}
    small.make_room()
    answer = small.api("POST", "/api/v1/plugins", manifest)
    assert answer.status == 201, answer

    small.leave(1 << 20)
    request = {"name": "web", "plugin": "app", "config": {"expose": [{"port": 80}]}}
    assert small.api("POST", "/api/v1/vms?wait=ready", request).status == 201
    vm = small.wait_status("web", "failed", timeout=20)
    says(vm["reason"], ["initrd", "no space|room|disk"])
    folder = small.inside("vms", str(vm["id"]))
    assert not os.path.exists(os.path.join(folder, "initrd")), os.listdir(folder)
    assert "pid" not in vm
    small.make_room()
    small.volar("vms", "start", "web", "--wait", "ready")
    assert volant.fetch(small.vm("web")["ports"][0]["host_port"])[0] == 200
    small.volar("vms", "delete", "web")
    assert os.listdir(small.inside("vms")) == []
