# SPDX-License-Identifier: Apache-2.0
"""What is true of a host at rest: registry, folders and processes tell the same story, and nothing is left over.

`problems` says what is not, in words; `whole` waits until there is nothing to say. Both look from outside, at the
API, the database, the state folder, /proc and the cgroups, and need nothing of a test but its host.
"""
import contextlib
import hashlib
import json
import os
import shutil
import sqlite3
import tempfile
import time

import volant

TICKS = os.sysconf("SC_CLK_TCK")
BORN_S = 2  # what is older and not a host's will never be
ENDED = {"stopped", "crashed", "failed"}
UP = {"running", "paused"}
FOLDER_FILES = {"vm.json", "initrd", "ctl", "sync", "qmp", "console.sock", "console.log", "console.log.1",
                "console.log.old", "run.json", "exit.json", "data.ext4"}
RECORDS = {"vm.json", "run.json", "exit.json"}


# --- the registry ------------------------------------------------------------------------------------------------------

def tables(host):
    """Every row of the database as {table: [row]}, whether volantd runs or not; the file itself is only read."""
    with tempfile.TemporaryDirectory(prefix="vl-db-") as folder:
        path = host.inside("state.db")
        if not host.process or host.process.poll() is not None:
            if os.path.exists(path + ".restore"):
                path += ".restore"  # it is the registry from the next start on
            for suffix in ("", "-wal"):  # a connection of ours would fold the log that the next volantd is to find
                with contextlib.suppress(FileNotFoundError):
                    shutil.copy(path + suffix, os.path.join(folder, "state.db" + suffix))
            path = os.path.join(folder, "state.db")
        with contextlib.closing(sqlite3.connect(f"file:{path}?mode={'ro' if folder not in path else 'rw'}", uri=True,
                                                timeout=10)) as db:
            db.row_factory = sqlite3.Row
            names = [r[0] for r in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
            found = {name: [dict(r) for r in db.execute(f'SELECT * FROM "{name}"')] for name in names}
            found["damage"] = [r[0] for r in db.execute("PRAGMA integrity_check") if r[0] != "ok"]
            found["damage"] += [tuple(r) for r in db.execute("PRAGMA foreign_key_check")]
            return found


def registry_problems(api, db):
    yield from (f"the database is damaged: {d}" for d in db["damage"])
    rows = {r["name"]: r for r in db["vms"]}
    names = [v["name"] for v in api]
    if len(set(names)) != len(names):
        yield f"doubled names: {names}"
    if set(names) != set(rows):
        yield f"the API has VMs {sorted(names)}, the registry {sorted(rows)}"
    ids = {r["id"] for r in db["vms"]}
    leases = [r["vm_id"] for r in db["ip_allocations"]]
    if sorted(leases) != sorted(ids):
        yield f"addresses belong to VMs {sorted(leases)}, VMs are {sorted(ids)}"
    addresses = [v["ip_address"] for v in api]
    if len(set(addresses)) != len(addresses):
        yield f"doubled addresses: {addresses}"
    said = {(v["id"], p["protocol"], p["host_ip"], p["host_port"], p["port"]) for v in api for p in v["ports"]}
    held = {tuple(r[k] for k in ("vm_id", "protocol", "host_ip", "host_port", "port")) for r in db["vm_ports"]}
    if said != held:
        yield f"ports: the API has {sorted(said)}, the registry {sorted(held)}"
    for vm in api:
        row = rows.get(vm["name"])
        if row and (vm["id"], vm["status"], vm.get("pid")) != (row["id"], row["status"], row["pid"]):
            yield f"VM {vm['name']}: the API has {vm}, the registry {row}"
        if row and not settled(row):
            yield f"VM {vm['name']} is {row['status']} ({row['reason']}) and wanted {row['desired']}"


def settled(row):
    if row["desired"] == "running":
        return row["status"] in UP
    return row["desired"] == "stopped" and row["status"] in ENDED


def deployment_problems(host, api):
    """Each has its replicas, no others, and all of them up, unless it says that its rollout failed."""
    mine = {}
    for vm in api:
        if vm.get("deployment"):
            mine.setdefault(vm["deployment"], set()).add(vm["name"])
    for d in host.api("GET", "/api/v1/deployments").json:
        wanted = {f"{d['name']}-{i + 1}" for i in range(d["desired_replicas"])}
        there = mine.pop(d["name"], set())
        if there != wanted:
            yield f"deployment {d['name']} has {sorted(there)}, not {sorted(wanted)}"
        if d["ready_replicas"] != d["desired_replicas"] and d["status"] != "failed":
            yield f"deployment {d['name']} is not ready: {d}"
    yield from (f"{sorted(names)} belong to deployment {name}, which is not there" for name, names in sorted(mine.items()))


# --- processes ---------------------------------------------------------------------------------------------------------

def reads(path):
    try:
        with open(path, "rb") as f:
            return f.read()
    except OSError:
        return b""


def start_of(pid):
    """When it was started, in ticks since the host was: with its number, what it is told apart by. None: it is gone."""
    stat = reads(f"/proc/{pid}/stat").rpartition(b")")[2].split()
    return int(stat[19]) if len(stat) > 19 and stat[0] not in (b"Z", b"X") else None


def is_of(host, pid, command):
    """A process that has to do with this host: a file below its folder is its argument or open, or it is one of its users."""
    base = int(host.env.get("VOLANT_UID_BASE", 0))
    if os.fsencode(host.dir) in command:
        return True
    with contextlib.suppress(OSError):
        if base and base <= os.stat(f"/proc/{pid}").st_uid < base + 100000:
            return True
        for fd in os.listdir(f"/proc/{pid}/fd"):
            with contextlib.suppress(OSError):
                if os.readlink(f"/proc/{pid}/fd/{fd}").startswith(host.dir):
                    return True
    return False


def processes(host):
    """{pid: command line} of everything alive that is this host's, but for tests and their tools."""
    found = {}
    for pid in map(int, filter(str.isdigit, os.listdir("/proc"))):
        start = start_of(pid)
        if start is None or (pid, start) in host.others or pid == os.getpid():
            continue
        command = reads(f"/proc/{pid}/cmdline").replace(b"\0", b" ")
        if is_of(host, pid, command):
            found[pid] = os.fsdecode(command)[:200]
        elif time.clock_gettime(time.CLOCK_BOOTTIME) - start / TICKS > BORN_S:
            host.others.add((pid, start))
    return {pid: command for pid, command in found.items() if not command.startswith("/usr/bin/python3 ")}


def record(host, vm):
    """The run.json of a VM's folder, None if it has none."""
    with contextlib.suppress(OSError, ValueError):
        with open(host.inside("vms", str(vm["id"]), "run.json"), encoding="utf-8") as f:
            return json.load(f)
    return None


def process_problems(host, api, db, shims):
    expected = {host.process.pid}
    boots = {r["name"]: r["boot"] for r in db["vms"]}
    for vm in api:
        run = record(host, vm)
        if vm["status"] in ENDED and "pid" in vm:
            yield f"VM {vm['name']} is {vm['status']} and has pid {vm['pid']}"
        if vm["status"] in ENDED:
            continue
        if not run or run["boot"] != boots.get(vm["name"]):
            yield f"VM {vm['name']} is {vm['status']}, its folder tells of boot {run}"
            continue
        if run["vmm"]["pid"] != vm.get("pid"):
            yield f"VM {vm['name']}: the API has pid {vm.get('pid')}, its folder {run['vmm']['pid']}"
        expected |= {run["vmm"]["pid"], run["shim"]["pid"]}
    there = processes(host)
    for pid in sorted(expected - set(there)):
        if not (pid in host_shims(host) and not shims):
            yield f"process {pid} should run and does not"
    yield from (f"process {pid} belongs to nothing: {there[pid]}" for pid in sorted(set(there) - expected))
    yield from (f"process {pid} is a zombie of volantd" for pid in zombies(host.process.pid))


def host_shims(host):
    return {r["shim"]["pid"] for r in host.records()}


def zombies(parent):
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        state = reads(f"/proc/{pid}/stat").rpartition(b")")[2].split()
        if state and state[0] == b"Z" and int(state[1]) == parent:
            found.append(int(pid))
    return found


# --- files -------------------------------------------------------------------------------------------------------------

def temporary(name):
    return name.startswith(".") or ".tmp" in name


def folder_problems(host, db):
    ids = {str(r["id"]): r for r in db["vms"]}
    for name in sorted(os.listdir(host.inside("vms"))):
        if name not in ids:
            yield f"folder vms/{name} belongs to no VM: {os.listdir(host.inside('vms', name))}"
            continue
        for file in sorted(os.listdir(host.inside("vms", name))):
            if file not in FOLDER_FILES:
                yield f"vms/{name}/{file} is left over"
            if file in RECORDS:
                with open(host.inside("vms", name, file), encoding="utf-8") as f:
                    text = f.read()
                try:
                    json.loads(text)
                except ValueError:
                    yield f"vms/{name}/{file} is half written: {text!r}"


def artifact_problems(host, db):
    manifests = [json.loads(row["manifest"]) for row in db["plugins"] + db["vms"] + db.get("vm_configs", [])]
    manifests += [json.loads(row["config"]).get("manifest", {}) for row in db["deployment_versions"]]
    wanted = {(m.get(medium) or {}).get("checksum", "").removeprefix("sha256:")
              for m in manifests for medium in ("initramfs", "rootfs")}
    wanted |= {row["checksum"].removeprefix("sha256:") for row in db.get("plugin_artifacts", [])}
    for folder in ("sha256", "boot", "tmp"):
        for name in sorted(os.listdir(host.inside("artifacts", folder))):
            if folder == "tmp":
                yield f"artifacts/tmp/{name} is left over"
            elif name not in wanted:
                yield f"artifacts/{folder}/{name} is nobody's"
            elif folder == "sha256" and hashlib.sha256(reads(host.inside("artifacts", folder, name))).hexdigest() != name:
                yield f"artifacts/{folder}/{name} is not what its name says"


def other_file_problems(host):
    known = {"state.db", "state.db-wal", "state.db-shm", "lock", "vms", "artifacts"} | host.own_files
    yield from (f"{name} is left over in the state folder" for name in sorted(set(os.listdir(host.state)) - known))
    known = {"volantd.sock", "lock"}
    yield from (f"{name} is left over in the runtime folder" for name in sorted(set(os.listdir(host.run)) - known))


# --- all of it ---------------------------------------------------------------------------------------------------------

def problems(host, shims=True, artifacts=True):
    """Everything that is wrong with a host whose volantd runs. `shims`: those of VMs that run must run as well."""
    api = host.vms()
    db = tables(host)
    found = list(registry_problems(api, db))
    found += deployment_problems(host, api)
    found += process_problems(host, api, db, shims)
    found += folder_problems(host, db)
    if artifacts:
        found += artifact_problems(host, db)
    found += other_file_problems(host)
    strangers = host.api("GET", "/api/v1/system/info").json.get("strangers")
    if strangers:
        found.append(f"{strangers} strangers")
    return found


def whole(host, timeout=60, **how):
    """Waits until nothing is wrong; says what still is after `timeout` seconds."""
    end = time.monotonic() + timeout
    while True:
        try:
            found = problems(host, **how)
        except (FileNotFoundError, NotADirectoryError) as e:  # it changed while we looked
            found = [repr(e)]
        if not found:
            return
        assert time.monotonic() < end, f"after {timeout} s of rest:\n  " + "\n  ".join(found)
        time.sleep(0.05)


def empty(host):
    """No VM and nothing that a VM or deployment had."""
    db = tables(host)
    left = {t: db[t] for t in ("vms", "ip_allocations", "vm_ports", "deployments", "deployment_versions") if db.get(t)}
    assert not left, left
    assert os.listdir(host.inside("vms")) == []
    assert set(processes(host)) == {host.process.pid}, processes(host)
