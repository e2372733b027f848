# SPDX-License-Identifier: Apache-2.0
"""What an initramfs can be made of, how it can be packed, and who its PID 1 is: each boots and does its work."""
import gzip
import hashlib
import os
import shutil
import subprocess

import appliance
import oci_image
import pytest
import volant
from oci_image import entry, folder, symlink
from test_oci_build import Fledge
from volant import says

SERVE = ["/bin/sh", "-c", "echo page of $0 > /index.html; exec httpd -f -p 80 -h /"]  # busybox' applets, all of it

SHELL = """\
[plugin]
name = "{name}"
version = "1.0.0"
strategy = "initramfs"

[initramfs]
busybox = true
compression = "{name}"

[workload]
entrypoint = ["/bin/sh", "-c", "echo page of $0 > /index.html; exec httpd -f -p 80 -h /", "{name}"]
base_url = "http://127.0.0.1:80"

[resources]
memory_mb = 64
"""
SUFFIXES = {"lz4": ".cpio.lz4", "gzip": ".cpio.gz", "none": ".cpio", "zstd": ".cpio.zst"}


@pytest.fixture
def fledge(tmp_path):
    f = Fledge(tmp_path)
    f.env |= {"STORAGE_DRIVER": "vfs", "XDG_DATA_HOME": str(tmp_path / "data"), "HOME": str(tmp_path / "home")}
    os.makedirs(f.env["HOME"])
    return f


def put(fledge, text, name="fledge.toml"):
    with open(fledge.path(name), "w", encoding="utf-8") as f:
        f.write(text)


def unpacked(fledge, name):
    """The archive as a kernel sees it."""
    path = fledge.path(name + SUFFIXES[name])
    data = appliance.read(path)
    if name == "gzip":
        return gzip.decompress(data)
    if name in ("lz4", "zstd"):
        return subprocess.run([name, "-dcq", path], stdout=subprocess.PIPE, check=True).stdout
    return data


def paths_of(cpio):
    """{path: (mode, bytes)} of a newc archive."""
    found, at = {}, 0
    while True:
        assert cpio[at:at + 6] == b"070701"
        fields = [int(cpio[at + 6 + 8 * i:at + 14 + 8 * i], 16) for i in range(13)]
        mode, size, n = fields[1], fields[6], fields[11]
        name = cpio[at + 110:at + 110 + n - 1].decode()
        at = (at + 110 + n + 3) & ~3
        if name == "TRAILER!!!":
            return found
        found[name] = (mode, cpio[at:at + size])
        at = (at + size + 3) & ~3


def test_every_packing_is_the_same_archive(fledge):
    seen = {}
    for name in SUFFIXES:
        put(fledge, SHELL.format(name=name).replace(f'name = "{name}"', 'name = "same"', 1))
        fledge.build()
        first = appliance.read(fledge.path("same" + SUFFIXES[name]))
        fledge.build()
        assert appliance.read(fledge.path("same" + SUFFIXES[name])) == first
        os.rename(fledge.path("same" + SUFFIXES[name]), fledge.path(name + SUFFIXES[name]))
        seen[name] = unpacked(fledge, name)
    assert len({hashlib.sha256(d).digest() for d in seen.values()}) == 1
    files = paths_of(seen["none"])
    applets = subprocess.run(["busybox", "--list-full"], capture_output=True, text=True, check=True).stdout.split()
    for path in applets:
        if "/" in path and path != "bin/busybox":
            assert files[path] == (0o120777, b"/bin/busybox"), path
    assert files["bin/busybox"][0] == 0o100755 and files["init"][0] == 0o100755


