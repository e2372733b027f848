# SPDX-License-Identifier: Apache-2.0
"""Who may use the API over TCP, and for what: tokens and roles, TLS, networks, names, web pages."""
import contextlib
import http.client
import json
import os
import signal
import socket
import sqlite3
import ssl
import subprocess
import time

import pytest
import volant
import webserver
from volant import says

VM = {"name": "x", "plugin": "nothing"}


class TcpHost(volant.Host):
    """A volantd with a TCP listener on loopback."""

    def __init__(self, *args, **environment):
        super().__init__(**environment)
        self.port = volant.free_port()
        self.args = args

    def start(self, *args):
        super().start("--listen", f"127.0.0.1:{self.port}", *self.args, *args)

    def connection(self, timeout=10):
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)

    def tcp(self, method, path, body=None, token=None, **headers):
        if token:
            headers["Authorization"] = f"Bearer {token}"
        connection = self.connection()
        try:
            connection.request(method, path, body=json.dumps(body) if body is not None else None,
                               headers={k.replace("_", "-"): v for k, v in headers.items()})
            response = connection.getresponse()
            answer = volant.Answer(response, response.read())
        finally:
            connection.close()
        if method != "OPTIONS":  # which browsers ask, and no client that reads /openapi
            self.check(method, path, answer)
        return answer

    def token(self, name, role):
        return self.volar("tokens", "create", name, "--role", role).stdout.strip()


@pytest.fixture(scope="module")
def guarded():
    """A volantd with a token of each role."""
    with TcpHost() as host:
        host.tokens = {role: host.token(f"{role}er", role) for role in ("read", "operate", "admin")}
        yield host


# --- the command ------------------------------------------------------------------------------------------------------


def test_tokens_by_hand():
    with TcpHost() as host:
        assert host.volar("tokens", "list").stdout == "No tokens\n"
        assert host.tcp("GET", "/api/v1/vms").status == 200
        done = host.volar("tokens", "create", "ci", "--role", "operate")
        assert done.stdout.startswith("volant_") and len(done.stdout.split()) == 1
        says(done.stderr, ["ci", "only time"])
        shown = json.loads(host.volar("tokens", "create", "ops", "--role", "admin", "-o", "json").stdout)
        assert shown["name"] == "ops" and shown["role"] == "admin" and shown["token"].startswith("volant_")
        table = host.volar("tokens", "list").stdout
        says(table, ["NAME", "ROLE", "ci", "operate", "ops", "admin"])
        listed = json.loads(host.volar("tokens", "list", "-o", "json").stdout)
        assert [(t["name"], t["role"], set(t)) for t in listed] == [
            ("ci", "operate", {"name", "role", "created_at"}), ("ops", "admin", {"name", "role", "created_at"})]
        assert host.tcp("GET", "/api/v1/vms").status == 401
        assert host.tcp("GET", "/api/v1/vms", token=done.stdout.strip()).status == 200
        assert host.volar("tokens", "revoke", "ci").stdout == "Token ci revoked\n"
        assert host.tcp("GET", "/api/v1/vms", token=done.stdout.strip()).status == 401
        again = host.volar("tokens", "rm", "ci", check=False)
        assert again.returncode == 2
        says(again.stderr, ["did you mean 'tokens revoke'"])


@pytest.mark.parametrize("args, code, words", [
    (["create", "ci"], 2, ["--role"]),
    (["create", "ci", "--role", "root"], 2, ["--role"]),
    (["create", "a/b", "--role", "read"], 2, ["a/b"]),
    (["create", "reader", "--role", "read"], 1, ["reader", "already exists"]),
    (["revoke", "nobody"], 1, ["nobody", "not found", "tokens list"]),
])
def test_bad_token_commands(guarded, args, code, words):
    done = guarded.volar("tokens", *args, check=False)
    assert done.returncode == code
    says(done.stderr, words)


@pytest.mark.parametrize("body, status, words", [
    ({}, 400, ["name"]),
    ({"name": "x"}, 400, ["role"]),
    ({"name": "x", "role": "root"}, 400, ["role", "root", "admin"]),
    ({"name": "", "role": "read"}, 400, ["name"]),
    ({"name": "../x", "role": "read"}, 400, ["name"]),
    ({"name": "x' OR 1", "role": "read"}, 400, ["name"]),
    ({"name": "n" * 64, "role": "read"}, 400, ["name"]),
    ([], 400, ["object"]),
    ({"name": "reader", "role": "read"}, 409, ["reader", "already exists"]),
    ({"name": "VOLANT_API_KEY", "role": "read"}, 409, ["VOLANT_API_KEY", "choose another"]),
])
def test_bad_token_requests(guarded, body, status, words):
    before = guarded.api("GET", "/api/v1/tokens").json
    answer = guarded.api("POST", "/api/v1/tokens", body)
    assert answer.status == status
    says(answer.json["error"], words)
    assert guarded.api("GET", "/api/v1/tokens").json == before


