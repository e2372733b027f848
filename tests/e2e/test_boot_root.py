# SPDX-License-Identifier: Apache-2.0
"""bzImage-volant: kestrel in its initramfs finds the disks, makes the root folder of them and runs there what the
image has. Nothing of the host's side is involved: QEMU gets kernel, configuration and disks as a VMM would."""
import hashlib
import json
import os
import pathlib
import re
import shutil
import subprocess

import appliance
import oci_image
import pytest
import test_kernel
from oci_image import entry, folder, symlink

KERNEL = test_kernel.KERNEL_DIR / "bzImage-volant"
APPEND = "quiet lapic_khz=1000000 noreplace-smp acpi=off pci=off reboot=t mitigations=off"
PASSWD = b"root:x:0:0:root:/root:/bin/sh\napp:x:1000:1001::/home/app:/bin/sh\n"


class Images:
    """Disk images of a small root folder, made without root."""

    def __init__(self, path):
        self.path = pathlib.Path(path)
        self.program = appliance.read(appliance.compile_guest(str(path), "rooted"))

    def tar(self, *more):
        return oci_image.archive([
            folder("./", 0o751), folder("bin"), entry("bin/app", self.program, mode=0o755),
            folder("etc"), entry("etc/passwd", PASSWD), entry("etc/group", b"app:x:1001:\nextra:x:77:app\n"),
            entry("etc/hosts"), entry("etc/kept", b"from the image\n"), symlink("etc/resolv.conf", "/nowhere/resolv.conf"),
            folder("run"), folder("run/app", 0o2770, uid=1000, gid=1001), folder("srv", 0o700, uid=1000, gid=1001),
            *more])

    def squashfs(self, name, *more, packing="zstd"):
        path = self.path / name
        subprocess.run(["tar2sqfs", "-q", "-f", "-c", packing, path], input=self.tar(*more), check=True, timeout=60)
        return path

    def ext4(self, name, *more):
        path, top = self.path / name, self.path / (name + ".d")
        top.mkdir()
        subprocess.run(["tar", "-x", "-C", top, "--no-same-owner"], input=self.tar(*more), check=True, timeout=60)
        subprocess.run(["mke2fs", "-q", "-t", "ext4", "-d", top, path, "16M"], check=True, timeout=60)
        return path

    def data(self, name, megabytes):
        path = self.path / name
        grow(path, megabytes)
        subprocess.run(["mke2fs", "-q", "-t", "ext4", path], check=True, timeout=60)
        return path


def grow(path, megabytes):
    with open(path, "ab") as f:
        f.truncate(megabytes << 20)


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return Images(tmp_path_factory.mktemp("images"))


def boot(images, *words, disks=(), root=None, **config):
    """One boot of disks [(path, serial)]: what came over the console. `words` are what the program is to do."""
    workload = {"type": "exec", "entrypoint": ["/bin/app", *words]} | config.pop("workload", {})
    settings = {"api": 2, "shutdown": "reboot", "hostname": "web", "workload": workload,
                "root": {"fstype": "squashfs"} | (root or {})} | config
    initrd = images.path / "config.cpio"
    initrd.write_bytes(appliance.archive({"volant/config.json": json.dumps(settings).encode()}))
    extra = []
    for i, (path, serial) in enumerate(disks):
        read_only = "off" if serial == "volant-data" else "on"
        extra += ["-blockdev", f"driver=raw,node-name=r{i},read-only={read_only},file.driver=file,file.filename={path}",
                  "-device", f"virtio-blk-device,drive=r{i},serial={serial}"]
    return test_kernel.boot(None, test_kernel.MMIO, APPEND, extra, initrd, KERNEL)


def said(out, title):
    return re.findall(rf"^ROOT-{re.escape(title)} (.*)$", out, re.M)


def ended(out, code, *problem):
    """The machine has ended by itself: kestrel's last line, after one line that says why where there is a problem."""
    lines = [line for line in out.splitlines() if line != "reboot: Restarting system"]
    assert lines[-1] == f"volant: workload exited code={code}", out[-3000:]
    assert "Kernel panic" not in out and out.count("ROOT-up") <= 1, out[-3000:]
    ours = [line for line in lines[:-1] if line.startswith("volant: ")]
    assert len(ours) == bool(problem), out[-3000:]
    for word in problem:
        assert word in ours[0], ours


