# SPDX-License-Identifier: Apache-2.0
"""Deployments as their users see them: numbers, versions, and what becomes of both when replicas or volantd die."""
import json
import os
import re
import signal
import subprocess
import threading
import time

import pytest
import volant
from volant import says

READY_S = 120


def deployment(host, name):
    answer = host.api("GET", f"/api/v1/deployments/{name}")
    assert answer.status == 200, answer
    return answer.json


def names(host):
    return sorted(v["name"] for v in host.vms())


def wait_for(host, name, what, timeout=READY_S):
    """The deployment, once `what` is true of it."""
    return volant.wait_until(lambda: (d := deployment(host, name)) and what(d) and d, timeout)


def wait_ready(host, name, timeout=READY_S):
    return wait_for(host, name, lambda d: d["status"] == "ready", timeout)


def port_of(host, vm):
    return host.vm(vm)["ports"][0]["host_port"]


def create(host, name, *args, replicas=2, plugin="busybox", wait=True):
    host.volar("deployments", "create", name, "--plugin", plugin, "--replicas", str(replicas), "--memory", "64", "-p",
               "80", *args, *(["--wait", "ready"] if wait else []))


def variant(manifest, folder, name=None, **changes):
    """The manifest of the same appliance with another name, version or workload."""
    with open(manifest, encoding="utf-8") as f:
        m = json.load(f)
    m["initramfs"]["url"] = os.path.join(os.path.dirname(manifest), m["initramfs"]["url"])
    if name:
        m["name"] = m["runtime"] = name
    m["workload"] |= changes.pop("workload", {})
    m |= changes
    m.pop("labels", None)
    path = os.path.join(folder, f"{m['name']}-{m['version']}.manifest.json")
    with open(path, "w", encoding="utf-8") as f:
        json.dump(m, f)
    return path


@pytest.fixture
def broken(host, busybox, tmp_path):
    """A plugin whose workload ends at once with 3."""
    host.install(variant(busybox, tmp_path, "broken", workload={"entrypoint": ["/bin/busybox", "sh", "-c", "exit 3"]}))
    return "broken"


# --- numbers --------------------------------------------------------------------------------------------------------

def test_as_the_readme_prints_it(nginx_host):
    host = nginx_host
    done = host.volar("deployments", "create", "web-cluster", "--plugin", "nginx", "--replicas", "5")
    assert done.stdout == "Deployment web-cluster created with 5 replicas\n"
    assert names(host) == [f"web-cluster-{i}" for i in range(1, 6)]
    d = wait_ready(host, "web-cluster")
    assert (d["desired_replicas"], d["ready_replicas"], d["updated_replicas"], d["version"]) == (5, 5, 5, 1)
    assert d["config"]["plugin"] == "nginx" and d["config"]["manifest"]["name"] == "nginx"
    assert d["config"]["restart"] == "always" and d["config"]["resources"] == {"cpu_cores": 1, "memory_mb": 64}
    assert len({v["ip_address"] for v in host.vms()}) == 5
    assert all(v["deployment"] == "web-cluster" and v["revision"] == 1 for v in host.vms())
    row = host.volar("deployments", "list").stdout.splitlines()
    assert row[0].split() == ["NAME", "DESIRED", "READY", "UP-TO-DATE", "VERSION", "STATUS", "AGE"]
    assert row[1].split()[:6] == ["web-cluster", "5", "5", "5", "1", "ready"]
    assert host.volar("deployments", "delete", "web-cluster").stdout == "Deployment web-cluster deleted\n"
    assert host.vms() == [] and host.volar("deployments", "list").stdout == "No deployments found\n"