def test_tokens_survive_and_are_kept_nowhere():
    with TcpHost() as host:
        token = host.token("ops", "admin")
        host.kill()
        host.start()
        assert host.tcp("GET", "/api/v1/tokens", token=token).json[0]["name"] == "ops"
        assert host.tcp("GET", "/api/v1/vms").status == 401
        host.stop()
        for path in [os.path.join(root, name) for root, _, names in os.walk(host.dir) for name in names]:
            with open(path, "rb") as f:
                assert token.encode() not in f.read(), path


def test_many_made_at_once_are_all_there():
    with TcpHost() as host:
        made = [host.api("POST", "/api/v1/tokens", {"name": f"t{i}", "role": "read"}).json for i in range(20)]
        assert len({m["token"] for m in made}) == 20
        racing = [subprocess.Popen([volant.program("volar"), "tokens", "create", "same", "--role", "read"], env=host.env,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(4)]
        codes = sorted([p.wait(30) for p in racing if p.communicate(timeout=30)])
        assert codes == [0, 1, 1, 1]
        assert len(host.api("GET", "/api/v1/tokens").json) == 21


# --- who may what -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/healthz", "/openapi", "/api/v1/vms", "/api/v1/events/vms", "/nowhere",
                                  "/ws/v1/vms/web/logs", "/api/v1/system/backup"])
def test_every_route_wants_a_token(guarded, path):
    for headers in ({}, {"Authorization": "Bearer volant_0"}, {"X-Volant-API-Key": "x"}, {"Authorization": "Basic eDp5"}):
        answer = guarded.tcp("GET", path, **headers)
        assert answer.status == 401 and answer.json["error"].startswith("invalid api key")
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")


def test_both_headers_do(guarded):
    token = guarded.tokens["read"]
    assert guarded.tcp("GET", "/api/v1/vms", Authorization=f"bearer {token}").status == 200
    assert guarded.tcp("GET", "/api/v1/vms", X_Volant_API_Key=token).status == 200
    assert guarded.tcp("GET", "/api/v1/vms", Authorization="Basic eDp5", X_Volant_API_Key=token).status == 200
    in_url = guarded.tcp("GET", f"/api/v1/vms?api_key={token}")
    assert in_url.status == 401
    says(in_url.json["error"], ["not in the URL"])
    assert token not in guarded.logged()


def test_what_is_wrong_with_a_token(guarded):
    """RFC 6750, for clients that know it; and nothing that would start an OAuth login."""
    def challenge(status, *args, **headers):
        answer = guarded.tcp(*args, **headers)
        assert answer.status == status
        return answer.headers["WWW-Authenticate"]

    assert challenge(401, "GET", "/mcp") == 'Bearer realm="volant"'
    assert challenge(401, "GET", "/mcp", Authorization="Bearer volant_0") == 'Bearer realm="volant", error="invalid_token"'
    assert challenge(403, "DELETE", "/api/v1/vms/x", token=guarded.tokens["read"]) == \
        'Bearer realm="volant", error="insufficient_scope"'
    for path in ("/.well-known/oauth-protected-resource", "/.well-known/oauth-protected-resource/mcp"):
        assert guarded.tcp("GET", path).status == 404


def test_refusals_are_logged(guarded):
    """Whoever tries tokens is seen, and does not fill the log."""
    before = guarded.logged().count(" is refused: status=")
    volant.wait_until(lambda: guarded.tcp("DELETE", "/api/v1/vms/x", Authorization="Bearer volant_tried").status == 401 and
                      "DELETE /api/v1/vms/x from=127.0.0.1 is refused: status=401" in guarded.logged(), 5)
    for _ in range(50):
        guarded.tcp("GET", "/api/v1/vms")
    assert guarded.logged().count(" is refused: status=") - before < 10 and "volant_tried" not in guarded.logged()


