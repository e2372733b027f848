# SPDX-License-Identifier: Apache-2.0
"""Appliances that fledge would not make: archives written here, of test programs compiled here."""
import hashlib
import json
import os
import subprocess

import volant

GUESTS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "guests")


def compile_guest(folder, name):
    """guests/<name>.c as a static program: its path."""
    path = os.path.join(folder, name)
    subprocess.run(["gcc", "-static", "-Os", "-s", "-Wall", "-Wextra", "-Werror", "-o", path,
                    os.path.join(GUESTS, name + ".c")], check=True, timeout=60)
    return path


def tiny_kernel(folder, name="tiny", *flags):
    """guests/tiny.S as a kernel of some hundred bytes: its path. -DEND: one that ends its machine at once."""
    path = os.path.join(folder, name)
    subprocess.run(["gcc", "-m32", "-nostdlib", "-static", "-no-pie", "-s", "-Wl,--build-id=none,-z,noexecstack",
                    "-Wl,-T," + os.path.join(GUESTS, "tiny.ld"), *flags, "-o", path, os.path.join(GUESTS, "tiny.S")],
                   check=True, timeout=60)
    return path


def tiny_manifest(folder, name="tiny", **keys):
    """A plugin of which a kernel is all there is: the path of its manifest."""
    path = os.path.join(folder, name + ".manifest.json")
    with open(path, "w", encoding="utf-8") as f:
        json.dump({"name": name, "version": "1.0.0", "agent": "none", "resources": {"memory_mb": 48}} | keys, f)
    return path


def _entry(name, mode, data=b""):
    inode = int.from_bytes(hashlib.sha256(name.encode()).digest()[:3], "big")
    numbers = (inode, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0)
    head = b"070701" + b"".join(b"%08X" % n for n in numbers) + name.encode() + b"\0"
    return head + b"\0" * (-len(head) % 4) + data + b"\0" * (-len(data) % 4)


def archive(files):
    """A newc cpio archive of {path: bytes}, every file executable, with the folders on the way."""
    folders = set()
    for path in files:
        while path := os.path.dirname(path):
            folders.add(path)
    out = [_entry(folder, 0o040755) for folder in sorted(folders)]
    out += [_entry(path, 0o100755, data) for path, data in sorted(files.items())]
    return b"".join(out) + _entry("TRAILER!!!", 0)


def read(path):
    with open(path, "rb") as f:
        return f.read()


def manifest_of(blob, path, name="app", entrypoint=("/bin/app",), workload=None, **keys):
    """What fledge would write about `blob`, which lies at `path`."""
    return {
        "schema_version": "1.0", "name": name, "version": "1.0.0", "runtime": name, "enabled": True,
        "resources": {"cpu_cores": 1, "memory_mb": 64},
        "initramfs": {"url": path, "checksum": "sha256:" + hashlib.sha256(blob).hexdigest(), "size": len(blob)},
        "workload": {"type": "exec", "entrypoint": list(entrypoint)} | (workload or {}),
    } | keys


def write(folder, files, name="app", **manifest):
    """An appliance of {path: bytes}; kestrel is its /init where there is none. The path of its manifest."""
    blob = archive({"init": read(volant.program("kestrel"))} | files)
    path = os.path.join(folder, name + ".cpio")
    with open(path, "wb") as f:
        f.write(blob)
    manifest_path = os.path.join(folder, name + ".manifest.json")
    with open(manifest_path, "w", encoding="utf-8") as f:
        json.dump(manifest_of(blob, path, name, **manifest), f)
    return manifest_path
