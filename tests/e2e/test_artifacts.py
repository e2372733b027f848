# SPDX-License-Identifier: Apache-2.0
"""Artifacts: what is registered of them, where they come from, and when they go."""
import concurrent.futures
import datetime
import hashlib
import json
import os
import random
import re
import socket
import ssl
import subprocess
import threading

import appliance
import pytest
import test_disk_full
import volant
import webserver

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z")
JSON = "application/json; charset=utf-8"
MEMBERS = {"ID": int, "PluginName": str, "Version": str, "ArtifactName": str, "Kind": str, "SourceURL": str,
           "Checksum": str, "Format": str, "LocalPath": str, "SizeBytes": int, "CreatedAt": str, "UpdatedAt": str}
SHA = "sha256:" + "ab" * 32


@pytest.fixture(scope="module")
def shared():
    with volant.Host() as h:
        yield h


def rows(host, plugin, query=""):
    answer = host.api("GET", f"/api/v1/plugins/{plugin}/artifacts{query}")
    assert (answer.status, answer.headers["Content-Type"]) == (200, JSON), answer
    return answer.json


def register(host, plugin, **body):
    answer = host.api("POST", f"/api/v1/plugins/{plugin}/artifacts", body)
    assert (answer.status, answer.body, answer.headers["Content-Type"]) == (201, b"", None), answer


def refused(answer, status, *words):
    assert (answer.status, answer.headers["Content-Type"]) == (status, JSON), answer
    assert sorted(answer.json) == ["error"]
    volant.says(answer.json["error"], words)


# --- what is registered -----------------------------------------------------------------------------------------------

def test_an_artifact_is_registered_field_by_field(shared):
    full = {"version": " 1.0.0 ", "artifact_name": "rootfs", "kind": "rootfs", "source_url": "http://example.org/x.img",
            "checksum": SHA, "format": "raw", "local_path": "/srv/x.img", "size_bytes": 123}
    register(shared, "full", **full)  # the plugin need not be installed, nor the file be there
    one, = rows(shared, "full")
    assert {k: type(v) for k, v in one.items()} == MEMBERS
    assert TIME.fullmatch(one.pop("CreatedAt")) and TIME.fullmatch(one.pop("UpdatedAt")) and one.pop("ID") > 0
    assert one == {"PluginName": "full", "Version": "1.0.0", "ArtifactName": "rootfs", "Kind": "rootfs",
                   "SourceURL": "http://example.org/x.img", "Checksum": SHA, "Format": "raw",
                   "LocalPath": "/srv/x.img", "SizeBytes": 123}
    register(shared, "bare", version="1", artifact_name="a", kind="", checksum=None)
    one, = rows(shared, "bare")
    assert [one[k] for k in ("Kind", "SourceURL", "Checksum", "Format", "LocalPath", "SizeBytes")] == [""] * 5 + [0]


def moment(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))


def test_registering_again_replaces(shared):
    register(shared, "again", version="1", artifact_name="a", kind="rootfs", size_bytes=5)
    before, = rows(shared, "again")
    register(shared, "again", version="1", artifact_name="a", format="raw", size_bytes=2**53)
    after, = rows(shared, "again")
    assert (after["ID"], after["CreatedAt"]) == (before["ID"], before["CreatedAt"])
    assert moment(before["UpdatedAt"]) <= moment(after["UpdatedAt"])
    assert (after["Kind"], after["Format"], after["SizeBytes"]) == ("", "raw", 2**53)


def test_the_list_is_ordered_and_null_when_empty(shared):
    for version, name in (("1", "b"), ("2", "z"), ("1", "a"), ("2", "c")):
        register(shared, "many", version=version, artifact_name=name)
    assert [(r["Version"], r["ArtifactName"]) for r in rows(shared, "many")] == [("2", "c"), ("2", "z"), ("1", "a"),
                                                                               ("1", "b")]
    assert [r["ArtifactName"] for r in rows(shared, "many", "?version=1")] == ["a", "b"]
    assert rows(shared, "many", "?version=3") is None and rows(shared, "none") is None
    assert shared.api("GET", "/api/v1/plugins/none/artifacts").body == b"null"


def test_one_artifact_is_asked_for_by_version(shared):
    register(shared, "one", version="1.0 beta", artifact_name="root fs", kind="rootfs")
    answer = shared.api("GET", "/api/v1/plugins/one/artifacts/root%20fs?version=1.0%20beta")
    assert (answer.status, answer.headers["Content-Type"]) == (200, JSON)
    assert answer.json == rows(shared, "one")[0]
    path = "/api/v1/plugins/one/artifacts/root%20fs"
    refused(shared.api("GET", path), 400, "version query required")
    refused(shared.api("GET", path + "?version="), 400, "version query required")
    refused(shared.api("GET", path + "?version=2"), 404, "artifact not found", "root fs")
    refused(shared.api("GET", "/api/v1/plugins/one/artifacts/other?version=1"), 404, "artifact not found")


