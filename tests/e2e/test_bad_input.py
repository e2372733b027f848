# SPDX-License-Identifier: Apache-2.0
"""Bad input is refused before anything is created, with words that name the file, line or field and the remedy."""
import hashlib
import json
import os
import socket
import subprocess

import appliance
import pytest
import volant
from volant import listing, says


# --- the API and volar ----------------------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def appliance_folder(tmp_path_factory):
    return str(tmp_path_factory.mktemp("app"))


@pytest.fixture(scope="module")
def good_manifest(appliance_folder):
    """An appliance that does nothing, without a page, for ever."""
    program = os.path.join(appliance_folder, "idle")
    subprocess.run(["gcc", "-static", "-Os", "-s", "-x", "c", "-o", program, "-"], check=True,
                   input=b"#include <unistd.h>\nint main(void) { for (;;) pause(); }")
    return appliance.write(appliance_folder, {"bin/app": appliance.read(program)})


@pytest.fixture(scope="module")
def shared(good_manifest):
    """One volantd for all refusals, as none may leave a trace: with plugins `app` and `off` and a VM on a port."""
    with volant.Host() as h:
        h.install(good_manifest)
        off = json.loads(appliance.read(good_manifest)) | {"name": "off", "runtime": "off"}
        assert h.api("POST", "/api/v1/plugins", off).status == 201
        h.volar("plugins", "disable", "off")
        h.taken = h.create("taken", "app", wait="process")
        yield h


def everything(host):
    """What a refused request must not change."""
    names = host.api("GET", "/api/v1/plugins").json["plugins"]
    plugins = {name: host.api("GET", f"/api/v1/plugins/{name}").json for name in names}
    artifacts = sorted(listing(os.path.join(host.state, "artifacts")))
    return {v["name"]: v["id"] for v in host.vms()}, plugins, artifacts, sorted(os.listdir(host.state + "/vms"))


@pytest.fixture
def unchanged(shared):
    before = everything(shared)
    yield shared
    assert everything(shared) == before


def expose(**port):
    return {"config": {"expose": [{"port": 80} | port]}}


CREATE = {  # changes to the good request: expected status, words
    "name with /": ({"name": "a/b"}, 400, ["name", "a/b", "letters"]),
    "name of 300 characters": ({"name": "x" * 300}, 400, ["name", "63"]),
    "name ..": ({"name": ".."}, 400, ["name", "begin"]),
    "name with ..": ({"name": "a..b"}, 400, ["name", ".."]),
    "name -web": ({"name": "-web"}, 400, ["name", "begin"]),
    "empty name": ({"name": ""}, 400, ["name", "empty"]),
    "no name": ({"name": None}, 400, ["name", "missing"]),
    "name is a number": ({"name": 7}, 400, ["name", "string", "integer"]),
    "name with NUL": ({"name": "a\0b"}, 400, ["body", "u0000", "line 1"]),
    "name with a blank": ({"name": "a b"}, 400, ["name", "letters"]),
    "name of a VM": ({"name": "taken"}, 409, ["taken", "exists", "another name"]),
    "memory too small to boot": ({"memory_mb": 16}, 400, ["memory_mb", "16", "48"]),
    "memory huge": ({"memory_mb": 10**9}, 400, ["memory_mb", "1000000000", "1048576"]),
    "memory is a string": ({"memory_mb": "64"}, 400, ["memory_mb", "integer", "string"]),
    "memory with a fraction": ({"memory_mb": 64.5}, 400, ["memory_mb", "integer", "fraction"]),
    "memory of the configuration": ({"config": {"resources": {"memory_mb": 1}}}, 400,
                                    ["config.resources.memory_mb", "48"]),
    "-1 CPUs": ({"cpu_cores": -1}, 400, ["cpu_cores", "-1", "64"]),
    "65 CPUs": ({"cpu_cores": 65}, 400, ["cpu_cores", "65", "64"]),
    "no plugin": ({"plugin": None}, 400, ["plugin", "required", "installed"]),
    "unknown plugin": ({"plugin": "nobody"}, 404, ["nobody", "volar plugins list"]),
    "plugin is a path": ({"plugin": "../app"}, 400, ["plugin", "letters|begin"]),
    "disabled plugin": ({"plugin": "off"}, 409, ["off", "disabled", "volar plugins enable"]),
    "two plugins": ({"config": {"plugin": "off"}}, 400, ["plugin mismatch between request and config"]),
    "another runtime": ({"runtime": "other"}, 400, ["runtime", "other", "leave it out"]),
    "guest port 0": (expose(port=0), 400, ["config.expose[0].port", "65535"]),
    "guest port missing": ({"config": {"expose": [{"host_port": 8080}]}}, 400, ["config.expose[0].port", "missing"]),
    "host port 65536": (expose(host_port=65536), 400, ["config.expose[0].host_port", "65536", "65535"]),
    "host port -1": (expose(host_port=-1), 400, ["config.expose[0].host_port"]),
    "all addresses": (expose(host_ip="0.0.0.0"), 400, ["config.expose[0].host_ip", "loopback", "127.0.0.1"]),
    "an address of the network": (expose(host_ip="192.168.1.1"), 400, ["host_ip", "loopback"]),
    "host_ip is no address": (expose(host_ip="localhost,hostfwd="), 400, ["host_ip", "loopback"]),
    "protocol sctp": (expose(protocol="sctp"), 400, ["config.expose[0].protocol", "sctp", "tcp, udp"]),
    "one port twice": ({"config": {"expose": [{"port": 80, "host_port": 9}, {"port": 81, "host_port": 9}]}}, 400,
                       ["config.expose[1].host_port", "config.expose[0]", "another"]),
    "expose is an object": ({"config": {"expose": {}}}, 400, ["config.expose", "array"]),
    "65 ports": ({"config": {"expose": [{"port": i + 1} for i in range(65)]}}, 400, ["config.expose", "65", "64"]),
    "config is a list": ({"config": []}, 400, ["config", "object", "array"]),
}


