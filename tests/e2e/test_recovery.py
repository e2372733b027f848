# SPDX-License-Identifier: Apache-2.0
"""Whatever happened to the registry or the host: what runs is found, what is gone is known, and `volar doctor` mends
the rest."""
import contextlib
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import time

import appliance
import pytest
import volant
from volant import says

BOOT_S = 90  # the machine may be busy


def copy_registry(host, folder):
    """What somebody keeps as a backup, made while everything runs."""
    host.volar("system", "backup", os.path.join(folder, "copy.db"), "--force")
    return os.path.join(folder, "copy.db")


def put_back(host, copy):
    """With volantd stopped: the registry becomes the copy, by cp, as somebody in a hurry does it."""
    for extra in ("-wal", "-shm"):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(host.inside("state.db" + extra))
    shutil.copyfile(copy, host.inside("state.db"))


def change_registry(host, *statements):
    with contextlib.closing(sqlite3.connect(host.inside("state.db"))) as db, db:
        for statement in statements:
            db.execute(statement)


def check(host):
    answer = host.api("GET", "/api/v1/system/check")
    assert answer.status == 200, answer
    return answer.json["findings"]


def kinds(host):
    return sorted(f["kind"] for f in check(host))


def of_kind(findings, kind):
    found = [f for f in findings if f["kind"] == kind]
    assert len(found) == 1, findings
    assert all(found[0][k] for k in ("object", "detail", "remedy")), found
    return found[0]


@pytest.fixture
def tiny_vm(tiny_host, tiny):
    """Makes a VM of a guest that costs milliseconds."""
    def create(name, *args):
        tiny_host.volar("vms", "create", name, "--plugin", "tiny", "--kernel", tiny.kernel, "--wait", "running", *args)
        return tiny_host.vm(name)

    return create


# --- an older registry -------------------------------------------------------------------------------------------------

def test_a_registry_that_says_stopped_learns_that_it_runs(busybox_host, tmp_path):
    host = busybox_host
    port = host.create("web", "busybox")
    host.volar("vms", "stop", "web")
    copy = copy_registry(host, tmp_path)
    host.volar("vms", "start", "web", "--wait", "ready")
    before = host.vm("web")
    host.kill()
    put_back(host, copy)
    host.start()
    after = volant.wait_until(lambda: (v := host.vm("web"))["ready"] and v, 30)
    assert (after["status"], after["pid"], after["id"]) == ("running", before["pid"], before["id"])
    assert volant.fetch(port)[0] == 200
    assert "the registry is corrected" in host.logged()
    assert kinds(host) == []
    host.volar("vms", "stop", "web")  # its agent answers: it is a VM as any other
    assert not volant.alive(before["pid"])


def test_a_registry_of_an_earlier_boot_learns_of_this_one(busybox_host, tmp_path):
    host = busybox_host
    port = host.create("web", "busybox")
    copy = copy_registry(host, tmp_path)
    first = host.vm("web")["pid"]
    host.volar("vms", "restart", "web", "--wait", "ready")
    pid = host.vm("web")["pid"]
    assert pid != first
    host.kill()
    put_back(host, copy)
    host.start()
    after = volant.wait_until(lambda: (v := host.vm("web"))["ready"] and v, 30)
    assert (after["status"], after["pid"]) == ("running", pid) and volant.fetch(port)[0] == 200
    with open(os.path.join(host.folder("web"), "run.json"), encoding="utf-8") as f:
        boot = json.load(f)["boot"]
    host.stop()
    with contextlib.closing(sqlite3.connect(host.inside("state.db"))) as db:
        assert db.execute("SELECT boot, status, desired FROM vms").fetchall() == [(boot, "running", "running")]
        assert db.execute("SELECT count(*) FROM events WHERE type = 'VM_ADOPTED'").fetchone() == (1,)
    host.start()


