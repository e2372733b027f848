# SPDX-License-Identifier: Apache-2.0
"""Bodies, numbers, texts and names that break the rules: refused by name, or kept as the texts that they are."""
import contextlib
import json
import sqlite3
import urllib.parse

import pytest
import volant
from rawclient import WHOLE, Client, hostile, own, shared  # noqa: F401  pylint: disable=unused-import
from volant import says

SQL = "x'); DROP TABLE vms; --"
CREATE = b'{"name": "new", "plugin": "tiny", "start": false}'


# --- bodies ---------------------------------------------------------------------------------------------------------

DEEP = 20000
BODIES = {
    "nothing": b"",
    "blanks": b" \r\n\t",
    "no JSON": b"name=new&plugin=tiny",
    "a string": b'"new"',
    "null": b"null",
    "a list": b"[]",
    "cut off": CREATE[:-4],
    "two values": CREATE + CREATE,
    "a byte order mark": b"\xef\xbb\xbf" + CREATE,
    "UTF-16": CREATE.decode().encode("utf-16"),
    "NaN": b'{"name": NaN}',
    "infinity": b'{"name": Infinity}',
    "a comment": b'{"name": "new" /* */}',
    "invalid UTF-8 in a value": b'{"name": "\xff\xfe"}',
    "invalid UTF-8 in a key": b'{"\xc0\x80": 1}',
    "a surrogate in bytes": b'{"name": "\xed\xa0\x80"}',
    "half a surrogate": b'{"name": "\\ud800"}',
    "NUL in a value": b'{"name": "a\\u0000b"}',
    "NUL in a key": b'{"a\\u0000b": 1}',
    "a key twice": b'{"name": "a", "name": "b"}',
    "a key twice below": b'{"config": {"plugin": "a", "plugin": "b"}}',
    "arrays in arrays": b"[" * DEEP + b"]" * DEEP,
    "objects in objects": b'{"a":' * DEEP + b"1" + b"}" * DEEP,
    "begun and never ended": b"[" * (1 << 20),
    "a number of 400 digits": b'{"memory_mb": ' + b"9" * 400 + b"}",
    "a number out of range": b'{"memory_mb": 1e999}',
    "2 MiB": b'{"name": "' + b"x" * (2 << 20) + b'"}',
}
TAKES_JSON = [("POST", "/api/v1/vms"), ("PATCH", "/api/v1/vms/down/config"), ("POST", "/api/v1/vms/down/config/rollback"),
              ("POST", "/api/v1/plugins"), ("POST", "/api/v1/plugins/tiny/enabled"), ("POST", "/api/v1/system/repair"),
              ("POST", "/api/v1/deployments"), ("PATCH", "/api/v1/deployments/none"),
              ("POST", "/api/v1/deployments/none/rollback"), ("POST", "/mcp"), ("POST", "/api/v1/mcp")]


@pytest.mark.parametrize("what", BODIES)
def test_bodies(what, hostile):
    for method, path in TAKES_JSON:
        if what in ("nothing", "blanks") and path == "/api/v1/system/repair":
            continue  # which needs none
        answer = hostile.api(method, path, BODIES[what])
        assert 400 <= answer.status < 500, (method, path, answer)
        assert answer.json["error"], (method, path, answer)


NUMBERS = [-1, 0.5, 1e15, -1e300, 2**31, 2**32 + 1, 2**53, 2**63 - 1, -2**63, 2**63, 2**64, 10**30, True, "1", None, [], {}]


def numeric(schema, path=()):
    """Where a request's schema has an integer: paths of keys, through the first item of arrays."""
    if schema.get("type") in ("integer", "number"):
        yield path
    for name, inner in schema.get("properties", {}).items():
        yield from numeric(inner, path + (name,))
    if isinstance(schema.get("items"), dict):
        yield from numeric(schema["items"], path + (0,))


def texts(schema, path=()):
    """Likewise its strings, and values of maps."""
    if schema.get("type") == "string":
        yield path
    for name, inner in schema.get("properties", {}).items():
        yield from texts(inner, path + (name,))
    if isinstance(schema.get("additionalProperties"), dict):
        yield from texts(schema["additionalProperties"], path + (SQL,))
    if isinstance(schema.get("items"), dict):
        yield from texts(schema["items"], path + (0,))


