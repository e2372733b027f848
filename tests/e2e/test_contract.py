# SPDX-License-Identifier: Apache-2.0
"""The wire as clients of the original know it: names, types, statuses and quirks of every route, field by field."""
import json
import os
import re

import pytest
import volant

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z")
TEXT, WHOLE, TRUTH, LIST, OBJECT = str, int, bool, list, dict


def has(thing, required, optional=None):
    """Exactly these members, of exactly these types; a pattern is a text that matches."""
    optional = optional or {}
    assert set(required) <= set(thing) <= set(required) | set(optional), sorted(thing)
    for key, value in thing.items():
        kind = (required | optional)[key]
        if isinstance(kind, re.Pattern):
            assert kind.fullmatch(value), (key, value)
        else:
            assert type(value) is kind, (key, value)  # a bool is no int here, 2.0 is none either


VM = {"id": WHOLE, "name": TEXT, "status": TEXT, "runtime": TEXT, "ip_address": TEXT, "mac_address": TEXT,
      "cpu_cores": WHOLE, "memory_mb": WHOLE, "kernel_cmdline": TEXT, "serial_socket": TEXT,
      "ready": TRUTH, "plugin": TEXT, "ports": LIST}  # the last three are ours
VM_MORE = {"pid": WHOLE, "created_at": TIME, "updated_at": TIME, "started_at": TIME, "reason": TEXT, "health": TEXT,
           "restarts": WHOLE, "deployment": TEXT, "revision": WHOLE, "exit_code": WHOLE, "disk_mb": WHOLE}
DEPLOYMENT = {"name": TEXT, "desired_replicas": WHOLE, "ready_replicas": WHOLE, "config": OBJECT, "created_at": TIME,
              "updated_at": TIME, "updated_replicas": WHOLE, "version": WHOLE, "status": TEXT, "reason": TEXT,
              "replicas": LIST, "ended_replicas": WHOLE}
CONFIG = {"plugin": TEXT, "runtime": TEXT, "resources": OBJECT, "api": OBJECT, "manifest": OBJECT}
CONFIG_MORE = {"kernel_cmdline": TEXT, "initramfs": OBJECT, "rootfs": OBJECT, "devices": OBJECT, "cloud_init": OBJECT,
               "network": OBJECT, "kernel_override": TEXT, "expose": LIST, "metadata": OBJECT, "restart": TEXT, "env": OBJECT,
               "command": LIST, "auto_remove": TRUTH}


def vm_is(vm):
    has(vm, VM, VM_MORE)
    return vm


def config_is(config):
    has(config, CONFIG, CONFIG_MORE)
    has(config["resources"], {"cpu_cores": WHOLE, "memory_mb": WHOLE})
    manifest_is(config["manifest"])


def manifest_is(m):
    for key, kind in {"name": TEXT, "version": TEXT, "runtime": TEXT, "enabled": TRUTH, "resources": OBJECT,
                      "rootfs": OBJECT, "initramfs": OBJECT, "workload": OBJECT, "health_check": OBJECT,
                      "labels": OBJECT}.items():
        assert type(m[key]) is kind, (key, m)
    assert type(m["workload"].get("entrypoint", [])) is LIST
    assert m["labels"]["volant.plugin"] == m["name"] and m["labels"]["volant.runtime"] == m["runtime"]
    assert m["rootfs"]["format"] and "url" in m["rootfs"]


def refused(answer, status, *words):
    assert answer.status == status, answer
    assert answer.headers["Content-Type"] == "application/json; charset=utf-8"
    has(answer.json, {"error": TEXT})
    volant.says(answer.json["error"], words)


def good(answer, status=200):
    assert answer.status == status, answer
    if status == 204:
        assert answer.body == b""
        return None
    assert answer.headers["Content-Type"] == "application/json; charset=utf-8"
    assert b"\n" not in answer.body and b'": ' not in answer.body  # compact
    return answer.json


@pytest.fixture(scope="module")
def shared(tiny):
    with volant.Host(VOLANT_KERNEL_DIRS=tiny.folder) as h:
        h.install(tiny.manifest)
        h.kernel = tiny.kernel
        yield h