@pytest.mark.parametrize("what", CREATE)
def test_create_refuses(what, unchanged):
    changes, status, words = CREATE[what]
    body = {k: v for k, v in ({"name": "new", "plugin": "app"} | changes).items() if v is not None}
    answer = unchanged.api("POST", "/api/v1/vms", body)
    assert answer.status == status, answer
    says(answer.json["error"], words)


def test_create_refuses_a_port_of_another_vm(unchanged):
    answer = unchanged.api("POST", "/api/v1/vms", {"name": "new", "plugin": "app"} | expose(host_port=unchanged.taken))
    assert answer.status == 409
    says(answer.json["error"], ["expose[0]", str(unchanged.taken), "taken", "another"])


def test_create_refuses_a_port_of_another_process(unchanged):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        answer = unchanged.api("POST", "/api/v1/vms", {"name": "new", "plugin": "app"} | expose(host_port=port))
    assert answer.status == 409
    says(answer.json["error"], ["expose[0]", str(port), "another"])


GOOD = b'{"name": "new", "plugin": "app"}'
BODIES = {
    "nothing": (b"", 400, ["body", "empty"]),
    "no JSON": (b"name=new", 400, ["body", "JSON", "line 1"]),
    "cut off": (GOOD[:-5], 400, ["body", "JSON", "line 1"]),
    "two values": (GOOD + GOOD, 400, ["body", "JSON"]),
    "a list": (b"[]", 400, ["object", "array"]),
    "a key twice": (b'{"name": "new", "name": "other", "plugin": "app"}', 400, ["body", "duplicate", "name"]),
    "nested deeply": (b'{"name": ' + b"[" * 5000 + b"]" * 5000 + b"}", 400, ["body", "deeper than 64"]),
    "no UTF-8": (b'{"name": "n\xff", "plugin": "app"}', 400, ["body", "byte 0xff", "line 1"]),
    "a huge number": (b'{"name": "new", "plugin": "app", "memory_mb": 99999999999999999999}', 400,
                      ["body", "integer|big"]),
    "2 MiB": (b'{"name": "' + b"x" * (2 << 20) + b'"}', 413, ["body", "1 MiB"]),
}


@pytest.mark.parametrize("what", BODIES)
def test_bodies_refused(what, unchanged):
    body, status, words = BODIES[what]
    answer = unchanged.api("POST", "/api/v1/vms", body)
    assert answer.status == status, answer
    says(answer.json["error"], words)


def test_a_body_that_never_comes(unchanged):
    """The client announces more than it sends, and goes."""
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(unchanged.socket)
        s.sendall(b"POST /api/v1/vms HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n" + GOOD)
        s.shutdown(socket.SHUT_WR)
        s.settimeout(1)
        try:
            assert not s.recv(4096).startswith(b"HTTP/1.1 2")
        except TimeoutError:
            pass  # volantd waits for more, in vain and not for ever


