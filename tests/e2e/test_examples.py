# SPDX-License-Identifier: Apache-2.0
"""The examples build, boot and serve; what fledge writes depends on its input alone; and nothing of it needs root."""
import hashlib
import json
import os
import shutil
import subprocess
import tempfile

import appliance
import pytest
import volant

NOBODY = 65534


@pytest.mark.parametrize("name", ["nginx", "busybox"])
def test_an_example_serves(host, request, name):
    host.install(request.getfixturevalue(name))
    port = host.create("web", name)
    status, body = volant.fetch(port)
    assert status == 200 and b"Volant" in body, body
    assert volant.fetch(port, "/there-is-no-such-page")[0] == 404


def test_a_static_program(host, hello):
    host.install(hello)
    host.volar("vms", "create", "hello", "--plugin", "hello")
    assert host.wait_status("hello", "stopped")["exit_code"] == 0


SEED = """\
[plugin]
name = "caddy"
version = "1.0.0"
strategy = "initramfs"

[[file_mappings]]
source = "./caddy_linux_amd64"
dest = "/usr/local/bin/caddy"
mode = 0o755

[[file_mappings]]
source = "./Caddyfile"
dest = "/etc/Caddyfile"
mode = 0o644

[workload]
entrypoint = ["/usr/local/bin/caddy", "run", "--config", "/etc/Caddyfile"]
"""


def test_the_seeds_second_quick_start(host, caddy):
    """The example is what is printed there, to the letter; then the commands that follow it."""
    folder = os.path.dirname(caddy)
    assert appliance.read(os.path.join(folder, "fledge.toml")).decode() == SEED
    host.volar("plugins", "install", "--manifest", "caddy.manifest.json", cwd=folder)
    host.volar("vms", "create", "web", "--plugin", "caddy", "--cpu", "2", "--memory", "512")
    assert "web" in host.volar("vms", "list").stdout
    host.volar("vms", "create", "page", "--plugin", "caddy", "-p", "80", "--wait", "ready")
    status, body = volant.fetch(host.vm("page")["ports"][0]["host_port"])
    assert status == 200 and b"Volant" in body, body


def digests(folder, name):
    return {file: hashlib.sha256(appliance.read(os.path.join(folder, file))).hexdigest()
            for file in (f"{name}.cpio.zst", f"{name}.manifest.json")}


TREE = """\
[plugin]
name = "tree"
version = "1.0.0"
strategy = "initramfs"

[[file_mappings]]
source = "./tree"
dest = "/srv"

[[file_mappings]]
source = "/bin/cat"
dest = "/bin/cat"

[workload]
entrypoint = ["/bin/cat"]
"""


def test_fledge_is_reproducible(tmp_path):
    """Other folder, order of creation, times, umask, language, zone: the same bytes."""
    found = []
    for i, (zone, mask, names) in enumerate([("UTC", 0o022, "abc"), ("Asia/Tokyo", 0o077, "cba")]):
        folder = tmp_path / f"copy{i}" / ("x" * (1 + 30 * i))
        (folder / "tree/deep/er").mkdir(parents=True)
        (folder / "fledge.toml").write_text(TREE)
        for name in names:
            (folder / "tree/deep" / name).write_text(name * 1000)
            (folder / "tree/deep" / name).chmod(0o644)
            (folder / "tree" / f"link-{name}").symlink_to(f"deep/{name}")
        for root, folders, _ in os.walk(folder):
            for entry in folders:
                os.chmod(os.path.join(root, entry), 0o755)
        for root, folders, files in os.walk(folder):
            for entry in folders + files:
                os.utime(os.path.join(root, entry), (i * 10**6, i * 10**8), follow_symlinks=False)
        subprocess.run([volant.program("fledge"), "build"], cwd=folder, check=True, timeout=60, umask=mask,
                       env=os.environ | {"TZ": zone, "LC_ALL": "C"})
        found.append(digests(folder, "tree"))
    assert found[0] == found[1]


