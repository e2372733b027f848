# SPDX-License-Identifier: Apache-2.0
"""Every row of the route table in contract 1.3, and the general rules around it; test_contract.py has the VMs'."""
import hashlib
import json
import re
import socket

import appliance
import jsonschema
import pytest
import volant
from test_contract import (CONFIG, CONFIG_MORE, DEPLOYMENT, LIST, OBJECT, TEXT, TIME, TRUTH, VM, VM_MORE, WHOLE, config_is,
                           create, good, has, host, manifest_is, refused, shared, stopped, vm_is)
from test_events import Events
from websocket import CLOSE, WebSocket

__all__ = ["host", "shared"]  # fixtures
REPLICA = {"name": TEXT, "status": TEXT, "ready": TRUTH, "version": WHOLE, "reason": TEXT}
NOWHERE = b"404 page not found"

# What is for later versions: engines that are not there yet. Artifacts have a test of their own.
LATER = [("GET", "/api/v1/vms/web/openapi"), ("GET", "/api/v1/vms/web/agent/v1/health"),
         ("POST", "/api/v1/vms/web/agent/v1/health"), ("DELETE", "/api/v1/vms/web/agent/x"),
         ("POST", "/api/v1/vms/web/actions/tiny/x"), ("POST", "/api/v1/plugins/tiny/actions/x"),
         ("GET", "/api/v1/drift/routes"), ("POST", "/api/v1/drift/routes"), ("DELETE", "/api/v1/drift/routes/tcp/80"),
         ("GET", "/ws/v1/vms/web/devtools/json")]
LATER += [("POST", f"/api/v1/vfio/devices/{what}")
          for what in ("info", "validate", "iommu-groups", "bind", "unbind", "group-paths")]


def empty(answer, status):
    assert (answer.status, answer.body) == (status, b""), answer


def nowhere(answer):
    assert (answer.status, answer.body) == (404, NOWHERE), answer
    assert answer.headers["Content-Type"].startswith("text/plain")


def test_every_row(host):
    """In the order of the table: each is answered with its status of success and the kind of body it has."""
    vm, group = "/api/v1/vms/web", "/api/v1/deployments/group"
    config = {"plugin": "tiny", "kernel_override": host.kernel}
    manifest = good(host.api("GET", "/api/v1/plugins/tiny"))
    rows = [
        ("GET", "/healthz", None, 200, OBJECT), ("GET", "/openapi", None, 200, OBJECT),
        ("GET", "/api/v1/system/status", None, 200, OBJECT), ("GET", "/api/v1/system/info", None, 200, OBJECT),
        ("GET", "/api/v1/system/summary", None, 200, OBJECT),
        ("POST", "/api/v1/mcp", {"command": "volant.vms.list"}, 200, OBJECT),
        ("GET", "/api/v1/vms", None, 200, LIST),
        ("POST", "/api/v1/vms", {"name": "web", "plugin": "tiny", "config": config}, 201, OBJECT),
        ("GET", vm, None, 200, OBJECT), ("POST", vm + "/stop", None, 200, OBJECT),
        ("POST", vm + "/start", None, 200, OBJECT), ("POST", vm + "/restart", None, 200, OBJECT),
        ("GET", vm + "/config", None, 200, OBJECT), ("PATCH", vm + "/config", {"metadata": {}}, 200, OBJECT),
        ("GET", vm + "/config/history", None, 200, LIST), ("DELETE", vm, None, 204, None),
        ("GET", "/api/v1/deployments", None, 200, LIST),
        ("POST", "/api/v1/deployments", {"name": "group", "replicas": 0, "config": config}, 201, OBJECT),
        ("GET", group, None, 200, OBJECT), ("PATCH", group, {"replicas": 0}, 200, OBJECT), ("DELETE", group, None, 204, None),
        ("GET", "/api/v1/plugins", None, 200, OBJECT),
        ("POST", "/api/v1/plugins", manifest | {"name": "other"}, 201, None),
        ("GET", "/api/v1/plugins/other", None, 200, OBJECT), ("GET", "/api/v1/plugins/other/manifest", None, 200, OBJECT),
        ("POST", "/api/v1/plugins/other/enabled", {"enabled": True}, 200, None),
        ("DELETE", "/api/v1/plugins/other", None, 204, None),
    ]
    for method, path, body, status, kind in rows:
        answer = host.api(method, path, body)
        if kind is None:
            empty(answer, status)
        else:
            assert type(good(answer, status)) is kind, (method, path)
    for method, path in LATER:
        nowhere(host.api(method, path))
    with WebSocket(host, "/ws/v1/vms/web/logs") as ws:
        assert ws.status == 101
    events = Events(host)
    assert events.response.status == 200
    events.close()