def test_description_fits_the_kernel():
    info = json.loads((test_kernel.KERNEL_DIR / "bzImage-volant.json").read_text())
    generic = json.loads((test_kernel.KERNEL_DIR / "vmlinux-generic.json").read_text())
    # With sanitizers the kernel is that of the build folder beside, and so is the kestrel in it.
    kestrel = (test_kernel.KERNEL_DIR.resolve().parent / "kestrel").read_bytes()
    assert info["sha256"] == hashlib.sha256(KERNEL.read_bytes()).hexdigest() and info["size"] == KERNEL.stat().st_size
    assert info["kestrel"] == hashlib.sha256(kestrel).hexdigest(), "run make kernel: kestrel is another by now"
    assert [info[key] for key in ("version", "patches", "key")] == [generic[key] for key in ("version", "patches", "key")]


def test_bake_refuses_what_it_cannot_fill(tmp_path, tmp_path_factory):
    """A template that is none, and a kestrel that does not fit: a reason, and nothing written."""
    for name in ("vmlinux-generic.json", "bzImage-template"):
        os.symlink(test_kernel.KERNEL_DIR / name, tmp_path / name)
    (tmp_path / "kestrel").write_bytes(os.urandom(1 << 16) * 64)

    def bake(scripts=test_kernel.ROOT / "kernel"):
        run = subprocess.run([scripts / "bake.sh", "--kernel", tmp_path, "--kestrel", tmp_path / "kestrel"],
                             stderr=subprocess.PIPE, text=True, timeout=60)
        assert run.returncode == 1
        assert sorted(os.listdir(tmp_path)) == ["bzImage-template", "kestrel", "vmlinux-generic.json"]
        return run.stderr

    assert "room_size" in bake()
    other = tmp_path_factory.mktemp("scripts")  # which look for another room than the template has
    shutil.copy(test_kernel.ROOT / "kernel" / "bake.sh", other)
    room = (test_kernel.ROOT / "kernel" / "room.sh").read_text()
    (other / "room.sh").write_text(room.replace("room_marker=volant", "room_marker=another"))
    assert "has no room for an initramfs: build it anew" in bake(other)
    os.unlink(tmp_path / "bzImage-template")
    (tmp_path / "bzImage-template").write_bytes(bytes(4096))
    assert "does not unpack" in bake()


@pytest.mark.parametrize("packing", ["zstd", "lz4"])
def test_squashfs_as_the_image_says(images, packing):
    """User, groups, folder, environment, files of the machine; and nothing of how the root came about."""
    disk = images.squashfs(f"root.{packing}", packing=packing)
    out = boot(
        images, "ids", "env", "cat", "/etc/hosts", "cat", "/etc/hostname", "cat", "/etc/kept", "has", "/etc/resolv.conf",
        "has", "/", "has", "/run/app", "has", "/srv", "has", "/var/lib/volume", "has", "/init", "has", "/volant",
        "put", "/srv/mine", "text", "cat", "/srv/mine", "has", "/dev/null", "has", "/dev/pts/ptmx", "has", "/tmp",
        "cat", "/proc/mounts",
        disks=[(disk, "volant-root")],
        workload={"user": "app", "workdir": "/work/here", "env": {"A": "b c"}, "volumes": ["/srv", "/var/lib/volume"]})
    ended(out, 0)
    assert said(out, "ids") == ["0 1000:1001 groups 77"]
    assert said(out, "cwd") == ["/work/here"] and said(out, "name") == ["web"]
    assert {"A=b c", "HOME=/home/app"} <= set(said(out, "env"))
    assert said(out, "/etc/hosts") == ["127.0.0.1 localhost web", "::1 localhost"]
    assert said(out, "/etc/hostname") == ["web"] and said(out, "/etc/kept") == ["from the image"]
    assert said(out, "/srv/mine") == ["text"]
    has = dict(line.split(" ", 1) for line in said(out, "has"))
    assert has["/"] == "40751 0:0" and has["/run/app"] == "42770 1000:1001" and has["/srv"] == "40700 1000:1001"
    assert has["/etc/resolv.conf"].startswith("100644 ") and has["/var/lib/volume"].startswith("40755 ")
    assert has["/init"] == has["/volant"] == "no"
    assert has["/dev/null"].startswith("20666 ") and has["/dev/pts/ptmx"].startswith("20666 ")
    assert has["/tmp"].startswith("41777 ")
    mounts = [line.split() for line in said(out, "/proc/mounts")]
    assert sorted(m[1] for m in mounts) == sorted(
        ["/", "/proc", "/sys", "/dev", "/dev/pts", "/dev/shm", "/tmp", "/sys/fs/cgroup"])
    assert ["overlay"] == [m[2] for m in mounts if m[1] == "/"]