def test_artifacts_are_forgotten_by_version_or_all(shared):
    for version in "123":
        register(shared, "gone", version=version, artifact_name="a")
    register(shared, "stays", version="1", artifact_name="a")
    for query, left in (("?version=2", ["3", "1"]), ("?version=9", ["3", "1"]), ("", None), ("", None)):
        answer = shared.api("DELETE", "/api/v1/plugins/gone/artifacts" + query)
        assert (answer.status, answer.body) == (204, b"")
        found = rows(shared, "gone")
        assert (found and [r["Version"] for r in found]) == left
    assert len(rows(shared, "stays")) == 1


def test_bad_registrations_change_nothing(shared):
    good = {"version": "1", "artifact_name": "a"}
    both = "version and artifact_name required"
    for body, *words in (({}, both), ({"version": "1"}, both), (good | {"artifact_name": " \t"}, both),
                         (good | {"version": ""}, both), (good | {"version": None}, both),
                         (good | {"version": 1}, "version", "string"), (good | {"kind": 5}, "kind", "string"),
                         (good | {"size_bytes": -1}, "size_bytes", "0"), (good | {"size_bytes": "5"}, "size_bytes"),
                         (good | {"size_bytes": 2**63}, "size_bytes|integer|number|big"),
                         (good | {"artifact_name": "../a"}, "artifact_name", "/"),
                         (good | {"artifact_name": "a" * 129}, "artifact_name", "128"),
                         (good | {"local_path": "/x\ny"}, "local_path", "control"),
                         ([], "object"), (b"{", "body"), (b"", "empty")):
        refused(shared.api("POST", "/api/v1/plugins/bad/artifacts", body), 400, *words)
    refused(shared.api("POST", "/api/v1/plugins/-bad-/artifacts", good), 400, "plugin", "-bad-")
    refused(shared.api("GET", "/api/v1/plugins/..%2f/artifacts"), 400, "plugin")
    assert rows(shared, "bad") is None


def test_more_than_an_answer_may_have(fresh):
    long = "x" * 4096
    for n in range(600):
        register(fresh, "large", version=str(n % 2), artifact_name=str(n), source_url=long, local_path=long)
    refused(fresh.api("GET", "/api/v1/plugins/large/artifacts"), 413, "large", "version")
    assert len(rows(fresh, "large", "?version=1")) == 300


def test_unknown_members_are_named(shared):
    answer = shared.api("POST", "/api/v1/plugins/warned/artifacts", {"version": "1", "artifact_name": "a", "colour": 1})
    assert answer.status == 201 and "colour" in answer.headers["Volant-Warning"]


def test_the_document_has_the_original_ids(shared):
    paths = json.loads(shared.api("GET", "/openapi").body)["paths"]
    all_of, one = paths["/api/v1/plugins/{plugin}/artifacts"], paths["/api/v1/plugins/{plugin}/artifacts/{artifact}"]
    assert {m: all_of[m]["operationId"] for m in all_of} == {
        "get": "listPluginArtifacts", "post": "upsertPluginArtifact", "delete": "deletePluginArtifacts"}
    assert one["get"]["operationId"] == "getPluginArtifact"


# --- media by http(s) -------------------------------------------------------------------------------------------------

DATA = random.Random(6).randbytes(3_000_000)


@pytest.fixture
def web():
    with webserver.serving() as server:
        yield server


@pytest.fixture
def fresh():
    with volant.Host(VOLANT_FETCH_TIMEOUT="20") as h:
        yield h