@pytest.fixture
def host(shared):
    yield shared
    for d in shared.api("GET", "/api/v1/deployments").json:
        assert shared.api("DELETE", f"/api/v1/deployments/{d['name']}").status == 204
    for vm in shared.vms():
        assert shared.api("DELETE", f"/api/v1/vms/{vm['name']}").status == 204


def create(host, name, status=201, **more):
    config = {"kernel_override": host.kernel} | more.pop("config", {})
    return host.api("POST", "/api/v1/vms", {"name": name, "plugin": "tiny", "config": config} | more)


def stopped(host, *names, **more):
    for name in names:
        assert create(host, name, start=False, **more).status == 201


# --- general ---------------------------------------------------------------------------------------------------------

def test_health_and_system(host):
    assert good(host.api("GET", "/healthz")) == {"status": "ok"}
    has(good(host.api("GET", "/api/v1/system/status")),
        {"status": TEXT, "vm_count": WHOLE, "cpu_percent": float, "mem_percent": float})
    info = good(host.api("GET", "/api/v1/system/info"))
    for key in ("status", "api_listen_addr", "api_advertise_addr", "host_ip"):
        assert type(info[key]) is TEXT
    stopped(host, "one", "two")
    summary = good(host.api("GET", "/api/v1/system/summary"))
    has(summary, {"total_vms": WHOLE, "by_status": OBJECT, "by_runtime": OBJECT, "total_plugins": WHOLE,
                  "enabled_plugins": WHOLE, "plugins": LIST})
    assert summary["by_status"] == {"stopped": 2} and summary["by_runtime"] == {"tiny": 2}
    has(summary["plugins"][0], {"name": TEXT, "version": TEXT, "enabled": TRUTH, "runtime": TEXT})


def test_what_no_route_is_for(host):
    for method, path in [("GET", "/"), ("GET", "/api/v1"), ("PUT", "/api/v1/vms"), ("GET", "/api/v1/openapi"),
                         ("POST", "/api/v1/vms/a/agent/v1/health"), ("GET", "/api/v1/drift/routes"),
                         ("POST", "/api/v1/vfio/devices/info"), ("POST", "/api/v1/vms/a/actions/p/x"),
                         ("POST", "/api/v1/plugins/tiny/actions/x"), ("GET", "/api/v1/vms/a/openapi")]:
        answer = host.api(method, path)
        assert (answer.status, answer.body) == (404, b"404 page not found"), path
        assert answer.headers["Content-Type"].startswith("text/plain")
    for method, status in [("GET", 301), ("POST", 307)]:
        answer = host.api(method, "/api/v1/vms/?limit=1")
        assert answer.status == status and answer.headers["Location"] == "/api/v1/vms?limit=1"


def test_the_document(host):
    document = good(host.api("GET", "/openapi", headers={"Host": "localhost:7777"}))
    assert document["openapi"] == "3.0.3" and document["servers"] == [{"url": "http://localhost:7777"}]
    assert (document["info"]["title"], document["info"]["version"]) == ("Volant REST API", "v1")
    assert not [path for path in document["paths"] if "/actions/" in path or "/agent" in path]
    ids = {o["operationId"] for item in document["paths"].values() for o in item.values()}
    assert ids >= {"getHealth", "getSystemStatus", "getSystemInfo", "getSystemSummary", "listVMs", "createVM",
                   "getVMByName", "destroyVM", "startVM", "stopVM", "restartVM", "getVMConfig", "updateVMConfig",
                   "getVMConfigHistory", "listDeployments", "createDeployment", "getDeployment", "scaleDeployment",
                   "deleteDeployment", "listPlugins", "installPlugin", "getPlugin", "removePlugin",
                   "setPluginEnabled", "streamVMEvents"}


# --- VMs -------------------------------------------------------------------------------------------------------------

