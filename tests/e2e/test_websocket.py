# SPDX-License-Identifier: Apache-2.0
"""Consoles and logs over WebSockets (contract 1.10), and clients that break the protocol."""
import json
import socket
import time

import volant
from test_events import Events
from websocket import BINARY, CLOSE, PING, PONG, TEXT, WebSocket

CONSOLE, LOGS = "/ws/v1/vms/web/console", "/ws/v1/vms/web/logs"


def open_console(host, **kwargs):
    ws = WebSocket(host, CONSOLE, **kwargs)
    assert ws.status == 101, ws.body
    return ws


def test_console_and_logs_of_a_guest(busybox, host):
    host.install(busybox)
    assert WebSocket(host, CONSOLE).status == 404
    with WebSocket(host, LOGS) as ws:  # the upgrade comes first
        assert ws.status == 101 and ws.message() == (CLOSE, (1000, "vm not found"))
    port = host.create("web", "busybox")
    assert volant.fetch(port)[0] == 200  # which its server logs

    with open_console(host) as one, open_console(host) as two:  # both get what was said before
        said = [ws.message() for ws in (one, two)]
        assert said[0] == said[1] and said[0][0] == BINARY and 0 < len(said[0][1]) <= 4096
        one.send(PING, b"are you there")
        while (frame := one.frame())[0] != PONG:
            pass
        assert frame[1] == b"are you there"
        one.send(TEXT, b"x")  # text and binary are typed alike
        one.send(BINARY, b"y")
        one.send(CLOSE, b"\x03\xe8")
        while (frame := one.frame())[0] != CLOSE:
            pass
        assert frame[1][:2] == b"\x03\xe8"
        two.send(PING, b"")  # the other goes on
        while two.frame()[0] != PONG:
            pass

    events = Events(host, "?type=VM_LOG")
    with WebSocket(host, LOGS) as ws, WebSocket(host, LOGS + "?tail=1") as last:
        opcode, data = ws.message()
        assert opcode == TEXT, data
        line = json.loads(data)
        assert list(line) == ["name", "stream", "line", "timestamp"]
        assert line["name"] == "web" and line["stream"] in ("stdout", "stderr") and line["line"]
        http = [json.loads(t) for t in host.api("GET", "/api/v1/vms/web/logs").body.splitlines()]
        assert [line] + [json.loads(ws.message()[1]) for _ in http[1:]] == http
        assert json.loads(last.message()[1]) == http[-1]
        assert volant.fetch(port)[0] == 200
        for _ in range(2):  # new lines are events too, once
            line = json.loads(ws.message()[1])
            assert json.loads(last.message()[1]) == line
            while (event := events.next()[1])["timestamp"] != line["timestamp"] or event["line"] != line["line"]:
                pass  # of the second before
            assert event["type"] == "VM_LOG" and event["status"] == "running" and event["message"] == line["line"]
            assert {k: event[k] for k in line} == line
        events.close()
        with open_console(host) as console:
            host.volar("vms", "stop", "web")
            while (end := ws.message())[0] != CLOSE:
                pass
            assert end[1][0] in (1000, 1013), end
            while (end := console.message())[0] != CLOSE:
                assert end[0] == BINARY and 0 < len(end[1]) <= 4096
            assert end == (CLOSE, (1000, ""))
    answer = WebSocket(host, CONSOLE)
    assert answer.status == 409 and b"vm not ready" in answer.body
    with WebSocket(host, LOGS) as ws:
        assert ws.message() == (CLOSE, (1013, "vm not ready"))


REFUSED = {
    "no upgrade": ({"Upgrade": None}, 426), "another upgrade": ({"Upgrade": "h2c"}, 426),
    "no connection": ({"Connection": "close"}, 426), "an old version": ({"Sec-WebSocket-Version": "8"}, 426),
    "no key": ({"Sec-WebSocket-Key": None}, 400), "a short key": ({"Sec-WebSocket-Key": "YWJj"}, 400),
    "no base64": ({"Sec-WebSocket-Key": "!" * 22 + "=="}, 400),
    "another site": ({"Origin": "http://evil.example"}, 403),
}


