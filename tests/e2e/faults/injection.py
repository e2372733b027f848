# SPDX-License-Identifier: Apache-2.0
"""A volantd whose n-th call of a kind fails: fault.c, its control page, and what a run with a fault must come to."""
import ctypes
import errno
import http.client
import json
import mmap
import os
import subprocess

import invariants
import volant
from tinyhost import TinyHost

FOLDER = os.path.dirname(os.path.abspath(__file__))
FRAMES = 24

# What a kind may fail with; the first is the one that tells most. Memory and processes have one each anyway.
NO_ROOM = (errno.ENOSPC, errno.EIO)
NO_DESCRIPTOR = (errno.EMFILE, errno.ENOMEM)
ERRORS = {
    "open": (errno.EMFILE, errno.ENOSPC, errno.EIO), "openat": (errno.EMFILE, errno.ENOSPC, errno.EIO),
    "openat2": NO_DESCRIPTOR, "opendir": NO_DESCRIPTOR, "fdopendir": (errno.ENOMEM,),
    "read": (errno.EIO, errno.EINTR), "read_stream": (errno.EINTR, errno.ENOMEM), "write": (*NO_ROOM, errno.EINTR),
    "write_stream": (errno.EINTR, errno.ENOMEM), "fsync": (errno.EIO, errno.ENOSPC), "fdatasync": (errno.EIO, errno.ENOSPC),
    "ftruncate": (*NO_ROOM, errno.EINTR), "copy_file_range": (*NO_ROOM, errno.EINTR, errno.ENOMEM),
    "renameat": NO_ROOM, "unlink": (errno.EIO,), "unlinkat": (errno.EIO, errno.ENOSPC), "mkdir": NO_ROOM, "mkdirat": NO_ROOM,
    "fchmod": (errno.EIO,), "fchown": NO_ROOM, "stat": (errno.EIO, errno.ENOMEM), "fstat": (errno.EIO, errno.ENOMEM),
    "fstatat": (errno.EIO, errno.ENOMEM), "statvfs": (errno.EIO, errno.EINTR), "access": (errno.EIO, errno.ENOMEM),
    "flock": (errno.EINTR, errno.ENOMEM), "dup": NO_DESCRIPTOR, "mmap": (errno.ENOMEM,), "mremap": (errno.ENOMEM,),
    "socket": NO_DESCRIPTOR, "bind": NO_ROOM, "listen": (errno.ENOMEM,), "connect": (errno.ENOMEM, errno.EINTR),
    "accept4": (errno.EMFILE, errno.ENOMEM, errno.EINTR), "pipe2": NO_DESCRIPTOR, "eventfd": NO_DESCRIPTOR,
    "epoll_ctl": (errno.ENOMEM, errno.ENOSPC), "epoll_wait": (errno.EINTR,), "poll": (errno.EINTR, errno.ENOMEM),
    "pidfd_open": NO_DESCRIPTOR, "pidfd_send_signal": (errno.ENOMEM,), "waitid": (errno.EINTR,),
    "posix_spawn": (errno.ENOMEM, errno.EAGAIN), "pthread_create": (errno.EAGAIN,), "malloc": (errno.ENOMEM,),
    "calloc": (errno.ENOMEM,), "realloc": (errno.ENOMEM,), "getrandom": (errno.EINTR,),
}


class Control(ctypes.Structure):
    """fault.c has the same layout."""
    _fields_ = [("armed", ctypes.c_uint32), ("err", ctypes.c_uint32), ("fired", ctypes.c_uint32),
                ("n_kinds", ctypes.c_uint32), ("nth", ctypes.c_uint64), ("counts", ctypes.c_uint64 * 64),
                ("n_frames", ctypes.c_uint64), ("frames", ctypes.c_uint64 * FRAMES), ("thread", ctypes.c_char * 16),
                ("names", (ctypes.c_char * 24) * 64)]


def library(folder):
    path = os.path.join(folder, "fault.so")
    subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-g", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror", "-o", path,
                    os.path.join(FOLDER, "fault.c")], check=True, timeout=60)
    return path


# Libraries that end the process where their own memory is not there, and where: jansson 2.14 asserts in its decoder
# (load.c, lex_scan_string), OpenSSL 3.0 crashes while it sets itself up at the first digest.
FATAL = ("libjansson", "libcrypto")