def test_requests(host):
    """Whatever the Content-Type; one JSON value; what is wrong changes nothing."""
    for headers in ({}, {"Content-Type": "text/html"}, {"Content-Type": "application/x-www-form-urlencoded"}):
        body = json.dumps({"name": "a", "plugin": "tiny", "start": False, "config": {"kernel_override": host.kernel}})
        vm_is(good(host.api("POST", "/api/v1/vms", body, headers=headers), 201))
        good(host.api("DELETE", "/api/v1/vms/a"), 204)
    stopped(host, "web")
    takes = [("POST", "/api/v1/vms"), ("POST", "/api/v1/deployments"), ("POST", "/api/v1/plugins"),
             ("PATCH", "/api/v1/vms/web/config"), ("POST", "/api/v1/plugins/tiny/enabled")]
    good(host.api("POST", "/api/v1/deployments", {"name": "d", "config": {"plugin": "tiny", "kernel_override": host.kernel}}),
         201)
    for method, path in takes + [("PATCH", "/api/v1/deployments/d")]:
        answer = host.api(method, path)
        refused(answer, 400, "EOF")
        assert answer.json["error"].startswith("EOF")
        for bad in ("{", "nul", '{"name": "x"} {}', "\xff", '{"a": 1, "a": 2}', "[" * 100 + "]" * 100):
            refused(host.api(method, path, bad.encode("latin-1")), 400)
        refused(host.api(method, path, "[]"), 400, "object")
    for nothing in (None, "", 0, [], {}):  # members that are null were never set; of another type they are wrong
        body = {"name": "n", "plugin": "tiny", "runtime": nothing, "start": False, "config": {"kernel_override": host.kernel}}
        answer = host.api("POST", "/api/v1/vms", body)
        if nothing in (None, ""):
            good(answer, 201)
            good(host.api("DELETE", "/api/v1/vms/n"), 204)
        else:
            refused(answer, 400, "runtime")
    assert [v["name"] for v in host.vms()] == ["web"]
    assert good(host.api("GET", "/api/v1/vms/web/config"))["version"] == 1


def test_paths(host):
    stopped(host, "web")
    assert good(host.api("GET", "/api/v1/vms/%77e%62"))["name"] == "web"  # decoded once
    refused(host.api("GET", "/api/v1/vms/%2577eb"), 404, "not found")
    refused(host.api("GET", "/api/v1/vms/a%2Fb"), 404, "not found")
    refused(host.api("GET", "/api/v1/vms/%zz"), 400, "escape")
    for method, path, to in [("GET", "/healthz/", "/healthz"), ("GET", "/api/v1/vms/web/?a=b%20c", "/api/v1/vms/web?a=b%20c"),
                             ("GET", "/api/v1/plugins/tiny/manifest/", "/api/v1/plugins/tiny/manifest")]:
        answer = host.api(method, path)
        empty(answer, 301)
        assert answer.headers["Location"] == to
    for method, path in [("POST", "/api/v1/vms/web/start"), ("PATCH", "/api/v1/vms/web/config"), ("DELETE", "/api/v1/vms/web"),
                         ("POST", "/api/v1/deployments"), ("DELETE", "/api/v1/plugins/tiny")]:
        answer = host.api(method, path + "/")
        empty(answer, 307)
        assert answer.headers["Location"] == path
    # there is no 405: a method that a path does not have is nowhere, and nothing redirects to where nothing is
    for method, path in [("PUT", "/api/v1/vms"), ("DELETE", "/api/v1/vms"), ("POST", "/api/v1/vms/web"), ("PATCH", "/healthz"),
                         ("GET", "/api/v1/vms/web/start"), ("OPTIONS", "/api/v1/vms"), ("GET", "/api/v1/nothing/"),
                         ("GET", "/api/v1/vms//"), ("GET", "//api/v1/vms"), ("GET", "/API/v1/vms"), ("PUT", "/api/v1/vms/web/")]:
        nowhere(host.api(method, path))
    assert vm_is(good(host.api("GET", "/api/v1/vms/web")))["status"] == "stopped"