def test_handshakes_that_are_none(tiny, tiny_host):
    tiny_host.volar("vms", "create", "web", "--plugin", "tiny", "--kernel", tiny.kernel)
    for what, (headers, status) in REFUSED.items():
        ws = WebSocket(tiny_host, CONSOLE, headers=headers)
        assert ws.status == status and json.loads(ws.body)["error"], (what, ws.status, ws.body)
        ws.close()
    with open_console(tiny_host, headers={"Origin": "http://localhost"}):
        pass
    assert tiny_host.api("HEAD", CONSOLE).status == 426


def ends_with(ws, code):
    """The close that volantd sends; then its end of the connection."""
    while (message := ws.message())[0] != CLOSE:
        pass
    assert message[1][0] == code, message
    try:
        while ws.socket.recv(4096):
            pass
    except ConnectionResetError:
        pass
    ws.close()


def test_clients_that_break_the_protocol(tiny, tiny_host):
    host = tiny_host
    host.volar("vms", "create", "web", "--plugin", "tiny", "--kernel", tiny.kernel)
    bad = {
        "text that is no UTF-8": (1007, lambda ws: ws.send(TEXT, b"\xff\xfe")),
        "a surrogate": (1007, lambda ws: ws.send(TEXT, b"\xed\xa0\x80")),
        "no mask": (1002, lambda ws: ws.send(BINARY, b"x", masked=False)),
        "a reserved bit": (1002, lambda ws: ws.send(BINARY, b"x", flags=0xC0)),
        "a reserved opcode": (1002, lambda ws: ws.send(3, b"x")),
        "a long ping": (1005, lambda ws: ws.send(PING, b"x" * 126)),
        "a ping in pieces": (1005, lambda ws: ws.send(PING, b"x", flags=0)),
        "a message that was not begun": (1002, lambda ws: ws.send(0, b"x")),
        "a close without a code": (1005, lambda ws: ws.send(CLOSE, b"\x03")),
        "too much": (1009, lambda ws: ws.send(BINARY, b"x" * 65537)),
    }
    for what, (code, act) in bad.items():
        ws = open_console(host)
        act(ws)
        try:
            ends_with(ws, code)
        except (AssertionError, EOFError) as e:
            raise AssertionError(what) from e
    for cut in (b"\x82", b"\x82\xfe\x00", b"\x82\x85abcdx"):  # goes in the middle of a frame
        ws = open_console(host)
        ws.socket.sendall(cut)
        ws.close()
    half = open_console(host)  # half a connection: volantd lets go of it
    half.socket.shutdown(socket.SHUT_WR)
    try:
        while half.socket.recv(4096):
            pass
    except ConnectionResetError:
        pass
    half.close()

    flood, end = open_console(host), time.monotonic() + 5  # pings whose answers nobody reads
    flood.socket.settimeout(0.3)
    try:
        while time.monotonic() < end:
            flood.socket.sendall((b"\x89\x80" + b"abcd") * 4096)
    except TimeoutError:
        pass
    assert host.api("GET", "/healthz").status == 200
    with open("/proc/%d/status" % host.process.pid, encoding="ascii") as f:
        assert next(int(line.split()[1]) for line in f if line.startswith("VmHWM:")) < 40 * 1024
    flood.close()


def test_volantd_stops_with_clients(tiny, tiny_host):
    tiny_host.volar("vms", "create", "web", "--plugin", "tiny", "--kernel", tiny.kernel)
    ws = open_console(tiny_host)
    tiny_host.stop()
    while (message := ws.message())[0] != CLOSE:
        pass
    assert message[1][0] == 1001
    ws.close()
    tiny_host.start()
    with open_console(tiny_host):
        pass
    assert volant.alive(tiny_host.vm("web")["pid"])
