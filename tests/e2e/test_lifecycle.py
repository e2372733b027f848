# SPDX-License-Identifier: Apache-2.0
"""The life of a VM as its user sees it: create, list, logs, stop, start, restart, delete, and how it ends by itself."""
import json
import os
import subprocess
import threading
import time

import pytest
import volant


def test_from_create_to_delete(nginx_host):
    host = nginx_host
    port = host.create("web", "nginx")
    status, page = volant.fetch(port)
    assert status == 200 and b"Volant" in page

    vm = host.vm("web")
    assert vm["status"] == "running" and vm["ready"] is True and vm["pid"] > 0
    assert vm["ip_address"] == "192.168.127.10"
    assert vm["mac_address"] == "02:f9:e8:54:fb:c4"  # contract, appendix A
    assert (vm["cpu_cores"], vm["memory_mb"], vm["plugin"], vm["runtime"]) == (1, 64, "nginx", "nginx")
    assert os.path.exists(vm["serial_socket"])
    assert "web" in host.volar("vms", "list").stdout

    folder, record = host.folder("web"), host.run_record("web")
    assert host.volar("vms", "stop", "web").stdout == "VM web stopped\n"
    assert host.vm("web")["status"] == "stopped" and "pid" not in host.vm("web")
    assert not volant.alive(record["vmm"]["pid"]) and not volant.alive(record["shim"]["pid"])

    host.volar("vms", "start", "web", "--wait", "ready")
    assert volant.fetch(port)[0] == 200
    before = host.vm("web")["pid"]
    host.volar("vms", "restart", "web", "--wait", "ready")
    assert volant.fetch(port)[0] == 200
    assert host.vm("web")["pid"] != before and not volant.alive(before)

    assert host.volar("vms", "delete", "web").stdout == "VM web deleted\n"
    assert host.vms() == [] and not os.path.exists(folder)
    assert host.volar("vms", "list").stdout == "No VMs found\n"


def test_request_beats_manifest_beats_defaults(busybox_host):
    host = busybox_host
    host.volar("vms", "create", "a", "--plugin", "busybox", "--cpu", "2", "--memory", "96")
    a = host.vm("a")
    assert (a["cpu_cores"], a["memory_mb"]) == (2, 96)
    manifest = host.api("GET", "/api/v1/plugins/busybox").json
    host.volar("vms", "create", "b", "--plugin", "busybox")
    b = host.vm("b")
    assert (b["cpu_cores"], b["memory_mb"]) == (manifest["resources"]["cpu_cores"], manifest["resources"]["memory_mb"])


def test_memory_too_small_for_the_image_is_refused(host, nginx):
    host.install(nginx)
    done = host.volar("vms", "create", "web", "--plugin", "nginx", "--memory", "48", check=False)
    assert done.returncode == 1 and "memory_mb is 48" in done.stderr and "64 or more" in done.stderr
    assert host.vms() == []


def test_addresses_ascend_and_return(busybox_host):
    host = busybox_host
    for name in ("a", "b", "c"):
        host.api("POST", "/api/v1/vms", {"name": name, "plugin": "busybox"})
    assert [v["ip_address"] for v in host.vms()] == [f"192.168.127.{n}" for n in (10, 11, 12)]
    host.volar("vms", "delete", "b")
    host.volar("vms", "create", "d", "--plugin", "busybox")
    assert host.vm("d")["ip_address"] == "192.168.127.11"


def test_a_workload_that_ends_with_0_stops_its_vm(host, hello):
    host.install(hello)
    host.volar("vms", "create", "one", "--plugin", "hello")
    vm = host.wait_status("one", "stopped")
    assert vm["exit_code"] == 0 and not vm["ready"]
    assert "Hello" in host.volar("vms", "logs", "one").stdout


def manifest_with(source, folder, **workload):
    """A copy of a manifest beside its artifact with another workload: its path."""
    with open(source, encoding="utf-8") as f:
        manifest = json.load(f)
    manifest["name"] = manifest["runtime"] = "other"
    manifest["initramfs"]["url"] = os.path.join(os.path.dirname(source), manifest["initramfs"]["url"])
    manifest["workload"] = {"type": "exec", **workload}
    manifest.pop("labels", None)
    path = os.path.join(folder, "other.manifest.json")
    with open(path, "w", encoding="utf-8") as f:
        json.dump(manifest, f)
    return path


