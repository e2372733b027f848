# SPDX-License-Identifier: Apache-2.0
"""VMs of a disk image, from an OCI image to a page: what stays, what grows, what is refused, what is damaged, and what
there is where nobody of ours is in the guest."""
import json
import os
import subprocess

import appliance
import pytest
import volant
from oci_image import entry, folder
from test_oci_build import Fledge
from volant import says

READY_S = 120  # of a boot on a busy host
MB = 1 << 20


@pytest.fixture(scope="module")
def keeper(tmp_path_factory):
    """fledge's folder with the plugin `keeper`, built of an OCI layout."""
    fledge = Fledge(tmp_path_factory.mktemp("rootfs"))
    program = appliance.read(appliance.compile_guest(os.path.dirname(fledge.dir), "keeper"))
    fledge.layout("keeper").image([[folder("bin"), entry("bin/keeper", program, mode=0o755), folder("var")]],
                                  {"Entrypoint": ["/bin/keeper"], "Cmd": ["image"], "ExposedPorts": {"80/tcp": {}}})
    fledge.build("./keeper")
    return fledge


def manifest_with(keeper, name, **keys):
    """The manifest of the same image under another name and with other keys: its path."""
    path = keeper.path(name + ".manifest.json")
    changed = keeper.manifest("keeper") | {"name": name, "runtime": name} | keys
    changed.pop("labels", None)
    with open(path, "w", encoding="utf-8") as f:
        json.dump(changed, f)
    return path


def page(host, name):
    """[visits, megabytes of the file system] as the guest says."""
    volant.wait_until(lambda: host.vm(name)["ready"] or host.vm(name)["status"] in ("failed", "crashed"), READY_S)
    status, body = volant.fetch(host.vm(name)["ports"][0]["host_port"], timeout=30)
    assert status == 200
    return [int(n) for n in body.split()]


def create(host, name, *args, plugin="keeper", **how):
    return host.volar("vms", "create", name, "--plugin", plugin, "-p", "80", "-m", "96", *args, **how)


def disk_of(host, name):
    return os.path.join(host.folder(name), "data.ext4")


def test_a_page_and_nothing_of_it_stays(host, keeper):
    """Installed as fledge wrote it; one image for all VMs, which change nothing in it and keep nothing."""
    manifest = keeper.path("keeper.manifest.json")
    host.install(manifest)
    stored = host.api("GET", "/api/v1/plugins/keeper").json
    assert stored["rootfs"]["format"] == "raw" and stored["rootfs"]["fstype"] == "squashfs"
    blob = host.inside("artifacts", "sha256", stored["rootfs"]["checksum"].removeprefix("sha256:"))
    before = appliance.read(blob)
    assert before == appliance.read(keeper.path("keeper.squashfs"))
    create(host, "one")
    create(host, "two")
    assert page(host, "one")[0] == 1 and page(host, "two")[0] == 1 and page(host, "one")[0] == 2
    assert not os.path.exists(disk_of(host, "one"))
    assert "keeper of image" in host.volar("vms", "logs", "one").stdout
    assert os.path.getsize(os.path.join(host.folder("one"), "initrd")) < 16384  # the configuration alone
    host.volar("vms", "restart", "one", "--wait", "ready")
    assert page(host, "one")[0] == 1
    host.volar("vms", "delete", "one")
    assert page(host, "two")[0] == 2 and os.path.exists(blob)
    host.volar("vms", "delete", "two")
    assert appliance.read(blob) == before
    host.volar("plugins", "remove", "keeper")
    volant.wait_until(lambda: not os.path.exists(blob), 20)


def test_its_own_disk_stays_and_grows(host, keeper):
    """Over restarts and volantd's end; larger when it is told so, never smaller; gone with the VM."""
    host.install(keeper.path("keeper.manifest.json"))
    config = {"expose": [{"port": 80}], "disk_mb": 64, "resources": {"memory_mb": 96}}
    made = host.api("POST", "/api/v1/deployments", {"name": "web", "plugin": "keeper", "replicas": 1, "config": config})
    assert made.status == 201, made
    count, before = page(host, "web-1")
    assert count == 1 and before <= 64
    path = disk_of(host, "web-1")
    assert os.stat(path).st_size == 64 * MB and os.stat(path).st_blocks * 512 < 32 * MB  # sparse
    host.volar("vms", "restart", "web-1", "--wait", "ready")
    assert page(host, "web-1") == [2, before]
    host.stop()
    host.start()
    assert page(host, "web-1")[0] == 3
    grown = host.api("PATCH", "/api/v1/deployments/web", {"config": {"disk_mb": 256}})
    assert grown.status == 200, grown
    volant.wait_until(lambda: os.stat(path).st_size == 256 * MB, READY_S)
    host.wait_status("web-1", "running", timeout=READY_S)
    count, after = page(host, "web-1")
    assert count == 4 and after > before + 128 and disk_of(host, "web-1") == path
    for megabytes, words in ((32, ["disk_mb", "32", "64"]), (1 << 40, ["disk_mb"]), (100, ["disk_mb", "100", "256"])):
        answer = host.api("PATCH", "/api/v1/deployments/web", {"config": {"disk_mb": megabytes}})
        assert answer.status == 400, answer
        says(answer.body.decode(), words)
    assert page(host, "web-1")[0] == 5 and os.stat(path).st_size == 256 * MB
    host.volar("deployments", "delete", "web")
    volant.wait_until(lambda: not os.path.exists(path), READY_S)


