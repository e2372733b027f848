# SPDX-License-Identifier: Apache-2.0
"""A web server on the loopback that does what a test wants of it: breaks off, forgets ranges, redirects, stalls."""
import contextlib
import http.server
import re
import socket
import threading


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, context=None):
        super().__init__(("127.0.0.1", 0), Handler)
        self.pages = {}  # path: bytes, or a function that gets the handler
        self.requests = []  # (path, headers)
        self.ended = threading.Event()
        if context:
            self.socket = context.wrap_socket(self.socket, server_side=True)
        self.base = f"http{'s' if context else ''}://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request, client_address):
        """Clients that go away are what is tested."""

    def asked(self, path):
        return [headers for p, headers in self.requests if p == path]


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, format, *args):  # pylint: disable=redefined-builtin
        """Nothing: the test's output is the test's."""

    def do_GET(self):
        path = self.path.split("?", 1)[0]
        self.server.requests.append((path, self.headers))
        page = self.server.pages.get(path)
        if page is None:
            self.say(404, b"no such page")
        elif callable(page):
            page(self)
        else:
            self.give(page)

    def say(self, status, body=b"", **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def give(self, data, most=None, ranges=True):
        """`data`, or what of it was asked for; the connection breaks off after `most` bytes."""
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        start = int(asked[1]) if asked and ranges else 0
        if start >= len(data) > 0:
            self.say(416)
            return
        self.send_response(206 if asked and ranges else 200)
        if asked and ranges:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        self.send_header("Content-Length", str(len(data) - start))
        self.end_headers()
        self.wfile.write(data[start:] if most is None else data[start:start + most])
        if most is not None and start + most < len(data):
            self.hang_up()

    def hang_up(self):
        self.wfile.flush()
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)

    def stall(self):
        """Nothing more, for as long as the server lives."""
        self.wfile.flush()
        self.server.ended.wait(120)
        self.close_connection = True


@contextlib.contextmanager
def serving(context=None):
    with Server(context) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.ended.set()
            server.shutdown()
            thread.join()