def test_scaling(busybox_host):
    host = busybox_host
    create(host, "web", replicas=3)
    for i in range(1, 4):
        assert volant.fetch(port_of(host, f"web-{i}"))[0] == 200
    ids = {v["name"]: v["id"] for v in host.vms()}

    # Down: the highest go.
    assert host.volar("vms", "scale", "web", "--replicas", "1").stdout.startswith("Deployment web scaled to 1 replicas")
    volant.wait_until(lambda: names(host) == ["web-1"], 60)
    assert host.vm("web-1")["id"] == ids["web-1"]
    # Up: gaps are filled, and a deleted replica is one.
    host.volar("deployments", "scale", "web", "3", "--wait", "ready")
    ids = {v["name"]: v["id"] for v in host.vms()}
    host.volar("vms", "delete", "web-2")
    d = wait_for(host, "web", lambda d: d["status"] == "ready" and host.vm("web-2")["id"] != ids["web-2"])
    assert [m["name"] for m in d["replicas"]] == ["web-1", "web-2", "web-3"]
    assert {host.vm(f"web-{i}")["id"] for i in (1, 3)} == {ids["web-1"], ids["web-3"]}
    # To nothing, and it is still there.
    host.volar("deployments", "scale", "web", "0", "--wait", "ready")
    assert host.vms() == [] and deployment(host, "web")["desired_replicas"] == 0


def test_what_ends_comes_back(busybox_host):
    host = busybox_host
    create(host, "web", "--restart", "no")
    ids = {v["name"]: v["id"] for v in host.vms()}
    os.kill(host.run_record("web-1")["vmm"]["pid"], signal.SIGKILL)  # no policy: it is replaced
    d = wait_for(host, "web", lambda d: d["status"] == "degraded", 30)
    assert d["ready_replicas"] == 1
    says(d["reason"], ["1 of 2", "web-1", "signal 9|pending|starting"])
    wait_for(host, "web", lambda d: d["status"] == "ready" and host.vm("web-1")["id"] != ids["web-1"])
    assert host.vm("web-2")["id"] == ids["web-2"]

    host.volar("deployments", "update", "web", "--restart", "always", "--wait", "ready")
    before = host.vm("web-1")
    os.kill(host.run_record("web-1")["vmm"]["pid"], signal.SIGKILL)  # with one, it is booted again
    wait_for(host, "web", lambda d: d["status"] == "ready" and host.vm("web-1")["pid"] != before["pid"])
    assert host.vm("web-1")["id"] == before["id"]


def test_what_is_stopped_by_hand_stays_so(busybox_host):
    host = busybox_host
    create(host, "web")
    host.volar("vms", "stop", "web-2")
    d = wait_for(host, "web", lambda d: d["status"] == "degraded", 30)
    says(d["reason"], ["web-2", "stopped", "volar vms start"])
    # A rollout changes it without starting it.
    host.volar("deployments", "update", "web", "--cpu", "2")
    d = wait_for(host, "web", lambda d: d["updated_replicas"] == 2 and d["status"] == "degraded")
    assert host.vm("web-2")["status"] == "stopped" and host.vm("web-2")["cpu_cores"] == 2
    host.volar("vms", "start", "web-2", "--wait", "ready")
    assert wait_ready(host, "web", 30)["ready_replicas"] == 2


# --- versions -------------------------------------------------------------------------------------------------------

class Watch(threading.Thread):
    """The fewest VMs that were ever seen ready at the same time."""

    def __init__(self, host):
        super().__init__()
        self.host, self.fewest, self.stop = host, 10**6, threading.Event()

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        self.join()

    def run(self):
        while not self.stop.is_set():
            self.fewest = min(self.fewest, sum(v["ready"] for v in self.host.vms()))
            self.stop.wait(0.01)