def test_what_is_refused(host, keeper, hello):
    """With field and remedy, and nothing is left of it."""
    host.install(keeper.path("keeper.manifest.json"))
    host.install(hello)
    done = host.volar("vms", "create", "x", "--plugin", "hello", "--disk-size", "1G", check=False)
    assert done.returncode and "disk_mb" in done.stderr and "hello" in done.stderr
    for size in ("1M", "0", "17T", "-1G", "2X", "", "1.5G", "99999999999999999999G"):
        done = host.volar("vms", "create", "x", "--plugin", "keeper", f"--disk-size={size}", check=False)
        assert done.returncode and "--disk-size" in done.stderr and "64M" in done.stderr, size
    done = host.volar("vms", "create", "x", "--plugin", "keeper", "-m", "16", check=False)
    assert done.returncode
    image = keeper.manifest("keeper")["rootfs"]
    for rootfs, words in (
            (image | {"format": "qcow2"}, ["rootfs.format", "qcow2", "raw"]),
            (image | {"fstype": "xfs"}, ["rootfs.fstype", "xfs", "squashfs"]),
            (image | {"checksum": "sha256:" + "0" * 64}, ["rootfs.checksum", "fledge build"]),
            (image | {"url": "nothing.squashfs"}, ["rootfs.url", "nothing.squashfs"]),
            (image | {"url": "ftp://example.invalid/x"}, ["rootfs.url", "https"]),
            (image | {"init": "sbin/init"}, ["rootfs.init", "absolute"])):
        done = host.volar("plugins", "install", "--manifest", manifest_with(keeper, "bad", rootfs=rootfs), check=False)
        assert done.returncode, rootfs
        says(done.stderr, words)
    assert host.vms() == [] and "bad" not in host.volar("plugins", "list").stdout


def test_a_damaged_image_and_a_damaged_disk_say_so(host, keeper):
    """One clear line, the VM's reason, and no second boot."""
    damaged = keeper.path("damaged.squashfs")
    with open(damaged, "wb") as f:
        f.write(b"\xff" * (1 << 20))
    image = {"url": damaged, "format": "raw", "fstype": "squashfs"}
    host.install(manifest_with(keeper, "damaged", rootfs=image))
    done = create(host, "one", plugin="damaged", check=False)
    says(done.stderr, ["root disk", "squashfs", "damaged", "install it"])
    vm = host.vm("one")
    assert vm["status"] == "failed" and "root disk" in vm["reason"]
    assert host.volar("vms", "logs", "one").stdout.count("volant: root disk") == 1
    host.install(keeper.path("keeper.manifest.json"))
    create(host, "two", "--disk-size", "64M")
    assert page(host, "two")[0] == 1
    host.volar("vms", "stop", "two")
    with open(disk_of(host, "two"), "r+b") as f:
        f.write(b"\xff" * MB)
    assert host.volar("vms", "start", "two", check=False).returncode
    vm = host.vm("two")
    assert vm["status"] == "failed"
    says(vm["reason"], ["data disk", "ext4", "e2fsck"])
    assert os.path.exists(disk_of(host, "two"))  # for whoever can still read it


def test_without_an_agent(host, keeper):
    """PID 1 of the image's own: running means that the VMM runs, and what cannot be had is said."""
    rootfs = keeper.manifest("keeper")["rootfs"] | {"init": "/bin/keeper"}
    host.install(manifest_with(keeper, "alone", rootfs=rootfs, agent="none"))
    create(host, "one", plugin="alone")
    host.wait_status("one", "running", timeout=READY_S)
    port = host.vm("one")["ports"][0]["host_port"]

    def visit():
        try:
            return volant.fetch(port, timeout=10)[1]
        except OSError:
            return None

    assert volant.wait_until(visit, 30, every=0.2).split()[0] == b"1"
    done = host.volar("vms", "logs", "one", check=False)
    assert "keeper of" in done.stdout + done.stderr  # the console is all there is
    host.volar("vms", "delete", "one")


def test_without_the_kernel_for_it(keeper, tmp_path):
    """Refused when a VM is created, and volar doctor knows."""
    os.symlink(os.path.join(volant.BUILD, "kernel", "vmlinux-generic"), tmp_path / "vmlinux-generic")
    with volant.Host(VOLANT_KERNEL_VMLINUX=str(tmp_path / "vmlinux-generic")) as host:
        host.install(keeper.path("keeper.manifest.json"))
        done = create_refused(host)
        says(done.stderr, ["bzImage-volant", "make kernel"])
        assert host.vms() == []
        says(host.volar("doctor", check=False).stdout, ["rootfs kernel", "bzImage-volant"])
    with volant.Host() as host:
        assert "bzImage-volant" in host.volar("doctor", check=False).stdout


def create_refused(host):
    done = host.volar("vms", "create", "x", "--plugin", "keeper", check=False)
    assert done.returncode
    return done
