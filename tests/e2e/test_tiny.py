# SPDX-License-Identifier: Apache-2.0
"""Guests without an agent, and kernels that a client names: only below the folders that the host's owner names."""
import json
import os
import shutil

import appliance
import pytest
import volant
from volant import says

LINE = "tiny guest is up"


def body(name="t", **config):
    return {"name": name, "plugin": "tiny", "config": config}


def test_a_kernel_is_all_there_is(tiny_host, tiny):
    host = tiny_host
    host.volar("vms", "create", "t", "--plugin", "tiny", "--kernel", tiny.kernel, "--wait", "ready")
    vm = host.vm("t")
    assert vm["status"] == "running" and vm["ready"] is True and vm["memory_mb"] == 48 and vm["pid"] > 0
    assert "lapic_khz" not in vm["kernel_cmdline"]
    volant.wait_until(lambda: LINE in host.volar("vms", "logs", "t").stdout, 30)
    folder, record = host.folder("t"), host.run_record("t")
    assert "initrd" not in os.listdir(folder)

    assert host.volar("vms", "stop", "t").stdout == "VM t stopped\n"
    assert host.vm("t")["status"] == "stopped" and not volant.alive(record["vmm"]["pid"])
    with open(os.path.join(folder, "exit.json"), encoding="utf-8") as f:
        assert json.load(f)["code"] == 0  # its VMM was asked to quit, and did
    host.volar("vms", "start", "t", "--wait", "ready")
    host.volar("vms", "restart", "t", "--wait", "ready")

    pid = host.vm("t")["pid"]
    host.kill()
    host.start()
    assert volant.wait_until(lambda: (v := host.vm("t"))["ready"] and v, 10)["pid"] == pid  # adopted
    host.volar("vms", "delete", "t")
    assert host.vms() == [] and not os.path.exists(folder) and not volant.alive(pid)


def test_a_machine_that_ends_by_itself_is_stopped(tiny_host, tiny):
    host = tiny_host
    assert host.api("POST", "/api/v1/vms", body(kernel_override=tiny.ending)).status == 201
    vm = host.wait_status("t", "stopped")
    assert "exit_code" not in vm and "pid" not in vm
    assert LINE in host.volar("vms", "logs", "t").stdout


def test_an_initramfs_without_an_agent_gets_no_configuration(tiny_host, tiny, tmp_path):
    host = tiny_host
    blob = appliance.archive({"init": b"anything"})
    path = tmp_path / "app.cpio"
    path.write_bytes(blob)
    manifest = appliance.manifest_of(blob, str(path), agent="none", restart="always")
    del manifest["workload"]
    with open(tmp_path / "m.json", "w", encoding="utf-8") as f:
        json.dump(manifest, f)
    host.install(str(tmp_path / "m.json"))
    host.volar("vms", "create", "t", "--plugin", "app", "--kernel", tiny.kernel, "--wait", "running")
    with open(os.path.join(host.folder("t"), "initrd"), "rb") as f:
        got = f.read()
    assert got.startswith(blob) and b"config.json" not in got


def test_kernels_of_clients_are_off_by_default(host, tiny):
    host.install(tiny.manifest)
    answer = host.api("POST", "/api/v1/vms", body(kernel_override=tiny.kernel))
    assert answer.status == 400, answer
    says(answer.json["error"], ["config.kernel_override", tiny.kernel[:40], "VOLANT_KERNEL_DIRS"])
    answer = host.api("POST", "/api/v1/vms", body())
    assert answer.status == 400, answer
    says(answer.json["error"], ["config.kernel_override is missing", "tiny"])
    assert host.vms() == []


@pytest.fixture
def dirs(tmp_path, tiny):
    """Two folders in which kernels may be, and what is beside them."""
    for name in ("one", "two/below", "outside"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("one/good", "two/below/good", "outside/kernel", "one/secret"):
        shutil.copy(tiny.kernel, tmp_path / name)
    (tmp_path / "one" / "secret").chmod(0o600)
    os.mkfifo(tmp_path / "one" / "pipe")
    for link, target in (("one/out", "../outside/kernel"), ("one/absolute", str(tmp_path / "one/good")),
                         ("one/through", "../outside"), ("one/inside", "good"), ("one/loop", "loop"),
                         ("two/up", "below/../below/good")):
        os.symlink(target, tmp_path / link)
    return tmp_path


BAD = [
    ("outside/kernel", "none of the folders"), ("one", "none of the folders|no regular file"),
    ("one/", "no regular file"), ("two/below", "no regular file"), ("one/none", "No such file"),
    ("one/../outside/kernel", "leads out"), ("one/../one/good", "leads out"), ("one/out", "leads out"),
    ("one/absolute", "leads out"), ("one/through/kernel", "leads out"), ("one/loop", "symbolic links|leads out"),
    ("one/pipe", "no regular file"), ("onegood", "none of the folders"), ("one/good/x", "Not a directory"),
]


def test_only_what_is_below_the_folders_is_opened(dirs, tiny):
    with volant.Host(VOLANT_KERNEL_DIRS=f"{dirs}/one/:{dirs}/two") as host:
        host.install(tiny.manifest)
        bad = BAD + ([("one/secret", "chmod 0644")] if os.geteuid() == 0 else [])
        for path, why in bad:
            answer = host.api("POST", "/api/v1/vms", body(kernel_override=f"{dirs}/{path}"))
            assert answer.status == 400, (path, answer)
            says(answer.json["error"], ["config.kernel_override", why])
        for path in ("relative", "/", "/etc/passwd", "/proc/self/exe"):
            assert host.api("POST", "/api/v1/vms", body(kernel_override=path)).status == 400, path
        assert host.vms() == []
        for i, path in enumerate(("one/good", "one//good", "two/below/good", "one/inside", "two/up")):
            answer = host.api("POST", "/api/v1/vms?wait=running", body(f"t{i}", kernel_override=f"{dirs}/{path}"))
            assert answer.status == 201 and answer.json["status"] == "running", (path, answer)


def test_each_launch_looks_again(dirs, tiny):
    with volant.Host(VOLANT_KERNEL_DIRS=f"{dirs}/one") as host:
        host.install(tiny.manifest)
        assert host.api("POST", "/api/v1/vms", body(kernel_override=f"{dirs}/one/good")).status == 201
        host.volar("vms", "stop", "t")
        os.unlink(dirs / "one" / "good")
        os.symlink("../outside/kernel", dirs / "one" / "good")
        host.api("POST", "/api/v1/vms/t/start")
        vm = host.wait_status("t", "failed")
        says(vm["reason"], ["config.kernel_override", "leads out"])


def test_manifests_without_an_agent(host):
    manifest = {"name": "a", "version": "1", "agent": "none"}
    bad = [({"agent": "other"}, ["agent", "kestrel, none"]), ({"agent": "kestrel"}, ["initramfs.url"]),
           ({"initramfs": {"url": "/x"}}, ["initramfs.checksum"]),
           ({"workload": {"type": "exec"}}, ["workload.entrypoint"])]
    for keys, words in bad:
        answer = host.api("POST", "/api/v1/plugins", manifest | keys)
        assert answer.status == 400, answer
        says(answer.json["error"], words)
    assert host.api("POST", "/api/v1/plugins", manifest).status == 201
    stored = host.api("GET", "/api/v1/plugins/a").json
    assert stored["agent"] == "none" and stored["workload"] == {}
    assert host.api("POST", "/api/v1/plugins", stored).status == 201  # what was returned can be sent again
