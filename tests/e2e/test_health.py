# SPDX-License-Identifier: Apache-2.0
"""Health checks, which kestrel runs in the guest: a VM is ready when its check passes, not when it listens."""
import json
import os

import pytest
import volant
from test_policy import events
from volant import says

# A web server that is up at once; what the checks look for comes when it is asked for.
SCRIPT = """
export PATH=/bin
cd /tmp
busybox mkdir -p www/cgi-bin
echo here > www/index.html
for what in up:'busybox touch /tmp/healthz; busybox cp /tmp/healthz /tmp/www/
busybox httpd -f -p 81 -h /tmp/www </dev/null >/dev/null 2>&1 & echo $! >/tmp/pid' \\
            down:'busybox rm -f /tmp/healthz /tmp/www/healthz; kill $(busybox cat /tmp/pid)'
do
    name=${what%%:*}
    { echo '#!/bin/busybox sh'; echo 'echo; echo done'; echo "${what#*:}"; } > www/cgi-bin/$name
    busybox chmod 755 www/cgi-bin/$name
done
exec busybox httpd -f -p 80 -h www
"""
EXEC = ["/bin/busybox", "sh", "-c", "echo looking; exec /bin/busybox test -e /tmp/healthz"]


def checked(source, folder, check, script=SCRIPT, **keys):
    """The busybox appliance with this script as its workload, and a health check: its manifest's path."""
    with open(source, encoding="utf-8") as f:
        manifest = json.load(f)
    manifest["initramfs"]["url"] = os.path.join(os.path.dirname(source), manifest["initramfs"]["url"])
    manifest["name"] = manifest["runtime"] = "checked"
    manifest["workload"] |= {"entrypoint": ["/bin/busybox", "sh", "-c", script]}
    manifest["health_check"] = check
    path = os.path.join(folder, "checked.manifest.json")
    with open(path, "w", encoding="utf-8") as f:
        json.dump(manifest | keys, f)
    return path


@pytest.mark.parametrize("check", [
    {"endpoint": "/healthz", "timeout_ms": 10000},
    {"port": 81},
    {"command": EXEC, "check_timeout_ms": 10000},
], ids=["http", "tcp", "exec"])
def test_a_vm_is_as_ready_as_its_check_says(host, busybox, tmp_path, check):
    host.install(checked(busybox, tmp_path, check | {"interval_ms": 200, "retries": 2}))
    port = host.create("web", "checked", wait="running")
    volant.wait_until(lambda: answers(port), 30, every=0.1)
    vm = host.vm("web")
    assert (vm["ready"], vm["health"]) == (False, "starting")
    assert volant.fetch(port, "/cgi-bin/up", timeout=20)[0] == 200
    volant.wait_until(lambda: host.vm("web")["ready"], 30, every=0.1)
    assert host.vm("web")["health"] == "healthy"
    assert volant.fetch(port, "/cgi-bin/down", timeout=20)[0] == 200
    volant.wait_until(lambda: not host.vm("web")["ready"], 30, every=0.1)
    vm = volant.wait_until(lambda: (v := host.vm("web")).get("reason") and v, 30, every=0.1)
    assert (vm["status"], vm["health"]) == ("running", "unhealthy")  # restart is "no": it is left as it is
    says(vm["reason"], ["unhealthy", "answers 404|nobody listens on port 81|ends with 1: looking"])
    assert volant.fetch(port, "/cgi-bin/up", timeout=20)[0] == 200
    volant.wait_until(lambda: host.vm("web")["ready"], 30, every=0.1)
    host.volar("vms", "stop", "web")
    assert host.vm("web")["ready"] is False


def test_an_unhealthy_vm_boots_again_where_its_policy_says_so(busybox, tmp_path):
    with volant.Host(VOLANT_RESTART_DELAY="20") as host:
        host.install(checked(busybox, tmp_path, {"port": 81, "interval_ms": 200, "retries": 2}))
        port = host.create("web", "checked", "--restart", "on-failure", wait="running")
        volant.wait_until(lambda: answers(port), 30, every=0.1)
        assert volant.fetch(port, "/cgi-bin/up", timeout=20)[0] == 200
        before = volant.wait_until(lambda: (v := host.vm("web"))["ready"] and v, 30)["pid"]
        assert volant.fetch(port, "/cgi-bin/down", timeout=20)[0] == 200
        vm = volant.wait_until(lambda: (v := host.vm("web")).get("restarts") and v.get("pid") and v, 60)
        assert vm["restarts"] == 1 and vm["pid"] != before and not volant.alive(before)
        told = {e[0]: e[2] for e in events(host, "web")}
        says(told["VM_UNHEALTHY"], ["unhealthy", "nobody listens on port 81"])
        says(told["VM_CRASHED"], ["starting again|unhealthy"])
        assert "VM_HEALTHY" in told


@pytest.mark.long
def test_what_never_becomes_healthy_has_failed(host, busybox, tmp_path):
    """The start budget of contract 3.3: two minutes at the least."""
    host.install(checked(busybox, tmp_path, {"port": 81, "timeout_ms": 1}))
    host.volar("vms", "create", "web", "--plugin", "checked", "--wait", "running")
    vm = host.wait_status("web", "failed", timeout=180)
    says(vm["reason"], ["did not become healthy within 120 s", "nobody listens on port 81"])
    assert "pid" not in vm and vm["ready"] is False


def answers(port):
    try:
        return volant.fetch(port)[0] == 200
    except OSError:
        return False


def test_a_check_that_cannot_be_is_refused(host, busybox, tmp_path):
    """At once, and with the field and what to write."""
    for check, words in [
        ({"port": 80, "interval_ms": 0}, ["health_check.interval_ms is 0", "allowed 100 to 3600000"]),
        ({"type": "exec"}, ["health_check.command is missing"]),
        ({"command": ["/bin/true"], "port": 80}, ["health_check.port", "remove one of the two"]),
        ({"endpoint": "https://127.0.0.1/"}, ["health_check.endpoint", "write a path"]),
        ({"type": "grpc"}, ["health_check.type", "http, tcp, exec"]),
    ]:
        manifest = checked(busybox, tmp_path, check)
        done = host.volar("plugins", "install", manifest, check=False)
        assert done.returncode == 1, done
        says(done.stderr, words)
        with open(manifest, "rb") as f:
            answer = host.api("POST", "/api/v1/plugins", f.read())
        assert answer.status == 400, answer
        says(answer.json["error"], words)
    assert host.api("GET", "/api/v1/plugins").json == {"plugins": []}


def test_what_is_stored_says_what_is_checked(host, busybox, tmp_path):
    host.install(checked(busybox, tmp_path, {"endpoint": "/", "timeout_ms": 10000}, restart="on-failure"))
    shown = json.loads(host.volar("plugins", "show", "checked").stdout)
    assert shown["health_check"] == {"type": "http", "endpoint": "/", "timeout_ms": 10000}
    assert shown["restart"] == "on-failure"
    host.install(checked(busybox, tmp_path, {"endpoint": "", "timeout_ms": 0}))
    assert json.loads(host.volar("plugins", "show", "checked").stdout)["health_check"] == {}