def test_an_update_takes_one_after_the_other(busybox_host):
    host = busybox_host
    create(host, "web", replicas=3)
    before = {v["name"]: (v["id"], v["ports"]) for v in host.vms()}
    with Watch(host) as watch:
        done = host.volar("deployments", "update", "web", "--memory", "80", "--wait", "ready")
    assert done.stdout == "Deployment web has version 2\n"
    assert watch.fewest == 2
    assert {v["name"]: (v["id"], v["ports"]) for v in host.vms()} == before  # changed where they are
    assert all((v["memory_mb"], v["revision"]) == (80, 2) for v in host.vms())
    assert all(volant.fetch(v["ports"][0]["host_port"])[0] == 200 for v in host.vms())
    # The same again is no version.
    host.volar("deployments", "update", "web", "--memory", "80")
    host.volar("deployments", "update", "web", "--plugin", "busybox")
    assert [v["version"] for v in host.api("GET", "/api/v1/deployments/web/history").json] == [2, 1]
    rows = host.volar("deployments", "history", "web").stdout.splitlines()
    assert [r.split()[0] for r in rows] == ["VERSION", "2", "1"]


def test_a_bad_update_stops_and_a_rollback_heals(host, busybox, broken):
    host.install(busybox)
    create(host, "web", "--restart", "no", replicas=3)
    with Watch(host) as watch:
        done = host.volar("deployments", "update", "web", "--plugin", broken, "--wait", "ready", check=False)
    assert done.returncode == 1
    says(done.stderr, ["rollout of deployment 'web' failed", "web-1", "exit code 3", "volar deployments get web"])
    assert watch.fewest == 2
    d = deployment(host, "web")
    assert (d["status"], d["updated_replicas"], d["ready_replicas"], d["version"]) == ("failed", 1, 2, 2)
    assert [m["version"] for m in d["replicas"]] == [2, 1, 1]
    # It stays so: nothing is tried again, and what has to be made is made from what works.
    host.volar("vms", "delete", "web-3")
    wait_for(host, "web", lambda d: d["ready_replicas"] == 2 and d["replicas"][2]["ready"])
    assert [m["version"] for m in deployment(host, "web")["replicas"]] == [2, 1, 1]
    done = host.volar("deployments", "rollback", "web", "--wait", "ready")
    assert done.stdout == "Deployment web rolled back, which is version 3\n"
    d = deployment(host, "web")
    assert (d["ready_replicas"], d["updated_replicas"], d["config"]["plugin"]) == (3, 3, "busybox")
    assert all(volant.fetch(v["ports"][0]["host_port"])[0] == 200 for v in host.vms())


def test_a_crash_loop_fails_a_rollout(busybox, tmp_path):
    with volant.Host(VOLANT_RESTART_LIMIT="1", VOLANT_RESTART_DELAY="1") as host:
        host.install(busybox)
        host.install(variant(busybox, tmp_path, "broken",
                             workload={"entrypoint": ["/bin/busybox", "sh", "-c", "exit 3"]}))
        create(host, "web")
        host.volar("deployments", "update", "web", "--plugin", "broken")
        d = wait_for(host, "web", lambda d: d["status"] == "failed")
        says(d["reason"], ["version 2", "web-1", "crash_loop", "exit code 3"])
        assert host.vm("web-1")["status"] == "failed" and host.vm("web-2")["ready"]
        host.volar("deployments", "rollback", "web", "--to", "1", "--wait", "ready")


def test_a_plugin_installed_anew_rolls_when_it_is_named(host, busybox, tmp_path):
    """And the appliance of an earlier version stays as long as somebody may go back to it."""
    page = ["/bin/busybox", "sh", "-c", "mkdir /w; echo new > /w/index.html; exec busybox httpd -f -p 80 -h /w"]
    host.install(busybox)
    create(host, "web", replicas=1)
    old = volant.fetch(port_of(host, "web-1"))[1]
    host.install(variant(busybox, tmp_path, version="9.9.9", workload={"entrypoint": page}))
    assert deployment(host, "web")["config"]["manifest"]["version"] != "9.9.9"
    host.volar("deployments", "update", "web", "--plugin", "busybox", "--wait", "ready")
    assert deployment(host, "web")["config"]["manifest"]["version"] == "9.9.9"
    assert volant.fetch(port_of(host, "web-1"))[1] == b"new\n"
    host.volar("deployments", "rollback", "web", "--wait", "ready")
    assert volant.fetch(port_of(host, "web-1"))[1] == old


