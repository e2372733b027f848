# SPDX-License-Identifier: Apache-2.0
"""What a VM's configuration has otherwise than its plugin: arguments of the kernel, and the medium it boots from."""
import json
import os

import pytest
from test_lifecycle import manifest_with


def checksum_of(path):
    with open(path, encoding="utf-8") as f:
        return json.load(f)["initramfs"]["checksum"]


def test_arguments_of_the_kernel(host, busybox, tmp_path):
    host.install(manifest_with(busybox, tmp_path, entrypoint=["/bin/busybox", "cat", "/proc/cmdline"]))
    host.volar("vms", "create", "web", "--plugin", "other", "--kernel-cmdline", " loglevel=3 greeting=hi", "--wait", "process")
    vm = host.wait_status("web", "stopped")
    assert vm["kernel_cmdline"].endswith(" loglevel=3 greeting=hi")
    assert " loglevel=3 greeting=hi volant.runtime=" in host.volar("vms", "logs", "web").stdout
    assert host.api("GET", "/api/v1/vms/web/config").json["config"]["kernel_cmdline"] == "loglevel=3 greeting=hi"
    assert host.api("PATCH", "/api/v1/vms/web/config", {"kernel_cmdline": "loglevel=4"}).status < 300
    host.volar("vms", "start", "web", "--wait", "process")
    assert host.wait_status("web", "stopped")["kernel_cmdline"].endswith(" loglevel=4")


@pytest.mark.parametrize("words", ["init=/bin/sh", "quiet rdinit=/x", "volant.plugin=x", "root=/dev/vdb", "--", "a=\"b c\"", "a\nb"])
def test_arguments_that_would_change_what_boots(host, busybox, words):
    host.install(busybox)
    for body in ({"kernel_cmdline": words}, {"config": {"kernel_cmdline": words}}):
        answer = host.api("POST", "/api/v1/vms", {"name": "web", "plugin": "busybox", "start": False} | body)
        assert answer.status == 400 and "kernel_cmdline" in answer.json["error"], answer.json
    assert host.vms() == []


def test_another_medium(host, nginx, busybox, tmp_path):
    """Its plugin's own has no busybox."""
    host.install(manifest_with(nginx, tmp_path, entrypoint=["/bin/busybox", "echo", "from the other one"]))
    host.install(busybox)
    medium = {"url": "/elsewhere/busybox.cpio.zst", "checksum": checksum_of(busybox)}
    assert host.api("POST", "/api/v1/vms", {"name": "web", "plugin": "other", "config": {"initramfs": medium}}).status < 300
    for _ in range(2):
        host.wait_status("web", "stopped")
        assert "from the other one" in host.volar("vms", "logs", "web").stdout
        host.stop()
        host.start()
        host.volar("vms", "start", "web", "--wait", "process")
    host.wait_status("web", "stopped")
    config = host.api("GET", "/api/v1/vms/web/config").json["config"]
    assert config["initramfs"] == medium and config["manifest"]["initramfs"]["checksum"] == checksum_of(nginx)
    # Whoever has nothing but the VM needs its medium all the same.
    host.volar("plugins", "remove", "busybox")
    host.volar("artifacts", "prune", "--all")
    assert checksum_of(busybox)[7:] in os.listdir(host.inside("artifacts", "sha256"))

    assert host.api("PATCH", "/api/v1/vms/web/config", {"initramfs": {}}).status < 300
    host.volar("vms", "start", "web", "--wait", "process")
    assert host.wait_status("web", "crashed")["exit_code"] == 127


def test_media_that_cannot_be(host, busybox):
    host.install(busybox)
    good = {"url": "/x", "checksum": checksum_of(busybox)}
    for config, status, words in [
            ({"initramfs": {"url": "/x"}}, 400, "initramfs.checksum"),
            ({"initramfs": good, "rootfs": good}, 400, "config.rootfs"),
            ({"initramfs": {"url": "x", "checksum": good["checksum"]}}, 400, "initramfs.url"),
            ({"rootfs": good | {"format": "vhd"}}, 400, "rootfs.format"),
            ({"initramfs": good | {"checksum": "sha256:" + 64 * "0"}}, 409, "PUT /api/v1/blobs/sha256:000")]:
        answer = host.api("POST", "/api/v1/vms", {"name": "web", "plugin": "busybox", "config": config, "start": False})
        assert answer.status == status and words in answer.json["error"], answer.json
    assert host.vms() == []