REQUESTS = {
    "wait for what": ("POST", "/api/v1/vms?wait=nonsense", GOOD, 400, ["wait", "nonsense", "running, ready"]),
    "timeout 0": ("POST", "/api/v1/vms?wait=ready&timeout=0", GOOD, 400, ["timeout", "0", "1 to 28"]),
    "timeout 29": ("POST", "/api/v1/vms?timeout=29", GOOD, 400, ["timeout", "29", "1 to 28"]),
    "timeout abc": ("POST", "/api/v1/vms/taken/restart?timeout=abc", None, 400, ["timeout", "abc"]),
    "bad escape in the query": ("POST", "/api/v1/vms?wait=%zz", GOOD, 400, ["query", "%"]),
    "bad escape in the path": ("GET", "/api/v1/vms/%zz", None, 400, ["path", "%"]),
    "no such VM": ("POST", "/api/v1/vms/nobody/start", None, 404, ["nobody", "not found", "volar vms list"]),
    "delete no VM": ("DELETE", "/api/v1/vms/nobody", None, 404, ["nobody", "not found"]),
    "an escaped path as a name": ("GET", "/api/v1/vms/..%2F..%2Fetc", None, 404, ["not found"]),
    "lines of logs": ("GET", "/api/v1/vms/taken/logs?tail=-1", None, 400, ["tail", "-1"]),
    "follow the logs how": ("GET", "/api/v1/vms/taken/logs?follow=maybe", None, 400, ["follow", "maybe"]),
    "remove a plugin in use": ("DELETE", "/api/v1/plugins/app", None, 409, ["app", "taken", "delete"]),
    "remove no plugin": ("DELETE", "/api/v1/plugins/nobody", None, 404, ["nobody", "volar plugins list"]),
    "enable how": ("POST", "/api/v1/plugins/app/enabled", b'{"enabled": "yes"}', 400, ["enabled", "true or false"]),
    "a blob's name": ("PUT", "/api/v1/blobs/sha256:abc", b"x", 400, ["sha256"]),
    "a blob's path": ("PUT", "/api/v1/blobs/..%2F..%2Fx", b"x", 400, ["sha256"]),
    "a blob's digest": ("PUT", "/api/v1/blobs/sha256:" + "0" * 64, b"hello", 400,
                        ["0" * 64, hashlib.sha256(b"hello").hexdigest()]),
    "no route": ("POST", "/api/v1/vmz", GOOD, 404, []),
}


@pytest.mark.parametrize("what", REQUESTS)
def test_requests_refused(what, unchanged):
    method, path, body, status, words = REQUESTS[what]
    answer = unchanged.api(method, path, body)
    assert answer.status == status, answer
    if words:
        says(answer.json["error"], words)


def test_a_web_page_from_elsewhere_is_refused(unchanged):
    answer = unchanged.api("POST", "/api/v1/vms", GOOD, headers={"Origin": "http://evil.example"})
    assert answer.status == 403
    says(answer.json["error"], ["Origin"])


def test_an_unknown_field_is_accepted_with_a_warning(shared):
    answer = shared.api("POST", "/api/v1/vms", {"name": "warned", "plugin": "app", "frobnicate": 1})
    assert answer.status == 201
    says(answer.headers["Volant-Warning"], ["frobnicate", "unknown"])
    shared.volar("vms", "delete", "warned")


# --- manifests ------------------------------------------------------------------------------------------------------

def changed(manifest, changes):
    """A copy with {"a.b": value} put in; None removes."""
    copy = json.loads(json.dumps(manifest))
    for path, value in changes.items():
        *parents, key = path.split(".")
        place = copy
        for parent in parents:
            place = place[parent]
        place[key] = value
        if value is None:
            del place[key]
    return copy


