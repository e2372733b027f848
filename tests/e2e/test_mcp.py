# SPDX-License-Identifier: Apache-2.0
"""MCP on the wire: tools, resources, subscriptions and the original's envelope; and as lines over `volar mcp`."""
import json
import os
import re
import select
import subprocess

import jsonschema
import openapi
import pytest
import rawclient
import volant

VALIDATORS = {}  # of each tool's results
VERSION = "2026-07-28"
META = {"io.modelcontextprotocol/protocolVersion": VERSION, "io.modelcontextprotocol/clientCapabilities": {}}
SUBSCRIPTION = "io.modelcontextprotocol/subscriptionId"


def headers_of(method, name=None):
    headers = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream",
               "MCP-Protocol-Version": VERSION, "Mcp-Method": method}
    return headers | ({"Mcp-Name": name} if name else {})


def message(method, params=None, ident=1):
    return {"jsonrpc": "2.0", "id": ident, "method": method, "params": (params or {}) | {"_meta": META}}


def ask(host, method, header=None, /, **params):
    """A request of the stateless revision: the whole JSON-RPC answer."""
    answer = host.api("POST", "/mcp", message(method, params), headers=headers_of(method, header))
    assert answer.json["id"] == 1, answer
    return answer.json


def validator(host, name):
    """Of what a tool gives, strictly: nothing that its outputSchema does not tell of."""
    if not VALIDATORS:
        for one in ask(host, "tools/list")["result"]["tools"]:
            openapi.close(one["outputSchema"])
            VALIDATORS[one["name"]] = jsonschema.Draft202012Validator(one["outputSchema"])
    return VALIDATORS[name]


def check_result(host, name, result):
    """Its text says the same, its outputSchema knows it."""
    assert result["isError"] is False, result
    assert json.loads(result["content"][0]["text"]) == result["structuredContent"]
    errors = list(validator(host, name).iter_errors(result["structuredContent"]))
    assert not errors, (name, [f"{'/'.join(map(str, e.path))}: {e.message}" for e in errors])
    return result["structuredContent"]


def tool(host, name, /, **arguments):
    """What a tool gives."""
    return check_result(host, name, ask(host, "tools/call", name, name=name, arguments=arguments)["result"])


def refused(host, name, /, **arguments):
    result = ask(host, "tools/call", name, name=name, arguments=arguments)["result"]
    assert result["isError"] is True and "structuredContent" not in result, result
    return result["content"][0]["text"]


def read(host, uri):
    return ask(host, "resources/read", uri, uri=uri)


class Stream:
    """An answer that is a stream of messages."""

    def __init__(self, host, body, headers):
        self.connection = volant.UnixConnection(host.socket, 60)
        self.connection.request("POST", "/mcp", json.dumps(body), headers)
        self.response = self.connection.getresponse()
        assert self.response.status == 200 and self.response.headers["Content-Type"] == "text/event-stream"
        assert self.response.headers["Cache-Control"] == "no-cache"

    def message(self):
        """The next one; None: it has ended, as it should."""
        while (line := self.response.readline().decode()) and not line.startswith("data: "):
            assert not line.startswith("id:")
        return json.loads(line.removeprefix("data: ")) if line else None


class Subscription(Stream):
    """A stream of subscriptions/listen."""

    def __init__(self, host, **notifications):
        super().__init__(host, message("subscriptions/listen", {"notifications": notifications}, ident="s"),
                         headers_of("subscriptions/listen"))

    def next(self):
        """The next message, without its envelope."""
        got = self.message()
        assert got, "the stream ended"
        assert got["params"].pop("_meta") == {SUBSCRIPTION: "s"}
        return got["method"].removeprefix("notifications/"), got["params"]

    def until(self, *want):
        while (got := self.next()) != want:
            pass