def test_refused_before_the_body(guarded):
    """By the head alone, whatever follows it: nobody without a token has anything kept."""
    head = ("PUT /api/v1/blobs/sha256:" + "0" * 64 + " HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer volant_0\r\n")
    for more in ("Content-Length: 100000000\r\n", "Content-Length: 5\r\nExpect: 100-continue\r\n",
                 "Transfer-Encoding: chunked\r\n"):
        with socket.create_connection(("127.0.0.1", guarded.port), 10) as s:
            s.sendall((head + more + "\r\n").encode())
            answer = b""
            while data := s.recv(4096):  # which closes
                answer += data
            assert answer.startswith(b"HTTP/1.1 401 ") and b"Connection: close" in answer


READ, OPERATE, ADMIN = range(3)
NEEDS = [
    ("GET", "/healthz", None, READ), ("GET", "/api/v1/vms", None, READ), ("GET", "/api/v1/plugins", None, READ),
    ("GET", "/api/v1/system/info", None, READ), ("GET", "/api/v1/system/check", None, READ),
    ("POST", "/api/v1/vms", VM, OPERATE), ("DELETE", "/api/v1/vms/x", None, OPERATE),
    ("POST", "/api/v1/vms/x/start", None, OPERATE), ("PATCH", "/api/v1/vms/x/config", {}, OPERATE),
    ("POST", "/api/v1/plugins", {}, OPERATE), ("DELETE", "/api/v1/plugins/x", None, OPERATE),
    ("POST", "/api/v1/deployments", {}, OPERATE), ("GET", "/ws/v1/vms/x/console", None, OPERATE),
    ("GET", "/api/v1/tokens", None, ADMIN), ("POST", "/api/v1/tokens", {}, ADMIN),
    ("DELETE", "/api/v1/tokens/x", None, ADMIN), ("POST", "/api/v1/system/repair", {}, ADMIN),
    ("GET", "/api/v1/system/backup", None, ADMIN), ("PUT", "/api/v1/system/restore", {}, ADMIN),
]


@pytest.mark.parametrize("method, path, body, needs", NEEDS)
def test_roles(guarded, method, path, body, needs):
    for rank, role in enumerate(("read", "operate", "admin")):
        answer = guarded.tcp(method, path, body, token=guarded.tokens[role])
        if rank >= needs:
            assert answer.status not in (401, 403), answer
        else:
            assert answer.status == 403
            says(answer.json["error"], [f"{role}er", f"role {role}", "this needs"])


def test_every_operation_says_its_role(guarded):
    document = guarded.tcp("GET", "/openapi", token=guarded.tokens["read"]).json
    roles = {f"{method.upper()} {path}": o["x-volant-role"] for path, item in document["paths"].items()
             for method, o in item.items()}
    assert set(roles.values()) == {"read", "operate", "admin"}
    assert roles["GET /api/v1/vms"] == "read" and roles["POST /api/v1/tokens"] == "admin"
    assert {"bearer": []} in document["security"] and {"apiKey": []} in document["security"]


def test_the_unix_socket_needs_none(guarded):
    assert guarded.api("GET", "/api/v1/tokens").status == 200
    assert guarded.api("GET", "/api/v1/tokens", headers={"Authorization": "Bearer volant_0"}).status == 401
    lesser = guarded.api("GET", "/api/v1/tokens", headers={"Authorization": "Bearer " + guarded.tokens["read"]})
    assert lesser.status == 403


def test_what_a_token_changed_is_logged(guarded):
    guarded.tcp("POST", "/api/v1/vms", VM, token=guarded.tokens["operate"])
    says(guarded.logged(), ["POST /api/v1/vms", "token=operateer"])
    assert not any(token in guarded.logged() for token in guarded.tokens.values())


def mcp(host, method, params, token):
    meta = {"io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
            "io.modelcontextprotocol/clientCapabilities": {}}
    headers = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream",
               "MCP_Protocol_Version": "2026-07-28", "Mcp_Method": method}
    if "name" in params:
        headers["Mcp_Name"] = params["name"]
    answer = host.tcp("POST", "/mcp", {"jsonrpc": "2.0", "id": 1, "method": method, "params": params | {"_meta": meta}},
                      token=token, **headers)
    return answer.json["result"]


