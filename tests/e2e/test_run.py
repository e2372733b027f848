# SPDX-License-Identifier: Apache-2.0
"""`volar run`: from the reference of an image in a registry to its page, its output and its exit code."""
import json
import os
import signal
import subprocess
import tempfile

import appliance
import pytest
import volant
from images import Registry
from oci_image import entry, folder
from test_oci_build import Fledge
from volant import says

READY_S = 120  # of a boot on a busy host


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A registry with one image, and a cache for fledge: place.image is its reference."""
    path = tmp_path_factory.mktemp("run")
    fledge = Fledge(path)
    program = appliance.read(appliance.compile_guest(str(path), "keeper"))
    layout = fledge.layout("keeper")
    layout.image([[folder("bin"), entry("bin/keeper", program, mode=0o755), folder("var")]],
                 {"Entrypoint": ["/bin/keeper"], "Cmd": ["image"], "Env": ["TOLD=by-the-image", "PATH=/bin"],
                  "ExposedPorts": {"80/tcp": {}}})
    (path / "registry").mkdir()
    fledge.registry = Registry(path / "registry")
    fledge.image = fledge.registry.push(layout, "some/keeper")
    yield fledge
    fledge.registry.stop()


@pytest.fixture
def host(place):
    with volant.Host(XDG_CACHE_HOME=place.cache) as h:
        h.env["TMPDIR"] = os.path.join(h.dir, "tmp")
        os.mkdir(h.env["TMPDIR"])
        yield h


def run(host, *args, **how):
    return host.volar("run", "-m", "96", *args, timeout=READY_S + 60, **how)


def begin(host, *args):
    """An attached run whose end is not awaited here."""
    return subprocess.Popen([volant.program("volar"), "run", "-m", "96", *args], env=host.env, text=True,
                            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def test_detached(host, place):
    """A page on the port that was asked for; built and installed once."""
    port = volant.free_port()
    done = run(host, "-d", "--name", "web", "-p", f"{port}:80", "-e", "TOLD=so", "--disk-size", "64M", "--wait", "ready",
               place.image)
    assert done.stdout == "web\n"
    says(done.stderr, [f"http://127.0.0.1:{port} -> 80/tcp"])
    status, body = volant.fetch(port, timeout=30)
    assert status == 200 and body.split()[0] == b"1"
    assert host.volar("vms", "logs", "web").stdout == "keeper of image, told so\n"
    assert "\nDisk: 64 MB\n" in host.volar("vms", "get", "web").stdout and host.vm("web")["disk_mb"] == 64
    with open(f"/proc/{host.run_record('web')['vmm']['pid']}/cmdline", "rb") as f:
        assert b"TOLD" not in f.read()
    before = host.volar("plugins", "list").stdout
    assert run(host, "-d", "--name", "two", place.image).stdout == "two\n"
    assert host.volar("plugins", "list").stdout == before and len(before.splitlines()) == 2
    taken = run(host, "-d", "--name", "web", place.image, check=False)
    assert taken.returncode == 125 and "web" in taken.stderr


def test_attached(host, place):
    """Its output is the workload's alone, its exit code too; --rm leaves nothing."""
    done = run(host, "--rm", "--name", "job", place.image, "end", check=False)
    assert (done.returncode, done.stdout) == (7, "keeper of end, told by-the-image\n"), done.stderr
    assert host.vms() == []
    done = run(host, "--name", "kept", "-e", "TOLD", "--", place.image, "end", check=False)
    assert done.returncode == 7 and host.vm("kept")["exit_code"] == 7
    done = run(host, "--name", "json", "-o", "json", place.image, "end", check=False)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 7 and "keeper of end, told by-the-image" in [line["line"] for line in lines]
    assert all(sorted(line) == ["line", "name", "stream", "timestamp"] for line in lines)
    assert host.vm("kept")["status"] in ("stopped", "crashed")


def test_interrupted_and_abandoned(host, place):
    """Ctrl-C stops the VM; volar's death does not, and volantd removes it when its time has come."""
    attached = begin(host, "--name", "web", place.image)
    assert any("keeper of image" in line for line in attached.stdout)
    attached.send_signal(signal.SIGINT)
    attached.communicate(timeout=READY_S)
    assert host.vm("web")["status"] == "stopped"
    attached = begin(host, "--rm", "--name", "left", "-p", "80", place.image)
    volant.wait_until(lambda: any(v["name"] == "left" and v["ready"] for v in host.vms()), READY_S)
    attached.kill()
    attached.communicate(timeout=30)
    assert host.vm("left")["status"] == "running"
    port = host.vm("left")["ports"][0]["host_port"]
    host.stop()
    end(port)
    host.start()
    volant.wait_until(lambda: all(v["name"] != "left" for v in host.vms()), READY_S)


def test_who_reads_slowly_learns_the_exit_code(host, place):
    """The VM has been removed before its last words are read: how it ended comes behind them."""
    attached = begin(host, "--rm", "--name", "web", place.image, "talk")
    assert attached.stdout.readline() == "keeper of talk, told by-the-image\n"
    volant.wait_until(lambda: host.vms() == [], READY_S)
    out, errors = attached.communicate(timeout=READY_S)
    assert attached.returncode == 7, errors
    assert "the quick brown fox" in out and '"vm"' not in out