def digest(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def image(url, data=DATA, name="image", **rootfs):
    """The manifest of a plugin whose medium is any bytes."""
    return {"name": name, "version": "1", "agent": "none", "resources": {"memory_mb": 48},
            "rootfs": {"url": url, "checksum": digest(data)} | rootfs}


def install(host, manifest, status=201):
    answer = host.api("POST", "/api/v1/plugins", manifest)
    assert answer.status == status, (answer, host.logged())
    return answer


def kept(host):
    """What the store has, and what is on its way."""
    return sorted(os.listdir(host.inside("artifacts", "sha256"))), os.listdir(host.inside("artifacts", "tmp"))


def has(host, *blobs):
    assert kept(host) == (sorted(digest(b)[7:] for b in blobs), [])
    for blob in blobs:
        with open(host.inside("artifacts", "sha256", digest(blob)[7:]), "rb") as f:
            assert f.read() == blob


def parent(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as f:
            return int(f.read().rsplit(")", 1)[1].split()[1])
    except OSError:
        return 0


def fetchers(host):
    return [p for p in volant.processes("volant-fetch") if parent(p) == host.process.pid]


def test_a_medium_is_fetched(fresh, web):
    web.pages["/image"] = DATA
    install(fresh, image(web.base + "/image", size=len(DATA)))
    has(fresh, DATA)
    assert "image" in fresh.api("GET", "/api/v1/plugins").json["plugins"] and not fetchers(fresh)
    install(fresh, image(web.base + "/image"))  # it is there
    assert len(web.requests) == 1 and web.requests[0][1]["Host"] == web.base.removeprefix("http://")
    archive = appliance.archive({"init": b"anything"})
    web.pages["/archive"] = archive
    manifest = image("") | {"name": "archive", "initramfs": {"url": web.base + "/archive", "checksum": digest(archive)}}
    install(fresh, manifest)
    has(fresh, DATA, archive)


def test_a_medium_comes_from_nginx(fresh, tmp_path):
    """A server as people have it."""
    (tmp_path / "image").write_bytes(DATA)
    port = volant.free_port()
    volant.write(tmp_path / "nginx.conf", f"""daemon off; pid {tmp_path}/pid; error_log stderr; events {{}}
http {{ access_log off; server {{ listen 127.0.0.1:{port}; root {tmp_path}; }} }}""")
    os.chmod(tmp_path, 0o755)
    for folder in (tmp_path.parent, tmp_path.parent.parent):
        os.chmod(folder, os.stat(folder).st_mode | 0o055)
    with subprocess.Popen(["/usr/sbin/nginx", "-c", str(tmp_path / "nginx.conf")], stderr=subprocess.DEVNULL) as nginx:
        try:
            volant.wait_until(lambda: listens(port), 10)
            install(fresh, image(f"http://127.0.0.1:{port}/image"))
        finally:
            nginx.terminate()
    has(fresh, DATA)


def listens(port):
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
        return True
    except OSError:
        return False


def test_a_download_goes_on_where_it_broke_off(fresh, web):
    web.pages["/image"] = lambda h: h.give(DATA, most=1_000_000)
    install(fresh, image(web.base + "/image"))
    has(fresh, DATA)
    asked = [h.get("Range") for h in web.asked("/image")]
    assert asked[0] is None and len(asked) >= 3 and all(re.fullmatch(r"bytes=[1-9]\d*-", r) for r in asked[1:]), asked


def test_a_server_without_ranges_is_asked_for_all_again(fresh, web):
    broken = iter([1_000_000, 2_000_000])
    web.pages["/image"] = lambda h: h.give(DATA, most=next(broken, None), ranges=False)
    install(fresh, image(web.base + "/image"))
    has(fresh, DATA)


def test_a_server_that_gives_another_range_is_not_believed(fresh, web):
    def page(handler):
        if "Range" not in handler.headers:
            handler.give(DATA, most=1_000_000)
            return
        handler.send_response(206)
        handler.send_header("Content-Range", f"bytes 7-{len(DATA) - 1}/{len(DATA)}")
        handler.send_header("Content-Length", str(len(DATA) - 7))
        handler.end_headers()
        handler.wfile.write(DATA[7:])
    web.pages["/image"] = page
    answer = install(fresh, image(web.base + "/image"), 503)  # its 200s break off, its 206s are no good
    volant.says(answer.json["error"], ["rootfs.url", "127.0.0.1"])
    has(fresh)


def test_a_server_that_is_busy_is_asked_again(fresh, web):
    statuses = iter([503, 429, 500])
    web.pages["/image"] = lambda h: h.say(s, b"busy") if (s := next(statuses, None)) else h.give(DATA)
    install(fresh, image(web.base + "/image"))
    has(fresh, DATA)
    assert len(web.requests) == 4


def test_a_connection_that_stalls_is_given_up(fresh, web):
    stalls = iter([True])

    def page(handler):
        if not next(stalls, False):
            handler.give(DATA)
            return
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(DATA)))
        handler.end_headers()
        handler.wfile.write(DATA[:100_000])
        handler.stall()
    web.pages["/image"] = page
    install(fresh, image(web.base + "/image"))
    has(fresh, DATA)
    assert web.asked("/image")[1]["Range"] == "bytes=100000-"


def test_sizes_that_are_not_told(fresh, web):
    def chunked(handler):
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        for at in range(0, len(DATA), 65536):
            chunk = DATA[at:at + 65536]
            handler.wfile.write(b"%x\r\n%s\r\n" % (len(chunk), chunk))
        handler.wfile.write(b"0\r\n\r\n")

    def until_close(handler):
        handler.wfile.write(b"HTTP/1.0 200 OK\r\n\r\n" + DATA)
        handler.close_connection = True
    for name, page in (("chunked", chunked), ("until_close", until_close)):
        web.pages["/" + name] = page
        install(fresh, image(f"{web.base}/{name}", name=name.replace("_", "-")))
        has(fresh, DATA)
        for plugin in fresh.api("GET", "/api/v1/plugins").json["plugins"]:
            assert fresh.api("DELETE", f"/api/v1/plugins/{plugin}").status == 204
        volant.wait_until(lambda: not kept(fresh)[0], 10)


def test_redirects(fresh, web):
    web.pages["/image"] = DATA
    web.pages["/moved"] = lambda h: h.say(302, Location="/image?token=secret")
    install(fresh, image(web.base.replace("//", "//user:secret@") + "/moved"))
    has(fresh, DATA)
    assert web.asked("/moved")[0]["Authorization"].startswith("Basic ")
    assert "secret" not in fresh.logged()
    with webserver.serving() as other:
        other.pages["/image"] = b"another"
        web.pages["/away"] = lambda h: h.say(307, Location=other.base + "/image")
        install(fresh, image(web.base.replace("//", "//user:secret@") + "/away", b"another", name="away"))
        assert "Authorization" not in other.asked("/image")[0]