def test_a_vm_from_create_to_delete(host):
    vm = vm_is(good(create(host, "web", cpu_cores=1, memory_mb=64), 201))
    assert vm["name"] == "web" and vm["status"] in ("starting", "running") and vm["pid"] > 0
    host.wait_status("web", "running")
    vm = vm_is(good(host.api("GET", "/api/v1/vms/web")))
    assert re.fullmatch(r"02(:[0-9a-f]{2}){5}", vm["mac_address"]) and vm["serial_socket"].startswith("/")
    assert "volant." not in vm["kernel_cmdline"]
    refused(host.api("POST", "/api/v1/vms/web/start"), 409, "already running")
    vm = vm_is(good(host.api("POST", "/api/v1/vms/web/stop")))
    assert vm["status"] == "stopped" and "pid" not in vm
    assert good(host.api("POST", "/api/v1/vms/web/stop"))["status"] == "stopped"
    assert vm_is(good(host.api("POST", "/api/v1/vms/web/restart")))["pid"] > 0  # of a stopped one: a start
    first = host.wait_status("web", "running")["pid"]
    assert vm_is(good(host.api("POST", "/api/v1/vms/web/restart")))["pid"] != first
    host.wait_status("web", "running")
    good(host.api("DELETE", "/api/v1/vms/web"), 204)
    for method, path in [("GET", ""), ("DELETE", ""), ("POST", "/start"), ("POST", "/stop"), ("POST", "/restart"),
                         ("GET", "/config"), ("PATCH", "/config"), ("GET", "/config/history")]:
        refused(host.api(method, f"/api/v1/vms/web{path}", body={} if method == "PATCH" else None), 404, "not found")


def test_what_create_takes(host):
    refused(host.api("POST", "/api/v1/vms"), 400, "empty")
    refused(create(host, ""), 400, "name")
    refused(host.api("POST", "/api/v1/vms", {"name": "a"}), 400, "plugin is required")
    refused(create(host, "a", config={"plugin": "other"}), 400, "plugin mismatch between request and config")
    refused(host.api("POST", "/api/v1/vms", {"name": "a", "plugin": "none"}), 404, "none")
    refused(create(host, "a", runtime="other"), 400, "runtime")
    assert host.api("POST", "/api/v1/plugins/tiny/enabled", {"enabled": False}).status == 200
    refused(create(host, "a"), 409, "disabled")
    refused(host.api("GET", "/api/v1/plugins/tiny/manifest"), 409, "disabled")
    manifest_is(good(host.api("GET", "/api/v1/plugins/tiny")))
    assert host.api("POST", "/api/v1/plugins/tiny/enabled", {"enabled": True}).status == 200
    # config.plugin in another case agrees; config's resources win over the request's
    vm = good(create(host, "a", start=False, cpu_cores=1, memory_mb=64,
                     config={"plugin": "tiny", "resources": {"cpu_cores": 2, "memory_mb": 96}}), 201)
    assert (vm["cpu_cores"], vm["memory_mb"]) == (2, 96)
    refused(create(host, "a"), 409, "exists")
    answer = create(host, "b", start=False, surprise=1, config={"surprise": 2})
    assert answer.status == 201
    warnings = answer.headers.get_all("Volant-Warning")
    assert any("'surprise'" in w for w in warnings) and any("'config.surprise'" in w for w in warnings)


def test_a_vm_that_is_not_started(host):
    vm = vm_is(good(create(host, "later", start=False), 201))
    assert vm["status"] == "stopped" and "pid" not in vm and vm["serial_socket"] == ""
    host.stop()
    host.start()
    assert host.vm("later")["status"] == "stopped"
    done = host.volar("vms", "create", "also", "--plugin", "tiny", "--kernel", host.kernel, "--no-start")
    assert done.stdout.startswith("VM also created with IP ") and host.vm("also")["status"] == "stopped"
    good(host.api("POST", "/api/v1/vms/later/start"))
    host.wait_status("later", "running")