def test_what_an_agent_changed_and_consoles_are_logged(guarded):
    call = {"name": "delete_vm", "arguments": {"name": "of-an-agent"}}
    mcp(guarded, "tools/call", call, guarded.tokens["operate"])
    mcp(guarded, "tools/call", call, guarded.tokens["read"])
    guarded.tcp("GET", "/ws/v1/vms/any/console", token=guarded.tokens["operate"])
    says(guarded.logged(), ["DELETE /api/v1/vms/of-an-agent for an agent, token=operateer",
                            "DELETE /api/v1/vms/of-an-agent is refused for an agent, token=reader",
                            "GET /ws/v1/vms/any/console status=426 ms="])


def test_an_agent_may_what_its_token_may(guarded):
    offered = {role: {t["name"] for t in mcp(guarded, "tools/list", {}, token)["tools"]}
               for role, token in guarded.tokens.items()}
    assert offered["read"] < offered["operate"] <= offered["admin"]
    assert {"list_vms", "get_vm", "read_logs"} <= offered["read"] and "create_vm" not in offered["read"]
    refused = mcp(guarded, "tools/call", {"name": "create_vm", "arguments": VM}, guarded.tokens["read"])
    assert refused["isError"]
    says(refused["content"][0]["text"], ["role read", "needs operate"])
    envelope = {"command": "volant.vms.create", "params": {"name": "x", "runtime": "x"}}
    answer = guarded.tcp("POST", "/api/v1/mcp", envelope, token=guarded.tokens["read"])
    assert answer.status == 200 and answer.json["result"] is None


# --- the end of a token -----------------------------------------------------------------------------------------------


def test_the_last_token_stays_where_none_would_open_the_door():
    with TcpHost() as host:
        host.token("only", "admin")
        refused = host.volar("tokens", "revoke", "only", check=False)
        assert refused.returncode == 1
        says(refused.stderr, ["only", "last one", "--listen"])
        host.token("other", "read")
        host.volar("tokens", "revoke", "only")
        assert host.volar("tokens", "revoke", "other", check=False).returncode == 1
        host.stop()
        volant.Host.start(host)  # without TCP
        host.volar("tokens", "revoke", "other")
        assert host.api("GET", "/api/v1/tokens").json == []


def test_revoking_ends_what_is_open(guarded):
    token = guarded.token("brief", "admin")
    stream, other = guarded.connection(), guarded.connection()
    for connection, secret in ((stream, token), (other, guarded.tokens["read"])):
        connection.request("GET", "/api/v1/events/vms", headers={"Authorization": f"Bearer {secret}"})
        assert connection.getresponse().status == 200
    assert guarded.tcp("DELETE", "/api/v1/tokens/brief", token=token).status == 204  # by itself, and answered
    while stream.sock.recv(4096):  # to its end
        pass
    other.sock.settimeout(0.5)
    with pytest.raises(TimeoutError):
        while other.sock.recv(4096):
            pass
    stream.close()
    other.close()


def test_a_token_revoked_while_volantd_stops():
    """What waits for the store then is done before the end, and asks for nothing that has gone already."""
    with TcpHost() as host:
        host.token("ops", "admin")
        host.token("ci", "read")
        other = sqlite3.connect(host.inside("state.db"), isolation_level=None)
        other.execute("BEGIN IMMEDIATE")  # volantd's turn comes afterwards
        asking = volant.UnixConnection(host.socket, 20)
        asking.request("DELETE", "/api/v1/tokens/ci")
        assert host.api("DELETE", "/api/v1/tokens/ci").status == 404  # it is on its way
        host.process.send_signal(signal.SIGTERM)
        assert asking.getresponse().status == 503  # volantd stops
        asking.close()
        other.execute("COMMIT")
        other.close()
        assert host.process.wait(20) == 0, host.logged()
        host.start()
        assert [t["name"] for t in host.api("GET", "/api/v1/tokens").json] == ["ops"]


def test_a_key_of_the_settings():
    with TcpHost(VOLANT_API_KEY="a-key-of-the-original") as host:
        assert host.tcp("GET", "/api/v1/tokens").status == 401
        assert host.tcp("GET", "/api/v1/tokens", X_Volant_API_Key="a-key-of-the-original").status == 200
        assert host.tcp("GET", "/api/v1/tokens", X_Volant_API_Key="a-key-of-the-origina").status == 401
        assert "a-key-of-the-original" not in host.logged()
        host.token("spare", "read")
        host.volar("tokens", "revoke", "spare")


# --- networks, names, pages -------------------------------------------------------------------------------------------


