# SPDX-License-Identifier: Apache-2.0
"""kill -9 of volantd between every two effects of everything it does: the next one makes it whole.

The moments are the program's own, read from the section `crash_points` of a volantd built with -Dcrash_points=true.
Each belongs to the operation that its name begins with; scenarios.py has the scenario of each operation. A moment that
its scenario does not reach is a failure, and so is an operation without a scenario.
"""
import concurrent.futures
import os
import signal
import subprocess
import time

import invariants
import pytest
import volant
from scenarios import SCENARIOS
from tinyhost import GONE, TinyHost

DEATH_S = 40  # from the last answer of a scenario to the moment that is still to come
SIDE_BY_SIDE = 3


def crash_build():
    """The build folder with crash points beside the main one, set up if nobody has done it yet."""
    folder = os.environ.get("VOLANT_CRASH_BUILD_DIR", volant.BUILD + "-crash")
    if not os.path.exists(os.path.join(folder, "build.ninja")):
        subprocess.run(["meson", "setup", "-Dcrash_points=true", folder], cwd=volant.ROOT, check=True,
                       stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    subprocess.run(["ninja", "-C", folder, "--quiet", "volantd"], check=True, stdin=subprocess.DEVNULL)
    return os.path.join(folder, "volantd")


# Points that an operation passes many times: at each of them.
TIMES = {"store.before_commit": 12, "store.after_commit": 12}


def points_of(program):
    """The names in the section: strings with zero bytes between them."""
    done = subprocess.run(["objcopy", "-O", "binary", "--only-section=crash_points", program, "/dev/stdout"],
                          stdin=subprocess.DEVNULL, capture_output=True, check=True)
    return sorted({name.decode() for name in done.stdout.split(b"\0") if name})


class CrashHost(TinyHost):
    """volantd can be started so that it dies at a point; what it is asked may then go without an answer."""

    def __init__(self, program, kernel, **environment):
        super().__init__(kernel, **environment)
        self.volantd = program
        self.env |= {"VOLANT_SHIM": volant.program("volant-shim"),
                     "VOLANT_KERNEL_VMLINUX": os.path.join(volant.BUILD, "kernel", "vmlinux-generic")}
        self.may_end = set()  # VMs that the scenario ends
        self.answered = set()  # VMs that a client was told of, and has not asked to delete

    def start_armed(self, point):
        """True if it came up; it may die of the point before that."""
        self.env["VOLANT_CRASH_AT"] = point
        try:
            self.launch()
            volant.wait_until(lambda: self.process.poll() is not None or self.answers(), 30, every=0.002)
        finally:
            del self.env["VOLANT_CRASH_AT"]
        return self.process.poll() is None

    def make(self, name, *args, **kwargs):
        answer = super().make(name, *args, **kwargs)
        if answer.status == 201:
            self.answered.add(name)
        return answer

    def drop(self, name):
        self.answered.discard(name)
        return super().drop(name)


def reach(host, point, act):
    """Runs an operation until volantd dies."""
    if host.start_armed(point):
        try:
            act(host)
        except GONE:
            pass
    assert volant.wait_until(lambda: host.process.poll() is not None, DEATH_S, every=0.005)
    assert host.process.returncode == -signal.SIGKILL, (host.process.returncode, host.logged())


def check_after(host):
    """The next volantd makes true what was committed, and everything can then be deleted."""
    before = invariants.tables(host)
    committed = {r["name"] for r in before["vms"] if r["desired"] != "deleted" and not r.get("deployment")}
    assert host.answered <= committed, f"told of {host.answered}, recorded are {committed}"
    host.age_artifacts()
    host.start()
    invariants.whole(host)
    after = [v["name"] for v in host.vms()]
    assert len(after) == len(set(after)) and committed <= set(after), (committed, after)
    deleted = {r["name"] for r in before["vms"] if r["desired"] == "deleted" and not r["deployment"]}
    assert not deleted & set(after), (before["vms"], after)
    for vm in host.vms():
        row = next(r for r in before["vms"] if r["name"] == vm["name"]) if vm["name"] in committed else None
        ended = row and row["desired"] == "running" and vm["status"] not in invariants.UP
        assert not ended or vm["name"] in host.may_end, (row, vm, host.logged())


def one(program, kernel, point):
    """None, or what went wrong."""
    name = point.split(":")[0]
    scenario = SCENARIOS.get(name) or SCENARIOS.get(name.split(".")[0])
    if not scenario:
        return f"{point}: no scenario for this operation"
    with CrashHost(program, kernel) as host:
        try:
            host.prepare()
            scenario.before(host)
            invariants.whole(host)
            host.stop()
            scenario.between(host)
            reach(host, point, scenario.act)
            check_after(host)
            scenario.after(host)
            host.clear()
            invariants.whole(host)
            invariants.empty(host)
        except (AssertionError, *GONE) as e:
            return f"{point}: {type(e).__name__}: {e}\n{host.logged()[-3000:]}"
    return None


@pytest.mark.long
@pytest.mark.proof
def test_crash_points(tiny, capsys):
    program = crash_build()
    points = points_of(program)
    wanted = os.environ.get("VOLANT_CRASH_POINTS")  # by hand: those that begin so
    chosen = [p for p in points if not wanted or p.startswith(tuple(wanted.split(",")))]
    passes = [f"{p}:{n}" for p in chosen for n in range(1, TIMES.get(p, 1) + 1)]
    began = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        failures = list(filter(None, pool.map(lambda p: one(program, tiny.kernel, p), passes)))
    with capsys.disabled():
        missed = {f.split(":")[0] for f in failures}
        print(f"\ncrash: {len(chosen)} points, {len(chosen) - len(missed)} hit and made whole, in {len(passes)} crashes, "
              f"{time.monotonic() - began:.0f} s")
    assert not failures, f"{len(failures)} of {len(passes)}:\n\n" + "\n\n".join(failures)
    assert wanted or len(points) >= 60, points


def test_no_crash_points_in_what_is_shipped():
    assert points_of(volant.program("volantd")) == []