def test_strangers_are_reported_taken_in_and_whole_again(busybox_host, tmp_path):
    host = busybox_host
    copy = copy_registry(host, tmp_path)
    port = host.create("web", "busybox")
    before = host.vm("web")
    host.stop()
    put_back(host, copy)
    host.start()
    assert host.vms() == []
    stranger = of_kind(check(host), "stranger")
    assert stranger["fixable"] is True and stranger["level"] == "fail" and stranger["since"].startswith("20")
    assert (stranger["id"], stranger["name"], stranger["pid"]) == (before["id"], "web", before["pid"])
    told = host.volar("doctor", check=False)
    assert told.returncode == 1
    says(told.stdout, ["FAIL", "VM 'web'", str(before["pid"]), "record is complete", "volar doctor --fix"])
    assert volant.fetch(port)[0] == 200 and host.vms() == []  # left alone until told

    told = host.volar("doctor", "--fix")
    says(told.stdout, ["ok", "VM 'web'", "taken into the registry"])
    after = volant.wait_until(lambda: (v := host.vm("web"))["ready"] and v, 30)
    for key in ("id", "pid", "ip_address", "mac_address", "ports", "plugin", "cpu_cores", "memory_mb", "created_at",
                "kernel_cmdline"):
        assert after[key] == before[key], key
    assert volant.fetch(port)[0] == 200 and host.volar("doctor").returncode == 0
    assert host.api("GET", "/api/v1/system/info").json["strangers"] == 0
    answer = host.api("POST", "/api/v1/vms", {"name": "x", "plugin": "busybox",
                                              "config": {"expose": [{"port": 80, "host_port": port}]}})
    assert answer.status == 409 and "web" in answer.json["error"], answer  # its port is its own again
    host.volar("vms", "restart", "web", "--wait", "ready")
    assert volant.fetch(port)[0] == 200
    host.kill()
    host.start()
    assert host.wait_status("web", "running")["id"] == before["id"]
    host.volar("vms", "delete", "web")
    assert not os.listdir(host.inside("vms"))


def test_strangers_that_cannot_be_taken_in_are_ended_only_when_told(busybox_host, tmp_path):
    host = busybox_host
    copy = copy_registry(host, tmp_path)
    port = host.create("web", "busybox")
    old, folder = host.run_record("web"), host.folder("web")
    host.stop()
    put_back(host, copy)
    host.start()
    host.create("web", "busybox")
    done = host.volar("doctor", "--fix", "-o", "json", check=False)
    assert done.returncode == 1
    stranger = of_kind([c for c in json.loads(done.stdout) if "kind" in c], "stranger")
    says(stranger["detail"], ["another VM is called 'web'"])
    says(stranger["remedy"], ["--end-strangers"])
    assert stranger["fixable"] is False and stranger["result"] == "fail" and "done" not in stranger
    assert volant.alive(old["vmm"]["pid"]) and volant.fetch(port)[0] == 200
    done = host.volar("doctor", "--fix", "--end-strangers")
    says(done.stdout, ["ended, and its folder removed"])
    assert not volant.alive(old["vmm"]["pid"]) and not volant.alive(old["shim"]["pid"])
    assert not os.path.exists(folder) and host.vm("web")["status"] == "running"
    assert host.volar("doctor").returncode == 0


def test_a_stranger_is_ended_as_a_stop_would(busybox, host, tmp_path):
    """Its workload gets its SIGTERM and its time."""
    from test_lifecycle import manifest_with
    script = "trap 'echo farewell; exit 0' TERM; echo begun; while :; do busybox sleep 1; done"
    host.install(manifest_with(busybox, tmp_path, entrypoint=["/bin/busybox", "sh", "-c", script]))
    copy = copy_registry(host, tmp_path)
    host.volar("vms", "create", "x", "--plugin", "other", "--wait", "ready")
    volant.wait_until(lambda: "begun" in host.volar("vms", "logs", "x").stdout, BOOT_S)
    folder = host.folder("x")
    console, vm_json = os.path.join(folder, "console.log"), os.path.join(folder, "vm.json")
    with open(vm_json, encoding="utf-8") as f:
        note = json.load(f)
    del note["record"]  # as an older volantd left it
    with open(vm_json, "w", encoding="utf-8") as f:
        json.dump(note, f)
    kept = os.open(console, os.O_RDONLY)
    try:
        host.stop()
        put_back(host, copy)
        host.start()
        says(of_kind(check(host), "stranger")["detail"], ["older volantd", "no record"])
        host.volar("doctor", "--fix", "--end-strangers")
        with os.fdopen(os.dup(kept), "rb") as f:
            assert b"workload exited code=0" in f.read()
    finally:
        os.close(kept)
    assert not os.path.exists(folder) and host.vms() == []


# --- the host and its clock --------------------------------------------------------------------------------------------