def test_networks():
    with TcpHost("--allow-cidr", "10.0.0.0/8,fd00::/8") as host:
        refused = host.tcp("GET", "/healthz", X_Forwarded_For="10.0.0.1")
        assert refused.status == 403 and refused.json == {"error": "access denied"}
        assert host.api("GET", "/healthz").status == 200
    with TcpHost("--allow-cidr", "10.0.0.0/8", "--proxies", "127.0.0.1") as host:
        assert host.tcp("GET", "/healthz", X_Forwarded_For="10.0.0.1").status == 401  # it is not on this host
        token = host.token("ops", "admin")
        assert host.tcp("GET", "/healthz", token=token, X_Forwarded_For="10.0.0.1").status == 200
        assert host.tcp("GET", "/healthz", token=token, X_Forwarded_For="10.0.0.1, 192.0.2.1").status == 403
        assert host.tcp("GET", "/healthz", X_Forwarded_For="me").json == {"error": "invalid client IP"}
        two = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: 10.0.0.1\r\nX-Forwarded-For: 192.0.2.1\r\n\r\n"
        with socket.create_connection(("127.0.0.1", host.port), 5) as s:
            s.sendall(two)
            assert s.recv(100).startswith(b"HTTP/1.1 403 ")


def test_the_address_that_clients_are_told():
    with TcpHost(VOLANT_API_ADVERTISE="volant.example:443") as host:
        info = host.tcp("GET", "/api/v1/system/info").json
        assert info["api_advertise_addr"] == "volant.example:443"
        assert info["api_listen_addr"] == f"127.0.0.1:{host.port}"


def test_names():
    with TcpHost("--names", "volant.example") as host:
        assert host.tcp("GET", "/healthz", Host="volant.example").status == 200
        assert host.tcp("GET", "/healthz", Host=f"VOLANT.example:{host.port}").status == 200
        refused = host.tcp("GET", "/healthz", Host="rebound.example")
        assert refused.status == 403
        says(refused.json["error"], ["Host header", "--names"])


def test_pages_from_elsewhere():
    with TcpHost("--cors-origins", "https://ui.example, http://localhost:3000") as host:
        asked = host.tcp("OPTIONS", "/api/v1/vms", Origin="https://ui.example", Access_Control_Request_Method="POST")
        assert asked.status == 204 and asked.body == b""
        assert asked.headers["Access-Control-Allow-Origin"] == "https://ui.example"
        assert asked.headers["Access-Control-Allow-Credentials"] == "true"
        says(asked.headers["Access-Control-Allow-Methods"], ["GET", "POST", "PATCH", "DELETE", "OPTIONS"])
        says(asked.headers["Access-Control-Allow-Headers"],
             ["Content-Type", "Authorization", "X-Requested-With", "X-Volant-API-Key"])
        says(asked.headers["Access-Control-Expose-Headers"], ["Content-Type", "X-Total-Count"])
        got = host.tcp("GET", "/api/v1/vms", Origin="http://localhost:3000")
        assert got.status == 200 and got.headers["Access-Control-Allow-Origin"] == "http://localhost:3000"
        assert got.headers["Vary"] == "Origin"
        evil = host.tcp("GET", "/api/v1/vms", Origin="https://evil.example")
        assert evil.status == 403 and evil.headers["Access-Control-Allow-Origin"] is None
        assert host.tcp("OPTIONS", "/api/v1/vms", Origin="https://evil.example").status == 403
        assert host.tcp("GET", "/api/v1/vms").headers["Access-Control-Allow-Origin"] is None
        host.token("ops", "admin")
        refused = host.tcp("GET", "/api/v1/vms", Origin="https://ui.example")  # readable by the page
        assert refused.status == 401 and refused.headers["Access-Control-Allow-Origin"] == "https://ui.example"
        assert host.tcp("OPTIONS", "/api/v1/vms", Origin="https://ui.example").status == 204


def test_pages_from_anywhere_need_a_token():
    with TcpHost("--cors-origins", "*") as host:
        assert host.tcp("GET", "/api/v1/vms").status == 200
        assert host.tcp("GET", "/api/v1/vms", Origin="https://any.example").status == 401
        token = host.token("page", "read")
        answer = host.tcp("GET", "/api/v1/vms", token=token, Origin="https://any.example")
        assert answer.status == 200 and answer.headers["Access-Control-Allow-Origin"] == "*"
        assert host.tcp("GET", "/api/v1/vms", token=token, Origin="null").status == 403
        for path in ("/mcp", "/api/v1/mcp"):  # for pages that are named, one by one
            assert host.tcp("POST", path, token=token, Origin="https://any.example").status == 403
        assert answer.headers["Access-Control-Allow-Credentials"] is None