MANIFESTS = {
    "no name": ({"name": None}, ["name", "missing"]),
    "name with /": ({"name": "../app"}, ["name", "letters|begin"]),
    "name of 300 characters": ({"name": "x" * 300}, ["name", "63"]),
    "name is a list": ({"name": []}, ["name", "string", "array"]),
    "no version": ({"version": None}, ["version", "missing"]),
    "version is blank": ({"version": " "}, ["version", "empty"]),
    "no workload": ({"workload": None}, ["workload", "missing"]),
    "no entrypoint": ({"workload.entrypoint": None}, ["workload.entrypoint", "missing"]),
    "entrypoint is empty": ({"workload.entrypoint": []}, ["workload.entrypoint", "0"]),
    "entrypoint is a string": ({"workload.entrypoint": "/bin/app"}, ["workload.entrypoint", "array", "string"]),
    "entrypoint holds a number": ({"workload.entrypoint": ["/bin/app", 1]}, ["workload.entrypoint[1]", "string"]),
    "env is a list": ({"workload.env": ["A=b"]}, ["workload.env", "object", "array"]),
    "env's name has =": ({"workload.env": {"A=B": "c"}}, ["workload.env", "A=B"]),
    "type tcp": ({"workload.type": "tcp"}, ["workload.type", "tcp", "http, exec"]),
    "http without base_url": ({"workload.type": "http"}, ["workload.base_url", "missing", "http://127.0.0.1:PORT"]),
    "base_url with https": ({"workload.base_url": "https://x"}, ["workload.base_url", "http://HOST"]),
    "base_url with port 0": ({"workload.base_url": "http://127.0.0.1:0"}, ["workload.base_url"]),
    "relative workdir": ({"workload.workdir": "srv"}, ["workload.workdir", "absolute"]),
    "user with a blank": ({"workload.user": "a b"}, ["workload.user", "UID:GID"]),
    "relative url": ({"initramfs.url": "app.cpio.zst"}, ["initramfs.url", "absolute"]),
    "url with ftp": ({"initramfs.url": "ftp://host/x"}, ["initramfs.url", "ftp"]),
    "no url": ({"initramfs.url": None}, ["initramfs.url", "missing"]),
    "no checksum": ({"initramfs.checksum": None}, ["initramfs.checksum", "missing", "sha256"]),
    "checksum too short": ({"initramfs.checksum": "sha256:abc"}, ["initramfs.checksum", "64"]),
    "checksum md5": ({"initramfs.checksum": "md5:" + "0" * 32}, ["initramfs.checksum", "sha256"]),
    "memory too small": ({"resources.memory_mb": 8}, ["resources.memory_mb", "8", "48"]),
    "CPUs are a string": ({"resources.cpu_cores": "1"}, ["resources.cpu_cores", "integer"]),
    "rootfs alone": ({"initramfs": None, "rootfs": {"url": "/x"}}, ["rootfs.checksum", "missing"]),
    "labels hold a number": ({"labels": {"a": 1}}, ["labels.a", "string"]),
    "enabled is a string": ({"enabled": "true"}, ["enabled", "true or false"]),
}


@pytest.mark.parametrize("what", MANIFESTS)
def test_volantd_refuses_a_manifest(what, unchanged, good_manifest):
    changes, words = MANIFESTS[what]
    answer = unchanged.api("POST", "/api/v1/plugins", changed(json.loads(appliance.read(good_manifest)), changes))
    assert answer.status == 400, answer
    says(answer.json["error"], ["manifest", *words])


# volar computes a checksum that is missing, makes a path absolute, and says more of an url than the rules do.
@pytest.mark.parametrize("what", [w for w, (changes, _) in MANIFESTS.items()
                                  if not any(path.startswith("initramfs") for path in changes)])
def test_volar_refuses_a_manifest(what, unchanged, good_manifest):
    changes, words = MANIFESTS[what]
    path = os.path.join(os.path.dirname(good_manifest), "bad.manifest.json")
    with open(path, "w", encoding="utf-8") as f:
        json.dump(changed(json.loads(appliance.read(good_manifest)), changes), f)
    done = unchanged.volar("plugins", "install", "--manifest", path, check=False)
    assert done.returncode == 1 and not done.stdout, done
    says(done.stderr, [path, *words])


def test_a_manifests_unknown_key_is_accepted_with_a_warning(shared, good_manifest):
    manifest = changed(json.loads(appliance.read(good_manifest)),
                       {"name": "later", "runtime": "later", "futurism": {"a": 1}})
    answer = shared.api("POST", "/api/v1/plugins", manifest)
    assert answer.status == 201, answer
    says(answer.headers["Volant-Warning"], ["futurism", "unknown"])
    assert shared.api("GET", "/api/v1/plugins/later").json["futurism"] == {"a": 1}

    path = os.path.join(os.path.dirname(good_manifest), "later.manifest.json")
    with open(path, "w", encoding="utf-8") as f:
        json.dump(manifest, f)
    done = shared.volar("plugins", "install", path)
    assert done.stdout == "Plugin later 1.0.0 installed\n"
    says(done.stderr, ["warning", "futurism"])
    shared.volar("plugins", "remove", "later")


