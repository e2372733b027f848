# SPDX-License-Identifier: Apache-2.0
"""Clients that may send anything, and what has to be as it was when they have gone."""
import contextlib
import fcntl
import os
import select
import socket
import struct
import termios
import threading
import time

import appliance
import pytest
import tinyhost
import volant

CLOSED = None  # the connection ends without an answer
SANITIZED = b"libasan" in appliance.read(volant.program("volantd"))  # which keeps what was freed
WHOLE = {  # what makes an operation's body complete but for what is tried
    "/api/v1/vms": {"name": "new", "plugin": "tiny", "start": False},
    "/api/v1/plugins": {"name": "other", "version": "1.0.0", "agent": "none"},
    "/api/v1/deployments": {"name": "other", "replicas": 0, "config": {"plugin": "tiny"}},
}


class Client:
    """A connection on which anything may be sent."""

    def __init__(self, host, tcp=False, timeout=20):
        self.socket = socket.socket(socket.AF_INET if tcp else socket.AF_UNIX)
        self.socket.settimeout(timeout)
        self.data = b""
        try:
            volant.wait_until(lambda: self.connects(("127.0.0.1", host.port) if tcp else host.socket), timeout, 0.005)
        except BaseException:
            self.socket.close()
            raise

    def connects(self, address):
        try:
            self.socket.connect(address)
            return True
        except BlockingIOError:  # of a Unix socket whose queue is full
            return False

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, data):
        """False: volantd would not have it all."""
        try:
            self.socket.sendall(data)
            return True
        except (BrokenPipeError, ConnectionResetError):
            return False

    def more(self):
        try:
            data = self.socket.recv(65536)
        except ConnectionResetError:
            data = b""
        self.data += data
        return bool(data)

    def answer(self):
        """(status, headers, body) of the next one, or CLOSED."""
        while b"\r\n\r\n" not in self.data:
            if not self.more():
                return CLOSED
        head, self.data = self.data.split(b"\r\n\r\n", 1)
        first, *rest = head.decode("latin-1").split("\r\n")
        headers = {k.lower(): v for k, v in (line.split(": ", 1) for line in rest)}
        length = int(headers.get("content-length", 0))
        while len(self.data) < length:
            if not self.more():
                return CLOSED
        body, self.data = self.data[:length], self.data[length:]
        return int(first.split()[1]), headers, body

    def status(self):
        answer = self.answer()
        return answer[0] if answer else CLOSED

    def unread(self):
        """How much of it the other side has not taken (unix(7): SIOCOUTQ)."""
        return struct.unpack("i", fcntl.ioctl(self.socket, termios.TIOCOUTQ, b"\0" * 4))[0]

    def has_answer(self):
        return bool(select.select([self.socket], [], [], 0)[0])

    def says_no_more(self):
        """What it has sent was looked at before: libmicrohttpd overlooks an end that comes together with bytes."""
        end = time.monotonic() + 10
        while self.unread() > 0 and not self.has_answer() and time.monotonic() < end:
            time.sleep(0.002)
        time.sleep(0.03)
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_WR)

    def ended(self):
        """volantd has closed it, after whatever it still said."""
        while self.more():
            pass
        return True


def post(body, *headers, target="/api/v1/vms", length=None):
    head = [f"POST {target} HTTP/1.1", "Host: localhost", *headers]
    if length is not False:
        head.append(f"Content-Length: {len(body) if length is None else length}")
    return "\r\n".join(head + ["", ""]).encode() + body


def memory(host):
    with open(f"/proc/{host.process.pid}/status", encoding="ascii") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("VmRSS:")) / 1024


def descriptors(host):
    return len(os.listdir(f"/proc/{host.process.pid}/fd"))


def everything(host):
    return (host.vms(), host.api("GET", "/api/v1/plugins").json, host.api("GET", "/api/v1/deployments").json,
            sorted(os.listdir(host.inside("vms"))), sorted(os.listdir(host.dir)))


@contextlib.contextmanager
def others(host):
    """Another client on each listener, which is served all the time."""
    over, failed, longest = threading.Event(), [], [0.0]

    def ask(tcp):
        while not over.is_set():
            began = time.monotonic()
            try:
                with Client(host, tcp) as c:
                    c.send(b"GET /api/v1/vms HTTP/1.1\r\nHost: localhost\r\n\r\n")
                    assert c.status() == 200
            except Exception as e:  # pylint: disable=broad-except
                failed.append(repr(e))
                return
            longest[0] = max(longest[0], time.monotonic() - began)
            over.wait(0.01)

    threads = [threading.Thread(target=ask, args=(tcp,)) for tcp in (False, True)]
    for t in threads:
        t.start()
    try:
        yield
    finally:
        over.set()
        for t in threads:
            t.join(30)
    assert not failed, failed
    assert longest[0] < 10, longest


@pytest.fixture(scope="module")
def shared(tiny):
    """One volantd for all of them, on a port too: with a VM that runs and one that never did."""
    port = volant.free_port()
    with tinyhost.tiny_host(tiny.kernel, VOLANT_API_LISTEN=f"127.0.0.1:{port}") as h:
        h.port = port
        h.must(h.make("up"))
        fill(h)
        yield h


@pytest.fixture
def own(tiny):
    """One for a test that leaves something behind."""
    with tinyhost.tiny_host(tiny.kernel) as h:
        fill(h)
        yield h


def fill(host):
    for path, name in (("/api/v1/vms", "down"), ("/api/v1/deployments", "none")):
        host.must(host.api("POST", path, WHOLE[path] | {"name": name}))


@pytest.fixture
def hostile(shared):
    """Afterwards everything is as before: the same process, descriptors and content, and nothing was our fault."""
    before, held, said = everything(shared), descriptors(shared), os.path.getsize(shared.log)
    yield shared
    assert shared.process.poll() is None, shared.logged()
    volant.wait_until(lambda: descriptors(shared) <= held, 20)
    assert everything(shared) == before
    with open(shared.log, "rb") as f:
        f.seek(said)
        assert b"internal error" not in f.read()
