# SPDX-License-Identifier: Apache-2.0
"""What becomes of a VM that ends, hangs, waits or stands still: restart policy, pause, boot slots, and how it is stopped."""
import os
import signal
import sqlite3
import threading

import pytest
import volant
from volant import says


def events(host, name):
    """(type, status, message) of everything that happened to a VM, in order."""
    with sqlite3.connect(f"file:{host.inside('state.db')}?mode=ro", uri=True) as db:
        return db.execute("SELECT type, status, message FROM events WHERE vm_name = ? ORDER BY id", (name,)).fetchall()


def tiny_vm(host, tiny, name, restart="no", kernel=None):
    answer = host.api("POST", "/api/v1/vms", {"name": name, "plugin": "tiny", "config": {
        "kernel_override": kernel or tiny.kernel, "restart": restart}})
    assert answer.status == 201, answer
    return answer.json


@pytest.fixture
def hasty(tiny):
    """A host whose restart policy does not wait for long."""
    with volant.Host(VOLANT_KERNEL_DIRS=tiny.folder, VOLANT_RESTART_DELAY="20", VOLANT_RESTART_LIMIT="3") as h:
        h.install(tiny.manifest)
        yield h


@pytest.fixture
def slow(tiny):
    """A host whose restart policy waits until it is told otherwise."""
    with volant.Host(VOLANT_KERNEL_DIRS=tiny.folder, VOLANT_RESTART_DELAY="60000") as h:
        h.install(tiny.manifest)
        yield h


def test_always_restarts_until_it_is_a_crash_loop(hasty, tiny):
    tiny_vm(hasty, tiny, "t", "always", tiny.ending)
    vm = hasty.wait_status("t", "failed")
    says(vm["reason"], ["crash_loop: ended 4 times", "volar vms start t"])
    assert vm["restarts"] == 3 and "pid" not in vm
    happened = events(hasty, "t")
    assert [e[0] for e in happened].count("VM_STARTING") == 3  # and one with its creation
    assert [e[1] for e in happened if e[0] == "VM_STOPPED"] == ["pending"] * 3
    assert happened[-1][0] == "VM_FAILED"
    says(happened[-2][2] + str(happened), ["starting again in", "(3 of 3)"])

    tiny_vm(hasty, tiny, "other", "always")  # a client's word begins anew
    hasty.api("POST", "/api/v1/vms/t/start")
    assert hasty.wait_status("t", "failed")["restarts"] == 3
    assert hasty.vm("other")["status"] == "running" and "restarts" not in hasty.vm("other")


def test_on_failure_restarts_what_failed_alone(hasty, tiny):
    tiny_vm(hasty, tiny, "done", "on-failure", tiny.ending)
    assert "restarts" not in hasty.wait_status("done", "stopped")
    before = tiny_vm(hasty, tiny, "killed", "on-failure")["pid"]
    os.kill(hasty.run_record("killed")["vmm"]["pid"], signal.SIGKILL)
    vm = volant.wait_until(lambda: (v := hasty.vm("killed"))["status"] == "running" and v.get("restarts") and v, 20)
    assert vm["pid"] != before and vm["restarts"] == 1
    assert any(e[0] == "VM_CRASHED" and e[1] == "pending" and "signal 9" in e[2] for e in events(hasty, "killed"))
    tiny_vm(hasty, tiny, "no")
    os.kill(hasty.run_record("no")["vmm"]["pid"], signal.SIGKILL)
    assert hasty.wait_status("no", "crashed")["reason"].startswith("the VMM was ended by signal 9")


def test_the_manifest_has_a_policy_and_the_vm_overrides_it(tiny, tmp_path):
    import appliance
    with volant.Host(VOLANT_KERNEL_DIRS=tiny.folder, VOLANT_RESTART_DELAY="20", VOLANT_RESTART_LIMIT="1") as host:
        host.install(appliance.tiny_manifest(str(tmp_path), restart="always"))
        for name, args in (("theirs", []), ("mine", ["--restart", "no"])):
            host.volar("vms", "create", name, "--plugin", "tiny", "--kernel", tiny.ending, "--wait", "process", *args)
        assert host.wait_status("theirs", "failed")["restarts"] == 1
        assert "restarts" not in host.wait_status("mine", "stopped")
        done = host.volar("vms", "create", "x", "--plugin", "tiny", "--restart", "sometimes", check=False)
        assert done.returncode == 1
        says(done.stderr, ["restart", "sometimes", "on-failure"])


def test_waiting_survives_volantd_and_ends_on_request(slow, tiny):
    host = slow
    for name in ("a", "b", "c"):
        tiny_vm(host, tiny, name, "always", tiny.ending)
    for name in ("a", "b", "c"):
        says(host.wait_status(name, "pending")["reason"], ["starting again in 60", "1 of 8"])
    host.kill()
    host.start()
    assert {v["status"] for v in host.vms()} == {"pending"}
    assert host.api("POST", "/api/v1/vms/a/stop").json["status"] == "stopped"
    host.api("POST", "/api/v1/vms/b/start")  # at once, then it ends again
    volant.wait_until(lambda: [e[0] for e in events(host, "b")].count("VM_STOPPED") == 2, 20)
    host.volar("vms", "delete", "c")
    assert [v["name"] for v in host.vms()] == ["a", "b"]