def test_an_agent_runs_a_vm(host, busybox, hello):
    """From an installed plugin to a VM and its log, and back; a subscriber hears of it."""
    host.install(busybox)  # which brings the artifact
    assert tool(host, "install_plugin", manifest=host.api("GET", "/api/v1/plugins/busybox").json) == {"installed": True}
    assert tool(host, "list_plugins") == {"plugins": ["busybox"]}
    assert tool(host, "get_plugin", name="busybox")["name"] == "busybox"

    uri = "volant://vms/web"
    stream = Subscription(host, resourcesListChanged=True, resourceSubscriptions=[uri, "volant://no"])
    assert stream.next() == ("subscriptions/acknowledged",
                             {"notifications": {"resourcesListChanged": True, "resourceSubscriptions": [uri]}})
    vm = tool(host, "create_vm", name="web", plugin="busybox", wait="running")
    assert vm == host.vm("web")
    stream.until("resources/list_changed", {})
    stream.until("resources/updated", {"uri": uri})

    assert [v["name"] for v in tool(host, "list_vms", plugin="busybox")["vms"]] == ["web"]
    assert tool(host, "list_vms", plugin="other")["vms"] == []
    assert "web" in refused(host, "create_vm", name="web", plugin="busybox")
    assert json.loads(read(host, uri)["result"]["contents"][0]["text"])["name"] == "web"
    listed = {r["uri"] for r in ask(host, "resources/list")["result"]["resources"]}
    assert listed == {uri, uri + "/logs", "volant://plugins/busybox/manifest", "volant://system/info"}
    host.install(hello)
    tool(host, "create_vm", name="says", plugin="hello", wait="running")
    volant.wait_until(lambda: any("Hello from" in line["line"] and line["name"] == "says"
                                  for line in tool(host, "read_logs", name="says", tail=50)["lines"]), 30, every=0.2)
    host.wait_status("says", "stopped")  # until then its log may break off: it ends by itself
    assert "Hello from" in read(host, "volant://vms/says/logs")["result"]["contents"][0]["text"]
    assert tool(host, "delete_vm", name="says") == {"deleted": True}

    assert tool(host, "stop_vm", name="web")["status"] == "stopped"
    assert tool(host, "start_vm", name="web", wait="none")["name"] == "web"
    assert tool(host, "delete_vm", name="web") == {"deleted": True}
    assert host.vms() == []
    missing = read(host, uri)["error"]
    assert missing["code"] == -32602 and missing["data"] == {"uri": uri}


def test_wrong_arguments_change_nothing(host):
    """What a model can mend is told as a result, with the field and the remedy."""
    cases = [("create_vm", {"name": "web"}, "plugin"), ("create_vm", {"name": "web", "plugin": "no"}, "not installed"),
             ("create_vm", {"name": "web", "plugin": "x", "memory_mb": "1"}, "memory_mb"),
             ("create_vm", {"name": "web", "plugin": "x", "cpus": 2}, "'cpus' is unknown"),
             ("create_vm", {"name": "web", "plugin": "x", "config": {"bla": 1}}, "'config.bla' is unknown"),
             ("create_vm", {"name": "web", "plugin": "x", "wait": "for ever"}, "wait"),
             ("get_vm", {}, "name"), ("get_vm", {"name": "../system"}, "name"), ("get_vm", {"name": 1}, "name"),
             ("get_vm", {"name": "a?wait=1"}, "name"), ("list_vms", {"limit": 0}, "limit"),
             ("read_logs", {"name": "no"}, "not found"), ("scale_deployment", {"name": "no"}, "replicas"),
             ("scale_deployment", {"name": "no", "replicas": 2}, "not found"), ("delete_deployment", {"name": "no"}, "no"),
             ("install_plugin", {"manifest": {}}, "name"), ("install_plugin", {"manifest": 1}, "manifest")]
    for name, arguments, word in cases:
        volant.says(refused(host, name, **arguments), [word])
    assert host.vms() == [] and tool(host, "list_deployments") == {"deployments": []}