def test_a_checksum_that_does_not_match(unchanged, good_manifest):
    folder = os.path.dirname(good_manifest)
    manifest = json.loads(appliance.read(good_manifest)) | {"name": "torn", "runtime": "torn"}
    with open(os.path.join(folder, "torn.cpio"), "wb") as f:
        f.write(appliance.read(manifest["initramfs"]["url"])[:-1])
    manifest["initramfs"]["url"] = "torn.cpio"
    path = os.path.join(folder, "torn.manifest.json")
    with open(path, "w", encoding="utf-8") as f:
        json.dump(manifest, f)
    done = unchanged.volar("plugins", "install", path, check=False)
    assert done.returncode == 1
    says(done.stderr, [path, "initramfs.checksum", manifest["initramfs"]["checksum"], "fledge build"])


def test_a_blob_that_is_missing(unchanged, good_manifest):
    manifest = changed(json.loads(appliance.read(good_manifest)),
                       {"name": "gone", "initramfs.checksum": "sha256:" + "1" * 64})
    answer = unchanged.api("POST", "/api/v1/plugins", manifest)
    assert answer.status == 409, answer
    says(answer.json["error"], ["1" * 64, "PUT /api/v1/blobs/", "volar plugins install"])


@pytest.mark.parametrize("url, words", [("gone.cpio.zst", ["gone.cpio.zst"]), (".", ["regular file"]),
                                        ("ftp://example.com/x.cpio", ["initramfs.url", "http://"])])
def test_an_artifact_that_cannot_be_read(url, words, unchanged, good_manifest):
    path = os.path.join(os.path.dirname(good_manifest), "gone.manifest.json")
    with open(path, "w", encoding="utf-8") as f:
        json.dump(changed(json.loads(appliance.read(good_manifest)), {"initramfs.url": url}), f)
    done = unchanged.volar("plugins", "install", path, check=False)
    assert done.returncode == 1
    says(done.stderr, [path, *words])


@pytest.mark.parametrize("text, words", [(b"", ["empty"]), (b"{", ["JSON", "line 1"]), (b"[]", ["object"]),
                                         (b'{"name": "a", "name": "b"}', ["duplicate"])])
def test_a_manifest_file_that_is_none(text, words, unchanged, tmp_path):
    (tmp_path / "x.json").write_bytes(text)
    done = unchanged.volar("plugins", "install", str(tmp_path / "x.json"), check=False)
    assert done.returncode == 1
    says(done.stderr, [str(tmp_path / "x.json"), *words])


def test_a_blob_that_is_no_zstd_after_all(shared):
    """It begins like one. The plugin is refused and nothing of the unpacked form stays."""
    blob = b"\x28\xb5\x2f\xfd" + b"garbage" * 1000
    digest = "sha256:" + hashlib.sha256(blob).hexdigest()
    assert shared.api("PUT", f"/api/v1/blobs/{digest}", blob).status == 201
    before = everything(shared)
    manifest = appliance.manifest_of(blob, "/x.cpio.zst", "garbage")
    answer = shared.api("POST", "/api/v1/plugins", manifest)
    assert answer.status == 400, answer
    says(answer.json["error"], [digest, "damaged"])
    assert everything(shared) == before


# --- the command line of volar --------------------------------------------------------------------------------------