# --- death ----------------------------------------------------------------------------------------------------------

def send(host, method, path, body):
    """A request whose answer is of no interest."""
    connection = volant.UnixConnection(host.socket, 5)
    connection.request(method, path, json.dumps(body))
    return connection


def test_killed_in_the_middle_of_a_rollout(busybox_host):
    host = busybox_host
    create(host, "web", replicas=3)
    host.volar("deployments", "update", "web", "--memory", "80")
    for updated in (1, 2):
        wait_for(host, "web", lambda d, n=updated: d["updated_replicas"] >= n)
        host.kill()
        host.start()
    d = wait_ready(host, "web")
    assert [m["version"] for m in d["replicas"]] == [2, 2, 2] and len(host.vms()) == 3
    assert all(v["memory_mb"] == 80 for v in host.vms())
    assert len(host.records()) == 3


@pytest.mark.parametrize("delay", [0, 0.01, 0.05, 0.3])
def test_killed_in_the_middle_of_scaling(busybox_host, delay):
    host = busybox_host
    create(host, "web", replicas=1)
    for replicas in (4, 2):
        connection = send(host, "PATCH", "/api/v1/deployments/web", {"replicas": replicas})
        time.sleep(delay)
        host.kill()
        connection.close()
        host.start()
        d = wait_ready(host, "web")
        assert d["desired_replicas"] in (replicas, 1, 4)
        host.volar("deployments", "scale", "web", str(replicas), "--wait", "ready")
        assert names(host) == [f"web-{i + 1}" for i in range(replicas)]
        volant.wait_until(lambda: len(host.records()) == replicas, 30)


@pytest.mark.parametrize("delay", [0, 0.02, 0.2])
def test_killed_while_deleting(busybox_host, delay):
    host = busybox_host
    create(host, "web")
    connection = send(host, "DELETE", "/api/v1/deployments/web", None)
    time.sleep(delay)
    host.kill()
    connection.close()
    host.start()
    if any(d["status"] != "deleting" for d in host.api("GET", "/api/v1/deployments").json):
        host.volar("deployments", "delete", "web", check=False)
    volant.wait_until(lambda: host.api("GET", "/api/v1/deployments").json == [], 60)
    assert host.vms() == []
    volant.wait_until(lambda: os.listdir(host.inside("vms")) == [], 10)


# --- bad input ------------------------------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def shared(busybox, tmp_path_factory):
    """One volantd for all refusals: a deployment `web`, a VM `db-2`, and a plugin that is disabled."""
    with volant.Host() as h:
        h.install(busybox)
        h.install(variant(busybox, str(tmp_path_factory.mktemp("off")), "off"))
        h.volar("plugins", "disable", "off")
        create(h, "web", replicas=1)
        h.create("db-2", "busybox", wait="process")
        yield h


@pytest.fixture
def unchanged(shared):
    def everything():
        ignored = ("updated_at", "status", "ready", "ready_replicas", "replicas", "reason")
        deployments = [{k: v for k, v in d.items() if k not in ignored}
                       for d in shared.api("GET", "/api/v1/deployments").json]
        return deployments, {v["name"]: (v["id"], v["revision"] if "revision" in v else 0) for v in shared.vms()}

    before = everything()
    yield shared
    assert everything() == before


