# SPDX-License-Identifier: Apache-2.0
"""A thousand VMs made and deleted leave volantd as it was: descriptors, threads, memory, rows, files, processes."""
import os
import statistics
import time

import invariants
import pytest
import volant
from tinyhost import tiny_host

IDLE_S = 20  # for workers to end
EVENTS_KEPT = 10000
GROWTH = 1 << 20  # bytes that may stay resident more after the warm-up: an allocator's fragments, not a leak a VM


def resident(pid):
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as f:
        return next(int(line.split()[1]) * 1024 for line in f if line.startswith("Pss_Anon:"))


def state(host):
    """What must be the same before and after, once nothing is going on."""
    pid = host.process.pid
    volant.wait_until(lambda: len(os.listdir(f"/proc/{pid}/task")) <= 2, IDLE_S)
    rows = {table: len(r) for table, r in invariants.tables(host).items() if table != "sqlite_sequence"}
    assert rows.pop("events") <= EVENTS_KEPT
    files = {os.path.relpath(path, host.state) for path in volant.listing(host.state)}
    return {"descriptors": sorted(os.readlink(f"/proc/{pid}/fd/{fd}").split(":")[0]
                                  for fd in os.listdir(f"/proc/{pid}/fd")),
            "threads": len(os.listdir(f"/proc/{pid}/task")), "rows": rows, "files": files,
            "processes": len(invariants.processes(host)), "zombies": invariants.zombies(pid)}


def cycles(host, make, count, warm_up, what, capsys):
    """Times of create and delete; the state before and after."""
    times, before, memory = [], None, 0
    for i in range(count):
        if i == warm_up:
            before, memory = state(host), resident(host.process.pid)
        began = time.monotonic()
        make(f"c{i}")
        host.must(host.drop(f"c{i}"))
        times.append(time.monotonic() - began)
    invariants.whole(host)
    invariants.empty(host)
    after = state(host)
    grown = resident(host.process.pid) - memory
    times.sort()
    with capsys.disabled():
        print(f"\ncycles: {count} of {what}, {statistics.median(times) * 1e3:.0f} ms each (longest {times[-1] * 1e3:.0f} ms), "
              f"{len(before['descriptors'])} -> {len(after['descriptors'])} descriptors, "
              f"{sum(before['rows'].values())} -> {sum(after['rows'].values())} rows, "
              f"{len(before['files'])} -> {len(after['files'])} files, {grown / 1024:+.0f} KB resident after the warm-up")
    assert before == after
    assert grown < GROWTH, grown


@pytest.mark.long
@pytest.mark.proof
def test_a_thousand_tiny_ones(tiny, capsys):
    with tiny_host(tiny.kernel) as host:
        cycles(host, lambda name: host.must(host.make(name)), int(os.environ.get("VOLANT_CYCLES", "1000")), 100,
               "the tiny guest", capsys)


@pytest.mark.long
@pytest.mark.proof
def test_fifty_of_nginx(tiny, nginx, capsys):
    with tiny_host(tiny.kernel) as host:
        host.install(nginx)

        def make(name):
            answer = host.must(host.api("POST", "/api/v1/vms?wait=ready", {
                "name": name, "plugin": "nginx", "config": {"expose": [{"port": 80}]}}))
            port = host.wait_ready(name)["ports"][0]["host_port"]
            assert answer.json["id"] and volant.fetch(port, timeout=20)[0] == 200

        cycles(host, make, 50, 10, "the nginx appliance", capsys)
