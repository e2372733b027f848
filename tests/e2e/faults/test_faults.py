# SPDX-License-Identifier: Apache-2.0
"""Every system call and allocation of a create-stop-delete fails once: an answer each time, never a damaged state.

Goes up the n-th call of each kind until a whole cycle passes without reaching it. VOLANT_FAULTS=all takes every errno
of each kind (ERRORS in injection.py), VOLANT_FAULTS=KIND,... those kinds alone; otherwise the first errno of each, and
of the thousands of allocations every 16th (they would take a quarter of an hour).
"""
import concurrent.futures
import errno
import os
import queue
import threading
import time

import injection
import pytest

SIDE_BY_SIDE = 4
BEYOND = 3  # consecutive n that no call had: what threads do varies a little
CLEAN_EVERY = 25
STRIDE = {} if os.environ.get("VOLANT_FAULTS") else {"malloc": 16, "realloc": 4}


def tasks(kinds):
    """(kind, errno, first n) with SIDE_BY_SIDE as the step."""
    chosen = os.environ.get("VOLANT_FAULTS", "")
    for kind in kinds:
        if chosen not in ("", "all") and kind not in chosen.split(","):
            continue
        for err in injection.ERRORS[kind] if chosen else injection.ERRORS[kind][:1]:
            step = STRIDE.get(kind, 1)
            yield from ((kind, err, 1 + i * step) for i in range(SIDE_BY_SIDE))


def work(so, kernel, todo, tally, lock):
    with injection.FaultHost(so, kernel) as host:
        host.prepare()
        assert injection.cycle(tally, host, "warm-up")
        runs = 0
        while True:
            try:
                kind, err, nth = todo.get_nowait()
            except queue.Empty:
                break
            beyond, began = 0, time.monotonic()
            while beyond < BEYOND:
                fired = injection.run(tally, host, kind, nth, err)
                beyond = 0 if fired else beyond + 1
                with lock:
                    key = (kind, errno.errorcode[err])
                    tally.fired[key] = tally.fired.get(key, 0) + fired
                nth += SIDE_BY_SIDE * STRIDE.get(kind, 1)
                runs += 1
                if runs % CLEAN_EVERY == 0 and not injection.cycle(tally, host, "clean"):
                    tally.failures.append(f"after {kind} {nth} a clean cycle fails:\n{host.logged()[-3000:]}")
            with lock:
                tally.seconds[kind] = tally.seconds.get(kind, 0) + time.monotonic() - began
        assert injection.cycle(tally, host, "last")


@pytest.mark.long
@pytest.mark.proof
def test_every_call_fails_once(tiny, tmp_path, capsys):
    so, tally, todo, lock = injection.library(str(tmp_path)), injection.Tally(), queue.Queue(), threading.Lock()
    with injection.FaultHost(so, tiny.kernel) as host:
        for task in tasks(host.kinds()):
            todo.put(task)
    began = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        for future in [pool.submit(work, so, tiny.kernel, todo, tally, lock) for _ in range(SIDE_BY_SIDE)]:
            future.result()
    with capsys.disabled():
        print(f"\nfaults: {sum(tally.fired.values())} calls failed, {len(tally.failures)} of them ended badly, "
              f"{time.monotonic() - began:.0f} s")
        if STRIDE:
            print("  of these kinds not every call: " + ", ".join(f"every {n}th {kind}" for kind, n in STRIDE.items()))
        print("  " + ", ".join(f"{kind} {err} {n}" for (kind, err), n in sorted(tally.fired.items()) if n))
        slow = sorted(tally.seconds.items(), key=lambda item: -item[1])[:8]
        print("  longest: " + ", ".join(f"{kind} {s / SIDE_BY_SIDE:.0f} s" for kind, s in slow))
        print("  answers: " + ", ".join(f"{n} x {answer}" for answer, n in sorted(tally.answers.items(), key=str)))
    assert not tally.failures, f"{len(tally.failures)} failures:\n\n" + "\n\n".join(tally.failures[:20])