CONFIG = {"plugin": "busybox"}
CREATE = {
    "-1 replicas": ({"replicas": -1}, 400, ["replicas", "-1", "0 to 1000"]),
    "10,000 replicas": ({"replicas": 10000}, 400, ["replicas", "10000", "1000"]),
    "half a replica": ({"replicas": 1.5}, 400, ["replicas", "integer"]),
    "replicas in words": ({"replicas": "three"}, 400, ["replicas", "integer"]),
    "more than there are addresses": ({"replicas": 300}, 409, ["300", "addresses", "245", "at most 243",
                                                              "VOLANT_SUBNET"]),
    "a bad name": ({"name": "a/b"}, 400, ["name", "a/b"]),
    "no name": ({"name": None}, 400, ["name", "missing"]),
    "a name too long for its replicas": ({"name": "x" * 61, "replicas": 10}, 400, ["too long", "64 bytes", "63"]),
    "a name that is taken": ({"name": "web"}, 409, ["web", "exists already"]),
    "a replica's name is a VM's": ({"name": "db", "replicas": 2}, 409, ["db-2", "not its own"]),
    "an unknown plugin": ({"config": {"plugin": "nobody"}}, 404, ["nobody", "volar plugins list"]),
    "a disabled plugin": ({"config": {"plugin": "off"}}, 409, ["off", "disabled", "volar plugins enable"]),
    "no plugin": ({"config": {}}, 400, ["plugin", "required"]),
    "no configuration": ({"config": None}, 400, ["plugin", "required"]),
    "two plugins": ({"plugin": "off"}, 400, ["plugin mismatch"]),
    "a host port for two": ({"config": CONFIG | {"expose": [{"port": 80, "host_port": 8080}]}}, 400,
                            ["config.expose[0].host_port", "8080", "2 replicas"]),
    "one host port twice": ({"replicas": 1, "config": CONFIG | {"expose": [{"port": 1, "host_port": 9000},
                                                                           {"port": 2, "host_port": 9000}]}}, 400,
                            ["config.expose[1].host_port", "config.expose[0]"]),
    "too little memory": ({"config": CONFIG | {"resources": {"memory_mb": 1}}}, 400, ["config.resources.memory_mb"]),
    "another runtime": ({"config": CONFIG | {"runtime": "other"}}, 400, ["runtime", "other", "leave it out"]),
    "a policy that is none": ({"config": CONFIG | {"restart": "maybe"}}, 400, ["config.restart", "always"]),
    "a manifest of another": ({"config": CONFIG | {"manifest": {"name": "x"}}}, 400, ["config.manifest"]),
}


@pytest.mark.parametrize("what", CREATE)
def test_create_refuses(what, unchanged):
    changes, status, words = CREATE[what]
    body = {"name": "new", "replicas": 2, "config": CONFIG} | changes
    answer = unchanged.api("POST", "/api/v1/deployments", {k: v for k, v in body.items() if v is not None})
    assert answer.status == status, answer
    says(answer.json["error"], words)


PATCH = {
    "nothing": ({}, 400, ["nothing to change", "replicas", "config"]),
    "-1 replicas": ({"replicas": -1}, 400, ["replicas", "-1", "0 to 1000"]),
    "10,000 replicas": ({"replicas": 10000}, 400, ["replicas", "10000", "1000"]),
    "half a replica": ({"replicas": 0.5}, 400, ["replicas", "integer"]),
    "more than there are addresses": ({"replicas": 246}, 409, ["246", "addresses", "245"]),
    "an unknown plugin": ({"config": {"plugin": "nobody"}}, 404, ["nobody", "not installed"]),
    "a disabled plugin": ({"config": {"plugin": "off"}}, 409, ["off", "disabled"]),
    "a host port for two": ({"replicas": 2, "config": {"expose": [{"port": 80, "host_port": 8080}]}}, 400,
                            ["host_port", "2 replicas"]),
    "too little memory": ({"config": {"resources": {"memory_mb": 3}}}, 400, ["config.resources.memory_mb", "3"]),
    "no configuration": ({"config": 7}, 400, ["config", "object"]),
    "an empty body": (None, 400, ["body"]),
}


@pytest.mark.parametrize("what", PATCH)
def test_patch_refuses(what, unchanged):
    body, status, words = PATCH[what]
    answer = unchanged.api("PATCH", "/api/v1/deployments/web", body)
    assert answer.status == status, answer
    says(answer.json["error"], words)