def test_without_settings_no_page_may_ask(guarded):
    assert guarded.tcp("OPTIONS", "/api/v1/vms", token=guarded.tokens["admin"]).status == 404
    assert guarded.tcp("GET", "/api/v1/vms", token=guarded.tokens["admin"], Origin="https://ui.example").status == 403


def test_a_revoked_token_ends_volar_events():
    with TcpHost() as host:
        tokens = {name: host.token(name, "read") for name in ("watcher", "other")}
        env = host.env | {"VOLANT_API_BASE": f"http://127.0.0.1:{host.port}", "VOLANT_API_TOKEN": tokens["watcher"]}
        with subprocess.Popen([volant.program("volar"), "events"], env=env, stdin=subprocess.DEVNULL,
                              stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as following:
            time.sleep(0.5)  # for the stream to begin
            host.volar("tokens", "revoke", "watcher")
            assert following.wait(10) == 1
            said = following.stderr.read()
        says(said, ["volantd ended the stream (it stopped, or the token was revoked)", "invalid api key",
                    "--since 0 goes on from there"])
        assert tokens["watcher"] not in said


# --- what answers -----------------------------------------------------------------------------------------------------


def test_no_volantd_at_the_address():
    with TcpHost() as host, webserver.serving() as other:
        done = host.volar("--api", other.base, "vms", "list", check=False)
        assert done.returncode == 1
        says(done.stderr, [other.base, "404", "is it volantd"])


# --- TLS --------------------------------------------------------------------------------------------------------------


def certificate(folder, name="volant", *args):
    """A certificate of its own for 127.0.0.1 and 192.0.2.1: (certificate, key)."""
    cert, key = os.path.join(folder, f"{name}.crt"), os.path.join(folder, f"{name}.key")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-noenc",
                    "-keyout", key, "-out", cert, "-subj", f"/CN={name}", "-days", "2",
                    "-addext", "subjectAltName=IP:127.0.0.1,IP:192.0.2.1,DNS:localhost", *args],
                   check=True, capture_output=True)
    os.chmod(key, 0o600)
    return cert, key


class TlsHost(TcpHost):
    """The same with TLS, and a folder for its certificate."""

    def __init__(self, folder, **environment):
        self.cert, self.key = certificate(folder)
        super().__init__("--tls-cert", self.cert, "--tls-key", self.key, **environment)
        self.context = ssl.create_default_context(cafile=self.cert)

    def connection(self, timeout=10):
        return http.client.HTTPSConnection("127.0.0.1", self.port, timeout=timeout, context=self.context)

    def volar_tls(self, *args, **environment):
        env = self.env | {"VOLANT_API_BASE": f"https://127.0.0.1:{self.port}", "VOLANT_API_CA": self.cert} | environment
        return subprocess.run([volant.program("volar"), *args], env=env, stdin=subprocess.DEVNULL, capture_output=True,
                              text=True, timeout=60, check=False)


@pytest.fixture(scope="module")
def tls(tmp_path_factory):
    with TlsHost(str(tmp_path_factory.mktemp("tls"))) as host:
        host.admin = host.token("ops", "admin")
        yield host


def test_volar_over_tls(tls, tmp_path):
    done = tls.volar_tls("vms", "list", VOLANT_API_TOKEN=tls.admin)
    assert done.returncode == 0 and done.stdout == "No VMs found\n", done.stderr
    (tmp_path / "token").write_text(tls.admin + "\n")
    assert tls.volar_tls("tokens", "list", VOLANT_API_TOKEN_FILE=str(tmp_path / "token")).returncode == 0
    refused = tls.volar_tls("vms", "list")
    assert refused.returncode == 1
    says(refused.stderr, ["invalid api key: the request has no token", "VOLANT_API_TOKEN"])
    untrusted = tls.volar_tls("vms", "list", VOLANT_API_TOKEN=tls.admin, VOLANT_API_CA="")
    assert untrusted.returncode == 1
    says(untrusted.stderr, ["certificate", "VOLANT_API_CA"])
    plain = tls.volar_tls("vms", "list", VOLANT_API_BASE=f"http://127.0.0.1:{tls.port}")
    assert plain.returncode == 1
    says(plain.stderr, ["may speak TLS", f"try https://127.0.0.1:{tls.port}"])
    assert tls.admin not in tls.logged()