@pytest.mark.parametrize("restart", ["no", "always"])
def test_after_a_restart_of_the_host(tiny_host, tiny, restart):
    """run.json is of another boot of the host: whoever has that pid now, it is gone."""
    host = tiny_host
    answer = host.api("POST", "/api/v1/vms?wait=running", {"name": "t", "plugin": "tiny", "config": {
        "kernel_override": tiny.kernel, "restart": restart}})
    assert answer.status == 201, answer
    record, path = host.run_record("t"), os.path.join(host.folder("t"), "run.json")
    pid = record["vmm"]["pid"]
    host.kill()
    for who in ("vmm", "shim"):
        os.kill(record[who]["pid"], signal.SIGKILL)
    volant.wait_until(lambda: not volant.alive(pid), 10)
    with subprocess.Popen(["sleep", "600"]) as other:  # lives under the pid that the VMM had
        try:
            with open(f"/proc/{other.pid}/stat", encoding="ascii") as f:
                start = int(f.read().rsplit(")", 1)[1].split()[19])
            record |= {"host_boot_id": "00000000-0000-0000-0000-000000000000",
                       "vmm": {"pid": other.pid, "start": start}, "shim": {"pid": other.pid, "start": start}}
            with open(path, "w", encoding="utf-8") as f:
                json.dump(record, f)
            host.start()
            if restart == "always":
                vm = volant.wait_until(lambda: (v := host.vm("t"))["status"] == "running" and v["pid"] != pid and v, 60)
                assert vm["pid"] != other.pid and vm["restarts"] == 1
            else:
                says(host.wait_status("t", "crashed")["reason"], ["host was restarted"])
            assert volant.alive(other.pid)
        finally:
            other.kill()


def test_a_clock_that_jumped_back_delays_nothing_for_long(tiny_host, tiny_vm):
    """A VM waits for its next try until a time that has become a year away."""
    host = tiny_host
    tiny_vm("t")
    host.volar("vms", "stop", "t")
    host.stop()
    later = int((time.time() + 365 * 86400) * 1000)
    change_registry(host, f"UPDATE vms SET status = 'pending', desired = 'running', not_before_ms = {later},"
                          f" created_ms = {later}, updated_ms = {later}, started_ms = {later}")
    host.env["VOLANT_RESTART_DELAY"] = "1"
    host.start()
    assert host.vm("t")["status"] == "pending"
    assert "stuck" not in kinds(host)
    host.volar("vms", "start", "t", "--wait", "running")  # nobody has to wait for the minute that it may take
    pid = host.vm("t")["pid"]
    host.kill()
    change_registry(host, f"UPDATE vms SET updated_ms = {later}, started_ms = {later}")
    host.start()
    assert host.wait_status("t", "running")["pid"] == pid
    host.volar("vms", "stop", "t")


# --- drift -------------------------------------------------------------------------------------------------------------

def orphan_artifact(host, digest):
    """One of nobody, which has been there for long: its path."""
    path = host.inside("artifacts", "sha256", digest)
    with open(path, "wb") as f:
        f.write(b"x")
    os.utime(path, (1000, 1000))
    return path


