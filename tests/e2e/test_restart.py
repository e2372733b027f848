# SPDX-License-Identifier: Apache-2.0
"""volantd may stop, be killed at any moment, and come back: no VM notices, and what happened meanwhile is known."""
import json
import os
import random
import signal
import subprocess
import time

import pytest
import volant


def test_vms_outlive_a_stop(busybox_host):
    host = busybox_host
    port = host.create("web", "busybox")
    before = host.vm("web")
    host.stop()
    assert volant.fetch(port)[0] == 200
    host.start()
    after = volant.wait_until(lambda: (v := host.vm("web"))["ready"] and v, 10)
    assert (after["pid"], after["status"], after["id"]) == (before["pid"], "running", before["id"])
    assert volant.fetch(port)[0] == 200
    host.volar("vms", "delete", "web")
    assert not volant.alive(before["pid"])


def test_vms_outlive_kill_9(busybox_host):
    host = busybox_host
    ports = [host.create(f"web{i}", "busybox") for i in range(2)]
    before = {v["name"]: v["pid"] for v in host.vms()}
    for _ in range(3):
        host.kill()
        assert all(volant.fetch(p)[0] == 200 for p in ports)
        host.start()
        assert {v["name"]: v["pid"] for v in host.vms()} == before
        assert all(v["status"] == "running" for v in host.vms())
    # The agent is back in a moment; until then its log is waited for, not taken from elsewhere.
    line = json.loads(host.api("GET", "/api/v1/vms/web0/logs?tail=1").body)
    assert line["stream"] in ("stdout", "stderr") and line["timestamp"]
    volant.wait_until(lambda: all(v["ready"] for v in host.vms()), 10)


@pytest.mark.parametrize("how", ["workload", "vmm"])
def test_why_it_ended_while_nobody_watched(host, busybox, tmp_path, how):
    from test_lifecycle import manifest_with
    script = "busybox sleep 3; exit 5" if how == "workload" else "while :; do busybox sleep 1; done"
    host.install(manifest_with(busybox, tmp_path, entrypoint=["/bin/busybox", "sh", "-c", script]))
    host.volar("vms", "create", "x", "--plugin", "other")
    record = host.run_record("x")
    host.kill()
    if how == "vmm":
        os.kill(record["vmm"]["pid"], signal.SIGKILL)
    volant.wait_until(lambda: not volant.alive(record["vmm"]["pid"]), 30)
    host.start()
    vm = host.wait_status("x", "crashed", timeout=10)
    if how == "workload":
        assert vm["exit_code"] == 5
    else:
        assert "signal 9" in vm["reason"]


def test_a_vmm_that_dies_is_noticed_at_once(busybox_host):
    host = busybox_host
    host.create("web", "busybox")
    os.kill(host.run_record("web")["vmm"]["pid"], signal.SIGKILL)
    vm = host.wait_status("web", "crashed", timeout=5)
    assert "signal 9" in vm["reason"] and vm["ready"] is False
    host.volar("vms", "start", "web", "--wait", "ready")


def test_a_vm_outlives_its_shim(busybox_host):
    host = busybox_host
    port = host.create("web", "busybox")
    record = host.run_record("web")
    os.kill(record["shim"]["pid"], signal.SIGKILL)
    for _ in range(20):
        assert volant.fetch(port)[0] == 200
    assert host.vm("web")["status"] == "running"
    host.kill()
    host.start()
    assert host.vm("web")["status"] == "running" and host.vm("web")["pid"] == record["vmm"]["pid"]
    host.volar("vms", "stop", "web")
    assert not volant.alive(record["vmm"]["pid"])


def test_killed_while_creating(busybox_host):
    """At ever later moments of a create: afterwards the VM is there and runs, or is not there; never half."""
    host = busybox_host
    for i, delay in enumerate([0, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.08, 0.15, 0.3]):
        name = f"k{i}"
        try:
            # The answer is of no interest; the request is sent and left alone.
            connection = volant.UnixConnection(host.socket, 5)
            connection.request("POST", "/api/v1/vms", json.dumps({"name": name, "plugin": "busybox"}))
            time.sleep(delay)
        finally:
            host.kill()
        host.start()
        there = [v for v in host.vms() if v["name"] == name]
        if there:
            host.wait_status(name, "running")
            host.volar("vms", "delete", name)
    assert host.vms() == []
    volant.wait_until(lambda: os.listdir(os.path.join(host.state, "vms")) == [], 10)
    volant.wait_until(lambda: not set(volant.processes(host.dir)) - {host.process.pid}, 10)


def test_killed_while_stopping_and_deleting(busybox_host):
    host = busybox_host
    random.seed(7)
    for i in range(6):
        name = f"d{i}"
        host.create(name, "busybox", wait="running")
        connection = volant.UnixConnection(host.socket, 5)
        connection.request("DELETE" if i % 2 else "POST", f"/api/v1/vms/{name}" + ("" if i % 2 else "/stop"))
        time.sleep(random.uniform(0, 0.05))
        host.kill()
        host.start()
        if i % 2 == 0:
            # Whether the request was committed or not, the VM is whole: running, or stopped.
            vm = host.wait_status(name, "stopped", "running", timeout=30)
            assert vm["status"] in ("stopped", "running")
        volant.wait_until(lambda: all(v["status"] in ("running", "stopped") for v in host.vms()), 30)
    for vm in host.vms():
        host.volar("vms", "delete", vm["name"], check=False)  # the last one may be going already
    volant.wait_until(lambda: host.vms() == [] and os.listdir(os.path.join(host.state, "vms")) == [], 10)


def test_a_folder_of_no_vm_is_swept_and_a_live_stranger_is_not(busybox_host):
    host = busybox_host
    host.create("web", "busybox")
    record = host.run_record("web")
    host.stop()
    os.makedirs(os.path.join(host.state, "vms", "9999"))
    os.rename(os.path.join(host.state, "state.db"), os.path.join(host.dir, "gone.db"))
    for extra in ("-wal", "-shm"):
        path = os.path.join(host.state, "state.db" + extra)
        if os.path.exists(path):
            os.unlink(path)
    host.start()
    volant.wait_until(lambda: not os.path.exists(os.path.join(host.state, "vms", "9999")), 10)
    assert host.vms() == [] and volant.alive(record["vmm"]["pid"])
    assert host.api("GET", "/api/v1/system/info").json["strangers"] == 1


def test_a_second_volantd_is_refused(host):
    done = subprocess.run([volant.program("volantd")], env=host.env, stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, timeout=10, check=False)
    assert done.returncode != 0 and str(host.process.pid) in done.stderr
    assert host.answers()