@pytest.mark.parametrize("entrypoint, code", [
    (["/bin/busybox", "sh", "-c", "exit 3"], 3),
    (["/bin/busybox", "sh", "-c", "kill -9 $$"], 137),
    (["/no/such/program"], 127),
])
def test_why_a_workload_ended(host, busybox, tmp_path, entrypoint, code):
    host.install(manifest_with(busybox, tmp_path, entrypoint=entrypoint))
    host.volar("vms", "create", "x", "--plugin", "other", "--wait", "process")
    vm = host.wait_status("x", "crashed")
    assert vm["exit_code"] == code and vm["reason"], vm


def test_last_words_of_one_that_wrote_a_lot(host, busybox, tmp_path):
    """The console cannot take it all: what stays is the end."""
    script = ("busybox yes 'a line of some length that the console is too slow for' | busybox head -n 60000; "
              "echo FATAL: why >&2; exit 3")
    host.install(manifest_with(busybox, tmp_path, entrypoint=["/bin/busybox", "sh", "-c", script]))
    host.volar("vms", "create", "web", "--plugin", "other", "--wait", "process")
    host.wait_status("web", "crashed", "stopped")
    log = host.volar("vms", "logs", "web").stdout.splitlines()
    assert "FATAL: why" in log, log[-20:]
    assert "a line of some length that the console is too slow for" in log[log.index("FATAL: why"):] or "FATAL: why" in log[-4:]


def test_why_it_is_not_ready(host, busybox, tmp_path):
    """Its workload listens on another port than the one that is published."""
    script = "busybox nc -l -p 8080 -e busybox true; busybox sleep 600"
    host.install(manifest_with(busybox, tmp_path, entrypoint=["/bin/busybox", "sh", "-c", script]))
    done = host.volar("vms", "create", "web", "--plugin", "other", "-p", "80", "--wait", "ready", "--timeout", "10", check=False)
    assert done.returncode == 1
    assert "not ready: nothing in it accepts connections on port 80 yet" in done.stderr
    assert "nothing in it accepts connections on port 80 yet" in host.volar("vms", "get", "web").stdout
    assert host.vm("web")["status"] == "running" and not host.vm("web")["ready"]


def test_environment_user_and_folder_reach_the_workload(host, busybox, tmp_path):
    script = 'echo "env=$GREETING dir=$(busybox pwd) id=$(busybox id -u):$(busybox id -g)"'
    host.install(manifest_with(
        busybox, tmp_path, entrypoint=["/bin/busybox", "sh", "-c", script],
        env={"GREETING": "hi there", "PATH": "/bin"}, workdir="/tmp", user="1000:1001"))
    host.volar("vms", "create", "x", "--plugin", "other", "--wait", "process")
    host.wait_status("x", "stopped")
    assert "env=hi there dir=/tmp id=1000:1001" in host.volar("vms", "logs", "x").stdout


def test_what_a_guest_finds(host, busybox, tmp_path):
    script = ("busybox cat /etc/hosts; busybox hostname; busybox ip addr show; busybox ip route; busybox mount;"
              "echo home=$HOME; busybox cat /proc/cmdline; busybox date +%s; busybox ls /volant || echo no config left")
    host.install(manifest_with(busybox, tmp_path, entrypoint=["/bin/busybox", "sh", "-c", script]))
    host.volar("vms", "create", "Web_1", "--plugin", "other", "--wait", "process")
    host.wait_status("Web_1", "stopped")
    text = host.volar("vms", "logs", "Web_1").stdout
    assert "localhost" in text and "\nweb1\n" in text and "192.168.127.10/24" in text
    assert "default via 192.168.127.1" in text
    for place in ("/proc", "/sys", "/dev", "/dev/pts", "/dev/shm", "/run", "/tmp", "/sys/fs/cgroup"):
        assert f" on {place} type" in text, place
    assert "home=/root" in text