def test_every_kind_of_drift(tiny_host, tiny, tiny_vm, busybox, tmp_path):
    host = tiny_host
    tiny_vm("gone")
    host.install(busybox)
    manifest = json.loads(host.volar("plugins", "show", "busybox").stdout)
    assert host.volar("doctor").returncode == 0 and kinds(host) == []

    # rows of no VM
    host.stop()
    change_registry(host, "PRAGMA foreign_keys = OFF", "INSERT INTO ip_allocations (address, vm_id) VALUES (42, 4711)",
                    "INSERT INTO vm_ports (vm_id, protocol, host_ip, host_port, port, name)"
                    " VALUES (4711, 'tcp', '127.0.0.1', 1, 1, '')")
    swept = orphan_artifact(host, "34" * 32)
    host.start()
    volant.wait_until(lambda: not os.path.exists(swept), 30)  # of a start: what comes now is not its
    says(of_kind(check(host), "rows")["detail"], ["1 leases", "1 ports"])
    # a folder of no VM, and the folder of one that runs
    os.makedirs(host.inside("vms", "4711", "x"))
    os.rename(host.folder("gone"), os.path.join(host.dir, "away"))
    # an artifact of nobody, and one that is missing
    orphan, missing = "12" * 32, manifest["initramfs"]["checksum"].split(":")[1]
    path = orphan_artifact(host, orphan)
    appliance_file = host.inside("artifacts", "sha256", missing)
    os.rename(appliance_file, os.path.join(host.dir, "blob"))

    found = check(host)
    assert sorted(f["kind"] for f in found) == ["artifact", "artifact_missing", "folder", "folder_gone", "rows"]
    assert {f["kind"]: f["fixable"] for f in found} == {"artifact": True, "artifact_missing": False, "folder": True,
                                                       "folder_gone": False, "rows": True}
    assert {f["kind"] for f in found if f["level"] == "fail"} == {"artifact_missing", "folder_gone"}
    says(of_kind(found, "artifact_missing")["object"], ["plugin 'busybox'"])
    says(of_kind(found, "folder_gone")["remedy"], ["volar vms restart gone"])
    told = host.volar("doctor", check=False)
    assert told.returncode == 1 and told.stdout.count("FAIL") == 2 and told.stdout.count("drift") == 5

    told = host.volar("doctor", "--fix", check=False)
    assert told.returncode == 1 and told.stdout.count("FAIL") == 2 and told.stdout.count("removed") >= 3
    volant.wait_until(lambda: not os.path.exists(path), 10)
    assert not os.path.exists(host.inside("vms", "4711"))
    assert kinds(host) == ["artifact_missing", "folder_gone"]
    # the remedies that were named
    host.install(busybox)
    host.volar("vms", "restart", "gone", "--wait", "running")
    assert kinds(host) == [] and host.volar("doctor").returncode == 0
    shutil.rmtree(os.path.join(host.dir, "away"))


def test_a_vm_whose_folder_does_not_tell_of_it(tiny_host, tiny_vm):
    """It is found by its user all the same, and ended with its VM."""
    host = tiny_host
    pid = tiny_vm("t")["pid"]
    folder = host.folder("t")
    for damage in (lambda: os.unlink(os.path.join(folder, "run.json")),
                   lambda: volant.write(os.path.join(folder, "run.json"), "{"), lambda: shutil.rmtree(folder)):
        host.kill()
        damage()
        before = host.logged().count("vm=t adopted")
        host.start()
        volant.wait_until(lambda b=before: host.logged().count("vm=t adopted") > b, 30)
        assert (host.vm("t")["status"], host.vm("t")["pid"]) == ("running", pid), host.logged()
    assert kinds(host) == ["folder_gone"]
    host.volar("vms", "delete", "t")
    volant.wait_until(lambda: not volant.alive(pid), 10)


def test_a_vmm_that_died_unseen(tiny_host, tiny_vm):
    """While volantd was away, with its shim: there is nobody to say why, and no sockets are left that look alive."""
    host = tiny_host
    tiny_vm("t")
    record, folder = host.run_record("t"), host.folder("t")
    host.kill()
    for who in ("shim", "vmm"):
        os.kill(record[who]["pid"], signal.SIGKILL)
    volant.wait_until(lambda: not volant.alive(record["vmm"]["pid"]), 10)
    assert os.path.exists(os.path.join(folder, "qmp"))
    host.start()
    says(host.wait_status("t", "crashed")["reason"], ["could not say why"])
    assert not {"ctl", "sync", "qmp", "console.sock"} & set(os.listdir(folder)) and kinds(host) == []


def test_bad_repairs_change_nothing(host):
    for body in ('{"end_strangers": "yes"}', "[]", "{", '{"end_strangers": 1}'):
        answer = host.api("POST", "/api/v1/system/repair", body)
        assert answer.status == 400 and answer.json["error"], (body, answer)
    assert host.api("POST", "/api/v1/system/repair").json == {"findings": []}
    assert host.api("GET", "/api/v1/system/repair").status == 404
    done = host.volar("doctor", "--end-strangers", check=False)
    assert done.returncode == 2 and "--fix" in done.stderr


# --- cgroups -----------------------------------------------------------------------------------------------------------

def cgroup_of(pid):
    with open(f"/proc/{pid}/cgroup", encoding="ascii") as f:
        return next(line[3:].strip() for line in f if line.startswith("0::"))


