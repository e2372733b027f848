# SPDX-License-Identifier: Apache-2.0
"""Four clients do as they like while volantd, shims and VMMs are killed and stopped; left alone, all is whole again.

VOLANT_CHAOS_S says for how long (120 s by default, more by hand), VOLANT_CHAOS_SEED begins the same choices once more.
"""
import collections
import contextlib
import os
import random
import signal
import threading
import time

import invariants
import pytest
import volant
from tinyhost import GONE, TinyHost

CLIENTS = 4
NAMES = [f"vm{i}" for i in range(8)]
DEPLOYMENTS = ["web", "api"]
SETTLE_S = 120


class Chaos:
    """What all threads share."""

    def __init__(self, host, seed, seconds):
        self.host, self.seed, self.until = host, seed, time.monotonic() + seconds
        self.counts, self.failures, self.lock = collections.Counter(), [], threading.Lock()
        self.stopped = {}  # (pid, start): pidfd of what has SIGSTOP

    def going(self):
        return time.monotonic() < self.until and not self.failures

    def count(self, what):
        with self.lock:
            self.counts[what] += 1

    def fail(self, text):
        with self.lock:
            self.failures.append(text)

    # --- clients ---

    def vm_request(self, dice):
        host, name = self.host, dice.choice(NAMES)
        wait = dice.choice([None, None, "running"])
        verb = dice.choice(["make", "make", "make", "start", "stop", "restart", "pause", "resume", "drop"])
        if verb == "make":
            return verb, lambda: host.make(name, wait=wait, restart=dice.choice(["no", "on-failure", "always"]))
        if verb == "drop":
            return verb, lambda: host.drop(name)
        return verb, lambda: host.do(name, verb, wait=wait if verb in ("start", "restart") else None)

    def deployment_request(self, dice):
        host, name = self.host, dice.choice(DEPLOYMENTS)
        verb = dice.choice(["deploy", "scale", "scale", "update", "rollback", "undeploy"])
        return verb, {
            "deploy": lambda: host.deploy(name, dice.randrange(4)),
            "scale": lambda: host.scale(name, dice.randrange(5)),
            "update": lambda: host.update(name, metadata={"n": str(dice.random())}),
            "rollback": lambda: host.api("POST", f"/api/v1/deployments/{name}/rollback", {}),
            "undeploy": lambda: host.api("DELETE", f"/api/v1/deployments/{name}"),
        }[verb]

    def client(self, number):
        dice = random.Random(f"{self.seed}/{number}")
        while self.going():
            what, request = self.deployment_request(dice) if dice.random() < 0.25 else self.vm_request(dice)
            try:
                answer = request()
            except TimeoutError:
                self.fail(f"{what} got no answer within a minute")
            except GONE:
                self.count("connections lost")
                time.sleep(0.02)
            else:
                self.count(f"{what} {answer.status}")
                if answer.status >= 500 and answer.status != 503:
                    self.fail(f"{what}: {answer}")

    # --- the tormentor ---

    def victims(self):
        """[(kind, record)] of shims and VMMs that their folders tell of."""
        return [(kind, r[kind]) for r in self.host.records() for kind in ("shim", "vmm")]

    def strike(self, kind, record, how):
        """A signal to that very process, however its number is used by now."""
        key = (record["pid"], record["start"])
        with contextlib.suppress(ProcessLookupError):
            fd = os.pidfd_open(record["pid"])
            if invariants.start_of(record["pid"]) != record["start"]:
                os.close(fd)
                return
            signal.pidfd_send_signal(fd, how)
            self.count(f"{kind} {how.name}")
            if how == signal.SIGSTOP and key not in self.stopped:
                self.stopped[key] = fd
            else:
                os.close(fd)

    def go_on(self):
        for fd in self.stopped.values():
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(fd, signal.SIGCONT)
            os.close(fd)
        self.stopped = {}

    def torment(self):
        dice = random.Random(f"{self.seed}/tormentor")
        host = self.host
        while self.going():
            time.sleep(dice.uniform(0.02, 0.5))
            if host.process.poll() is not None:
                return self.fail(f"volantd ended by itself: {host.process.returncode}")
            choice = dice.random()
            if choice < 0.25:
                host.kill()
                self.count("volantd SIGKILL")
                host.start()
            elif choice < 0.35:
                host.process.send_signal(signal.SIGSTOP)
                self.count("volantd SIGSTOP")
                time.sleep(dice.uniform(0.05, 1))
                host.process.send_signal(signal.SIGCONT)
            elif choice < 0.5:
                self.go_on()
            elif victims := self.victims():
                self.strike(*dice.choice(victims), dice.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGSTOP]))
        return None

    def guarded(self, what, *args):
        try:
            what(*args)
        except Exception as e:  # a thread's end is the test's
            self.fail(f"{what.__name__}: {e!r}")

    def run(self):
        threads = [threading.Thread(target=self.guarded, args=(self.client, i)) for i in range(CLIENTS)]
        threads.append(threading.Thread(target=self.guarded, args=(self.torment,)))
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        self.go_on()


@pytest.mark.long
@pytest.mark.proof
def test_chaos(tiny, capsys):
    seed = os.environ.get("VOLANT_CHAOS_SEED") or str(random.SystemRandom().randrange(1 << 32))
    seconds = float(os.environ.get("VOLANT_CHAOS_S", "120"))
    with TinyHost(tiny.kernel) as host:
        host.prepare()
        chaos = Chaos(host, seed, seconds)
        chaos.run()
        began = time.monotonic()
        try:
            assert not chaos.failures, chaos.failures
            invariants.whole(host, timeout=SETTLE_S, shims=False)
            settled = time.monotonic() - began
            left = len(host.vms())
            host.clear()
            invariants.whole(host, timeout=SETTLE_S, shims=False)
            invariants.empty(host)
        except AssertionError as e:
            raise AssertionError(f"seed {seed}: {e}\n{host.logged()}") from e
        with capsys.disabled():
            counts = ", ".join(f"{what} {n}" for what, n in sorted(chaos.counts.items()))
            print(f"\nchaos: {seconds:.0f} s with seed {seed}, {left} VMs whole {settled:.1f} s later: {counts}")