VOLAR = {
    "no such command": (["vms", "lst"], 2, ["vms list|--help"]),
    "no such noun": (["frobnicate"], 2, ["frobnicate", "--help|did you mean"]),
    "unknown option": (["vms", "create", "new", "--plugn", "app"], 2, ["--plugn", "--plugin"]),
    "no operand": (["vms", "create", "--plugin", "app"], 2, ["NAME", "usage"]),
    "two operands": (["vms", "create", "a", "b", "--plugin", "app"], 2, ["'b'"]),
    "no plugin": (["vms", "create", "new"], 2, ["--plugin", "volar plugins list"]),
    "value missing": (["vms", "create", "new", "--plugin"], 2, ["--plugin", "value"]),
    "name with /": (["vms", "create", "a/b", "-P", "app"], 2, ["a/b", "letters"]),
    "name of 300 characters": (["vms", "create", "x" * 300, "-P", "app"], 2, ["63"]),
    "delete ..": (["vms", "delete", ".."], 2, [".."]),
    "0 CPUs": (["vms", "create", "new", "-P", "app", "--cpu", "0"], 2, ["--cpu", "1 to 64"]),
    "CPUs in words": (["vms", "create", "new", "-P", "app", "--cpu", "two"], 2, ["--cpu", "two", "whole number"]),
    "memory with a unit": (["vms", "create", "new", "-P", "app", "--memory", "64M"], 2, ["--memory", "64M"]),
    "memory too small": (["vms", "create", "new", "-P", "app", "--memory", "16"], 2, ["--memory", "48"]),
    "publish nothing": (["vms", "create", "new", "-P", "app", "-p", ""], 2, ["port", "HOST:GUEST"]),
    "publish a word": (["vms", "create", "new", "-P", "app", "-p", "http"], 2, ["port", "http", "HOST:GUEST"]),
    "publish 0": (["vms", "create", "new", "-P", "app", "-p", "0:80"], 2, ["host port", "65535"]),
    "publish 70000": (["vms", "create", "new", "-P", "app", "-p", "8080:70000"], 2, ["guest port", "70000", "65535"]),
    "publish to all": (["vms", "create", "new", "-P", "app", "-p", "0.0.0.0:8080:80"], 2, ["loopback", "127.0.0.1"]),
    "publish sctp": (["vms", "create", "new", "-P", "app", "-p", "8080:80/sctp"], 2, ["sctp", "tcp, udp"]),
    "publish four parts": (["vms", "create", "new", "-P", "app", "-p", "1:2:3:4"], 2, ["1:2:3:4"]),
    "wait for what": (["vms", "create", "new", "-P", "app", "--wait", "forever"], 2,
                      ["--wait", "process, running, ready"]),
    "timeout in words": (["vms", "create", "new", "-P", "app", "--timeout", "soon"], 2, ["--timeout", "soon"]),
    "output yaml": (["vms", "list", "-o", "yaml"], 2, ["--output", "table, json"]),
    "tail all": (["vms", "logs", "taken", "--tail", "all"], 2, ["--tail", "all", "number"]),
    "no manifest": (["plugins", "install"], 2, ["--manifest"]),
    "api nowhere": (["--api", "ftp://x", "vms", "list"], 1, ["ftp://x", "unix:///"]),
    "unknown plugin": (["vms", "create", "new", "-P", "nobody"], 1, ["nobody", "volar plugins list"]),
    "unknown VM": (["vms", "start", "nobody"], 1, ["nobody", "volar vms list"]),
}


@pytest.mark.parametrize("what", VOLAR)
def test_volar_refuses(what, unchanged):
    args, code, words = VOLAR[what]
    done = unchanged.volar(*args, check=False)
    assert done.returncode == code and not done.stdout, done
    assert done.stderr.startswith("volar: ")
    says(done.stderr, words)


def test_volar_without_volantd(tmp_path):
    env = {k: v for k, v in os.environ.items() if not k.startswith("VOLANT_")}
    done = subprocess.run([volant.program("volar"), "--api", f"unix://{tmp_path}/no.sock", "vms", "list"], env=env,
                          capture_output=True, text=True, timeout=10, check=False)
    assert done.returncode == 1
    says(done.stderr, ["volantd", "no.sock", "start it with `volantd`"])


# --- volantd's start ------------------------------------------------------------------------------------------------