def test_deployments(host, hello):
    host.install(hello)
    made = tool(host, "create_deployment", name="web", plugin="hello", replicas=1, wait="none",
                config={"resources": {"memory_mb": 64}})
    assert made["desired_replicas"] == 1 and made["config"]["resources"]["memory_mb"] == 64
    assert tool(host, "scale_deployment", name="web", replicas=0, wait="none")["desired_replicas"] == 0
    assert [d["name"] for d in tool(host, "list_deployments")["deployments"]] == ["web"]
    assert tool(host, "get_deployment", name="web") == host.api("GET", "/api/v1/deployments/web").json
    assert tool(host, "get_system_info")["plugin_count"] == 1
    tool(host, "delete_deployment", name="web")
    volant.wait_until(lambda: tool(host, "list_deployments") == {"deployments": []}, 60)


def test_schemas_are_those_of_the_api(host):
    """Names and limits of create_vm come from the tables that decode."""
    tools = {t["name"]: t for t in ask(host, "tools/list")["result"]["tools"]}
    given = tools["create_vm"]["inputSchema"]
    assert given["additionalProperties"] is False and given["required"] == ["name"]
    assert given["properties"]["memory_mb"] == {"type": "integer", "minimum": 48, "maximum": 1048576} | {
        k: v for k, v in given["properties"]["memory_mb"].items() if k == "description"}
    assert "expose" in given["properties"]["config"]["properties"]
    assert tools["get_vm"]["annotations"]["readOnlyHint"] and tools["delete_vm"]["annotations"]["destructiveHint"]
    for name, one in tools.items():
        jsonschema.Draft202012Validator.check_schema(one["inputSchema"])
        jsonschema.Draft202012Validator.check_schema(one["outputSchema"])
        assert one["outputSchema"]["type"] == "object" and "$ref" not in json.dumps(one), name
        assert re.fullmatch("[a-z_]{1,64}", name) and one["description"] and one["inputSchema"]["type"] == "object"


def progress_of(stream, token, ident=1):
    """What was told until the answer, and that."""
    told, n = [], 0
    while "id" not in (got := stream.message()):
        assert got["method"] == "notifications/progress" and got["params"]["progressToken"] == token
        assert got["params"]["progress"] > n
        n = got["params"]["progress"]
        told.append(got["params"]["message"])
    assert got["id"] == ident and stream.message() is None
    return told, got


def call(name, arguments, token=None, ident=1):
    meta = META | ({"progressToken": token} if token is not None else {})
    return {"jsonrpc": "2.0", "id": ident, "method": "tools/call",
            "params": {"name": name, "arguments": arguments, "_meta": meta}}