def test_two_signals_at_once(host, place):
    """The second lets go of a VM that was asked to stop, never of one that was not."""
    attached = begin(host, "--name", "web", place.image)
    assert any("keeper of image" in line for line in attached.stdout)
    attached.send_signal(signal.SIGSTOP)
    volant.wait_until(lambda: state_of(attached.pid) == "T", 10)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGCONT):
        attached.send_signal(number)
    _, errors = attached.communicate(timeout=READY_S)
    assert attached.returncode == 125
    says(errors, ["let go of VM 'web', which is being stopped"])
    host.wait_status("web", "stopped")


def state_of(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as f:
        return f.read().rsplit(")", 1)[1].split()[0]


def test_a_removal_leaves_alone_what_has_changed(host, place):
    """What `--rm` removes is the VM as it ended, not one that somebody has started again."""
    run(host, "-d", "--name", "web", "-p", "80", "--wait", "ready", place.image)
    end(host.vm("web")["ports"][0]["host_port"])
    ended = host.wait_status("web", "crashed")
    assert host.api("POST", "/api/v1/vms/web/start").status == 200
    path = "/api/v1/vms/web?updated_at="
    refused = host.api("DELETE", path + ended["updated_at"])
    assert refused.status == 409 and "has changed since" in refused.json["error"]
    for bad in ("yesterday", "", "1970-01-01T00:00:00Z"):
        assert host.api("DELETE", path + bad).status == 400, bad
    host.wait_status("web", "running")
    assert host.api("POST", "/api/v1/vms/web/stop?timeout=28").json["status"] == "stopped"
    assert host.api("DELETE", path + host.vm("web")["updated_at"]).status == 204 and host.vms() == []


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM, signal.SIGINT])
def test_interrupted_while_it_builds(host, place, number):
    """Whatever ends it late in a build, nothing is left of the image, also on another file system."""
    slow = os.path.join(host.dir, "fledge")
    volant.write(slow, f"""#!/bin/sh
'{volant.program("fledge")}' "$@" && : >'{host.dir}/built' && mkfifo '{host.dir}/never' && read -r x <'{host.dir}/never'
""")
    os.chmod(slow, 0o755)
    with tempfile.TemporaryDirectory(dir="/dev/shm", prefix="vl-") as there:
        host.env |= {"VOLANT_FLEDGE": slow, "TMPDIR": there}
        build = begin(host, "-d", "--name", "web", place.image)
        volant.wait_until(lambda: os.path.exists(os.path.join(host.dir, "built")), READY_S)
        assert any(f.endswith(".manifest.json") for f in volant.listing(there))
        build.send_signal(number)
        _, errors = build.communicate(timeout=READY_S)
        assert build.returncode == 125 and "interrupted" in errors
        assert os.listdir(there) == []
    assert host.vms() == [] and host.api("GET", "/api/v1/plugins").json == {"plugins": []}


def end(port):
    try:
        volant.fetch(port, "/end", timeout=30)
    except (OSError, ConnectionError):
        pass  # it is gone before it answers


def test_refused(host, place):
    """What is wrong is said by who knows it, with 125, and no VM is left."""
    for args, words in (
            ([place.registry.host + "/nothing:1"], ["nothing"]),
            (["oci:" + place.path("no-such-folder")], ["no-such-folder"])):
        done = run(host, "-d", *args, check=False)
        assert done.returncode == 125, (args, done)
        says(done.stderr, words)
    host.env["VOLANT_FLEDGE"] = "/nowhere/fledge"
    done = run(host, "-d", place.image, check=False)
    assert done.returncode == 125
    says(done.stderr, ["/nowhere/fledge", "VOLANT_FLEDGE"])
    for args, words in (  # all of it before anything is built
            (["-e", "=x", place.image], ["--env"]),
            (["--disk-size", "1M", place.image], ["--disk-size", "64M"]),
            (["-p", "99999:80", place.image], ["--publish|port"]),
            (["-p", "10.0.0.1:80:80", place.image], ["loopback|127.0.0.1"]),
            (["-p", "8080:80", "-p", "8080:81", place.image], ["8080"]),
            (["--restart", "sometimes", place.image], ["restart", "on-failure"]),
            (["--rm", "--restart", "always", place.image], ["--rm", "--restart"]),
            (["--name", "Bad Name", place.image], ["name"]),
            ([], ["IMAGE"])):
        done = run(host, "-d", *args, check=False)
        assert done.returncode == 2 and "fledge" not in done.stderr, (args, done)
        says(done.stderr, words)
    assert host.vms() == [] and os.listdir(host.env["TMPDIR"]) == []


def test_rm_and_restart_are_named_as_typed(host):
    done = host.volar("run", "--rm", "--restart", "always", "./nothing.tar", check=False)
    assert done.returncode == 2
    volant.says(done.stderr, ["--rm and --restart always"])
    assert "config." not in done.stderr


@pytest.mark.parametrize("option", [("--wait", "ready"), ("--timeout", "90")])
def test_an_attached_run_waits_for_nothing(host, option):
    done = host.volar("run", *option, "./nothing.tar", check=False)
    assert done.returncode == 2
    volant.says(done.stderr, [option[0], "without -d"])