def test_they_boot(host, fledge):
    """lz4, gzip and none; an image of layers under busybox; a Dockerfile by the other dialect; all at once."""
    for name in ("lz4", "gzip", "none"):
        put(fledge, SHELL.format(name=name))
        fledge.build()

    # an image whose /bin is a link, with a shell of its own that stays
    sh = "#!/bin/busybox sh\nexec /bin/busybox sh \"$@\"\n"
    fledge.layout("image").image([[folder("usr/bin"), symlink("bin", "usr/bin"), folder("etc"),
                                   entry("usr/bin/sh", sh.encode(), mode=0o755), entry("etc/mine", b"1", mode=0o640, gid=7)]],
                                 config={"Cmd": SERVE + ["layers"], "ExposedPorts": {"80/tcp": {}}})
    put(fledge, '[plugin]\nname = "layers"\nversion = "1"\nstrategy = "initramfs"\n[oci_source]\nimage = "./image"\n'
                '[initramfs]\nbusybox = true\ncompression = "none"\n[resources]\nmemory_mb = 64\n')
    says(fledge.build(), ["layers 1", "1 layers", "layers.cpio"])
    assert "from the cache" in fledge.build()
    with open(fledge.path("layers.cpio"), "rb") as f:
        files = paths_of(f.read())
    assert files["bin"] == (0o120777, b"usr/bin") and files["usr/bin/sh"] == (0o100755, sh.encode())
    assert files["etc/mine"] == (0o100640, b"1") and files["usr/bin/httpd" if "usr/bin/httpd" in files else "usr/sbin/httpd"]
    assert files["init"][0] == 0o100755 and files["dev/console"][0] == 0o020600 and "bin/ls" not in files

    os.makedirs(fledge.path("root/bin"))
    shutil.copy("/bin/busybox", fledge.path("root/bin/busybox"))
    put(fledge, "FROM scratch\nARG WHO\nCOPY root /\nENV WHO=$WHO\nEXPOSE 80\n", "Dockerfile")
    put(fledge, 'version = "1"\nstrategy = "initramfs"\n[source]\ndockerfile = "Dockerfile"\nbuild_args = { WHO = "me" }\n')
    put(fledge, 'name = "docker"\nversion = "2.0"\nruntime = "docker"\n[resources]\nmemory_mb = 64\n'
                '[workload]\nentrypoint = "/bin/sh"\n'
                'args = ["-c", "echo page of $WHO > /index.html; exec httpd -f -p 80 -h /"]\n', "manifest.toml")
    says(fledge.run("validate").stdout, ["fledge.toml is good", "docker 2.0", "Dockerfile"])
    fledge.build()
    assert "from the cache" in fledge.build()
    assert fledge.manifest("docker")["workload"]["env"]["WHO"] == "me" and fledge.left() == []
    images = subprocess.run(["buildah", "images", "-q"], env=fledge.env, capture_output=True, text=True, check=True)
    assert images.stdout == ""  # nothing of it stays there

    pages = {"lz4": "lz4", "gzip": "gzip", "none": "none", "layers": "layers", "docker": "me"}
    for name in pages:
        host.install(fledge.path(name + ".manifest.json"))
        host.volar("vms", "create", name, "--plugin", name, "-p", "80")
    for name, page in pages.items():
        volant.wait_until(lambda n=name: host.vm(n)["ready"], 120)
        status, body = volant.fetch(host.vm(name)["ports"][0]["host_port"], "/index.html")
        assert (status, body) == (200, f"page of {page}\n".encode())


def test_pid_1_of_ones_own(host, fledge):
    program = appliance.compile_guest(fledge.dir, "pid1")
    head = '[plugin]\nname = "{}"\nversion = "1"\nstrategy = "initramfs"\n[resources]\nmemory_mb = 64\n'
    put(fledge, head.format("custom") + '[init]\npath = "./pid1"\n')
    fledge.build()
    put(fledge, head.format("mapped") + f'[init]\nnone = true\n[[file_mappings]]\nsource = "{program}"\ndest = "/init"\n')
    fledge.build()
    for name in ("custom", "mapped"):
        manifest = fledge.manifest(name)
        assert manifest["agent"] == "none" and "workload" not in manifest
        host.install(fledge.path(name + ".manifest.json"))
        host.volar("vms", "create", name, "--plugin", name)
    for name in ("custom", "mapped"):
        vm = host.wait_status(name, "stopped", "crashed", "failed", timeout=120)
        with open(os.path.join(host.folder(name), "console.log"), encoding="utf-8", errors="replace") as f:
            assert "pid1: I am 1" in f.read(), vm