def test_progress_is_told_while_a_call_waits(tiny, tiny_host):
    host = tiny_host
    config = {"kernel_override": tiny.kernel}
    vm = {"name": "web", "plugin": "tiny", "config": config, "wait": "running"}
    told, answer = progress_of(Stream(host, call("create_vm", vm, "p"), headers_of("tools/call", "create_vm")), "p")
    assert told[0] == "web is starting" and told[-1].startswith("web is running"), told
    assert check_result(host, "create_vm", answer["result"])["status"] == "running"
    # a deployment tells of its replicas, a client of a handshake revision is told as well
    body = call("create_deployment", {"name": "d", "plugin": "tiny", "replicas": 2, "config": config}, 7)
    del body["params"]["_meta"]["io.modelcontextprotocol/protocolVersion"]
    stream = Stream(host, body, {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"})
    told, answer = progress_of(stream, 7)
    assert {"d-1 is starting", "d-2 is starting"} <= set(told), told
    assert not any("web" in text for text in told)
    assert check_result(host, "create_deployment", answer["result"])["status"] == "ready"
    told, answer = progress_of(Stream(host, call("stop_vm", {"name": "web"}, "s"), headers_of("tools/call", "stop_vm")), "s")
    assert told[-1].startswith("web is stopped") and answer["result"]["structuredContent"]["status"] == "stopped"
    # what is refused at once is no stream, nor is what a client without an interest in it asks for
    for name, arguments, token in [("start_vm", {"name": "no"}, "p"), ("get_vm", {"name": "web"}, "p"),
                                   ("start_vm", {"name": "web", "wait": "running"}, None)]:
        done = host.api("POST", "/mcp", call(name, arguments, token), headers=headers_of("tools/call", name))
        assert done.headers["Content-Type"].startswith("application/json") and done.json["result"], done
    only_json = headers_of("tools/call", "restart_vm") | {"Accept": "application/json"}
    done = host.api("POST", "/mcp", call("restart_vm", {"name": "web", "wait": "running"}, "p"), headers=only_json)
    assert done.json["result"]["structuredContent"]["status"] == "running"
    tool(host, "delete_deployment", name="d")


def test_who_stops_reading_does_no_harm(tiny, tiny_host):
    stream = Stream(tiny_host, call("create_vm", {"name": "web", "plugin": "tiny", "wait": "ready", "config": {
        "kernel_override": tiny.kernel, "expose": [{"port": 80}]}}, 1), headers_of("tools/call", "create_vm"))
    assert stream.message()["method"] == "notifications/progress"
    stream.response.close()
    stream.connection.close()
    tiny_host.wait_status("web", "running")
    assert tool(tiny_host, "delete_vm", name="web") == {"deleted": True}


def test_streams_end_when_volantd_stops(busybox, host):
    """A subscription with its result, a call that waits with an error; on stdio a notification comes before."""
    host.install(busybox)
    stream, bridge = Subscription(host, resourcesListChanged=True), Bridge(host)
    assert stream.next()[0] == "subscriptions/acknowledged"
    bridge.send(message("subscriptions/listen", {"notifications": {"resourcesListChanged": True}}, ident=5))
    assert bridge.next()["method"] == "notifications/subscriptions/acknowledged"
    vm = {"name": "web", "plugin": "busybox", "config": {"expose": [{"port": 81}]}}  # where nobody will listen
    waits = Stream(host, call("create_vm", vm, "p"), headers_of("tools/call", "create_vm"))
    while not waits.message()["params"]["message"].startswith("web is running"):
        pass
    host.stop()
    ended = {"jsonrpc": "2.0", "id": "s", "result": {"resultType": "complete", "_meta": {SUBSCRIPTION: "s"}}}
    while (got := stream.message()) != ended:
        assert got["method"] == "notifications/resources/list_changed", got
    assert stream.message() is None
    answer = waits.message()
    volant.says(answer["error"]["message"], ["stopping"])
    assert (answer["id"], answer["error"]["code"], waits.message()) == (1, -32603, None)
    while (got := bridge.next())["method"] != "notifications/cancelled":
        pass
    assert got["params"]["requestId"] == 5
    assert bridge.next() == ended | {"id": 5, "result": {"resultType": "complete", "_meta": {SUBSCRIPTION: 5}}}
    assert bridge.close() == []
    host.start()
    assert host.vm("web")["status"] == "running"  # what was asked for goes on


def test_the_envelope_of_the_original(host):
    def command(body, status=200):
        answer = host.api("POST", "/api/v1/mcp", body)
        assert answer.status == status and "result" in answer.json
        return answer.json

    assert command({"command": "volant.vms.list", "params": {}}) == {"result": []}
    assert command({"command": "volant.vms.create", "params": {}}) == {"result": None, "error": "name param required"}
    assert command({"command": "volant.vms.create", "params": {"name": "x"}})["error"] == "runtime browser unavailable"
    assert command({"command": "volant.no"})["error"] == "unknown command: volant.no"
    assert command({}) == command({"params": {}}) == {"result": None, "error": "unknown command: "}
    names = [c["name"] for c in command({"command": "volant.system.get_capabilities"})["result"]["capabilities"]]
    assert names == ["volant.vms.list", "volant.vms.create"]
    assert command("{", 400)["result"] is None
    # The same place speaks the protocol.
    answer = host.api("POST", "/api/v1/mcp", {"jsonrpc": "2.0", "id": 5, "method": "ping"},
                      headers={"Content-Type": "application/json"})
    assert answer.json == {"jsonrpc": "2.0", "id": 5, "result": {}}


def test_what_is_no_mcp_is_refused(host):
    for method in ("GET", "DELETE"):
        answer = host.api(method, "/mcp")
        assert answer.status == 405 and answer.headers["Allow"] == "POST"
    assert host.api("POST", "/mcp", "{}", headers={"Content-Type": "text/plain"}).status == 415
    page = headers_of("server/discover") | {"Origin": "http://elsewhere.example"}
    assert host.api("POST", "/mcp", message("server/discover"), headers=page).status == 403
    for name in ("MCP-Protocol-Version", "Mcp-Method"):  # whoever stands between may believe the other one
        lines = [f"{k}: {v}" for k, v in headers_of("tools/list").items()] + [f"{name}: other"]
        with rawclient.Client(host) as client:
            client.send(rawclient.post(json.dumps(message("tools/list")).encode(), *lines, target="/mcp"))
            status, _, body = client.answer()
        assert status == 400 and json.loads(body)["error"]["code"] == -32020, body
    crossed = headers_of("tools/list")
    assert host.api("POST", "/mcp", message("server/discover"), headers=crossed).json["error"]["code"] == -32020


def test_subscriptions_are_bounded_and_let_go(host):
    """As many as there may be; the places of those who leave are free again."""
    streams = [Subscription(host) for _ in range(64)]
    body, headers = message("subscriptions/listen", {"notifications": {}}), headers_of("subscriptions/listen")
    answer = host.api("POST", "/mcp", body, headers=headers)
    assert answer.status == 503 and answer.headers["Retry-After"]
    for stream in streams:
        stream.response.close()
        stream.connection.close()

    def again():
        try:
            return Subscription(host)
        except AssertionError:
            return None

    volant.wait_until(again, 10).connection.close()


class Bridge:
    """`volar mcp`."""

    def __init__(self, host):
        self.process = subprocess.Popen([volant.program("volar"), "mcp"], env=host.env, stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, bufsize=0)

    def send(self, *messages):
        for one in messages:
            self.process.stdin.write((one if isinstance(one, str) else json.dumps(one)).encode() + b"\n")

    def next(self, timeout=30):
        assert select.select([self.process.stdout], [], [], timeout)[0], "no answer"
        return json.loads(self.process.stdout.readline())

    def close(self):
        self.process.stdin.close()
        rest = self.process.stdout.read().decode()
        assert self.process.wait(40) == 0
        return [json.loads(line) for line in rest.splitlines()]


def test_the_bridge_carries_both_eras(host):
    bridge = Bridge(host)
    bridge.send({"jsonrpc": "2.0", "id": 0, "method": "tools/list"})
    assert bridge.next()["error"]["code"] == -32600  # before a handshake
    bridge.send("{", "[]", "")
    assert [bridge.next()["error"]["code"] for _ in range(2)] == [-32700, -32600]
    bridge.send(message("server/discover", ident="d"))
    assert bridge.next()["result"]["supportedVersions"] == [VERSION]
    bridge.send({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
        "protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}})
    assert bridge.next()["result"]["protocolVersion"] == "2025-06-18"
    bridge.send({"jsonrpc": "2.0", "method": "notifications/initialized"}, {"jsonrpc": "2.0", "id": 2, "method": "ping"})
    assert bridge.next() == {"jsonrpc": "2.0", "id": 2, "result": {}}
    bridge.send(message("resources/read", {"uri": "volant://vms/ä"}, ident=3))
    assert bridge.next()["error"]["data"] == {"uri": "volant://vms/ä"}
    bridge.send(message("subscriptions/listen", {"notifications": {"resourcesListChanged": True}}, ident="s"))
    assert bridge.next()["method"] == "notifications/subscriptions/acknowledged"
    bridge.send({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": "s"}})
    bridge.send('{"jsonrpc":"2.0","id":8,"method":"' + "x" * (1 << 20) + '"}')
    assert bridge.next()["error"]["code"] == -32600
    bridge.send(message("tools/call", {"name": "list_vms"}, ident=4))
    assert [a["id"] for a in bridge.close()] == [4]  # what was under way is answered, the subscription is gone


def test_the_bridge_says_when_nobody_answers(host):
    host.stop()
    bridge = Bridge(host)
    bridge.send(message("server/discover", ident=9))
    (answer,) = bridge.close()
    assert answer["id"] == 9 and answer["error"]["code"] == -32603
    volant.says(answer["error"]["message"], ["volantd does not answer", host.socket])


def words(pairs):
    return ", ".join(f"`{name}`" + ("" if required else "?") for name, required in pairs)


def test_the_tables_of_the_reference(host):
    """docs/reference/mcp.md: tools, resources and prompts are those that are listed, row by row."""
    with open(os.path.join(volant.ROOT, "docs", "reference", "mcp.md"), encoding="utf-8") as f:
        text = f.read()
    tables = {name: table.splitlines()[2:] for name, table in re.findall(r"^<!-- (\w+) -->\n((?:\|.*\n)*)", text, re.M)}
    rows = []
    for one in ask(host, "tools/list")["result"]["tools"]:
        hints, given = one["annotations"], one["inputSchema"]
        does = "reads" if hints["readOnlyHint"] else "destroys" if hints["destructiveHint"] else "changes"
        arguments = words((a, a in given.get("required", ())) for a in given.get("properties", ()))
        rows.append(f"| `{one['name']}` | {arguments} | {does} | {one['description']} |")
    assert tables["tools"] == rows
    uris = [t["uriTemplate"] for t in ask(host, "resources/templates/list")["result"]["resourceTemplates"]]
    uris += [r["uri"] for r in ask(host, "resources/list")["result"]["resources"]]
    assert [re.match(r"\| `(.*?)` \|", row)[1] for row in tables["resources"]] == uris
    assert tables["prompts"] == [
        f"| `{p['name']}` | {words((a['name'], a['required']) for a in p['arguments'])} | {p['description']} |"
        for p in ask(host, "prompts/list")["result"]["prompts"]]


def test_the_examples_of_the_reference(host):
    """docs/reference/mcp.md: every JSON block that is a request is answered as the block after it says."""
    with open(os.path.join(volant.ROOT, "docs", "reference", "mcp.md"), encoding="utf-8") as f:
        text = f.read()
    server = ask(host, "server/discover")["result"]["_meta"]["io.modelcontextprotocol/serverInfo"]
    text = text.replace('"version":"0.1.0"', f'"version":"{server["version"]}"')  # whatever it is by now
    blocks = [json.loads(block) for block in re.findall(r"^```json\n(.*?)^```", text, re.S | re.M)]
    requests = [(block, after) for block, after in zip(blocks, blocks[1:]) if "method" in block]
    assert len(requests) >= 3
    for block, after in requests:
        params = block.get("params", {})
        modern = "_meta" in params
        headers = headers_of(block["method"], params.get("name") or params.get("uri")) if modern else {
            "Content-Type": "application/json"}
        assert host.api("POST", "/mcp", block, headers=headers).json == after
    for script in re.findall(r"^```sh\n(.*?)^```", text, re.S | re.M):
        env = host.env | {"PATH": f"{volant.BUILD}:{host.env['PATH']}", "SOCKET": host.socket}
        done = subprocess.run(["bash", "-euc", script], env=env, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0 and '"result"' in done.stdout, (script, done)


@pytest.fixture(scope="module")
def clients():
    """The folder with what npm has."""
    done = subprocess.run([os.path.join(volant.ROOT, "scripts", "mcp-clients")], stdout=subprocess.PIPE, text=True,
                          timeout=600, check=True)
    return done.stdout.strip()


@pytest.fixture
def listening(tiny):
    """A volantd that serves MCP on the loopback: the suite knows neither sockets nor tokens."""
    h = volant.Host(VOLANT_KERNEL_DIRS=tiny.folder)
    h.kernel = tiny.kernel
    h.port = volant.free_port()
    try:
        h.start("--listen", f"127.0.0.1:{h.port}")
        h.url = f"http://127.0.0.1:{h.port}/mcp"
        h.install(tiny.manifest)
        yield h
    finally:
        h.close()


# Scenarios for a server with tools of its own; others want tools of fixed names. "!" lists checks that do.
SCENARIOS = {
    "2026-07-28": ["server-stateless", "tools-list", "resources-list", "prompts-list", "sep-2164-resource-not-found",
                   "caching", "server-sse-multiple-streams", "dns-rebinding-protection",
                   "input-required-result-unsupported-methods", "http-header-validation"],
    "2025-11-25": ["server-initialize", "ping", "tools-list", "resources-list", "prompts-list",
                   "dns-rebinding-protection"],
    "2025-06-18": ["server-initialize", "ping", "tools-list", "resources-list", "prompts-list"],
}
WANT_TOOLS_OF_THE_SUITE = {
    "sep-2575-server-rejects-undeclared-capability", "sep-2575-missing-capability-http-400",
    "sep-2575-http-server-no-independent-requests-on-stream", "sep-2575-server-no-log-without-loglevel"}


@pytest.mark.npm
@pytest.mark.parametrize("version", SCENARIOS)
def test_the_conformance_suite_passes(listening, clients, tmp_path, version):
    node, suite = (os.path.join(clients, "node_modules", *path) for path in (
        (".bin", "node"), ("@modelcontextprotocol", "conformance", "dist", "index.js")))
    for scenario in SCENARIOS[version]:
        out = tmp_path / scenario
        done = subprocess.run([node, suite, "server", "--url", listening.url, "--spec-version", version, "--scenario",
                               scenario, "-o", str(out)], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=120, check=False)
        (found,) = out.rglob("checks.json")
        checks = json.loads(found.read_text(encoding="utf-8"))
        failed = {c["id"] for c in checks if c["status"] in ("FAILURE", "WARNING")}
        assert any(c["status"] == "SUCCESS" for c in checks), (scenario, done.stdout)
        assert failed == (WANT_TOOLS_OF_THE_SUITE if scenario == "server-stateless" else set()), (scenario, done.stdout)


@pytest.mark.npm
def test_the_official_clients_connect_list_and_call(listening, clients):
    node = os.path.join(clients, "node_modules", ".bin", "node")
    script = os.path.join(volant.ROOT, "tests", "e2e", "mcp_clients.mjs")
    done = subprocess.run([node, script, clients, listening.url, volant.program("volar"), listening.kernel],
                          env=listening.env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120,
                          check=False)
    assert done.returncode == 0, done
    ways = [json.loads(line) for line in done.stdout.splitlines()]
    assert [w.pop("way") for w in ways] == ["modern http", "modern stdio", "handshake http", "old http", "old stdio"]
    assert [w.pop("version", None) for w in ways] == [VERSION, VERSION, "2025-11-25", "2025-11-25", None]
    tools = len(ask(listening, "tools/list")["result"]["tools"])
    for way in ways:
        told = way.pop("told")  # of a call's progress; what comes right before the answer they may drop
        assert told[0] == "is starting", told
        assert way == {"tools": tools, "resources": ["volant://system/info", "volant://plugins/tiny/manifest"],
                       "prompts": 3, "status": "ok", "vms": [], "made": "running", "wrong": True, "system": "ok",
                       "prompt": True, "unknown": -32602}