def test_what_has_no_effect_is_kept(host, busybox):
    """Scripts read back what they wrote."""
    host.install(busybox)
    kept = {"api": {"host": "192.0.2.1", "port": "7777"}, "devices": {"allowlist": ["8086:*"]},
            "network": {"mode": "bridged"}, "cloud_init": {"datasource": "NoCloud"}}
    answer = host.api("POST", "/api/v1/vms", {"name": "web", "plugin": "busybox", "config": kept, "start": False})
    assert answer.status == 201 and len(answer.headers.get_all("Volant-Warning")) == 4
    config = host.api("GET", "/api/v1/vms/web/config").json["config"]
    assert {key: config[key] for key in kept} == kept
    assert host.api("PATCH", "/api/v1/vms/web/config", {"api": {"port": "1"}, "network": {}}).status < 300
    config = host.api("GET", "/api/v1/vms/web/config").json["config"]
    assert config["api"] == {"host": "192.0.2.1", "port": "1"} and "network" not in config


def test_numbers_that_were_never_set(host, busybox):
    """The original's clients send the whole configuration."""
    host.install(busybox)
    host.volar("vms", "create", "web", "--plugin", "busybox", "--cpu", "2", "--memory", "96", "--no-start")
    zeros = {"runtime": "", "resources": {"cpu_cores": 0, "memory_mb": 0}, "api": {}, "metadata": {"a": 1}}
    assert host.api("PATCH", "/api/v1/vms/web/config", zeros).status < 300
    assert (host.vm("web")["cpu_cores"], host.vm("web")["memory_mb"]) == (2, 96)


def test_an_archive_of_the_command_line(host, nginx, busybox, tmp_path):
    """It is sent, as `plugins install` does."""
    host.install(manifest_with(nginx, tmp_path, entrypoint=["/bin/busybox", "echo", "from the archive"]))
    with open(busybox, encoding="utf-8") as f:
        archive = os.path.join(os.path.dirname(busybox), json.load(f)["initramfs"]["url"])
    create = ("vms", "create", "web", "--plugin", "other", "--wait", "process", "--initramfs")
    for words, said in [((str(tmp_path / "none"),), "No such file"), ((str(tmp_path),), "no regular file"),
                        (("https://192.0.2.1/x",), "its checksum is needed"),
                        ((archive, "--initramfs-checksum", "sha256:" + 64 * "0"), "checksum")]:
        done = host.volar(*create, *words, check=False)
        assert done.returncode == 1 and "--initramfs" in done.stderr and said in done.stderr, done.stderr
    assert host.volar(*create[:-1], "--initramfs-checksum", "x", check=False).returncode == 2
    assert host.vms() == []
    host.volar(*create, archive, "--initramfs-checksum", checksum_of(busybox))
    host.wait_status("web", "stopped")
    assert "from the archive" in host.volar("vms", "logs", "web").stdout


def test_replicas_boot_from_another_medium(host, nginx, busybox, tmp_path):
    host.install(manifest_with(nginx, tmp_path, entrypoint=["/bin/busybox", "sleep", "600"]))
    host.install(busybox)
    config = {"plugin": "other", "initramfs": {"url": "/x", "checksum": checksum_of(busybox)}, "kernel_cmdline": "loglevel=3"}
    answer = host.api("POST", "/api/v1/deployments?wait=ready", {"name": "web", "replicas": 1, "config": config})
    assert answer.status == 201 and answer.json["ready_replicas"] == 1, answer.json
    assert host.vm("web-1")["kernel_cmdline"].endswith(" loglevel=3")
    host.volar("plugins", "remove", "busybox")
    host.volar("deployments", "scale", "web", "0")
    host.volar("artifacts", "prune", "--all")
    answer = host.api("PATCH", "/api/v1/deployments/web?wait=ready", {"replicas": 1})  # its medium is still there
    assert answer.status == 200 and answer.json["ready_replicas"] == 1, answer.json