def test_what_clients_of_the_original_decode(host):
    """Appendix C: integers stay integers, a pid is left out where there is none, times are RFC 3339, the socket opens."""
    vm = vm_is(good(create(host, "web", cpu_cores=1, memory_mb=64), 201))
    vm = host.wait_status("web", "running")
    has(vm, VM | {"pid": WHOLE}, VM_MORE)
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(vm["serial_socket"])
    summary = good(host.api("GET", "/api/v1/system/summary"))
    assert (summary["total_vms"], summary["by_status"], summary["by_runtime"]) == (1, {"running": 1}, {"tiny": 1})
    assert (summary["total_plugins"], summary["enabled_plugins"]) == (1, 1)
    status = good(host.api("GET", "/api/v1/system/status"))
    assert status["status"] == "ok" and status["vm_count"] == 1
    assert 0 <= status["cpu_percent"] <= 100 and 0 < status["mem_percent"] <= 100
    config = good(host.api("GET", "/api/v1/vms/web/config"))["config"]
    has(config, CONFIG, CONFIG_MORE)
    assert config["api"] == {} or type(config["api"]["port"]) is TEXT
    stopped_vm = vm_is(good(host.api("POST", "/api/v1/vms/web/stop")))
    assert "pid" not in stopped_vm and stopped_vm["ip_address"] == vm["ip_address"] != ""


# --- configuration ---------------------------------------------------------------------------------------------------

def test_what_a_patch_does(host):
    """Contract 4.3, member by member."""
    url = "/api/v1/vms/web/config"
    stopped(host, "web", cpu_cores=1, memory_mb=64, config={"env": {"A": "1"}, "metadata": {"a": 1}, "restart": "always"})

    def patch(**change):
        done = good(host.api("PATCH", url, change))
        has(done, {"version": WHOLE, "updated_at": TIME, "config": OBJECT})
        config_is(done["config"])
        return done["config"]

    before = good(host.api("GET", url))["config"]
    assert patch() == before and patch(restart=None, env=None, metadata=None, resources=None, expose=None) == before
    assert patch(resources={"memory_mb": 96})["resources"] == {"cpu_cores": 1, "memory_mb": 96}
    assert patch(resources={"cpu_cores": 2})["resources"] == {"cpu_cores": 2, "memory_mb": 96}
    assert "restart" not in patch(restart="") and "metadata" not in patch(metadata={})
    assert patch(metadata={"b": [1, {}]})["metadata"] == {"b": [1, {}]}
    assert [e["port"] for e in patch(expose=[{"port": 80}, {"port": 53, "protocol": "udp"}])["expose"]] == [80, 53]
    assert "expose" not in patch(expose=[])
    refused(host.api("PATCH", url, {"plugin": "other"}), 400, "plugin")
    refused(host.api("PATCH", url, {"resources": {"cpu_cores": 0.5}}), 400, "config.resources.cpu_cores")
    answer = host.api("PATCH", url, {"network": {"mode": "bridged"}, "api": {"host": "1.2.3.4", "port": "1"}})
    assert answer.status == 200 and len(answer.headers.get_all("Volant-Warning")) == 2  # kept, and without effect here
    vm = host.vm("web")
    assert (vm["cpu_cores"], vm["memory_mb"], vm["status"]) == (2, 96, "stopped")
    history = good(host.api("GET", url + "/history"))
    assert [h["version"] for h in history] == list(range(len(history), 0, -1))
    assert len({h["id"] for h in history}) == len(history)
    for limit in ("1", "0", "999"):
        cut = history[:int(limit)] if limit != "0" else history
        for target in (f"/history?limit={limit}", f"/history%3Flimit={limit}", f"/history%3Flimit%3D{limit}"):
            assert good(host.api("GET", url + target)) == cut, target
    for bad in ("/history?limit=-1", "/history%3Flimit=-1", "/history?limit=1x", "/history?limit=1.5"):
        refused(host.api("GET", url + bad), 400, "invalid limit")


# --- deployments -----------------------------------------------------------------------------------------------------

def deployment_is(d):
    has(d, DEPLOYMENT)
    config_is(d["config"])
    for replica in d["replicas"]:
        has(replica, REPLICA)
    for key in ("created_at", "updated_at"):
        assert TIME.fullmatch(d[key])
    return d


