# SPDX-License-Identifier: Apache-2.0
"""A VM that an earlier Volant started, with its shim and its agent, goes on under this one; and there is no way back."""
import contextlib
import os
import shutil
import sqlite3
import subprocess

import pytest
import volant
from volant import says

EARLIER = "d289887"  # the last commit before schema 2
PROGRAMS = ("volantd", "volar", "fledge", "volant-shim", "kestrel")


def run(*command, **kwargs):
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=900, **kwargs)
    assert done.returncode == 0, (command, done.stdout[-3000:], done.stderr[-3000:])
    return done.stdout


@pytest.fixture(scope="module")
def earlier(tmp_path_factory):
    """The folder of the earlier programs, built here; the guest kernel is ours."""
    known = subprocess.run(["git", "-C", volant.ROOT, "cat-file", "-e", EARLIER + "^{commit}"], check=False,
                           capture_output=True)
    assert known.returncode == 0, (f"this clone has no commit {EARLIER}, whose Volant the upgrade test starts from: "
                                   f"`git fetch --unshallow` brings it")
    source, build = tmp_path_factory.mktemp("earlier"), tmp_path_factory.mktemp("build")
    archive = run("git", "-C", volant.ROOT, "archive", EARLIER)
    subprocess.run(["tar", "-x", "-C", source], input=archive, check=True, timeout=60)
    run("meson", "setup", str(build), str(source))
    run("nice", "ninja", "-C", str(build), *PROGRAMS)
    os.symlink(os.path.join(volant.BUILD, "kernel"), build / "kernel")
    return str(source), str(build)


@pytest.fixture(scope="module")
def busybox_of_earlier(earlier, tmp_path_factory):
    source, build = earlier
    folder = os.path.join(tmp_path_factory.mktemp("appliance"), "busybox")
    shutil.copytree(os.path.join(source, "examples", "busybox"), folder)
    run(os.path.join(build, "fledge"), "build", cwd=folder)
    return os.path.join(folder, "busybox.manifest.json")


def schema(host):
    with contextlib.closing(sqlite3.connect(f"file:{host.inside('state.db')}?mode=ro", uri=True)) as db:
        return db.execute("PRAGMA user_version").fetchone()[0]


@pytest.fixture
def upgraded(earlier, busybox_of_earlier):
    """Two VMs of the earlier Volant; it has been stopped, and ours runs on its state."""
    host = volant.Host()
    host.programs = earlier[1]
    with host:
        host.install(busybox_of_earlier)
        host.ports = {name: host.create(name, "busybox") for name in ("web", "crashes")}
        host.before = {vm["name"]: vm for vm in host.vms()}
        host.runs = {name: host.run_record(name) for name in host.ports}
        host.stop()
        assert schema(host) == 1 and all(volant.fetch(port)[0] == 200 for port in host.ports.values())
        host.programs = volant.BUILD
        host.start()
        yield host


@pytest.mark.long
def test_vms_outlive_an_upgrade(upgraded, earlier, busybox):
    host, port = upgraded, upgraded.ports["web"]
    after = volant.wait_until(lambda: (v := host.vm("web"))["ready"] and v, 60)  # the earlier agent answers
    for key in ("id", "pid", "ip_address", "mac_address", "ports", "kernel_cmdline", "created_at"):
        assert after[key] == host.before["web"][key], key
    assert after["status"] == "running" and volant.fetch(port)[0] == 200
    assert schema(host) > 1
    assert "GET / " in host.volar("vms", "logs", "web", "--tail", "50").stdout or \
        host.api("GET", "/api/v1/vms/web/logs?tail=50").body  # what its agent kept
    assert host.api("GET", "/api/v1/system/check").json == {"findings": []}

    # its end is known by the record that the earlier shim writes
    os.kill(host.runs["crashes"]["vmm"]["pid"], 9)
    says(host.wait_status("crashes", "crashed", timeout=30)["reason"], ["signal 9"])
    # and it is stopped by its own agent: its workload ends, and then its machine
    host.volar("vms", "stop", "web")
    assert host.vm("web")["status"] == "stopped" and not host.vm("web").get("reason")
    assert not any(volant.alive(host.runs["web"][who]["pid"]) for who in ("vmm", "shim"))
    with open(os.path.join(host.folder("web"), "console.log"), encoding="utf-8", errors="replace") as f:
        assert "workload exited" in f.read()
    # the same VM boots again, with our shim and the agent that its appliance has
    host.volar("vms", "start", "web", "--wait", "ready")
    assert volant.fetch(port)[0] == 200
    # and from ours
    host.install(busybox)
    assert volant.fetch(host.create("new", "busybox"))[0] == 200
    host.stop()

    # the earlier volantd does not touch what it cannot know
    host.programs = earlier[1]
    done = subprocess.run([os.path.join(earlier[1], "volantd")], env=host.env, stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 1
    says(done.stderr, ["state.db", "newer"])
    host.programs = volant.BUILD
    host.start()
    assert volant.wait_until(lambda: (v := host.vm("web"))["ready"] and v, 60)["status"] == "running"


@pytest.mark.long
def test_a_stranger_of_an_earlier_volant(upgraded):
    """It left no record: it is told, left alone, and ended by its own agent when that is asked for."""
    host = upgraded
    host.stop()
    for extra in ("", "-wal", "-shm"):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(host.inside("state.db" + extra))
    host.start()
    found = host.api("GET", "/api/v1/system/check").json["findings"]
    strangers = [f for f in found if f["kind"] == "stranger"]
    assert {f["name"] for f in strangers} == set(host.ports) and not any(f["fixable"] for f in strangers)
    says(strangers[0]["detail"], ["older volantd"])
    done = host.volar("doctor", "--fix", check=False)
    assert done.returncode == 1 and all(volant.fetch(port)[0] == 200 for port in host.ports.values())
    host.volar("doctor", "--fix", "--end-strangers")
    assert not any(volant.alive(r["vmm"]["pid"]) for r in host.runs.values())
    assert not os.listdir(host.inside("vms"))