def test_the_manifest_tells_the_truth(nginx):
    manifest = json.loads(appliance.read(nginx))
    url = manifest["initramfs"]["url"]
    assert "/" not in url.lstrip("./")  # relative to the manifest
    blob = appliance.read(os.path.join(os.path.dirname(nginx), url))
    assert manifest["initramfs"]["checksum"] == "sha256:" + hashlib.sha256(blob).hexdigest()
    assert manifest["initramfs"]["size"] == len(blob)


# Becomes an ordinary user without groups.
AS_NOBODY = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--no-new-privs"]


class Unprivileged:
    """A place of an ordinary user: programs where anybody may read them, a home, the XDG folders."""

    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="vl-")
        os.chmod(self.dir, 0o755)
        self.bin, self.home = os.path.join(self.dir, "bin"), os.path.join(self.dir, "home")
        os.mkdir(self.bin)
        for name in ("volantd", "volar", "fledge", "volant-shim", "kestrel"):
            shutil.copy(volant.program(name), self.bin)
        os.mkdir(os.path.join(self.bin, "kernel"))
        for name in ("vmlinux-generic", "vmlinux-generic.json"):
            shutil.copy(os.path.join(volant.BUILD, "kernel", name), os.path.join(self.bin, "kernel"))
        runtime = os.path.join(self.dir, "runtime")
        for folder in (self.home, runtime):
            os.mkdir(folder, 0o700)
            os.chown(folder, NOBODY, NOBODY)
        self.env = {"PATH": f"{self.bin}:/usr/bin:/bin", "HOME": self.home, "XDG_RUNTIME_DIR": runtime}
        self.state = os.path.join(self.home, ".local/state/volant")
        self.socket = os.path.join(runtime, "volant/volantd.sock")
        self.daemon = None

    def run(self, *argv, cwd=None):
        done = subprocess.run([*AS_NOBODY, *argv], cwd=cwd or self.home, env=self.env, stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done
        return done.stdout

    def close(self):
        if self.daemon:
            self.daemon.terminate()
            self.daemon.wait(30)
        for pid in volant.processes(self.dir):
            os.kill(pid, 9)
        shutil.rmtree(self.dir, ignore_errors=True)


@pytest.fixture
def user():
    place = Unprivileged()
    yield place
    place.close()


def test_everything_works_without_root(user, busybox):
    """fledge, volantd, volar and the VM, all as an ordinary user; the same bytes as root's build."""
    folder = os.path.join(user.home, "busybox")
    shutil.copytree(os.path.join(volant.ROOT, "examples", "busybox"), folder)
    for root, folders, files in os.walk(folder):
        for path in [root, *(os.path.join(root, name) for name in folders + files)]:
            os.chown(path, NOBODY, NOBODY)
    user.run("fledge", "build", cwd=folder)
    assert digests(folder, "busybox") == digests(os.path.dirname(busybox), "busybox")

    log = os.path.join(user.dir, "volantd.log")
    with open(log, "wb") as out:
        user.daemon = subprocess.Popen([*AS_NOBODY, "volantd"], env=user.env, cwd=user.home, stdin=subprocess.DEVNULL,
                                       stdout=out, stderr=out)
    volant.wait_until(lambda: os.path.exists(user.socket) or user.daemon.poll() is not None, 10)
    assert user.daemon.poll() is None, appliance.read(log)
    user.run("volar", "plugins", "install", "--manifest", "busybox.manifest.json", cwd=folder)
    user.run("volar", "vms", "create", "web", "--plugin", "busybox", "-p", "80", "--wait", "ready")
    vm = json.loads(user.run("volar", "vms", "get", "web", "-o", "json"))
    assert volant.fetch(vm["ports"][0]["host_port"])[0] == 200
    assert os.stat(f"/proc/{vm['pid']}").st_uid == NOBODY
    with open(f"/proc/{vm['pid']}/status", encoding="ascii") as f:
        status = f.read()
    assert "NoNewPrivs:\t1" in status and "Seccomp:\t2" in status
    assert os.path.isdir(user.state) and os.stat(user.state).st_mode & 0o077 == 0
    assert user.run("volar", "vms", "delete", "web") == "VM web deleted\n"
    assert not [p for p in volant.processes(user.dir) if p != user.daemon.pid]