REFUSED = {  # page: (status, words)
    "no page": (None, 400, ["404", "correct"]),
    "forbidden": (lambda h: h.say(403, b"no"), 400, ["403", "correct"]),
    "always busy": (lambda h: h.say(503, b"busy"), 503, ["503", "again"]),
    "another file": (DATA[:-1] + b"x", 400, ["digest", digest(DATA)]),
    "an error page": (lambda h: h.say(200, b"<html>Not found, sorry"), 400, ["digest"]),
    "a short one": (DATA[:1000], 400, ["digest"]),
    "a loop": (lambda h: h.say(302, Location=h.path), 400, ["redirect"]),
    "to a file": (lambda h: h.say(302, Location="file:///etc/passwd"), 400, ["127.0.0.1"]),
    "to gopher": (lambda h: h.say(302, Location="gopher://127.0.0.1/x"), 400, ["127.0.0.1"]),
    "to credentials of the cloud": (lambda h: h.say(302, Location="http://169.254.169.254/latest/"), 400,
                                    ["link-local"]),
    "a redirect to nowhere": (lambda h: h.say(302), 400, ["302"]),
    "no HTTP": (lambda h: (h.wfile.write(b"SSH-2.0-OpenSSH\r\n"), h.hang_up()), 400, ["HTTP/0.9"]),
    "hangs up": (lambda h: h.hang_up(), 503, ["again"]),
    "more than fits": (lambda h: (h.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 9000000000000000\r\n\r\nxx"),
                                  h.stall()), 507, ["room"]),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_fetched_leaves_nothing(fresh, web, what):
    page, status, words = REFUSED[what]
    if page:
        web.pages["/image"] = page
    answer = install(fresh, image(web.base + "/image"), status)
    refused(answer, status, "rootfs.url", "127.0.0.1", *words)
    has(fresh)
    assert fresh.api("GET", "/api/v1/plugins").json["plugins"] == [] and not fetchers(fresh)


def test_sizes_of_the_manifest_count(fresh, web):
    web.pages["/image"] = DATA
    refused(install(fresh, image(web.base + "/image", size=5), 400), 400, "3000000 bytes", "says 5")
    has(fresh)


def test_a_checksum_is_required(fresh, web):
    manifest = image(web.base + "/image")
    del manifest["rootfs"]["checksum"]
    refused(install(fresh, manifest, 400), 400, "rootfs.checksum", "sha256:")
    assert web.requests == []


@pytest.fixture
def secure(tmp_path):
    """A server with a certificate of its own, in `cert`."""
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", tmp_path / "key", "-out",
                    tmp_path / "cert", "-days", "2", "-subj", "/CN=127.0.0.1", "-addext",
                    "subjectAltName=IP:127.0.0.1"], check=True, capture_output=True, timeout=60)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert", tmp_path / "key")
    with webserver.serving(context) as web:
        web.pages["/image"] = DATA
        yield web


def test_certificates_are_looked_at(fresh, secure):
    refused(install(fresh, image(secure.base + "/image"), 400), 400, "certificate", "rootfs.url")
    has(fresh)


def test_https_with_an_authority_of_the_host(secure, tmp_path):
    """Which the child finds without root and with most files out of its sight; root alone can mount one."""
    os.chmod(tmp_path / "cert", 0o644)
    host = volant.Host()
    host.wrapper = ["unshare", "-m", "sh", "-c", 'mount --bind "$0" /etc/ssl/certs/ca-certificates.crt && exec "$@"',
                    str(tmp_path / "cert")]
    with host:
        install(host, image(secure.base + "/image"))
        has(host, DATA)


def test_a_disk_that_is_too_small(web):
    """Known before the first byte, or while they come."""
    def chunked(handler):
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        while True:
            handler.wfile.write(b"10000\r\n" + bytes(0x10000) + b"\r\n")
    web.pages["/known"] = bytes(20 << 20)
    web.pages["/unknown"] = chunked
    web.pages["/image"] = DATA
    with test_disk_full.SmallDisk(80, reserve=70) as host:
        for page in ("known", "unknown"):
            refused(install(host, image(f"{web.base}/{page}", bytes(20 << 20)), 507), 507, "rootfs.url", "room")
            assert not [f for f in host.files() if "/sha256/" in f or "/tmp/" in f]
        install(host, image(web.base + "/image"))


def test_nobody_is_waited_for_for_ever(web):
    """Bytes come, but too slowly."""
    def page(handler):
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(DATA)))
        handler.end_headers()
        while not handler.server.ended.wait(0.05):
            handler.wfile.write(b"x")
    web.pages["/image"] = page
    with volant.Host(VOLANT_FETCH_TIMEOUT="1") as host:
        refused(install(host, image(web.base + "/image"), 503), 503, "again|VOLANT_FETCH_TIMEOUT")
        has(host)
        assert not fetchers(host)