def test_a_deployment_from_create_to_delete(host):
    url, config = "/api/v1/deployments", {"plugin": "tiny", "kernel_override": host.kernel,
                                          "resources": {"cpu_cores": 1, "memory_mb": 64}}
    made = deployment_is(good(host.api("POST", url, {"name": "web", "replicas": 2, "config": config}), 201))
    assert (made["name"], made["desired_replicas"], made["version"]) == ("web", 2, 1)
    assert made["config"]["runtime"] == "tiny" and made["config"]["manifest"]["name"] == "tiny"  # embedded
    whole = deployment_is(good(host.api("GET", url + "/web?wait=ready")))
    assert (whole["ready_replicas"], whole["updated_replicas"], whole["status"], whole["reason"]) == (2, 2, "ready", "")
    assert whole["replicas"] == [{"name": f"web-{n}", "status": "running", "ready": True, "version": 1, "reason": ""}
                                 for n in (1, 2)]
    assert {v["name"]: v["deployment"] for v in host.vms()} == {"web-1": "web", "web-2": "web"}
    for replicas in (3, 1, 0):
        done = deployment_is(good(host.api("PATCH", url + "/web?wait=ready", {"replicas": replicas})))
        assert (done["desired_replicas"], done["ready_replicas"]) == (replicas, replicas)
    assert host.vms() == []
    for body, word in [({}, "replicas"), ({"replicas": None}, "replicas"), ({"replicas": -1}, "replicas"),
                       ({"replicas": "1"}, "replicas"), ({"replicas": 1.0}, "replicas"), ({"replicas": 1001}, "replicas"),
                       ({"config": {"resources": {"memory_mb": 1}}}, "memory_mb"), ({"config": 1}, "config")]:
        refused(host.api("PATCH", url + "/web", body), 400, word)
    refused(host.api("PATCH", url + "/none", {"replicas": 1}), 404, "not found")
    refused(host.api("POST", url, {"name": "web", "config": config}), 409, "exists")
    for body, status, word in [({"config": config}, 400, "name"), ({"name": "x", "replicas": -1, "config": config}, 400, "replicas"),
                               ({"name": "x"}, 400, "plugin"), ({"name": "x", "config": {}}, 400, "plugin"),
                               ({"name": "x", "config": {"plugin": "none"}}, 404, "none"),
                               ({"name": "a/b", "config": config}, 400, "name")]:
        refused(host.api("POST", url, body), status, word)
    # ours: versions
    changed = deployment_is(good(host.api("PATCH", url + "/web", {"config": {"resources": {"memory_mb": 96}}})))
    assert changed["version"] == 2 and changed["config"]["resources"] == {"cpu_cores": 1, "memory_mb": 96}
    history = good(host.api("GET", url + "/web/history"))
    for version in history:
        has(version, {"version": WHOLE, "updated_at": TIME, "config": OBJECT})
        config_is(version["config"])
    assert [h["version"] for h in history] == [2, 1]
    back = deployment_is(good(host.api("POST", url + "/web/rollback", {"version": 1})))
    assert back["config"] == made["config"]
    good(host.api("DELETE", url + "/web"), 204)
    for method, path in (("GET", ""), ("PATCH", ""), ("DELETE", ""), ("GET", "/history"), ("POST", "/rollback")):
        refused(host.api(method, url + "/web" + path, {"replicas": 1} if method == "PATCH" else None), 404, "not found")


def test_lists_of_deployments_and_plugins(host):
    config = {"plugin": "tiny", "kernel_override": host.kernel}
    for name in ("b", "C", "a-web"):
        good(host.api("POST", "/api/v1/deployments", {"name": name, "config": config}), 201)

    def names(query):
        answer = host.api("GET", "/api/v1/deployments" + query)
        return [d["name"] for d in good(answer)], answer.headers["X-Total-Count"]

    assert names("") == (["a-web", "b", "C"], "3")  # by name, whatever its case
    assert names("?order=desc&limit=2") == (["C", "b"], "3") and names("?offset=1&limit=1") == (["b"], "3")
    assert names("?sort=created_at") == (["b", "C", "a-web"], "3") and names("?limit=0") == ([], "3")
    assert names("?q=WEB") == (["a-web"], "1") and names("?plugin=Tiny")[1] == "3" and names("?plugin=x") == ([], "0")
    assert names("?status=READY")[1] == "3" and names("?status=failed,degraded") == ([], "0") and names("?offset=9") == ([], "3")
    manifest = good(host.api("GET", "/api/v1/plugins/tiny"))
    for name in ("z", "Y"):
        empty(host.api("POST", "/api/v1/plugins", manifest | {"name": name}), 201)

    def plugins(query):
        answer = host.api("GET", "/api/v1/plugins" + query)
        has(good(answer), {"plugins": LIST})
        return answer.json["plugins"], answer.headers["X-Total-Count"]

    try:
        assert plugins("") == (["tiny", "Y", "z"], "3") and plugins("?order=desc&offset=1&limit=1") == (["Y"], "3")
        assert plugins("?q=I") == (["tiny"], "1") and plugins("?limit=0") == ([], "3")
        for path in ("/api/v1/plugins", "/api/v1/deployments"):
            for bad in ("limit=-1", "limit=x", "offset=-1", "offset=99999999999999999999"):
                refused(host.api("GET", f"{path}?{bad}"), 400, "invalid " + bad.split("=", maxsplit=1)[0])
    finally:
        for name in ("z", "Y"):
            good(host.api("DELETE", "/api/v1/plugins/" + name), 204)