@pytest.fixture
def delegated(tmp_path, tiny):
    """A volantd that sees a cgroup v2 of its own, marked as systemd marks what it delegates; root alone can make one."""
    mount, name = tmp_path / "cg", f"volant-test-{os.getpid()}"
    mount.mkdir()
    mark = f"import os; os.setxattr('{mount}/{name}', 'trusted.delegate', b'1')"
    script = f"""mount -t cgroup2 none {mount} && mkdir -p {mount}/{name} && /usr/bin/python3 -c "{mark}" &&
                 echo 0 > {mount}/{name}/cgroup.procs && exec "$@" """
    host = volant.Host(VOLANT_KERNEL_DIRS=os.path.dirname(tiny.kernel))
    host.wrapper = ["unshare", "-m", "sh", "-c", script, "sh"]
    host.cgroup, host.cgroup_mount = f"/{name}", mount
    yield host
    host.close()
    # The hierarchy is the host's, whoever mounted it: what was made there would stay.
    subprocess.run(["unshare", "-m", "sh", "-c", f"mount -t cgroup2 none {mount} && cd {mount}/{name} && rmdir */ . "
                    f"|| rmdir {mount}/{name}"], check=True, timeout=30, stderr=subprocess.DEVNULL)


def in_namespace(host, *command):
    return subprocess.run(["nsenter", "-t", str(host.process.pid), "-m", *command], capture_output=True, text=True,
                          timeout=30, check=True).stdout.split()


@pytest.mark.parametrize("setting", ["auto", "named", "off"])
def test_each_vm_has_a_cgroup_of_its_own(delegated, tiny, setting):
    host = delegated
    folder = f"{host.cgroup_mount}{host.cgroup}"
    host.env["VOLANT_CGROUP"] = folder if setting == "named" else setting
    with host:
        host.install(tiny.manifest)
        host.volar("vms", "create", "t", "--plugin", "tiny", "--kernel", tiny.kernel, "--wait", "running")
        record, vm = host.run_record("t"), host.vm("t")
        if setting == "off":
            assert {cgroup_of(record[who]["pid"]) for who in ("vmm", "shim")} == {host.cgroup}
            host.volar("vms", "delete", "t")
            return
        assert cgroup_of(host.process.pid) == f"{host.cgroup}/volantd"
        own = f"{host.cgroup}/vm-{vm['id']}"
        assert {cgroup_of(record[who]["pid"]) for who in ("vmm", "shim")} == {own}
        host.volar("vms", "stop", "t")
        assert not [n for n in in_namespace(host, "ls", folder) if n.startswith("vm-")]
        host.volar("vms", "start", "t", "--wait", "running")
        assert cgroup_of(host.vm("t")["pid"]) == own

        # a restart changes nothing, and sweeps what is left of VMs that are not there
        in_namespace(host, "mkdir", f"{folder}/vm-900")
        pid = host.vm("t")["pid"]
        host.kill()
        host.start()
        assert host.wait_status("t", "running")["pid"] == pid and cgroup_of(pid) == own
        volant.wait_until(lambda: "vm-900" not in in_namespace(host, "ls", folder), 10)
        says(host.logged(), ["vm-900: belonged to no VM, removed"])
        in_namespace(host, "mkdir", f"{folder}/vm-901")
        assert kinds(host) == ["cgroup"]
        says(host.volar("doctor", "--fix").stdout, ["cgroup vm-901", "removed"])
        # killed as a whole, with its shim: nobody is left to tidy up, and it is tidied up
        in_namespace(host, "sh", "-c", f"echo 1 > {folder}/vm-{vm['id']}/cgroup.kill")
        host.wait_status("t", "crashed", timeout=20)
        assert not [n for n in in_namespace(host, "ls", folder) if n.startswith("vm-")] and kinds(host) == []
        host.volar("vms", "delete", "t")


@pytest.mark.parametrize("setting,words", [("relative", ["VOLANT_CGROUP", "auto, off"]),
                                           ("/proc", ["VOLANT_CGROUP", "/proc", "cgroup v2"]),
                                           ("/no/such", ["VOLANT_CGROUP", "/no/such"])])
def test_bad_cgroups(host, setting, words):
    done = subprocess.run([volant.program("volantd"), "--state-dir", host.dir + "/other", "--runtime-dir",
                           host.dir + "/other"], env=host.env | {"VOLANT_CGROUP": setting}, stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=10, check=False)
    assert done.returncode != 0
    says(done.stderr, words)