class FaultHost(TinyHost):
    """`arm` lets one call of volantd fail."""

    def __init__(self, so, kernel):
        super().__init__(kernel)
        self.so, self.page = so, os.path.join(self.dir, "control")
        with open(self.page, "w+b") as f:
            f.truncate(4096)
            self.control = Control.from_buffer(mmap.mmap(f.fileno(), 4096))

    def launch(self, *args):
        mine = {"LD_PRELOAD": self.so, "VOLANT_FAULT_CONTROL": self.page}
        self.env |= mine
        try:
            super().launch(*args)
        finally:
            for name in mine:
                del self.env[name]

    def check(self, method, path, answer):
        """Without memory the HTTP library leaves out headers; what it sends is JSON all the same."""
        if answer.body.startswith(b"{") or "json" in (answer.headers["Content-Type"] or ""):
            json.loads(answer.body)

    def kinds(self):
        return [name.value.decode() for name in self.control.names[:self.control.n_kinds]]

    def arm(self, kind, nth, err):
        c = self.control
        c.armed = c.fired = 0
        ctypes.memset(c.counts, 0, ctypes.sizeof(c.counts))
        c.nth, c.err = nth, err
        c.armed = self.kinds().index(kind) + 1

    def disarm(self):
        self.control.armed = 0
        return bool(self.control.fired)

    def who(self):
        """Where the call that failed came from, for people."""
        c = self.control
        lines = []
        for address in c.frames[:c.n_frames]:
            for start, offset, path in self.maps:
                if start[0] <= address < start[1]:
                    lines.append(place(path, address - start[0] + offset))
        return f"thread {c.thread.decode()}: " + " < ".join(lines)

    def caller(self):
        """The library, or our program, that made the call."""
        frames = self.who().partition(": ")[2].split(" < ")
        return next((f.partition(".so")[0] for f in frames if not f.startswith("fault.so")), "")

    def died_in_library(self):
        """The call that failed was a library's, which ended the process there or a moment later."""
        if self.caller() not in FATAL:
            return False
        try:
            self.process.wait(timeout=2)
        except subprocess.TimeoutExpired:
            return False
        return True

    def start(self, *args):
        super().start(*args)
        self.maps = []
        with open(f"/proc/{self.process.pid}/maps", encoding="ascii") as f:
            for line in f:
                words = line.split()
                if len(words) > 5 and words[5].startswith("/"):
                    begin, end = (int(w, 16) for w in words[0].split("-"))
                    self.maps.append(((begin, end), int(words[2], 16), words[5]))


def place(path, offset):
    """A function of ours with its line, a library by its name."""
    if path != volant.program("volantd"):
        return os.path.basename(path)
    done = subprocess.run(["addr2line", "-fse", path, hex(offset - 1)], capture_output=True, text=True, check=False)
    return " ".join(done.stdout.split())


# --- a run -------------------------------------------------------------------------------------------------------------

class Tally:
    """What came of the runs."""

    def __init__(self):
        self.fired, self.failures, self.answers, self.seconds = {}, [], {}, {}

    def count(self, answer):
        self.answers[answer] = self.answers.get(answer, 0) + 1


def ask(tally, request, *args, **kwargs):
    """The status; "dropped" if the connection ended without one. A hang raises TimeoutError."""
    try:
        status = request(*args, **kwargs).status
    except TimeoutError:
        raise
    except (OSError, http.client.HTTPException):
        status = "dropped"
    tally.count(status)
    return status


def cycle(tally, host, name):
    """create, stop, delete, each asked for whatever came of the one before. True if nothing failed."""
    return [ask(tally, host.make, name), ask(tally, host.do, name, "stop", wait=None),
            ask(tally, host.drop, name)] == [201, 200, 204]


def settle(tally, host, name):
    """Without faults: whatever is left of the VM goes, and nothing of it stays."""
    volant.wait_until(lambda: ask(tally, host.drop, name) == 404, 60)
    invariants.whole(host, timeout=30)
    invariants.empty(host)


def run(tally, host, kind, nth, err):
    """One cycle with a fault. False if the cycle has fewer such calls."""
    name = f"{kind.replace('_', '-')}-{nth}"
    host.arm(kind, nth, err)
    hang = None
    try:
        cycle(tally, host, name)
    except TimeoutError:
        hang = "a request was not answered"
    fired = host.disarm()
    try:
        assert not hang, hang
        assert host.process.poll() is None, f"volantd ended with {host.process.returncode}"
        settle(tally, host, name)
    except (AssertionError, OSError, http.client.HTTPException) as e:
        if fired and host.died_in_library():
            tally.count(f"{host.caller()} died")
            host.start()
            settle(tally, host, name)
            return fired
        tally.failures.append(f"{kind} {nth} {errno.errorcode[err]}: {e}\n  {host.who() if fired else 'not fired'}\n"
                              f"{host.logged()[-1500:]}")
        host.kill()
        host.start()
    return fired