# --- plugins ---------------------------------------------------------------------------------------------------------

@pytest.fixture
def caddy_of_the_appendix(host):
    """The minimal manifest of appendix A; its archive is here already."""
    blob = appliance.archive({"usr/bin/caddy": b"#!"})
    digest = "sha256:" + hashlib.sha256(blob).hexdigest()
    assert host.api("PUT", "/api/v1/blobs/" + digest, blob).status in (200, 201)
    yield {"schema_version": "1.0", "name": "caddy", "version": "0.1.0", "runtime": "caddy", "enabled": True,
           "initramfs": {"url": "/srv/caddy/plugin.cpio.gz", "checksum": digest},
           "resources": {"cpu_cores": 1, "memory_mb": 512},
           "workload": {"type": "http", "base_url": "http://127.0.0.1:80",
                        "entrypoint": ["/usr/bin/caddy", "run", "--config", "/etc/caddy/Caddyfile"]},
           "health_check": {"endpoint": "/", "timeout_ms": 10000}}
    host.api("DELETE", "/api/v1/plugins/caddy")


def test_the_manifest_of_the_appendix(host, caddy_of_the_appendix):
    sent, url = caddy_of_the_appendix, "/api/v1/plugins/caddy"
    refused(host.api("GET", url), 404, "not found")
    empty(host.api("POST", "/api/v1/plugins", sent), 201)
    got = good(host.api("GET", url))
    manifest_is(got)
    assert got["rootfs"] == {"url": "", "format": "raw"}
    assert got["labels"] == {"volant.plugin": "caddy", "volant.runtime": "caddy"}
    for key, value in sent.items():
        assert got[key] == (value if key != "health_check" else got[key] | value), key
    assert good(host.api("GET", url + "/manifest")) == got
    # as a client of Go writes what was never set, and again over what is there
    empty(host.api("POST", "/api/v1/plugins", sent | {
        "enabled": False, "version": "0.2.0", "image": "", "openapi": "", "rootfs": {"url": "", "format": ""}, "disks": None,
        "labels": None, "actions": None, "network": None, "cloud_init": None, "devices": None}), 201)
    again = good(host.api("GET", url))
    assert again["version"] == "0.2.0" and again["enabled"] is True and again["rootfs"] == got["rootfs"]
    for body, word in [({"name": ""}, "name"), ({"version": " "}, "version"), ({"resources": {"cpu_cores": -1}}, "cpu_cores"),
                       ({"workload": {"type": "http", "entrypoint": ["/x"]}}, "base_url"),
                       ({"workload": {"type": "tcp", "entrypoint": ["/x"]}}, "type"),
                       ({"workload": {"type": "exec", "entrypoint": []}}, "entrypoint"),
                       ({"initramfs": {"url": "srv/x"}}, "url"), ({"initramfs": {"url": "/x", "checksum": "md5:1"}}, "checksum"),
                       ({"health_check": {"timeout_ms": "1"}}, "timeout_ms"), ({"labels": {"a": 1}}, "labels")]:
        refused(host.api("POST", "/api/v1/plugins", sent | body), 400, word)
    assert good(host.api("GET", url)) == again
    for enabled in (False, True):
        empty(host.api("POST", url + "/enabled", {"enabled": enabled}), 200)
        assert good(host.api("GET", url))["enabled"] is enabled
        if not enabled:
            refused(host.api("GET", url + "/manifest"), 409, "disabled")
    refused(host.api("POST", url + "/enabled", {"enabled": 1}), 400, "enabled")
    good(host.api("DELETE", url), 204)
    for method, path in (("GET", ""), ("GET", "/manifest"), ("DELETE", ""), ("POST", "/enabled")):
        refused(host.api(method, url + path, {} if method == "POST" else None), 404, "not found")


# --- events, logs, console -------------------------------------------------------------------------------------------