STARTS = {  # configuration file, arguments, environment: exit code, words
    "unknown setting": ("VOLANT_LOG_LEVEL=info\n\nVOLANT_FOO=1\n", [], {}, 2,
                        ["volantd.conf:3", "VOLANT_FOO", "--help"]),
    "no setting": ("# a comment\nhello\n", [], {}, 2, ["volantd.conf:2", "hello", "NAME=value"]),
    "a setting twice": ("VOLANT_LOG_LEVEL=info\nVOLANT_LOG_LEVEL=debug\n", [], {}, 2, ["volantd.conf:2", "line 1"]),
    "a value of the file": ("\nVOLANT_BOOT_TIMEOUT=soon\n", [], {}, 2,
                            ["volantd.conf:2", "VOLANT_BOOT_TIMEOUT", "soon", "1 to 600"]),
    "binary file": ("VOLANT_LOG_LEVEL=info\n\0\n", [], {}, 2, ["volantd.conf", "text"]),
    "a value of the environment": ("", [], {"VOLANT_LOG_LEVEL": "loud"}, 2, ["VOLANT_LOG_LEVEL", "loud", "debug"]),
    "a flag's value": ("", ["--boot-timeout", "0"], {}, 2, ["--boot-timeout", "1 to 600"]),
    "unknown flag": ("", ["--frob"], {}, 2, ["--frob", "--help"]),
    "an operand": ("", ["start"], {}, 2, ["start"]),
    "unknown subnet": ("", [], {"VOLANT_SUBNET": "home"}, 2, ["VOLANT_SUBNET", "home"]),
    "subnet too small": ("", ["--subnet", "10.0.0.0/31"], {}, 2, ["--subnet", "10.0.0.0/31"]),
    "all addresses": ("", ["--listen", "0.0.0.0:7777"], {}, 2, ["--listen", "0.0.0.0:7777", "loopback", "ssh -L"]),
    "a port without address": ("", ["--listen", "7777"], {}, 2, ["--listen", "ADDRESS:PORT", "127.0.0.1:7777"]),
    "an API key": ("", [], {"VOLANT_API_KEY": "two words"}, 2, ["VOLANT_API_KEY", "blank", "another key"]),
    "a network": ("", [], {"VOLANT_API_ALLOW_CIDR": "10.0.0.0/8,home"}, 2, ["VOLANT_API_ALLOW_CIDR", "home", "fd00::/8"]),
    "an origin": ("", ["--cors-origins", "ui.example"], {}, 2, ["--cors-origins", "ui.example", "https://host"]),
    "a certificate alone": ("", ["--tls-cert", "/etc/x.crt"], {}, 2, ["--tls-cert", "--tls-key"]),
    "relative folder": ("", ["--state-dir", "state"], {}, 2, ["--state-dir", "absolute"]),
    "runtime folder too long": ("", ["--runtime-dir", "/tmp/" + "x" * 100], {}, 2, ["socket", "107"]),
    "state folder too long": ("", ["--state-dir", "/tmp/" + "x" * 90], {}, 2, ["--state-dir", "79"]),
    "no kernel": ("", ["--kernel", "/no/such/vmlinux"], {}, 1, ["/no/such/vmlinux", "kernel"]),
    "no QEMU": ("", ["--qemu", "/no/such/qemu"], {}, 1, ["/no/such/qemu", "qemu"]),
    "no shim": ("", ["--shim", "/no/such/shim"], {}, 1, ["/no/such/shim", "shim"]),
    "database is a folder": ("", ["--db", "/tmp"], {}, 1, ["/tmp"]),
}


@pytest.mark.parametrize("what", STARTS)
def test_volantd_does_not_start(what, tmp_path):
    text, args, env, code, words = STARTS[what]
    host = volant.Host(**env)
    try:
        config = tmp_path / "volantd.conf"
        config.write_text(text)
        done = subprocess.run([volant.program("volantd"), "--config", str(config), *args], env=host.env, cwd=host.dir,
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=10, check=False)
        assert done.returncode == code, done
        says(done.stderr, words)
        assert code == 1 or os.listdir(host.dir) == []
        assert not os.path.exists(host.socket)
    finally:
        host.close()


def test_a_configuration_file_that_is_not_there(tmp_path):
    done = subprocess.run([volant.program("volantd"), "--config", str(tmp_path / "gone.conf")], capture_output=True,
                          text=True, timeout=10, check=False)
    assert done.returncode == 2
    says(done.stderr, [str(tmp_path / "gone.conf"), "no such file"])


def test_a_taken_tcp_port():
    host = volant.Host()
    try:
        with socket.socket() as other:
            other.bind(("127.0.0.1", 0))
            other.listen()
            address = "127.0.0.1:%d" % other.getsockname()[1]
            done = subprocess.run([volant.program("volantd"), "--listen", address], env=host.env, capture_output=True,
                                  text=True, timeout=10, check=False)
        assert done.returncode == 1
        says(done.stderr, [address, "taken", "--listen"])
    finally:
        host.close()