INIT = {
    "a missing file": ('path = "./nothing"', ["fledge.toml:6:8", "init.path", "nothing"]),
    "a file that is no program": ('path = "./fledge.toml"', ["fledge.toml:6:8", "init.path", "neither a program"]),
    "nothing at /init": ("none = true", ["fledge.toml:6:8", "/init", "is not in the image"]),
    "both": ('path = "./x"\nnone = true', ["fledge.toml:7:1", "exclude"]),
}


@pytest.mark.parametrize("what", INIT)
def test_pid_1_that_cannot_be(what, fledge):
    text, words = INIT[what]
    put(fledge, f'[plugin]\nname = "x"\nversion = "1"\nstrategy = "initramfs"\n[init]\n{text}\n')
    before = volant.listing(fledge.dir)
    done = fledge.run("build")
    assert done.returncode == 1
    says(done.stderr, words)
    assert volant.listing(fledge.dir) == before


def test_pid_1_of_a_disk_image(host, fledge):
    """The bootloader hands its place to the image's own init."""
    program = appliance.read(appliance.compile_guest(fledge.dir, "pid1"))
    fledge.layout("image").image([[folder("sbin"), entry("sbin/init", program, mode=0o755)]], config={})
    put(fledge, '[plugin]\nname = "x"\nversion = "1"\nstrategy = "oci_rootfs"\n[oci_source]\nimage = "./image"\n'
                '[init]\nnone = true\n[resources]\nmemory_mb = 64\n')
    fledge.build()
    host.install(fledge.path("x.manifest.json"))
    host.volar("vms", "create", "vm", "--plugin", "x")
    vm = host.wait_status("vm", "stopped", "crashed", "failed", timeout=120)
    with open(os.path.join(host.folder("vm"), "console.log"), encoding="utf-8", errors="replace") as f:
        assert "pid1: I am 1" in f.read(), vm


def test_pid_1_of_an_image(fledge):
    """Its own init, named or found: the manifest says which, also when it comes from the cache."""
    fledge.layout("image").image([[folder("sbin"), entry("sbin/start", b"x", mode=0o755), symlink("sbin/init", "start"),
                                   entry("data", b"x")]], config={})
    head = '[plugin]\nname = "x"\nversion = "1"\nstrategy = "oci_rootfs"\n[oci_source]\nimage = "./image"\n[init]\n'
    for text, init in (("none = true", "/sbin/init"), ('path = "/sbin/start"', "/sbin/start")):
        put(fledge, head + text)
        for _ in range(2):
            fledge.build()
            manifest = fledge.manifest("x")
            assert (manifest["agent"], manifest["rootfs"]["init"]) == ("none", init) and "workload" not in manifest
    for text, words in (('path = "/data"', ["fledge.toml:8:8", "no program /data"]),
                        ('path = "/nothing"', ["fledge.toml:8:8", "no program /nothing"])):
        put(fledge, head + text)
        done = fledge.run("build")
        assert done.returncode == 1
        says(done.stderr, words)


def test_busybox_that_is_not_there(fledge):
    put(fledge, SHELL.format(name="zstd"))
    fledge.env["FLEDGE_BUSYBOX_PATH"] = fledge.path("none")
    says(fledge.run("build").stderr, ["no busybox", "busybox-static", "FLEDGE_BUSYBOX_PATH"])
    fledge.env["FLEDGE_BUSYBOX_PATH"] = "/bin/true"
    says(fledge.run("build").stderr, ["/bin/true", "shared libraries", "busybox-static"])
    del fledge.env["FLEDGE_BUSYBOX_PATH"]
    put(fledge, SHELL.format(name="zstd").replace("busybox = true", f'busybox = true\nbusybox_sha256 = "{"0" * 64}"'))
    says(fledge.run("build").stderr, ["busybox_sha256", oci_image.sha256(appliance.read("/bin/busybox"))])
    assert os.listdir(fledge.dir) == ["fledge.toml"]
