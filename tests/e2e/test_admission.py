# SPDX-License-Identifier: Apache-2.0
"""What does not fit on the host is refused with the numbers, and changes nothing."""
import os
import re

import pytest
import volant
from test_disk_full import SmallDisk
from test_lifecycle import at_once
from volant import says


def capacity(host):
    return host.api("GET", "/api/v1/system/info").json["capacity"]


def create(host, tiny, name, **keys):
    return host.api("POST", "/api/v1/vms",
                    {"name": name, "plugin": "tiny", "config": {"kernel_override": tiny.kernel}} | keys)


@pytest.fixture
def tight(tiny):
    """A host whose VMs may have a tenth of the memory, and four vCPUs per core."""
    with volant.Host(VOLANT_KERNEL_DIRS=tiny.folder, VOLANT_MEMORY_OVERCOMMIT="0.1", VOLANT_CPU_OVERCOMMIT="4") as h:
        h.install(tiny.manifest)
        yield h


def test_memory(tight, tiny):
    room = capacity(tight)["memory_mb"]
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") >> 20
    assert room == total // 10
    assert create(tight, tiny, "a", memory_mb=room - 100).status == 201
    answer = create(tight, tiny, "b", memory_mb=128)
    assert answer.status == 409, answer
    says(answer.json["error"], ["'b' needs 128 MB", "100 MB of %d MB are left" % room, "VOLANT_MEMORY_OVERCOMMIT 0.10"])
    assert [v["name"] for v in tight.vms()] == ["a"] and capacity(tight)["memory_taken_mb"] == room - 100
    assert create(tight, tiny, "b", memory_mb=100).status == 201

    tight.volar("vms", "stop", "a")
    assert create(tight, tiny, "c", memory_mb=64).status == 201
    done = tight.volar("vms", "start", "a", check=False)
    assert done.returncode == 1
    says(done.stderr, ["'a' needs", "are left"])
    assert tight.vm("a")["status"] == "stopped"
    tight.kill()
    tight.start()  # what runs keeps its share
    assert capacity(tight)["memory_taken_mb"] == 164
    tight.volar("vms", "restart", "b", "--wait", "running")
    tight.volar("vms", "delete", "c")
    tight.volar("vms", "start", "a", "--wait", "running")
    assert capacity(tight)["memory_taken_mb"] == room

    text = tight.volar("system", "info").stdout
    assert f"Memory for VMs: {room} MB, {room} MB taken\n" in text
    assert re.search(r"vCPUs for VMs: \d+, 2 taken\n", text) and "Disk reserve: " in text


def test_vcpus(tight, tiny):
    left = all_of_them = capacity(tight)["vcpus"]
    assert all_of_them == 4 * os.sysconf("SC_NPROCESSORS_ONLN")
    while left > 3:
        assert create(tight, tiny, f"v{left}", cpu_cores=min(left - 3, 64)).status == 201
        left -= min(left - 3, 64)
    answer = create(tight, tiny, "a", cpu_cores=4)
    assert answer.status == 409, answer
    says(answer.json["error"], ["needs 4 vCPUs", f"3 of {all_of_them} are left", "VOLANT_CPU_OVERCOMMIT 4"])
    assert create(tight, tiny, "a", cpu_cores=3).status == 201
    assert create(tight, tiny, "b", cpu_cores=1).status == 409


def test_many_at_once_get_what_there_is(tight, tiny):
    """Ten ask for a third each: three get it."""
    room = capacity(tight)["memory_mb"]
    answers = {}

    def one(i):
        answers[i] = create(tight, tiny, f"v{i}", memory_mb=room // 3).status

    at_once(10, one)
    assert sorted(answers.values()) == [201] * 3 + [409] * 7
    assert len(tight.vms()) == 3


def test_disk_floor(tiny):
    with SmallDisk(200, reserve=100, VOLANT_KERNEL_DIRS=tiny.folder) as host:
        host.install(tiny.manifest)
        assert create(host, tiny, "a").status == 201
        assert create(host, tiny, "b").status == 201
        host.volar("vms", "stop", "b")
        host.leave(90 << 20)
        before = host.vms(), host.files()
        for answer in (create(host, tiny, "c"), host.api("POST", "/api/v1/vms/b/start"),
                       host.api("PUT", "/api/v1/blobs/sha256:" + "0" * 64, b"x"),
                       host.api("POST", "/api/v1/plugins", {"name": "x", "version": "1", "agent": "none"})):
            assert answer.status == 507, answer
            says(answer.json["error"], [" MB are free in " + host.state, "100 MB are kept", "VOLANT_DISK_RESERVE"])
        assert (host.vms(), host.files()) == before
        host.volar("vms", "stop", "a")
        host.volar("vms", "delete", "a")
        host.make_room()
        host.volar("vms", "start", "b", "--wait", "running")
        host.volar("vms", "delete", "b")


@pytest.mark.parametrize("name, value", [
    ("MEMORY_OVERCOMMIT", "0.05"), ("MEMORY_OVERCOMMIT", "101"), ("MEMORY_OVERCOMMIT", "much"),
    ("CPU_OVERCOMMIT", "0"), ("CPU_OVERCOMMIT", "1.5"), ("DISK_RESERVE", "-1"),
])
def test_bad_settings(name, value):
    host = volant.Host(**{"VOLANT_" + name: value})
    with pytest.raises(AssertionError, match="volantd ended with 2"):
        with host:
            pass
