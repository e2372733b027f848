# SPDX-License-Identifier: Apache-2.0
"""QEMU as Volant starts it, without Volant: what the benches compare with."""
import os
import re
import shutil
import socket
import subprocess
import time

import volant

BOOT_S = 60
REQUEST = b"GET / HTTP/1.0\r\nHost: localhost\r\n\r\n"


def page(port, timeout):
    """Whether the port answers with 200 within `timeout` seconds."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout) as s:
            s.sendall(REQUEST)
            return s.recv(64).startswith(b"HTTP/1.1 200")
    except OSError:
        return False


def first_page(port, began):
    """Seconds from `began` to the first 200, asked for every 4 ms: more often would slow QEMU's network down."""
    while not page(port, 0.02):
        if time.monotonic() - began > BOOT_S:
            raise SystemExit(f"no page on port {port} within {BOOT_S} s")
        time.sleep(0.004)
    return time.monotonic() - began


class Bare:
    """QEMU as Volant starts it, without Volant."""

    def __init__(self, host, vm, folder):
        self.folder, self.port = folder, volant.free_port()
        self.initrd = os.path.join(folder, "initrd")
        shutil.copy(os.path.join(host.folder(vm["name"]), "initrd"), self.initrd)
        with open(f"/proc/{vm['pid']}/cmdline", encoding="utf-8") as f:
            argv = f.read().split("\0")[:-1]
        kernel = host.api("GET", "/api/v1/system/info").json["kernel"]["path"]
        self.argv = [self.own(argv[i - 1], a, kernel) for i, a in enumerate(argv)]
        self.argv[0] = os.readlink(f"/proc/{vm['pid']}/exe")

    def own(self, option, value, kernel):
        """An argument with descriptors replaced by paths and the published port by ours."""
        if option == "-kernel":
            return kernel
        if option == "-initrd":
            return self.initrd
        if option == "-chardev":
            name = re.search(r"id=(\w+)", value)[1]
            if name == "con":
                return f"file,id=con,path={self.folder}/console.log"
            return f"socket,id={name},path={self.folder}/{name},server=on,wait=off"
        return re.sub(r"(hostfwd=tcp:127\.0\.0\.1:)\d+", rf"\g<1>{self.port}", value)

    def start(self):
        return subprocess.Popen(self.argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)

    def boot(self):
        began = time.monotonic()
        with self.start() as qemu:
            try:
                return first_page(self.port, began)
            finally:
                qemu.kill()