def test_logs_follow_and_tail(host, busybox, tmp_path):
    script = ("i=0; while [ $i -lt 50 ]; do echo line $i; i=$((i+1)); done; echo oops >&2;"
              "while :; do busybox sleep 1; done")
    host.install(manifest_with(busybox, tmp_path, entrypoint=["/bin/busybox", "sh", "-c", script]))
    host.volar("vms", "create", "x", "--plugin", "other")
    volant.wait_until(lambda: "line 49" in host.volar("vms", "logs", "x").stdout, 20, every=0.2)
    tail = host.api("GET", "/api/v1/vms/x/logs?tail=3").body.splitlines()
    assert len(tail) == 3
    line = json.loads(tail[-1])
    assert set(line) == {"name", "stream", "line", "timestamp"} and line["name"] == "x"
    lines = host.api("GET", "/api/v1/vms/x/logs").body.splitlines()
    assert {json.loads(l)["stream"] for l in lines} == {"stdout", "stderr"}

    with subprocess.Popen([volant.program("volar"), "vms", "logs", "-f", "x"], env=host.env, stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL, text=True) as follow:
        for line in follow.stdout:
            if line == "line 49\n":
                break
        host.volar("vms", "stop", "x")
        assert follow.wait(20) == 0  # the stream ends with the VM
    assert "line 49" in host.volar("vms", "logs", "x").stdout  # from the console log


def test_volantd_ends_under_a_reader_of_logs(host, busybox):
    host.install(busybox)
    host.create("x", "busybox")
    with subprocess.Popen([volant.program("volar"), "vms", "logs", "-f", "x"], env=host.env, stdout=subprocess.DEVNULL,
                          stderr=subprocess.PIPE, text=True) as follow:
        time.sleep(1)  # for the stream to begin
        host.kill()
        assert follow.wait(20) == 1
        volant.says(follow.stderr.read(), ["volantd ended the stream", "it stopped"])
    host.start()


def test_logs_of_a_starting_vm_are_followed(host, busybox, tmp_path):
    host.install(manifest_with(busybox, tmp_path, entrypoint=["/bin/busybox", "sh", "-c", "echo early; busybox sleep 1; echo late"]))
    host.api("POST", "/api/v1/vms", {"name": "x", "plugin": "other"})
    lines = [json.loads(l)["line"] for l in host.api("GET", "/api/v1/vms/x/logs?follow=1").body.splitlines()]
    assert lines == ["early", "late"]


def test_console_reaches_its_readers(busybox_host):
    import socket
    host = busybox_host
    host.create("web", "busybox")
    path = host.vm("web")["serial_socket"]
    readers = []
    for _ in range(3):
        s = socket.socket(socket.AF_UNIX)
        s.settimeout(10)
        s.connect(path)
        readers.append(s)
    for s in readers:
        s.setblocking(True)
        s.settimeout(10)
        assert s.recv(65536)  # what came before
        s.close()
    done = host.volar("vms", "console", "web", check=False, timeout=20)
    assert done.returncode == 0


def at_once(count, one):
    """Runs one(0), one(1), ... in threads; all must pass."""
    errors = []

    def run(i):
        try:
            one(i)
        except Exception as e:  # noqa: BLE001 reported below
            errors.append(e)

    threads = [threading.Thread(target=run, args=(i,)) for i in range(count)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not errors, errors


def test_short_lived_and_parallel(busybox_host):
    host = busybox_host

    def one(i):
        port = host.create(f"p{i}", "busybox")
        assert volant.fetch(port)[0] == 200

    at_once(4, one)
    assert sorted(v["name"] for v in host.vms()) == ["p0", "p1", "p2", "p3"]
    host.volar("vms", "delete", "p0", "p1", "p2", "p3")
    assert host.vms() == []


@pytest.mark.long
def test_fifty_boots_in_a_row(nginx_host):
    host = nginx_host
    for i in range(50):
        port = host.create("web", "nginx")
        assert volant.fetch(port)[0] == 200, i
        host.volar("vms", "delete", "web")
    assert os.listdir(os.path.join(host.state, "vms")) == []


@pytest.mark.long
def test_ten_at_once(nginx_host):
    host = nginx_host

    def one(i):
        port = host.create(f"web-{i}", "nginx", "--memory", "64")
        assert volant.fetch(port, timeout=20)[0] == 200

    at_once(10, one)
    assert len(host.vms()) == 10 and all(v["ready"] for v in host.vms())