def test_lists(host):
    stopped(host, "b-web", "a-web", "c-db")
    good(host.api("POST", "/api/v1/vms/c-db/start"))
    host.wait_status("c-db", "running")

    def names(query):
        answer = host.api("GET", f"/api/v1/vms{query}")
        return [vm_is(v)["name"] for v in good(answer)], answer.headers["X-Total-Count"]

    assert names("") == (["b-web", "a-web", "c-db"], "3")  # as they were made
    assert names("?sort=name&order=desc") == (["c-db", "b-web", "a-web"], "3")
    assert names("?sort=nonsense&order=nonsense") == (["b-web", "a-web", "c-db"], "3")
    assert names("?status=STOPPED") == (["b-web", "a-web"], "2")
    assert names("?status=running,stopped&status=failed&limit=1&offset=1") == (["a-web"], "3")
    assert names("?q=WEB&limit=0") == ([], "2") and names("?offset=99") == ([], "3")
    assert names("?runtime=TINY&plugin=Tiny")[1] == "3" and names("?plugin=other") == ([], "0")
    for bad in ("limit=-1", "limit=x", "offset=-1", "offset=1.5"):
        refused(host.api("GET", f"/api/v1/vms?{bad}"), 400, f"invalid {bad.split('=', maxsplit=1)[0]}")


# --- configuration ---------------------------------------------------------------------------------------------------

def test_configuration_and_its_history(host):
    stopped(host, "web", config={"metadata": {"team": "a"}, "expose": [{"port": 80}]})
    url = "/api/v1/vms/web/config"
    first = good(host.api("GET", url))
    has(first, {"version": WHOLE, "updated_at": TIME, "config": OBJECT})
    config_is(first["config"])
    assert first["version"] == 1 and first["config"]["metadata"] == {"team": "a"}
    port = first["config"]["expose"][0]["host_port"]

    second = good(host.api("PATCH", url, {"resources": {"memory_mb": 128}, "metadata": None}))
    has(second, {"version": WHOLE, "updated_at": TIME, "config": OBJECT})
    config_is(second["config"])
    assert second["version"] == 2 and second["config"]["metadata"] == {"team": "a"}
    assert second["config"]["resources"] == {"cpu_cores": first["config"]["resources"]["cpu_cores"], "memory_mb": 128}
    assert second["config"]["expose"][0]["host_port"] == port
    assert (host.vm("web")["memory_mb"], host.vm("web")["status"]) == (128, "stopped")

    third = good(host.api("PATCH", url, {"expose": [], "metadata": {}, "resources": {"cpu_cores": 2}}))
    assert "expose" not in third["config"] and "metadata" not in third["config"] and host.vm("web")["ports"] == []
    answer = host.api("PATCH", url, {"network": {"mode": "bridged"}, "nonsense": 1})
    assert answer.json["version"] == 4 and len(answer.headers.get_all("Volant-Warning")) == 2

    for body, word in [({"plugin": "other"}, "plugin"), ({"resources": {"memory_mb": -1}}, "memory_mb"),
                       ({"resources": 1}, "resources"), ({"expose": [{"port": 0}]}, "expose[0].port"),
                       ({"runtime": "other"}, "runtime"), ({"manifest": {"name": "x"}}, "manifest"),
                       ({"kernel_override": "/etc/passwd"}, "kernel_override"), ([], "object")]:
        refused(host.api("PATCH", url, body), 400, word)
    refused(host.api("PATCH", url), 400, "empty")

    history = good(host.api("GET", f"{url}/history"))
    assert [h["version"] for h in history] == [4, 3, 2, 1]
    for h in history:
        has(h, {"id": WHOLE, "version": WHOLE, "updated_at": TIME, "config": OBJECT})
        config_is(h["config"])
    assert history[3]["config"] == first["config"] and history[3]["updated_at"] == first["updated_at"]
    assert len(good(host.api("GET", f"{url}/history?limit=0"))) == 4
    for quirk in ("history?limit=2", "history%3Flimit=2", "history%3flimit%3D2"):
        assert [h["version"] for h in good(host.api("GET", f"{url}/{quirk}"))] == [4, 3], quirk
    for bad in ("history?limit=-1", "history?limit=x", "history%3Flimit=x"):
        refused(host.api("GET", f"{url}/{bad}"), 400, "invalid limit")

    back = good(host.api("POST", f"{url}/rollback", {"version": 1}))
    assert back["version"] == 5 and back["config"] == first["config"]
    assert good(host.api("POST", f"{url}/rollback", {}))["config"] == answer.json["config"]
    refused(host.api("POST", f"{url}/rollback", {"version": 99}), 404, "no such version")
    host.kill()
    host.start()
    assert good(host.api("GET", url))["version"] == 6 and len(good(host.api("GET", f"{url}/history"))) == 6
    good(host.api("DELETE", "/api/v1/vms/web"), 204)
    stopped(host, "web")
    assert len(good(host.api("GET", f"{url}/history"))) == 1  # it went with its VM


