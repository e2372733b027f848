# SPDX-License-Identifier: Apache-2.0
"""The control channel under disconnects and under attack, seen from outside: through volantd's API."""
import json
import os
import random
import statistics
import threading
import time

import appliance
import pytest
import volant

# --- reconnects -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def lines(tmp_path_factory):
    """An appliance that writes numbered lines for ever, some megabyte a second."""
    folder = str(tmp_path_factory.mktemp("lines"))
    return appliance.write(folder, {"bin/lines": appliance.read(appliance.compile_guest(folder, "lines"))}, "lines",
                           entrypoint=["/bin/lines"])


def expected(n):
    """Line n as guests/lines.c writes it."""
    return f"{n} " + "".join(chr(ord("a") + (n + i) % 26) for i in range(20 + n % 60))


class Follower(threading.Thread):
    """Follows a VM's logs, again and again as streams break off, and judges each line."""

    def __init__(self, host, name, tail):
        super().__init__(daemon=True)
        self.host, self.name_of_vm, self.tail = host, name, tail
        self.wrong, self.lines, self.streams, self.last, self.stopping = [], 0, 0, -1, False

    def run(self):
        while not self.stopping:
            try:
                self.follow()
            except OSError:
                pass
            time.sleep(0.005)

    def follow(self):
        connection = volant.UnixConnection(self.host.socket, 10)
        try:
            connection.request("GET", f"/api/v1/vms/{self.name_of_vm}/logs?follow=1&tail={self.tail}")
            response = connection.getresponse()
            if response.status != 200:
                return
            before = None
            while not self.stopping:
                line = response.readline()
                if not line.endswith(b"\n"):
                    return  # the stream broke off
                before = self.judge(line, before)
            self.streams += 1
        except (volant.http.client.HTTPException, ConnectionError):
            pass
        finally:
            self.streams += self.last >= 0
            connection.close()

    def judge(self, raw, before):
        try:
            whole = json.loads(raw)
            if whole["stream"] in ("console", "volantd"):  # not from the agent: it was not there (any more)
                return None
            line = whole["line"]
            n = int(line.split(" ", 1)[0])
            if line != expected(n) or (before is not None and n != before + 1):
                self.wrong.append((before, line))
        except (ValueError, KeyError):
            self.wrong.append((before, raw))
            return None
        self.lines += 1
        self.last = max(self.last, n)
        return n


def newest(host, name):
    """Number of the guest's newest line; -1 where it cannot be asked (yet)."""
    answer = host.api("GET", f"/api/v1/vms/{name}/logs?tail=5", timeout=10)
    if answer.status != 200:
        return -1
    numbers = []
    for raw in answer.body.splitlines():
        line = json.loads(raw)
        if line["stream"] == "console":
            return -1  # the agent cannot be asked yet
        assert line["stream"] == "stdout" and line["line"] == expected(int(line["line"].split(" ")[0])), line
        numbers.append(int(line["line"].split(" ")[0]))
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers))) if numbers else True
    return numbers[-1] if numbers else -1


@pytest.mark.parametrize("cycles", [12, pytest.param(200, marks=pytest.mark.long)])
def test_reconnects_under_traffic(host, lines, cycles):
    """volantd is killed or stopped `cycles` times while followers read: no failure, hang, lost VM or wrong byte."""
    random.seed(cycles)
    host.install(lines)
    for name in ("a", "b"):
        host.volar("vms", "create", name, "--plugin", "lines")
    pids = {v["name"]: v["pid"] for v in host.vms()}
    followers = [Follower(host, name, tail) for name in ("a", "b") for tail in (0, 100)]
    for f in followers:
        f.start()
    seen, slowest = {"a": -1, "b": -1}, 0.0
    for i in range(cycles):
        time.sleep(random.choice([0, 0, 0.01, 0.05, 0.1]))
        if random.random() < 0.3:
            host.stop()
        else:
            host.kill()
        host.start()
        began = time.monotonic()
        assert {v["name"]: v["pid"] for v in host.vms()} == pids, f"cycle {i}"
        if i % 3:
            continue  # the next one comes before the channel is back
        for name in seen:
            seen[name] = volant.wait_until(lambda n=name: (got := newest(host, n)) > seen[n] and got, 10)
        slowest = max(slowest, time.monotonic() - began)
        assert all(v["status"] == "running" for v in host.vms()), host.vms()
    # The agent of each still answers, and new followers get on.
    for name in seen:
        volant.wait_until(lambda n=name: newest(host, n) > seen[n], 10)
    marks = [f.lines for f in followers]
    volant.wait_until(lambda: all(f.lines > m for f, m in zip(followers, marks)), 10)
    for f in followers:
        f.stopping = True
    for f in followers:
        f.join(15)
        assert not f.wrong, f.wrong[:3]
    print(f"{cycles} restarts, {sum(f.lines for f in followers)} lines in {sum(f.streams for f in followers)} streams, "
          f"slowest return of both channels {slowest:.2f} s")
    host.volar("vms", "stop", "a", "b")


