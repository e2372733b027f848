# SPDX-License-Identifier: Apache-2.0
"""docs/guides/operations.md: every command in it, in order, on a host where this test is systemd."""
import os
import re
import subprocess

import pytest
import volant
from test_install import prefix_of_build
from test_systemd import Held, PACKAGING
from volant import says

GUIDE = os.path.join(volant.ROOT, "docs", "guides", "operations.md")


def sections():
    """{heading: the commands of its ```sh blocks}"""
    with open(GUIDE, encoding="utf-8") as f:
        parts = re.split(r"^## (.*)\n", f.read(), flags=re.M)
    return {name: [line for block in re.findall(r"^```sh\n(.*?)^```", text, re.S | re.M) for line in block.splitlines()]
            for name, text in zip(parts[1::2], parts[2::2])}


class Service(Held):
    """What the guide's paths are here, and what systemctl would do with our units."""

    def __init__(self, folder, **environment):
        super().__init__(**environment)
        self.folder, self.prefix = str(folder), prefix_of_build()
        self.places = {"/usr/local": self.folder + self.prefix, "/var/lib/volant": self.state,
                       "/etc/volant": self.folder + "/etc", "/srv/backup": self.folder + "/backup"}
        self.env["PATH"] = f"{volant.BUILD}:{self.env['PATH']}"
        os.mkdir(self.places["/srv/backup"])

    def systemctl(self, verb, *units):
        units = [u.removesuffix(".service") for u in units if not u.startswith("-")]
        for unit in units:
            assert os.path.exists(os.path.join(PACKAGING, unit if "." in unit else unit + ".service"))
        if verb in ("stop", "restart") and self.process.poll() is None:
            self.stop()
        if verb in ("start", "restart") or verb == "enable" and "volantd" in units:
            self.start()
        elif verb not in ("stop", "daemon-reload"):
            raise AssertionError(f"systemctl {verb}")

    def run_line(self, line):
        print("#", line)
        if line.startswith("systemctl "):
            return self.systemctl(*line.split()[1:])
        for theirs, ours in self.places.items():
            line = line.replace(theirs, ours)
        if line == "make install":
            line += (f" --no-print-directory -C {volant.ROOT} BUILD={volant.BUILD} DESTDIR={self.folder}"
                     f" PREFIX={self.prefix}")
        done = subprocess.run(["bash", "-c", "set -o pipefail; " + line], cwd=self.folder, env=self.env, text=True,
                              timeout=300, stdin=subprocess.DEVNULL, capture_output=True, check=False)
        print(done.stdout, done.stderr)
        assert done.returncode == 0, (line, done.stdout, done.stderr)
        return done.stdout

    def follow(self, commands):
        return [self.run_line(line) for line in commands]


@pytest.fixture
def service(tmp_path, tiny):
    host = Service(tmp_path, VOLANT_KERNEL_DIRS=tiny.folder)
    try:
        yield host
    finally:
        host.close()


def test_the_guide(service, tiny):
    guide = sections()
    assert list(guide) == ["Under systemd", "Restart and upgrade", "What happens to VMs", "Room on the disk",
                           "Backup", "Restore", "Published ports and other hosts", "Logs", "What survives what"]
    service.follow(guide["Under systemd"])
    service.install(tiny.manifest)
    service.volar("vms", "create", "web", "--plugin", "tiny", "--kernel", tiny.kernel, "--wait", "ready")
    pid = service.vm("web")["pid"]
    service.follow(guide["Restart and upgrade"])
    assert service.vm("web")["pid"] == pid and volant.alive(pid)
    said = service.follow(guide["Room on the disk"])
    assert said[0] == "No artifacts\n" and said[2].startswith("0 artifacts removed")  # tiny boots a kernel alone
    service.follow(guide["Backup"])
    packed = service.places["/srv/backup"] + "/volant.db.gz"
    assert subprocess.run(["gzip", "-dc", packed], check=True, capture_output=True).stdout.startswith(b"SQLite format 3\0")

    online = guide["Restore"][:3]
    before = service.volar("system", "restore", service.places["/srv/backup"] + "/volant.db", check=False)
    assert before.returncode == 1
    says(before.stderr, ["web", "running"])
    says(service.follow(online)[-1], ["web"])
    assert os.path.exists(service.inside("state.db.before-restore"))

    with open(service.inside("state.db"), "r+b") as f:  # and now it is damaged
        f.write(bytes(8192))
    offline = guide["Restore"][3:]
    assert [line.split()[0] for line in offline] == ["systemctl", "cp", "systemctl"]
    service.follow(offline)
    assert [v["name"] for v in service.vms()] == ["web"]
    service.volar("vms", "delete", "web")


def test_the_reverse_proxy_is_one(tmp_path):
    with open(GUIDE, encoding="utf-8") as f:
        (server,) = re.findall(r"^```nginx\n(.*?)^```", f.read(), re.S | re.M)
    conf = tmp_path / "nginx.conf"
    server = server.replace("listen 80;", "listen 127.0.0.1:18080;")
    conf.write_text(f"pid {tmp_path}/pid;\nerror_log stderr;\nevents {{}}\nhttp {{\naccess_log off;\n{server}}}\n",
                    encoding="utf-8")
    done = subprocess.run(["/usr/sbin/nginx", "-t", "-p", str(tmp_path), "-c", str(conf)], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 0, done.stderr