def resolved(document, schema):
    """Without references."""
    if isinstance(schema, list):
        return [resolved(document, s) for s in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        target = document
        for key in schema["$ref"].removeprefix("#/").split("/"):
            target = target[key]
        return resolved(document, target)
    return {k: resolved(document, v) for k, v in schema.items()}


def placed(body, path, value):
    """A copy of the body with the value there."""
    body = json.loads(json.dumps(body))
    at = body
    for key, following in zip(path, path[1:]):
        if isinstance(key, int):
            while len(at) <= key:
                at.append([] if isinstance(following, int) else {})
            at = at[key]
        else:
            at = at.setdefault(key, [] if isinstance(following, int) else {})
    if isinstance(path[-1], int):
        at.append(value)
    else:
        at[path[-1]] = value
    return body


OWN = {"/api/v1/system/restore", "/api/v1/blobs/{digest}", "/mcp", "/api/v1/mcp"}  # not of this kind


def operations(host):
    document = host.api("GET", "/openapi").json
    for path, item in document["paths"].items():
        for method, operation in item.items():
            if method in ("get", "put", "post", "patch", "delete") and path not in OWN:
                yield method.upper(), path, resolved(document, operation)


def schema_of(operation):
    content = operation.get("requestBody", {}).get("content", {})
    return content.get("application/json", {}).get("schema", {})


def address(path, value="down"):
    for param, known in (("{plugin}", "tiny"), ("{digest}", "sha256:" + "0" * 64)):
        path = path.replace(param, known)
    return path.replace("{name}", "none" if "deployments" in path else value)


def undo(host, method, path, answer):
    """What an accepted request made is taken away again."""
    if method == "POST" and path in WHOLE and answer.status in (201, 202):
        made = f"{path}/{WHOLE[path]['name']}"
        assert host.api("DELETE", made).status in (200, 202, 204)
        volant.wait_until(lambda: host.api("GET", made).status == 404, 20)


def test_numbers(own):
    """Anything where a number belongs."""
    tried = 0
    for method, path, operation in operations(own):
        for place in numeric(schema_of(operation)):
            for n in NUMBERS:
                if place == ("replicas",) and n is not None:
                    n = n if not isinstance(n, (int, float)) or n < 0 or n > 1000 else -n  # not by the thousand
                answer = own.api(method, address(path), placed(WHOLE.get(path, {}), place, n))
                assert answer.status < 500, (method, path, place, n, answer)
                undo(own, method, path, answer)
                tried += 1
    assert tried > 100


def test_sql_in_every_field(own):
    """It is refused by name, or kept as the text that it is."""
    tried = 0
    for method, path, operation in operations(own):
        for place in texts(schema_of(operation)):
            answer = own.api(method, address(path), placed(WHOLE.get(path, {}), place, SQL))
            assert answer.status < 500, (method, path, place, answer)
            undo(own, method, path, answer)
            tried += 1
        for p in operation.get("parameters", []):
            if p["in"] == "query" and not path.startswith("/api/v1/events"):
                answer = own.api(method if method == "GET" else "GET",
                                       f"{address(path)}?{p['name']}={urllib.parse.quote(SQL)}")
                assert answer.status < 500, (method, path, p, answer)
                tried += 1
    assert tried > 50
    answer = own.api("POST", "/api/v1/vms", WHOLE["/api/v1/vms"] | {"config": {"env": {"A": SQL}}})
    assert answer.status == 201, answer
    assert own.api("GET", "/api/v1/vms/new/config").json["config"]["env"] == {"A": SQL}
    assert sorted(vm["name"] for vm in own.vms()) == ["down", "new"]
    own.stop()
    with contextlib.closing(sqlite3.connect(own.inside("state.db"))) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert db.execute("SELECT count(*) FROM vms").fetchone() == (2,)
    own.start()
    assert sorted(vm["name"] for vm in own.vms()) == ["down", "new"]


# --- names ----------------------------------------------------------------------------------------------------------

NAMES = ["..", ".", "../down", "../../etc/passwd", "/etc/passwd", "down/../up", "-rf", "--help", "--", "-", "down\0", "down\n",
         "a\\b", "$(reboot)", "`reboot`", "a;b", "a|b", "a&b", "*", "?", "%", "%s%n", "{name}", "~root", " ", " down", "down ",
         "DOWN\u202e", "d\u00f6wn", "\ufeffdown", "x" * 64, "x" * 3000, SQL, '" OR ""="', "<script>", "\x7f", "\x1b[2J", "con:"]


def test_names_in_paths(hostile):
    paths = {(method, path) for method, path, _ in operations(hostile) if "{" in path and not path.startswith("/ws")}
    assert len(paths) > 15
    for name in NAMES:
        escaped = urllib.parse.quote(name, safe="")
        for method, path in paths:
            for param in ("{name}", "{plugin}"):
                path = path.replace(param, escaped)
            answer = hostile.api(method, path, "{}" if method in ("POST", "PATCH") else None)
            assert 300 <= answer.status < 500, (method, path, answer)
    for raw in (b"/api/v1/vms/../../etc/passwd", b"/api/v1/vms//", b"//api/v1/vms", b"/api/v1/vms/\xff\xfe", b"/api/v1/vms/%",
                b"/api/v1/vms/%0", b"/api/v1/vms/%00", b"/api/v1/vms/down%2f", b"/api/v1/plugins/../vms", b"/.", b"/%2e%2e/"):
        with Client(hostile) as c:
            c.send(b"GET " + raw + b" HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert 300 <= c.status() < 500, raw


def test_names_in_bodies(hostile):
    for name in NAMES:
        for path, body in WHOLE.items():
            for place in (("name",), ("plugin",), ("runtime",), ("config", "plugin"), ("config", "kernel_override")):
                if path == "/api/v1/plugins" and (place != ("name",) or name.strip() == "down"):
                    continue  # blanks around a plugin's name are cut off
                if name.strip() == "" and place != ("name",) or path == "/api/v1/deployments" and place[0] in ("plugin", "runtime"):
                    continue  # counts as left out; is no field there
                answer = hostile.api("POST", path, placed(body, place, name))
                assert 400 <= answer.status < 500, (path, place, name, answer)
                says(answer.json["error"], [place[-1] + "|plugin|body|manifest"])