def test_the_api_over_tls(tls):
    assert tls.tcp("GET", "/api/v1/vms", token=tls.admin).status == 200
    assert tls.tcp("GET", "/openapi", token=tls.admin).json["servers"][0]["url"].startswith("https://")
    same = tls.tcp("GET", "/api/v1/vms", token=tls.admin, Origin=f"https://127.0.0.1:{tls.port}")
    assert same.status == 200
    assert tls.tcp("GET", "/api/v1/vms", token=tls.admin, Origin=f"http://127.0.0.1:{tls.port}").status == 403
    big = os.urandom(3 << 20)  # taken in pieces, between which the connection rests
    digest = "0" * 64
    connection = tls.connection(30)
    connection.request("PUT", f"/api/v1/blobs/sha256:{digest}", body=big,
                       headers={"Authorization": f"Bearer {tls.admin}"})
    response = connection.getresponse()
    assert response.status == 400
    says(response.read().decode(), ["sha256"])
    connection.close()


def test_events_and_websockets_over_tls(tls):
    connection = tls.connection()
    connection.request("GET", "/api/v1/events/vms?last_event_id=0", headers={"Authorization": f"Bearer {tls.admin}"})
    assert connection.getresponse().status == 200
    connection.close()
    raw = tls.context.wrap_socket(socket.create_connection(("127.0.0.1", tls.port), 10), server_hostname="127.0.0.1")
    raw.sendall((f"GET /ws/v1/vms/none/logs HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                 f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                 f"Authorization: Bearer {tls.admin}\r\n\r\n").encode())
    head = b""
    while b"\r\n\r\n" not in head:
        head += raw.recv(4096)
    assert head.startswith(b"HTTP/1.1 101 ")
    frame = head.split(b"\r\n\r\n", 1)[1]
    while len(frame) < 4:
        frame += raw.recv(4096)
    assert frame[0] == 0x88 and frame[2:4] == (1000).to_bytes(2, "big")  # vm not found
    raw.close()


def test_strangers_get_no_handshake(tmp_path):
    host = TlsHost(str(tmp_path))
    host.args += ("--allow-cidr", "10.0.0.0/8")
    with host:
        with socket.create_connection(("127.0.0.1", host.port), 10) as s, pytest.raises(OSError):
            host.context.wrap_socket(s, server_hostname="127.0.0.1")
    host = TlsHost(str(tmp_path))
    host.args += ("--allow-cidr", "10.0.0.0/8", "--proxies", "127.0.0.1")
    with host:
        assert host.tcp("GET", "/healthz").json == {"error": "access denied"}


def tls_console(host, token):
    raw = host.context.wrap_socket(socket.create_connection(("127.0.0.1", host.port), 10), server_hostname="127.0.0.1")
    raw.sendall((f"GET /ws/v1/vms/web/console HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\n"
                 f"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                 f"Authorization: Bearer {token}\r\n\r\n").encode())
    assert raw.recv(4096).startswith(b"HTTP/1.1 101 ")
    return raw


def test_websockets_over_tls_leave_nothing(tiny, tmp_path):
    """However they end; long before volantd would ask whether the client is still there."""
    with TlsHost(str(tmp_path), VOLANT_KERNEL_DIRS=tiny.folder) as host:
        host.install(tiny.manifest)
        host.volar("vms", "create", "web", "--plugin", "tiny", "--kernel", tiny.kernel)
        host.token("ops", "admin")
        folder = f"/proc/{host.process.pid}/fd"
        before = len(os.listdir(folder))
        token = host.token("brief", "admin")
        for end in ("goes", "says goodbye", "closes", "is revoked"):
            clients = [tls_console(host, token) for _ in range(8)]
            if end == "is revoked":
                host.volar("tokens", "revoke", "brief")
            for raw in clients:
                if end == "says goodbye":
                    with contextlib.suppress(OSError):  # something may still come
                        raw.unwrap()
                elif end == "closes":
                    raw.sendall(b"\x88\x82\0\0\0\0\x03\xe8")
                    while raw.recv(4096):
                        pass
                raw.close()
            volant.wait_until(lambda: len(os.listdir(folder)) <= before, 8)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_what_is_no_tls_gets_nothing(tls):
    with socket.create_connection(("127.0.0.1", tls.port), 10) as s:
        s.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert b"200" not in s.recv(100)
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
    old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    old.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.raises(OSError):
        old.wrap_socket(socket.create_connection(("127.0.0.1", tls.port), 10))
    assert tls.tcp("GET", "/healthz", token=tls.admin).status == 200


def broken(kind, folder):
    """A certificate and key that are no good."""
    cert, key = certificate(folder)
    if kind == "another key":
        key = certificate(folder, "other")[1]
    elif kind == "open key":
        os.chmod(key, 0o644)
    elif kind == "no certificate":
        volant.write(cert, "hello\n")
    elif kind == "no key":
        volant.write(key, "hello\n")
    elif kind == "not there":
        os.unlink(cert)
    elif kind == "password":
        subprocess.run(["openssl", "ec", "-in", key, "-aes256", "-passout", "pass:secret", "-out", key + "p"], check=True,
                       capture_output=True)
        key += "p"
    else:
        subprocess.run(["openssl", "x509", "-in", cert, "-signkey", key, "-days", "-1", "-out", cert + "2"], check=True,
                       capture_output=True)
        cert += "2"
    return cert, key


@pytest.mark.parametrize("kind, words", [
    ("another key", ["does not belong"]), ("open key", ["open to every user", "chmod"]),
    ("no certificate", ["volant.crt", "no PEM"]), ("no key", ["volant.key", "no PEM"]),
    ("not there", ["volant.crt", "no such file"]), ("password", ["without a password"]), ("expired", ["expired"])])
def test_bad_certificates(kind, words, tmp_path):
    host = volant.Host()
    try:
        cert, key = broken(kind, str(tmp_path))
        done = subprocess.run([volant.program("volantd"), "--listen", "127.0.0.1:0", "--tls-cert", cert, "--tls-key", key],
                              env=host.env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=20,
                              check=False)
        assert done.returncode == 2  # systemd does not start it again and again
        says(done.stderr, words)
        assert not os.path.exists(host.socket) and not os.path.exists(host.inside("state.db"))
    finally:
        host.close()


# --- other addresses than loopback ------------------------------------------------------------------------------------


class NetHost(TlsHost):
    """In a network of its own, where it has the address 192.0.2.1."""

    def __init__(self, folder):
        super().__init__(folder)
        self.wrapper = ["unshare", "-n", "sh", "-c", "ip link set lo up && ip addr add 192.0.2.1/24 dev lo && exec \"$@\"",
                        "sh"]

    def start(self, *args):
        volant.Host.start(self, *args)

    def inside_net(self, *command, **environment):
        return subprocess.run(["nsenter", "-t", str(self.process.pid), "-n", *command], env=self.env | environment,
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30, check=False)


def test_other_addresses_need_tls_and_a_token(tmp_path):
    host = NetHost(str(tmp_path))
    listen = ["--listen", "192.0.2.1:7777", "--tls-cert", host.cert, "--tls-key", host.key]
    try:
        host.launch(*listen)
        assert host.process.wait(20) == 1
        says(host.logged(), ["192.0.2.1:7777", "needs a token", "volar tokens create"])
        host.start()
        token = host.token("ops", "operate")
        host.stop()
        host.start(*listen)
        with_token = {"VOLANT_API_TOKEN": token, "VOLANT_API_CA": host.cert}
        volar = [volant.program("volar"), "--api", "https://192.0.2.1:7777", "vms", "list"]
        done = host.inside_net(*volar, **with_token)
        assert done.returncode == 0 and done.stdout == "No VMs found\n", done.stderr
        assert host.inside_net(*volar, VOLANT_API_CA=host.cert).returncode == 1
        clear = host.inside_net(*[a.replace("https", "http") for a in volar], **with_token)
        assert clear.returncode == 1
        says(clear.stderr, ["not sent", "in the clear", "https://"])
        host.volar("tokens", "revoke", "ops")  # locks other hosts out, and lets nobody in
        assert host.inside_net(*volar, **with_token).returncode == 1
        assert host.inside_net(*volar, VOLANT_API_CA=host.cert).returncode == 1
        host.token("ops", "operate")
        host.stop()
        host.start("--listen", "0.0.0.0:7777", *listen[2:])
        info = host.api("GET", "/api/v1/system/info").json
        assert info["api_listen_addr"] == "0.0.0.0:7777"
        assert info["api_advertise_addr"] == f"{info['host_ip']}:7777"  # by which it can be reached
    finally:
        host.close()
