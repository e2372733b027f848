# SPDX-License-Identifier: Apache-2.0
"""A WebSocket client that can also do what none should."""
import base64
import contextlib
import hashlib
import os
import socket
import struct
import time

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10


class WebSocket:
    """Over the Unix socket of a host; .status and .headers are the handshake's, .body that of a refusal."""

    def __init__(self, host, path, headers=None, timeout=30):
        key = base64.b64encode(os.urandom(16)).decode()
        wanted = {"Host": "localhost", "Connection": "keep-alive, Upgrade", "Upgrade": "websocket",
                  "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": key} | (headers or {})
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(timeout)
        self.socket.connect(host.socket)
        lines = [f"GET {path} HTTP/1.1"] + [f"{k}: {v}" for k, v in wanted.items() if v is not None]
        self.socket.sendall("\r\n".join(lines + ["", ""]).encode())
        self.data = b""
        while b"\r\n\r\n" not in self.data:
            self.more()
        head, self.data = self.data.split(b"\r\n\r\n", 1)
        first, *rest = head.decode().split("\r\n")
        self.status = int(first.split()[1])
        self.headers = {k.lower(): v for k, v in (line.split(": ", 1) for line in rest)}
        self.body = b""
        if self.status != 101:
            while len(self.data) < int(self.headers["content-length"]):
                self.more()
            self.body = self.data
            return
        digest = hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()
        assert self.headers["sec-websocket-accept"] == base64.b64encode(digest).decode()

    def more(self):
        data = self.socket.recv(65536)
        if not data:
            raise EOFError
        self.data += data

    def take(self, n):
        while len(self.data) < n:
            self.more()
        data, self.data = self.data[:n], self.data[n:]
        return data

    def frame(self):
        """(opcode, payload) of the next frame; servers' are whole and not masked."""
        first, length = self.take(2)
        assert first & 0x80 and not length & 0x80
        if length == 126:
            length, = struct.unpack(">H", self.take(2))
        elif length == 127:
            length, = struct.unpack(">Q", self.take(8))
        return first & 0x0F, self.take(length)

    def message(self):
        """The next one that is no ping, which is answered; a close is (CLOSE, (code, reason)), 1005: none."""
        end = time.monotonic() + 60  # pings come for ever
        while time.monotonic() < end:
            opcode, data = self.frame()
            if opcode == PING:
                self.send(PONG, data)
            elif opcode == CLOSE:
                with contextlib.suppress(OSError):  # who broke the protocol is not waited for
                    self.send(CLOSE, data[:2])
                return CLOSE, (struct.unpack(">H", data[:2] or b"\x03\xed")[0], data[2:].decode())
            else:
                return opcode, data
        raise TimeoutError("nothing but pings")

    def send(self, opcode, data=b"", flags=0x80, masked=True):
        length = len(data)
        size = (struct.pack(">B", length | masked << 7) if length < 126 else
                struct.pack(">BH", 126 | masked << 7, length) if length < 65536 else
                struct.pack(">BQ", 127 | masked << 7, length))
        mask = os.urandom(4) if masked else b""
        body = bytes(b ^ mask[i % 4] for i, b in enumerate(data)) if masked else data
        self.socket.sendall(bytes([flags | opcode]) + size + mask + body)

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
