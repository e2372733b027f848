# SPDX-License-Identifier: Apache-2.0
"""Clients that break the rules: none gets a 500, brings volantd down, holds others up, or leaves anything behind."""
import contextlib
import http.client
import json
import resource
import socket
import sqlite3
import threading
import time
import urllib.parse

import pytest
import volant
from rawclient import (CLOSED, SANITIZED, WHOLE, Client, hostile, memory, others, own, post,  # noqa: F401
                       shared)  # noqa: F401  pylint: disable=unused-import
from test_disk_full import SmallDisk
from test_hostile_input import BODIES, CREATE, NAMES, TAKES_JSON
from volant import says
from websocket import WebSocket

GET = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
WITH_BODY = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n%s\r\n0\r\n\r\n"
CONNECTIONS = 1536  # of each kind, as http.h has it
HEAD_S = 30


# --- the protocol ---------------------------------------------------------------------------------------------------

def chunked(*pieces):
    return post(b"".join(pieces), "Transfer-Encoding: chunked", length=False)


def chunk(data):
    return b"%x\r\n" % len(data) + data + b"\r\n"


PROTOCOL = {  # what is sent, and what it may be answered with
    "no method": (b"\r\n\r\n\r\n", {400, CLOSED}),
    "half a line": (b"GET", {400, CLOSED}),
    "no version": (b"GET /healthz\r\n\r\n", {400, 505, CLOSED}),
    "version 9.9": (b"GET /healthz HTTP/9.9\r\nHost: localhost\r\n\r\n", {400, 505, CLOSED}),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", {400, 404, 505, CLOSED}),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(200)), {400, CLOSED}),
    "SSH": (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", {400, CLOSED}),
    "a long method": (b"A" * 9000 + b" / HTTP/1.1\r\nHost: localhost\r\n\r\n", {400, 413, 414, 431, CLOSED}),
    "a long target": (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", {414, 431, CLOSED}),
    "a target that nearly fits": (b"GET /" + b"a" * 4200 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", {414}),
    "a long header": (b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 9000 + b"\r\n\r\n", {431, CLOSED}),
    "many headers": (b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n" + b"X: a\r\n" * 1500 + b"\r\n", {431, CLOSED}),
    "a header without colon": (b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nnonsense\r\n\r\n", {400, CLOSED}),
    "NUL in a header": (b"GET /healthz HTTP/1.1\r\nHost: local\0host\r\n\r\n", {400, 403, CLOSED}),
    "two hosts": (b"GET /healthz HTTP/1.1\r\nHost: evil\r\nHost: localhost\r\n\r\n", {400, 403, CLOSED}),
    "a host that is no text": (b"GET /openapi HTTP/1.1\r\nHost: \xff\xfe\r\n\r\n", {400, 403, CLOSED}),
    "no host": (b"GET /healthz HTTP/1.1\r\n\r\n", {400, 403, CLOSED}),
    "unknown method": (b"FROB /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n", {404, 405, CLOSED}),
    "connect": (b"CONNECT localhost:80 HTTP/1.1\r\nHost: localhost\r\n\r\n", {400, 404, 405, CLOSED}),
    "another machine": (b"GET http://elsewhere/healthz HTTP/1.1\r\nHost: elsewhere\r\n\r\n", {400, 403, 404, CLOSED}),
    "length abc": (post(CREATE, length="abc"), {400, CLOSED}),
    "length -1": (post(CREATE, length="-1"), {400, CLOSED}),
    "length +5": (post(CREATE, length="+5"), {400, CLOSED}),
    "length of 30 digits": (post(CREATE, length="9" * 30), {400, 413, CLOSED}),
    "length too large": (post(CREATE, length=(1 << 20) + 1), {413, CLOSED}),
    "two lengths": (post(CREATE, "Content-Length: 3"), {400, CLOSED}),
    "two lengths of a good one": (WITH_BODY % b"Content-Length: 2\r\nContent-Length: 40\r\n", {400}),
    "length and chunks of a good one": (WITH_BODY % b"Content-Length: 40\r\nTransfer-Encoding: chunked\r\n", {400}),
    "two codings of a good one": (WITH_BODY % b"Transfer-Encoding: chunked\r\nTransfer-Encoding: gzip\r\n", {400}),
    "length too small": (post(CREATE, length=len(CREATE) - 3), {400}),  # its rest is no request either
    "length and chunks": (post(b"0\r\n\r\n", "Transfer-Encoding: chunked"), {400, CLOSED}),
    "an unknown coding": (post(CREATE, "Transfer-Encoding: gzip", length=False), {400, 501, CLOSED}),
    "a chunk's size in words": (chunked(b"zz\r\n", CREATE), {400, CLOSED}),
    "a chunk's size of 17 digits": (chunked(b"F" * 17 + b"\r\n", CREATE), {400, 413, CLOSED}),
    "a chunk's size below 0": (chunked(b"-5\r\n", CREATE), {400, CLOSED}),
    "a chunk without its end": (chunked(b"5\r\n", CREATE), {400, CLOSED}),
    "2 MiB in chunks": (chunked(*[chunk(b" " * 65536)] * 32, chunk(b""), b"\r\n"), {413, CLOSED}),
    "chunks of 1 byte": (chunked(*(chunk(CREATE[i:i + 1]) for i in range(len(CREATE) - 1)), b"0\r\n\r\n"), {400}),
}


# Whoever may open the Unix socket may call it anything.
HOSTS = ("NUL in a header", "two hosts", "a host that is no text", "no host")


@pytest.mark.parametrize("what", PROTOCOL)
def test_the_protocol(what, hostile):
    data, allowed = PROTOCOL[what]
    for tcp in (False, True):
        with Client(hostile, tcp) as c:
            c.send(data)
            c.says_no_more()
            assert c.status() in allowed | ({200} if what in HOSTS and not tcp else set())
            c.ended()


def test_bodies_that_end_early(hostile):
    """The client goes, or goes on to listen, in the middle of what it announced."""
    with others(hostile):
        for cut in (1, len(CREATE) // 2, len(CREATE) - 1):
            for data in (post(CREATE)[:-cut], chunked(chunk(CREATE))[:-cut]):
                for leave in (True, False):
                    with Client(hostile) as c:
                        c.send(data)
                        if not leave:
                            c.says_no_more()
                            assert c.status() in (400, CLOSED)


def test_pipelined_requests(hostile):
    """All of them are answered, in order, whatever comes in between."""
    with others(hostile), Client(hostile) as c:
        bad = post(b"{", target="/api/v1/vms")
        missing = b"GET /api/v1/vms/%d HTTP/1.1\r\nHost: localhost\r\n\r\n"
        for i in range(50):
            assert c.send(GET + bad + missing % i)
        for i in range(50):
            assert c.status() == 200
            assert c.status() == 400
            status, _, body = c.answer()
            assert status == 404 and f"'{i}'" in body.decode() or f'\\"{i}\\"' in body.decode(), body
        big = post(b" " * (1 << 20) + b"{", length=(1 << 20) + 1)
        c.send(GET + big + GET)  # what follows a body that nobody reads is never taken for a request
        assert [c.status(), c.status(), c.status()] == [200, 413, CLOSED]


# --- clients that take their time -----------------------------------------------------------------------------------

@contextlib.contextmanager
def many_files(n):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, n)), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def drip(clients, data, seconds):
    """A byte on each of the connections again and again."""
    end, at = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        for c in clients:
            c.send(data[at:at + 1])
        at += 1
        time.sleep(0.05)
    return at


@pytest.mark.parametrize("data", [GET, post(CREATE), b"GET /healthz HTTP/1.1\r\n" + b"X-A: b\r\n" * 1000],
                         ids=["heads", "bodies", "headers"])
def test_slow_clients(data, hostile):
    """Hundreds that send a byte now and then hold nobody up."""
    with many_files(2048), contextlib.ExitStack() as stack:
        clients = [stack.enter_context(Client(hostile, tcp=i % 2 == 0)) for i in range(600)]
        for c in clients:
            c.send(data[:-40])
        with others(hostile):
            drip(clients, data[-40:-1], 1.5)


def test_clients_that_do_not_read(hostile):
    """They ask for all there is, and leave it in the sockets."""
    with others(hostile), contextlib.ExitStack() as stack:
        for i in range(50):
            c = stack.enter_context(Client(hostile, tcp=i % 2 == 0, timeout=0.05))
            with contextlib.suppress(TimeoutError):
                while c.send(b"GET /openapi HTTP/1.1\r\nHost: localhost\r\n\r\n" * 16):
                    pass
        assert memory(hostile) < 64 or SANITIZED


@pytest.mark.long
def test_slow_clients_are_cut(hostile):
    """A head has its time as a whole, however steadily its bytes come."""
    with many_files(2048), contextlib.ExitStack() as stack:
        clients = [stack.enter_context(Client(hostile, tcp=i % 2 == 0)) for i in range(100)]
        began = time.monotonic()
        with others(hostile):
            while clients and time.monotonic() < began + 2 * HEAD_S:
                clients = [c for c in clients if c.send(b"X")]
                time.sleep(0.2)
        assert not clients


def test_half_open_websockets(hostile):
    """Handshakes that stop half way, and connections that are there and say nothing, or go without a word."""
    shake = (b"GET /ws/v1/vms/up/console HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
             b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n")
    with many_files(2048), others(hostile), contextlib.ExitStack() as stack:
        for i in range(60):
            c = stack.enter_context(Client(hostile, tcp=i % 2 == 0))
            c.send(shake[:-1 - i])
        silent = [WebSocket(hostile, f"/ws/v1/vms/up/{what}") for what in ("console", "logs") * 20]
        for i, ws in enumerate(silent):
            stack.callback(ws.socket.close)
            assert ws.status in (101, 503), ws.body  # there may be more readers than a VM has places for
            if ws.status == 101 and i % 3 == 0:
                ws.socket.sendall(b"\x82\xfe")  # half the head of a frame
            if ws.status == 101 and i % 3 == 1:
                ws.socket.shutdown(socket.SHUT_WR)


def test_more_connections_than_there_may_be(hostile):
    """The excess is refused at once and in words; the other listener does not notice."""
    with many_files(CONNECTIONS + 600), contextlib.ExitStack() as stack:
        clients = [stack.enter_context(Client(hostile, tcp=True)) for _ in range(CONNECTIONS)]
        for c in clients[:3] + clients[-3:]:
            c.send(GET)
            assert c.status() == 200
        began = time.monotonic()
        for _ in range(100):
            with Client(hostile, tcp=True) as c:
                status, headers, body = c.answer()
                assert status == 503 and int(headers["retry-after"]) > 0 and headers["connection"] == "close"
                says(json.loads(body)["error"], ["connections", "try again"])
                assert c.ended()
        assert time.monotonic() - began < 10
        assert hostile.api("GET", "/api/v1/vms").status == 200
        clients.pop().socket.close()

        def served():
            with Client(hostile, tcp=True) as c:
                c.send(GET)
                return c.status() == 200

        volant.wait_until(served, 10)


# --- nothing stays --------------------------------------------------------------------------------------------------

def test_nothing_is_kept_of_them(hostile):
    """All that is above once more, again and again: volantd needs no more memory for it."""
    def once():
        for data, allowed in PROTOCOL.values():
            with Client(hostile) as c:
                c.send(data)
                c.says_no_more()
                assert c.status() in allowed | {200}
        for body in BODIES.values():
            for method, path in TAKES_JSON[:3]:
                with contextlib.suppress(http.client.HTTPException, ConnectionError):
                    hostile.api(method, path, body)
        for name in NAMES:
            hostile.api("GET", "/api/v1/vms/" + urllib.parse.quote(name, safe=""))
            hostile.api("POST", "/api/v1/vms", {"name": name, "plugin": "tiny", "start": False})

    for _ in range(2):
        once()
    before = memory(hostile)
    for _ in range(6):
        once()
    assert memory(hostile) < before + 3 or SANITIZED


# --- a store that cannot --------------------------------------------------------------------------------------------

def test_a_busy_store(own):
    """Another program keeps the database locked: who writes is told to come again, who reads is served."""
    request = WHOLE["/api/v1/vms"]
    with contextlib.closing(sqlite3.connect(own.inside("state.db"), isolation_level=None)) as db:
        db.execute("BEGIN IMMEDIATE")
        answers = []
        writer = threading.Thread(target=lambda: answers.append(own.api("POST", "/api/v1/vms", request)))
        writer.start()
        while writer.is_alive():
            assert own.api("GET", "/api/v1/vms").status == 200
            writer.join(0.05)
        db.execute("ROLLBACK")
    assert answers[0].status == 503 and int(answers[0].headers["Retry-After"]) > 0
    says(answers[0].json["error"], ["database", "locked", "try again"])
    assert [vm["name"] for vm in own.vms()] == ["down"]
    assert own.api("POST", "/api/v1/vms", request).status == 201


def test_a_full_store(tiny):
    """The disk with the database has no room: as much is said, and with room it goes on."""
    with SmallDisk(16, VOLANT_KERNEL_DIRS=tiny.folder) as host:
        host.install(tiny.manifest)
        request = WHOLE["/api/v1/vms"] | {"config": {"kernel_override": tiny.kernel}}
        host.leave(0)
        answers = []
        for i in range(200):
            answers.append(host.api("POST", "/api/v1/vms", request | {"name": f"v{i}"}))
            if answers[-1].status != 201:
                break
        assert answers[-1].status == 503 and int(answers[-1].headers["Retry-After"]) > 0, answers[-1]
        says(answers[-1].json["error"], ["disk|room|full", "make room"])
        assert len(host.vms()) == len(answers) - 1
        host.make_room()
        assert host.api("POST", "/api/v1/vms", request | {"name": "last"}).status == 201