def test_what_is_not_there(unchanged):
    for method, path, body in (("GET", "", None), ("PATCH", "", {"replicas": 1}), ("DELETE", "", None),
                               ("GET", "/history", None), ("POST", "/rollback", {})):
        answer = unchanged.api(method, "/api/v1/deployments/nobody" + path, body)
        assert answer.status == 404, (method, path, answer)
        says(answer.json["error"], ["nobody", "not found", "volar deployments list"])


@pytest.mark.parametrize("body,words", [
    ({}, ["no version before 1"]), ({"version": 1}, ["version 1", "present"]), ({"version": 7}, ["version is 7", "1 to 1"]),
    ({"version": 0}, ["version", "0"]), ({"version": "1"}, ["version", "integer"]), ([], ["object"]),
])
def test_rollback_refuses(body, words, unchanged):
    answer = unchanged.api("POST", "/api/v1/deployments/web/rollback", body)
    assert answer.status == 400, answer
    says(answer.json["error"], words)


def test_names_and_plugins_of_a_deployment_are_its_own(unchanged):
    answer = unchanged.api("POST", "/api/v1/vms", {"name": "web-1", "plugin": "busybox"})
    assert answer.status == 409, answer
    answer = unchanged.api("DELETE", "/api/v1/plugins/busybox")
    assert answer.status == 409, answer
    says(answer.json["error"], ["busybox", "deployment 'web'"])


def test_misuse_of_the_command_line(unchanged):
    for args, words in (
            (("scale", "web", "-1"), ["-1"]), (("scale", "web", "10000"), ["REPLICAS", "10000", "0 to 1000"]),
            (("scale", "web"), ["REPLICAS|missing"]), (("scale", "web", "1.5"), ["REPLICAS", "1.5"]),
            (("create", "x"), ["--plugin"]), (("create", "a/b", "--plugin", "busybox"), ["a/b"]),
            (("update", "web"), ["nothing to update", "--plugin"]), (("create",), ["NAME is missing"]),
            (("create", "x", "--plugin", "busybox", "--wait", "running"), ["--wait", "running", "ready"]),
            (("create", "x", "--config", "/nowhere"), ["--config", "/nowhere"]),
            (("rollback", "web", "--to", "0"), ["--to"]), (("update", "web", "-p", "0"), ["--publish", "0"])):
        done = unchanged.volar("deployments", *args, check=False)
        assert done.returncode == 2, (args, done)
        says(done.stderr, words)


def test_one_that_is_being_deleted(busybox_host):
    host = busybox_host
    create(host, "web")
    # It takes a moment, as the VMMs do not answer.
    pids = [host.run_record(f"web-{i}")["vmm"]["pid"] for i in (1, 2)]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    connection = send(host, "DELETE", "/api/v1/deployments/web", None)
    wait_for(host, "web", lambda d: d["status"] == "deleting", 10)
    for method, path, body in (("PATCH", "", {"replicas": 3}), ("POST", "/rollback", {})):
        answer = host.api(method, "/api/v1/deployments/web" + path, body)
        assert answer.status == 409, answer
        says(answer.json["error"], ["web", "being deleted"])
    assert host.api("POST", "/api/v1/deployments", {"name": "web", "config": CONFIG}).status == 409
    assert connection.getresponse().status == 204
    assert host.vms() == [] and not any(volant.alive(p) for p in pids)


# --- the guide ------------------------------------------------------------------------------------------------------

def test_the_guide(nginx_host):
    """Each command of docs/guides/scaling.md, in its order."""
    host = nginx_host
    with open(os.path.join(volant.ROOT, "docs", "guides", "scaling.md"), encoding="utf-8") as f:
        commands = "".join(re.findall(r"^```sh\n(.*?)^```", f.read(), re.S | re.M))
    assert "volar deployments create web-cluster --plugin nginx --replicas 5" in commands
    done = subprocess.run(["bash", "-euc", commands], env=host.env | {"PATH": f"{volant.BUILD}:{host.env['PATH']}"},
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=600, check=False)
    print(done.stdout)
    assert done.returncode == 0, done.stderr
    assert host.vms() == []