def test_an_event_on_the_wire(host):
    """As the original writes it, with our id before; its members in the order and with the omissions of contract 1.9."""
    connection = volant.UnixConnection(host.socket, 30)
    connection.request("GET", "/api/v1/events/vms?vm=web")
    response = connection.getresponse()
    assert response.status == 200 and response.headers["Content-Type"] == "text/event-stream"
    assert response.headers["Cache-Control"] == "no-cache"
    while response.readline() != b"\n":  # our greeting: comments, retry, where it begins
        pass
    good(create(host, "web", memory_mb=64), 201)
    host.wait_status("web", "running")
    good(host.api("POST", "/api/v1/vms/web/stop"))
    good(host.api("DELETE", "/api/v1/vms/web"), 204)
    seen = []
    while not seen or seen[-1]["type"] != "VM_DELETED":
        lines = []
        while (line := response.readline().decode()) != "\n":
            lines.append(line)
        if lines[0].startswith(":"):
            continue
        ident, kind, data = (re.fullmatch(rf"{name}: (.*)\n", line)[1] for name, line in zip(("id", "event", "data"), lines))
        event = json.loads(data)
        assert len(lines) == 3 and ident.isdigit() and kind == event["type"]
        has(event, {"type": TEXT, "name": TEXT, "status": TEXT, "timestamp": TIME},
            {"ip_address": TEXT, "mac_address": TEXT, "pid": WHOLE, "message": TEXT, "stream": TEXT, "line": TEXT})
        assert list(event)[:3] == ["type", "name", "status"] and "" not in [event.get("message"), event.get("ip_address")]
        seen.append(event)
    connection.close()
    schemas = good(host.api("GET", "/openapi"))["components"]["schemas"]  # which tell of events too
    for event in seen:
        jsonschema.validate(event, schemas["VMEvent"] | {"additionalProperties": False})
    assert [(e["type"], e["status"], e["message"]) for e in seen if e["type"] != "VM_STOPPING"] == [  # which is ours
        ("VM_CREATED", "starting", "vm record created"), ("VM_RUNNING", "running", "vm running"),
        ("VM_STOPPED", "stopped", "vm stopped"), ("VM_DELETED", "stopped", "vm deleted")]


def test_websockets_before_and_after_the_upgrade(host):
    """test_websocket.py has the frames of a guest that says something."""
    console = WebSocket(host, "/ws/v1/vms/none/console")
    assert console.status == 404 and b"not found" in console.body
    stopped(host, "web")
    console = WebSocket(host, "/ws/v1/vms/web/console")
    assert console.status == 409 and b"vm not ready" in console.body
    for name, close in (("none", (1000, "vm not found")), ("web", (1013, "vm not ready"))):
        with WebSocket(host, f"/ws/v1/vms/{name}/logs") as ws:
            assert ws.status == 101 and ws.message() == (CLOSE, close)
    assert host.api("GET", "/ws/v1/vms/web/logs").status == 426


# --- MCP, as the original has it -------------------------------------------------------------------------------------

def test_the_envelope(host):
    """Contract 2.1; without the model's create, whose `runtime` names a plugin that boots by itself."""
    def command(body, status=200):
        return good(host.api("POST", "/api/v1/mcp", body), status)

    stopped(host, "web", cpu_cores=1, memory_mb=64)
    vm = host.vm("web")
    listed = command({"command": "volant.vms.list", "params": {}})
    has(listed, {"result": LIST})
    has(listed["result"][0], {"id": WHOLE, "name": TEXT, "status": TEXT, "ip_address": TEXT, "cpu_cores": WHOLE,
                              "memory_mb": WHOLE})
    assert listed["result"] == [{key: vm[key] for key in listed["result"][0]}]
    assert command({"command": "volant.vms.list"}) == listed
    capable = command({"command": "volant.system.get_capabilities"})
    has(capable, {"result": OBJECT})
    has(capable["result"], {"capabilities": LIST})
    for one in capable["result"]["capabilities"]:
        has(one, {"name": TEXT, "description": TEXT, "params": OBJECT})
        assert all(type(value) is TEXT for value in one["params"].values())
    for body in ({"command": "volant.nothing"}, {"command": "volant.vms.create", "params": {}},
                 {"command": "volant.vms.create", "params": {"name": "x"}},
                 {"command": "volant.vms.create", "params": {"name": "web", "runtime": "tiny"}}):
        failed = command(body)
        assert failed["result"] is None and failed["error"]
    assert command("{", 400)["result"] is None
    assert [v["name"] for v in host.vms()] == ["web"]