def gate(data):
    """A page that gives half, then waits until `opened` is set."""
    def page(handler):
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data[:len(data) // 2])
        handler.wfile.flush()
        if page.opened.wait(30):
            handler.wfile.write(data[len(data) // 2:])
    page.opened = threading.Event()
    return page


def test_one_digest_is_fetched_once_for_all(fresh, web):
    web.pages["/image"] = page = gate(DATA)
    with concurrent.futures.ThreadPoolExecutor(5) as pool:
        asked = [pool.submit(fresh.api, "POST", "/api/v1/plugins", image(web.base + "/image", name=f"p{i}"))
                 for i in range(5)]
        try:
            volant.wait_until(lambda: web.requests and fetchers(fresh), 10)
            assert fresh.api("GET", "/healthz").status == 200  # nobody else waits
            assert fresh.api("POST", "/api/v1/plugins", image("/none", b"x")).status == 409  # nor for the store
        finally:
            page.opened.set()
        assert [a.result().status for a in asked] == [201] * 5
    assert len(web.requests) == 1
    has(fresh, DATA)


def test_another_url_of_the_same_digest_is_tried(fresh, web):
    opened = threading.Event()
    web.pages["/bad"] = lambda h: (opened.wait(20), h.say(404))
    web.pages["/good"] = DATA
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        bad = pool.submit(fresh.api, "POST", "/api/v1/plugins", image(web.base + "/bad", name="bad"))
        volant.wait_until(lambda: web.requests, 10)
        good = pool.submit(fresh.api, "POST", "/api/v1/plugins", image(web.base + "/good", name="good"))
        volant.wait_until(lambda: fresh.api("GET", "/healthz").status == 200, 10)
        opened.set()
        assert (bad.result().status, good.result().status) == (400, 201)
    has(fresh, DATA)


def test_another_size_is_another_file(fresh, web):
    """Who wrote the right one does not fail with who did not."""
    opened = threading.Event()
    web.pages["/image"] = lambda h: (opened.wait(20), h.give(DATA))
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        bad = pool.submit(fresh.api, "POST", "/api/v1/plugins", image(web.base + "/image", name="bad", size=5))
        volant.wait_until(lambda: web.requests, 10)
        good = pool.submit(fresh.api, "POST", "/api/v1/plugins", image(web.base + "/image", size=len(DATA)))
        volant.wait_until(lambda: fresh.api("GET", "/healthz").status == 200, 10)
        opened.set()
        assert (bad.result().status, good.result().status) == (400, 201)
    has(fresh, DATA)


def begun(host, manifest):
    """POSTs without waiting for the answer: the connection."""
    connection = volant.UnixConnection(host.socket, 30)
    connection.request("POST", "/api/v1/plugins", body=json.dumps(manifest))
    volant.wait_until(lambda: fetchers(host) and kept(host)[1], 10)
    return connection


def test_an_installation_goes_on_without_its_client(fresh, web):
    web.pages["/image"] = page = gate(DATA)
    begun(fresh, image(web.base + "/image")).close()
    page.opened.set()
    volant.wait_until(lambda: fresh.api("GET", "/api/v1/plugins").json["plugins"] == ["image"], 10)
    has(fresh, DATA)


def test_the_child_has_no_privileges(fresh, web):
    web.pages["/image"] = page = gate(DATA)
    connection = begun(fresh, image(web.base.replace("//", "//user:secret@") + "/image?secret"))
    child, = fetchers(fresh)
    with open(f"/proc/{child}/status", encoding="ascii") as f:
        status = dict(line.rstrip("\n").split(":\t", 1) for line in f if ":\t" in line)
    assert status["NoNewPrivs"] == "1"
    if os.geteuid() == 0:
        assert set(status["Uid"].split() + status["Gid"].split()) == {"2000000"} and status["Groups"].strip() == ""
        assert {int(status[c], 16) for c in ("CapInh", "CapPrm", "CapEff", "CapAmb")} == {0}
    with open(f"/proc/{child}/cmdline", "rb") as f:
        assert b"secret" not in f.read()
    if os.geteuid() == 0:
        opened = [os.readlink(f"/proc/{child}/fd/{fd}") for fd in os.listdir(f"/proc/{child}/fd")]
        assert not [o for o in opened if o.startswith(fresh.dir)], opened
    page.opened.set()
    assert connection.getresponse().status == 201
    connection.close()
    assert "secret" not in fresh.logged()


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_a_download_ends_with_volantd(fresh, web, end):
    web.pages["/image"] = gate(DATA)
    connection = begun(fresh, image(web.base + "/image"))
    child, = fetchers(fresh)
    (fresh.stop if end == "stop" else fresh.kill)()
    volant.wait_until(lambda: not volant.alive(child), 10)
    connection.close()
    web.pages["/image"] = DATA
    fresh.start()
    has(fresh)  # half of it is swept
    install(fresh, image(web.base + "/image"))
    has(fresh, DATA)


# --- media by path ----------------------------------------------------------------------------------------------------

@pytest.fixture
def media(tmp_path):
    folder = tmp_path / "media"
    folder.mkdir()
    (folder / "image").write_bytes(DATA)
    (tmp_path / "outside").write_bytes(DATA)
    return folder


def test_files_are_read_below_configured_folders_alone(media, tmp_path):
    (media / "inner").mkdir()
    (media / "inner" / "link").symlink_to("../image")
    with volant.Host(VOLANT_MEDIA_DIRS=f"{tmp_path}/none:{media}/") as host:
        for url in (f"{media}/image", f"file://{media}/image", f"{media}/inner/link", f"{media}/inner/../image"):
            install(host, image(url, size=len(DATA)))
            has(host, DATA)
            assert host.api("DELETE", "/api/v1/plugins/image").status == 204
            volant.wait_until(lambda: not kept(host)[0], 10)
        (media / "out").symlink_to("../outside")
        (media / "absolute").symlink_to(tmp_path / "outside")
        (media / "self").symlink_to(f"/proc/self/root{tmp_path}/outside")
        os.mkfifo(media / "pipe")
        (media / "other").write_bytes(b"other")
        for url, *words in ((f"{tmp_path}/outside", "VOLANT_MEDIA_DIRS", "volar plugins install"),
                            (f"{media}x/image", "VOLANT_MEDIA_DIRS"), (f"{media}/../outside", "leads out"),
                            (f"{media}/out", "leads out"), (f"{media}/absolute", "leads out"),
                            (f"{media}/self", "leads out"), (f"{media}/pipe", "no regular file"),
                            (f"{media}/inner", "no regular file"), (f"{media}/absent", "No such file"),
                            (f"{tmp_path}/none/x", "VOLANT_MEDIA_DIRS", "No such file"),
                            (f"{media}/other", "digest")):
            refused(install(host, image(url), 400), 400, *words)
        refused(install(host, image(f"{media}/image", size=5), 400), 400, "says 5")
        has(host)


def test_no_file_is_read_where_none_is_configured(fresh, media):
    refused(install(fresh, image(f"{media}/image"), 409), 409, "PUT /api/v1/blobs/", "VOLANT_MEDIA_DIRS")
    has(fresh)


# --- what nobody refers to --------------------------------------------------------------------------------------------

def put(host, data, old=True):
    answer = host.api("PUT", "/api/v1/blobs/" + digest(data), data)
    assert answer.status in (200, 201), answer
    if old:
        age(host, data)
    return digest(data)


def age(host, *blobs):
    for data in blobs:
        for folder in ("sha256", "boot"):
            path = host.inside("artifacts", folder, digest(data)[7:])
            if os.path.exists(path):
                os.utime(path, (1e9, 1e9))


def prune(host, **body):
    answer = host.api("POST", "/api/v1/artifacts/prune", body)
    assert answer.status == 200, answer
    reply = answer.json
    assert sorted(reply) == ["bytes_freed", "dry_run", "fresh", "removed"]
    assert reply["bytes_freed"] == sum(r["size_bytes"] for r in reply["removed"])
    assert reply["dry_run"] is body.get("dry_run", False)
    return reply, [r["digest"] for r in reply["removed"]]


def test_pruning_removes_what_nobody_refers_to(fresh):
    installed, registered, old, new = (bytes([n]) * 10_000 for n in range(1, 5))
    for data in (installed, registered, old):
        put(fresh, data)
    put(fresh, new, old=False)
    install(fresh, image("/x", installed))
    register(fresh, "any", version="1", artifact_name="a", checksum=digest(registered).upper().replace("SHA256", "sha256"))
    everything = sorted(map(digest, (installed, registered, old, new)))
    listed = fresh.api("GET", "/api/v1/artifacts").json
    assert [a["digest"] for a in listed] == everything and all(a["size_bytes"] >= 10_000 for a in listed)
    assert {a["digest"]: a["used"] for a in listed} == {
        digest(installed): True, digest(registered): True, digest(old): False, digest(new): False}
    reply, removed = prune(fresh, dry_run=True)
    assert removed == [digest(old)] and reply["fresh"] == 1
    has(fresh, installed, registered, old, new)
    reply, removed = prune(fresh)
    assert removed == [digest(old)] and reply["fresh"] == 1 and reply["bytes_freed"] >= 10_000
    has(fresh, installed, registered, new)
    assert prune(fresh)[1] == []
    assert prune(fresh, all=True)[1] == [digest(new)]
    has(fresh, installed, registered)
    assert fresh.api("DELETE", "/api/v1/plugins/any/artifacts").status == 204
    assert prune(fresh)[1] == [digest(registered)]


def test_both_forms_of_an_archive_go(fresh):
    archive = subprocess.run(["zstd", "-q", "-c"], input=appliance.archive({"init": b"x" * 100_000}),
                             capture_output=True, check=True).stdout
    put(fresh, archive)
    manifest = image("") | {"name": "archive", "initramfs": {"url": "/x", "checksum": digest(archive)}}
    install(fresh, manifest)
    boot = fresh.inside("artifacts", "boot", digest(archive)[7:])
    assert os.path.exists(boot) and prune(fresh, all=True)[1] == []
    assert fresh.api("DELETE", "/api/v1/plugins/archive").status == 204
    volant.wait_until(lambda: not os.path.exists(boot), 10)
    volant.write(boot, "left behind")  # as a kill between the two would not leave it, but somebody else may
    age(fresh, archive)
    assert prune(fresh)[1] == [digest(archive)] and not os.path.exists(boot)


def test_earlier_configurations_keep_what_they_name(fresh):
    first, second, third = (bytes([n]) * 5000 for n in (11, 12, 13))
    for name, data in (("first", first), ("second", second)):
        put(fresh, data)
        install(fresh, image("/x", data, name=name))
    vm = {"name": "vm", "plugin": "first", "start": False}
    assert fresh.api("POST", "/api/v1/vms", vm).status == 201
    answer = fresh.api("PATCH", "/api/v1/vms/vm/config", {"manifest": image("/x", second, name="first")})
    assert answer.status == 200, answer
    install(fresh, image("/x", second, name="first"))  # what it was before is named by the VM's first version alone
    put(fresh, third)
    age(fresh, first, second)
    assert prune(fresh)[1] == [digest(third)]
    fresh.stop()
    fresh.start()
    assert fresh.api("GET", "/api/v1/system/check").json["findings"] == []
    has(fresh, first, second)
    assert fresh.api("POST", "/api/v1/vms/vm/config/rollback", {"version": 1}).status == 200
    assert fresh.api("DELETE", "/api/v1/vms/vm").status == 204
    volant.wait_until(lambda: kept(fresh)[0] == [digest(second)[7:]], 10)


def test_a_start_sweeps_what_pruning_would(fresh):
    registered, old, new = (bytes([n]) * 5000 for n in (21, 22, 23))
    for data in (registered, old):
        put(fresh, data)
    put(fresh, new, old=False)
    register(fresh, "any", version="1", artifact_name="a", checksum=digest(registered))
    fresh.stop()
    fresh.start()
    volant.wait_until(lambda: not os.path.exists(fresh.inside("artifacts", "sha256", digest(old)[7:])), 10)
    has(fresh, registered, new)
    assert fresh.api("GET", "/api/v1/system/check").json["findings"] == []


def test_who_asks_for_a_blob_has_time_to_install_it(fresh):
    data = b"about to be installed"
    put(fresh, data)
    assert fresh.api("HEAD", "/api/v1/blobs/" + digest(data)).status == 200
    assert prune(fresh)[1] == []
    age(fresh, data)
    put(fresh, data, old=False)  # 200: it is there
    assert prune(fresh)[1] == []
    install(fresh, image("/x", data))
    assert prune(fresh, all=True)[1] == []


def test_pruning_beside_installations(fresh, web):
    """Whatever is sent, fetched and installed meanwhile is there afterwards."""
    blobs = {f"p{n}": random.Random(n).randbytes(200_000) for n in range(12)}
    stop = threading.Event()

    def prune_on():
        while not stop.is_set():
            prune(fresh)
            for data in blobs.values():
                put(fresh, b"old" + data[:1000])

    def bring(name, data):
        if name < "p5":
            web.pages["/" + name] = data
            return install(fresh, image(f"{web.base}/{name}", data, name=name))
        put(fresh, data, old=False)
        return install(fresh, image("/x", data, name=name))
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        pruning = pool.submit(prune_on)
        try:
            done = list(pool.map(lambda item: bring(*item), blobs.items()))
        finally:
            stop.set()
        pruning.result()
    assert len(done) == 12
    age(fresh, *blobs.values())
    prune(fresh, all=True)
    has(fresh, *blobs.values())


def test_a_kill_while_pruning(fresh):
    data = [random.Random(n).randbytes(2000) for n in range(200)]
    for one in data:
        put(fresh, one)
    install(fresh, image("/x", data[0]))
    connection = volant.UnixConnection(fresh.socket, 30)
    connection.request("POST", "/api/v1/artifacts/prune")
    volant.wait_until(lambda: len(kept(fresh)[0]) < 200, 10, every=0)
    fresh.kill()
    connection.close()
    age(fresh, *data)
    fresh.start()
    volant.wait_until(lambda: prune(fresh) and kept(fresh)[0] == [digest(data[0])[7:]], 10)
    has(fresh, data[0])


def test_bad_prunings(fresh):
    for body, *words in (({"all": 1}, "all", "true"), ({"dry_run": "yes"}, "dry_run"), (b"[", "body"), ([], "object")):
        refused(fresh.api("POST", "/api/v1/artifacts/prune", body), 400, *words)
    assert fresh.api("POST", "/api/v1/artifacts/prune", {"everything": True}).headers["Volant-Warning"]


def test_volar_prunes(fresh):
    put(fresh, b"old" * 1000)
    put(fresh, b"new" * 1000, old=False)
    assert fresh.volar("artifacts", "list").stdout.split()[:3] == ["DIGEST", "SIZE", "USED"]
    said = fresh.volar("artifacts", "prune", "--dry-run").stdout
    volant.says(said, [digest(b"old" * 1000), "1 artifacts would be removed", "--all"])
    assert len(json.loads(fresh.volar("artifacts", "list", "-o", "json").stdout)) == 2
    reply = json.loads(fresh.volar("artifacts", "prune", "-o", "json").stdout)
    assert [r["digest"] for r in reply["removed"]] == [digest(b"old" * 1000)] and reply["fresh"] == 1
    volant.says(fresh.volar("artifacts", "prune", "--all").stdout, ["1 artifacts removed"])
    assert fresh.volar("artifacts", "list").stdout == "No artifacts\n"


# --- manifests by URL -------------------------------------------------------------------------------------------------

def page_of(manifest):
    return json.dumps(manifest).encode()


@pytest.mark.parametrize("how", ["--url=URL", "URL", "--manifest=URL", "<URL>", "--url=<URL>"])
def test_a_manifest_is_installed_from_the_web(fresh, web, how):
    web.pages["/plugins/v1/image.json"] = page_of(image("../media/image.img"))
    web.pages["/plugins/media/image.img"] = DATA
    done = fresh.volar("plugins", "install", how.replace("URL", web.base + "/plugins/v1/image.json"))
    assert done.stdout == "Plugin image 1 installed\n"
    assert fresh.api("GET", "/api/v1/plugins/image").json["rootfs"]["url"] == web.base + "/plugins/media/image.img"
    has(fresh, DATA)


def test_media_are_beside_where_a_manifest_was_found(fresh, web):
    """After redirects, and without the password that was for the manifest."""
    web.pages["/latest"] = lambda h: h.say(302, Location="/v7/image.json?signed=secret")
    web.pages["/v7/image.json"] = page_of(image("image.img?part=1"))
    web.pages["/v7/image.img"] = DATA
    fresh.volar("plugins", "install", "--url", web.base.replace("//", "//user:secret@") + "/latest")
    assert web.asked("/latest")[0]["Authorization"] and not web.asked("/v7/image.img")[0]["Authorization"]
    assert fresh.api("GET", "/api/v1/plugins/image").json["rootfs"]["url"] == web.base + "/v7/image.img?part=1"
    assert "secret" not in fresh.logged() + json.dumps(fresh.api("GET", "/api/v1/plugins/image").json)


def test_a_file_may_name_a_medium_on_the_web(fresh, web, tmp_path):
    web.pages["/image"] = DATA
    volant.write(tmp_path / "m.json", json.dumps(image(web.base + "/image")))
    fresh.volar("plugins", "install", str(tmp_path / "m.json"))
    has(fresh, DATA)


def test_a_manifest_does_not_leave_https(fresh, web, secure, tmp_path):
    """Its checksums are what is believed of the media."""
    web.pages["/image.json"] = page_of(image(web.base + "/image.img"))
    web.pages["/image.img"] = DATA
    secure.pages["/good"] = secure.pages["/image.json"] = web.pages["/image.json"]
    secure.pages["/moved"] = lambda h: h.say(302, Location="/good")
    secure.pages["/bad"] = lambda h: h.say(302, Location=web.base + "/image.json")
    trusting = ["unshare", "-m", "sh", "-c", 'mount --bind "$0" /etc/ssl/certs/ca-certificates.crt && exec "$@"',
                str(tmp_path / "cert"), volant.program("volar"), "--api", fresh.socket, "plugins", "install"]
    done = subprocess.run(trusting + [secure.base + "/bad"], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1 and web.requests == [], done
    volant.says(done.stderr, ["get the manifest", secure.base + "/bad", "correct the url"])
    subprocess.run(trusting + [secure.base + "/moved"], capture_output=True, timeout=60, check=True)
    has(fresh, DATA)


BAD_PAGES = {  # page: words
    "none": (None, ["404", "correct"]),
    "broken": (lambda h: h.say(503), ["503", "again"]),
    "no JSON": (b"<html>", ["/image.json"]),
    "no manifest": (b"{}", ["/image.json", "name"]),
    "too large": (b" " * 1_100_000, ["1048576"]),
    "endless": (lambda h: (h.wfile.write(b"HTTP/1.0 200 OK\r\n\r\n" + b" " * 2_000_000), h.hang_up()), ["1048576"]),
    "a redirect to a file": (lambda h: h.say(302, Location="file:///etc/passwd"), ["again"]),
    "a file of this machine": (page_of(image("/etc/hostname")), ["PUT /api/v1/blobs"]),
    "a file's URL": (page_of(image("file:///etc/hostname")), ["PUT /api/v1/blobs"]),
    "no checksum": (page_of(image("x") | {"rootfs": {"url": "image.img"}}), ["rootfs.checksum", "missing"]),
    "a medium that is not there": (page_of(image("none.img")), ["rootfs.url", "/none.img", "404"]),
}


@pytest.mark.parametrize("what", BAD_PAGES)
def test_bad_pages_install_nothing(fresh, web, what):
    page, words = BAD_PAGES[what]
    if page:
        web.pages["/image.json"] = page
    url = web.base.replace("//", "//user:secret@") + "/image.json?key=secret"
    done = fresh.volar("plugins", "install", url, check=False)
    assert (done.returncode, done.stdout) == (1, "") and "secret" not in done.stderr
    volant.says(done.stderr, words)
    has(fresh)


def test_misuse_of_urls(fresh, tmp_path):
    for args, *words in (([], "--url"), (["--url", "x.json"], "http://", "--manifest"), (["--url", "ftp://x/y"], "http"),
                         (["--url", "http://x/", "y.json"], "one manifest"),
                         (["--url", "http://x/", "--manifest", "y"], "one manifest")):
        done = fresh.volar("plugins", "install", *args, check=False)
        assert done.returncode == 2, done
        volant.says(done.stderr, words)
    port = volant.free_port()
    done = fresh.volar("plugins", "install", f"http://127.0.0.1:{port}/x", check=False)
    assert done.returncode == 1
    volant.says(done.stderr, ["get the manifest", f"127.0.0.1:{port}/x", "correct"])