def test_a_clock_that_was_set_back_delays_by_a_minute_at_most(slow, tiny):
    """A time to wait for that is far away is not believed."""
    host = slow
    tiny_vm(host, tiny, "t", "always", tiny.ending)
    host.wait_status("t", "pending")
    host.stop()
    with sqlite3.connect(host.inside("state.db")) as db:
        db.execute("UPDATE vms SET not_before_ms = not_before_ms + 1000000000000")
    host.env["VOLANT_RESTART_DELAY"] = "1"
    host.start()
    assert host.vm("t")["status"] == "pending"
    host.stop()
    with sqlite3.connect(host.inside("state.db")) as db:
        db.execute("UPDATE vms SET not_before_ms = 1")
    host.start()
    volant.wait_until(lambda: [e[0] for e in events(host, "t")].count("VM_STOPPED") >= 2, 20)


def test_pause_and_unpause(busybox_host):
    host = busybox_host
    port = host.create("web", "busybox")
    pid = host.vm("web")["pid"]
    assert host.volar("vms", "pause", "web").stdout == "VM web paused\n"
    vm = host.vm("web")
    assert (vm["status"], vm["ready"], vm["pid"]) == ("paused", False, pid)
    with pytest.raises(OSError):
        volant.fetch(port, timeout=1)
    for verb, word in (("pause", "paused already"), ("start", "is paused")):
        answer = host.api("POST", f"/api/v1/vms/web/{verb}")
        assert answer.status == 409 and word in answer.json["error"]

    host.kill()  # neither its doing nor its undoing: it stands still
    host.start()
    assert host.wait_status("web", "paused")["pid"] == pid
    assert host.volar("vms", "unpause", "web").stdout == "VM web resumed\n"
    assert volant.fetch(port)[0] == 200
    assert volant.wait_until(lambda: (v := host.vm("web"))["ready"] and v, 20)["pid"] == pid
    assert host.api("POST", "/api/v1/vms/web/resume").status == 409

    host.volar("vms", "pause", "web")
    assert host.volar("vms", "stop", "web").stdout == "VM web stopped\n"
    assert host.vm("web")["exit_code"] in (0, 143)  # it was resumed, so that its workload had its SIGTERM
    assert [e[0] for e in events(host, "web")][-5:] == ["VM_PAUSED", "VM_RESUMED", "VM_PAUSED", "VM_STOPPING",
                                                       "VM_STOPPED"]
    host.volar("vms", "start", "web", "--wait", "ready")
    host.volar("vms", "pause", "web")
    host.volar("vms", "delete", "web")


def test_a_guest_that_hangs_is_noticed(busybox):
    with volant.Host(VOLANT_HANG_TIMEOUT="2", VOLANT_RESTART_DELAY="20", VOLANT_QUIT_TIMEOUT="1",
                     VOLANT_TERM_TIMEOUT="1") as host:
        host.install(busybox)
        host.create("left", "busybox")
        port = host.create("kept", "busybox", "--restart", "on-failure")
        left, kept = (host.run_record(name)["vmm"]["pid"] for name in ("left", "kept"))
        for pid in (left, kept):
            os.kill(pid, signal.SIGSTOP)
        vm = volant.wait_until(lambda: "reason" in (v := host.vm("left")) and v, 20)
        says(vm["reason"], ["has not answered", "hangs"])
        assert (vm["status"], vm["ready"], vm["pid"]) == ("running", False, left)

        # With a policy it is ended, by force as nothing else helps, and boots again.
        vm = volant.wait_until(lambda: (v := host.vm("kept"))["ready"] and v["pid"] != kept and v, 60)
        assert vm["restarts"] == 1 and not volant.alive(kept) and volant.fetch(port)[0] == 200
        assert "VM_UNRESPONSIVE" in [e[0] for e in events(host, "kept")]

        os.kill(left, signal.SIGCONT)
        vm = volant.wait_until(lambda: (v := host.vm("left"))["ready"] and v, 20)
        assert vm["pid"] == left and "reason" not in vm


def test_no_more_boot_at_once_than_there_are_slots(busybox):
    with volant.Host(VOLANT_BOOT_WIDTH="1") as host:
        host.install(busybox)
        seen, done = set(), threading.Event()

        def watch():
            while not done.is_set():
                statuses = [v["status"] for v in host.vms()]
                seen.add((statuses.count("starting"), "pending" in statuses))

        watcher = threading.Thread(target=watch)
        watcher.start()
        makers = [threading.Thread(target=host.create, args=(f"v{i}", "busybox")) for i in range(3)]
        for thread in makers:
            thread.start()
        for thread in makers:
            thread.join()
        done.set()
        watcher.join()
        assert all(v["ready"] for v in host.vms()) and len(host.vms()) == 3
        assert max(n for n, _ in seen) == 1 and any(waits for _, waits in seen)


def test_who_does_not_stop_is_ended(busybox):
    with volant.Host(VOLANT_STOP_TIMEOUT="1", VOLANT_QUIT_TIMEOUT="1", VOLANT_TERM_TIMEOUT="1") as host:
        host.install(busybox)
        host.create("web", "busybox")
        pid = host.run_record("web")["vmm"]["pid"]
        os.kill(pid, signal.SIGSTOP)
        host.volar("vms", "stop", "web")
        vm = host.vm("web")
        assert vm["status"] == "stopped" and not volant.alive(pid)
        says(vm["reason"], ["could not be asked to stop", "was ended with its VMM, by SIGKILL"])