def test_a_change_waits_for_the_next_start(host):
    good(create(host, "web", memory_mb=64), 201)
    before = host.wait_status("web", "running")
    good(host.api("PATCH", "/api/v1/vms/web/config", {"resources": {"memory_mb": 96}}))
    after = host.vm("web")
    assert after["pid"] == before["pid"] and after["memory_mb"] == 96
    good(host.api("POST", "/api/v1/vms/web/restart"))
    pid = host.wait_status("web", "running")["pid"]
    with open(f"/proc/{pid}/cmdline", encoding="utf-8") as f:
        assert "\0-m\0" + "96\0" in f.read()


def test_patches_do_not_lose_each_other(host):
    stopped(host, "web")
    connections = [volant.UnixConnection(host.socket, 30) for _ in range(8)]
    for i, c in enumerate(connections):
        c.request("PATCH", "/api/v1/vms/web/config", body=json.dumps({"env": {}, "metadata": {str(i): i}} if i % 2 else
                                                                     {"resources": {"memory_mb": 64 + i}}))
    versions = [json.loads(c.getresponse().read())["version"] for c in connections]
    assert sorted(versions) == list(range(2, 10))


# --- deployments -----------------------------------------------------------------------------------------------------

def test_deployments(host):
    config = {"plugin": "tiny", "kernel_override": host.kernel}
    for name, replicas in (("b", 0), ("a", 1)):
        d = good(host.api("POST", "/api/v1/deployments", {"name": name, "replicas": replicas, "config": config}), 201)
        has(d, DEPLOYMENT)
        config_is(d["config"])
    listed = host.api("GET", "/api/v1/deployments")
    assert [d["name"] for d in good(listed)] == ["a", "b"] and listed.headers["X-Total-Count"] == "2"
    for d in listed.json:
        has(d, DEPLOYMENT)
    page = host.api("GET", "/api/v1/deployments?order=desc&limit=1&q=&plugin=TINY")
    assert [d["name"] for d in good(page)] == ["b"] and page.headers["X-Total-Count"] == "2"
    refused(host.api("GET", "/api/v1/deployments?limit=x"), 400, "invalid limit")
    refused(host.api("POST", "/api/v1/deployments", {"name": "a", "config": config}), 409, "exists")
    refused(host.api("POST", "/api/v1/deployments", {"name": "c", "replicas": -1, "config": config}), 400, "replicas")
    refused(host.api("POST", "/api/v1/deployments", {"name": "c"}), 400, "config")
    refused(host.api("PATCH", "/api/v1/deployments/a", {}), 400, "replicas")
    refused(host.api("PATCH", "/api/v1/vms/a-1/config", {"env": {}}), 409, "deployment 'a'")
    assert good(host.api("PATCH", "/api/v1/deployments/b", {"replicas": 1}))["desired_replicas"] == 1
    assert good(host.api("GET", "/api/v1/deployments/b"))["desired_replicas"] == 1
    good(host.api("DELETE", "/api/v1/deployments/b"), 204)
    refused(host.api("GET", "/api/v1/deployments/b"), 404, "not found")
    refused(host.api("DELETE", "/api/v1/deployments/b"), 404, "not found")


# --- plugins ---------------------------------------------------------------------------------------------------------