def test_an_overlay_in_memory_is_bounded_and_forgotten(images):
    """Of ext4 this time, whose image no boot changes."""
    disk = images.ext4("root.ext4")
    before = hashlib.sha256(disk.read_bytes()).hexdigest()
    for _ in range(2):
        out = boot(images, "add", "/etc/boots", "cat", "/etc/boots", "fill", "/big", "20",
                   disks=[(disk, "volant-root")], root={"fstype": "auto", "overlay_mb": 8})
        ended(out, 0)
        assert said(out, "/etc/boots") == ["boot"]
        assert 5 <= int(said(out, "fill")[0].split()[0]) <= 8
    assert hashlib.sha256(disk.read_bytes()).hexdigest() == before


def test_a_disk_of_its_own_keeps_and_grows(images):
    disk, data = images.squashfs("kept.squashfs"), images.data("data.ext4", 16)
    sizes = []
    for megabytes in (16, 16, 64):
        grow(data, megabytes)
        # The order of the disks is not what they are known by.
        out = boot(images, "add", "/etc/boots", "cat", "/etc/boots", "size", "/", "has", "/lost+found",
                   disks=[(data, "volant-data"), (disk, "volant-root")], root={"persistent": True})
        ended(out, 0)
        sizes.append(int(said(out, "size")[0].split()[1]))
        assert said(out, "/etc/boots") == ["boot"] * len(sizes)
        assert said(out, "has") == ["/lost+found no"]
    assert sizes[0] == sizes[1] < 16 and 50 < sizes[2] < 64
    subprocess.run(["e2fsck", "-p", "-f", data], stdout=subprocess.DEVNULL, check=False, timeout=60)
    subprocess.run(["e2fsck", "-n", "-f", data], stdout=subprocess.DEVNULL, check=True, timeout=60)


def test_the_init_of_the_image(images):
    """PID 1 is the image's: with an environment, a console, no signal blocked and no descriptor of ours."""
    words = entry("etc/init-words", b"ids status env cat /etc/hostname list /proc/self/fd")
    disk = images.squashfs("init.squashfs", words, folder("sbin"), symlink("sbin/init", "../bin/app"))
    out = boot(images, disks=[(disk, "volant-root")], root={"init": "/sbin/init"},
               workload={"env": {"A": "b c"}})
    assert "ROOT-done" in out and "volant: " not in out and "Kernel panic" not in out
    assert said(out, "ids") == ["1 0:0 groups"] and said(out, "status") == ["blocked 0 fds 3"]
    assert {"A=b c", "HOME=/", "TERM=linux"} < set(said(out, "env")) and said(out, "/etc/hostname") == ["web"]


def test_what_is_wrong_is_said_and_ends_the_machine(images):
    """One boot each, no second one: which disk, what is the matter, what helps."""
    good = images.squashfs("good.squashfs")
    cut, noise = images.path / "cut", images.path / "noise"
    cut.write_bytes(good.read_bytes()[:8192])
    noise.write_bytes(b"noise" * 100000)
    holed = images.path / "holed"
    holed.write_bytes(good.read_bytes()[:4096] + bytes(8192) + good.read_bytes()[12288:])
    hidden = images.squashfs("file-in-the-way.squashfs", entry("proc", b"no folder"))
    root = [(good, "volant-root")]
    table = [
        ([], {}, 125, ["root disk", "no disk", "volant-root"]),
        ([(good, "other")], {}, 125, ["root disk", "volant-root"]),
        ([(cut, "volant-root")], {}, 125, ["root disk", "/dev/vda", "damaged", "build"]),
        ([(noise, "volant-root")], {}, 125, ["root disk", "damaged or no squashfs"]),
        ([(noise, "volant-root")], {"root": {"fstype": "auto"}}, 125, ["root disk", "neither squashfs nor ext4"]),
        ([(noise, "volant-root")], {"root": {"fstype": "ext4"}}, 125, ["root disk", "damaged or no ext4"]),
        ([(holed, "volant-root")], {}, 126, ["workload.entrypoint", "/bin/app", "root disk is damaged"]),
        ([(hidden, "volant-root")], {}, 125, ["root disk", "/proc", "folder"]),
        (root, {"root": {"persistent": True}}, 125, ["data disk", "volant-data"]),
        (root + [(noise, "volant-data")], {"root": {"persistent": True}}, 125, ["data disk", "/dev/vdb", "e2fsck"]),
        (root, {"root": {"init": "/sbin/none"}}, 127, ["root.init", "/sbin/none"]),
        (root, {"root": {"init": "/etc/passwd"}}, 126, ["root.init", "0755"]),
        (root, {"root": {"fstype": "xfs"}}, 125, ["root.fstype", "squashfs"]),
        (root, {"workload": {"entrypoint": ["/bin/none"]}}, 127, ["workload.entrypoint", "/bin/none"]),
        (root, {"workload": {"user": "nobody-here"}}, 126, ["workload.user", "nobody-here"]),
    ]
    for disks, config, code, problem in table:
        ended(boot(images, disks=disks, **config), code, *problem)