def test_two_hundred_streams_that_come_and_go(host, lines):
    """Clients that go in the middle of a stream cost nothing that stays."""
    host.install(lines)
    host.volar("vms", "create", "a", "--plugin", "lines")
    volant.wait_until(lambda: newest(host, "a") > 100, 20)
    for i in range(200):
        connection = volant.UnixConnection(host.socket, 10)
        connection.request("GET", "/api/v1/vms/a/logs?follow=1&tail=20")
        if i % 3:
            line = json.loads(connection.getresponse().readline())
            assert line["stream"] == "stdout", f"stream {i} lost the channel"
        connection.close()
    first = newest(host, "a")
    volant.wait_until(lambda: newest(host, "a") > first, 10)
    volant.wait_until(lambda: descriptors(host.process.pid) < 60, 10)
    assert host.vm("a")["status"] == "running"


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


# --- hostile guests -------------------------------------------------------------------------------------------------

FLOODS = ["rst", "empty", "priority", "window", "settings", "ping", "goaway", "unknown", "informational",
          "continuation", "data", "events", "states", "push", "garbage", "noise", "mute"]
RSS_MAX = 8 << 20
CPU_MAX = 1.5  # seconds of 10


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    """Manifests of guests whose PID 1 attacks in a way of its own; see guests/hostile.c."""
    folder = str(tmp_path_factory.mktemp("hostile"))
    init = appliance.read(appliance.compile_guest(folder, "hostile"))

    def make(mode):
        return appliance.write(folder, {"init": init}, f"hostile-{mode}", workload={"env": {"FLOOD": mode}})

    return make


def rss(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        return next(int(line.split()[1]) * 1024 for line in f if line.startswith("VmRSS"))


def cpu(pid):
    """Seconds of CPU a process has used."""
    with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def attack(host, good_port, manifests, seconds):
    """Runs hostile VMs for a time: volantd's growth and CPU meanwhile, and how long its answers took."""
    for manifest in manifests:
        host.install(manifest)
    before, burnt, delays = rss(host.process.pid), cpu(host.process.pid), []
    names = []
    for manifest in manifests:
        name = os.path.basename(manifest).split(".")[0]
        answer = host.api("POST", "/api/v1/vms", {"name": name, "plugin": name})
        assert answer.status == 201, answer
        names.append(name)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        began = time.monotonic()
        assert host.vm("good")["status"] == "running" and host.vm("good")["ready"]
        delays.append(time.monotonic() - began)
        assert volant.fetch(good_port)[0] == 200
        time.sleep(0.05)
    result = rss(host.process.pid) - before, cpu(host.process.pid) - burnt, statistics.median(delays), max(delays)
    said = {n: (host.vm(n)["status"], host.vm(n).get("reason", "")) for n in names}
    print(f"grown {result[0] / 1e6:.1f} MB, CPU {result[1]:.2f} s, answers {result[2] * 1e3:.1f} ms "
          f"(worst {result[3] * 1e3:.0f})", said)
    assert set(s for s, _ in said.values()) <= {"starting", "running", "failed", "crashed", "stopped"}, said
    check_consoles(host, names)
    for name in names:
        host.volar("vms", "delete", name)
    assert host.vm("good")["status"] == "running" and volant.fetch(good_port)[0] == 200
    return result


def check_consoles(host, names):
    """Each attacker found its ports and began."""
    for name in names:
        with open(os.path.join(host.folder(name), "console.log"), encoding="utf-8", errors="replace") as f:
            assert f"hostile: mode {name.removeprefix('hostile-')}" in f.read(), name


def judge(result, seconds, attackers):
    grown, burnt, median, worst = result
    if b"libasan" not in appliance.read(volant.program("volantd")):  # which keeps what was freed
        assert grown < RSS_MAX, grown
    assert burnt < max(CPU_MAX * seconds / 10, 0.5) * attackers, burnt
    assert median < 0.05 and worst < 1, (median, worst)


def test_hostile_guests_at_once(host, nginx, hostile):
    host.install(nginx)
    port = host.create("good", "nginx")
    judge(attack(host, port, [hostile(m) for m in ("rst", "events", "noise")], 6), 6, 3)


@pytest.mark.long
@pytest.mark.parametrize("mode", FLOODS)
def test_hostile_guest(host, nginx, hostile, mode):
    host.install(nginx)
    port = host.create("good", "nginx")
    judge(attack(host, port, [hostile(mode)], 10), 10, 1)