def test_plugins(host):
    manifest = good(host.api("GET", "/api/v1/plugins/tiny"))
    manifest_is(manifest)
    answer = host.api("POST", "/api/v1/plugins", manifest | {"name": "other", "runtime": "", "enabled": False})
    assert (answer.status, answer.body) == (201, b"")
    other = good(host.api("GET", "/api/v1/plugins/other"))
    assert other["enabled"] is True and other["runtime"] == "other"  # to install is to enable
    assert good(host.api("GET", "/api/v1/plugins/other/manifest")) == other
    assert host.api("POST", "/api/v1/plugins", manifest | {"name": "other"}).status == 201  # again
    answer = host.api("GET", "/api/v1/plugins")
    assert sorted(good(answer)) == ["plugins"] and sorted(answer.json["plugins"]) == ["other", "tiny"]
    page = host.api("GET", "/api/v1/plugins?q=OTH&limit=5")
    assert good(page) == {"plugins": ["other"]} and page.headers["X-Total-Count"] == "1"
    answer = host.api("POST", "/api/v1/plugins/other/enabled", {})
    assert (answer.status, answer.body) == (200, b"") and not host.api("GET", "/api/v1/plugins/other").json["enabled"]
    refused(host.api("POST", "/api/v1/plugins/none/enabled", {"enabled": True}), 404, "not found")
    good(host.api("DELETE", "/api/v1/plugins/other"), 204)
    refused(host.api("DELETE", "/api/v1/plugins/other"), 404, "not found")
    refused(host.api("GET", "/api/v1/plugins/other"), 404, "not found")
    refused(host.api("POST", "/api/v1/plugins", {"name": "x"}), 400, "version")


# --- volar -----------------------------------------------------------------------------------------------------------

def test_volar_scales_and_configures(host, tmp_path):
    stopped(host, "web")
    out = host.volar("vms", "scale", "web", "--cpu", "2", "--memory", "96").stdout
    assert out == "VM web updated: CPU=2 cores, Memory=96 MB (config version 2)\n"
    out = host.volar("vms", "scale", "web", "--memory", "128", "--restart").stdout
    assert out.endswith("VM web restarted to apply resource changes\n") and host.vm("web")["memory_mb"] == 128
    (tmp_path / "change.json").write_text('{"metadata": {"a": 1}}')
    out = host.volar("vms", "config", "set", "web", "--file", str(tmp_path / "change.json")).stdout
    assert out == "VM web configuration updated (version 4)\n"
    config_is(json.loads(host.volar("vms", "config", "get", "web").stdout))
    kept = str(tmp_path / "kept.json")
    assert host.volar("vms", "config", "get", "web", "--raw", "--output", kept).stdout == ""
    with open(kept, encoding="utf-8") as f:
        assert json.load(f)["version"] == 4 and os.stat(kept).st_mode & 0o777 == 0o600
    lines = host.volar("vms", "config", "history", "web", "--limit", "2").stdout.splitlines()
    assert len(lines) == 2 and re.fullmatch(rf"Version 4\t{TIME.pattern}\tCPU=2\tMemory=128 MB", lines[0])
    assert json.loads(host.volar("vms", "config", "history", "web", "-o", "json").stdout)[3]["version"] == 1
    out = host.volar("vms", "config", "rollback", "web", "--to", "2").stdout
    assert out == "VM web configuration rolled back (version 5)\n"
    (tmp_path / "vm.json").write_text(json.dumps({"config": {"plugin": "tiny", "kernel_override": host.kernel}}))
    host.volar("vms", "create", "two", "--config", str(tmp_path / "vm.json"), "--memory", "80", "--no-start")
    assert host.vm("two")["memory_mb"] == 80
    host.volar("deployments", "create", "group", "--config", str(tmp_path / "vm.json"), "--replicas", "0")
    out = host.volar("vms", "scale", "group", "--replicas", "1").stdout
    assert out == "Deployment group scaled to 1 replicas (ready 0)\n"
    done = host.volar("vms", "scale", "web", check=False)
    assert done.returncode == 2 and "--cpu" in done.stderr
