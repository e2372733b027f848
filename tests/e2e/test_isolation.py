# SPDX-License-Identifier: Apache-2.0
"""What a guest cannot reach, and how its VMM is confined."""
import os
import re
import socket
import stat
import subprocess
import sys
import threading

import appliance
import pytest
import volant

GATEWAY = "192.168.127.1"
UID_BASE = 2000000
SECRET = "hunter2-is-no-password"


class Bait:
    """TCP and UDP servers on the host's loopback that nobody may reach: `touched` says who did."""

    def __init__(self):
        self.touched = []
        self.tcp = socket.create_server(("127.0.0.1", 0))
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.bind(("127.0.0.1", 0))
        self.all = socket.create_server(("0.0.0.0", 0))
        self.ports = [s.getsockname()[1] for s in (self.tcp, self.udp, self.all)]
        for server in (self.tcp, self.all):
            threading.Thread(target=self.accept, args=(server,), daemon=True).start()
        threading.Thread(target=self.receive, daemon=True).start()

    def accept(self, server):
        while True:
            try:
                connection, peer = server.accept()
            except OSError:
                return
            self.touched.append(peer)
            connection.close()

    def receive(self):
        while True:
            try:
                data, peer = self.udp.recvfrom(2048)
            except OSError:
                return
            self.touched.append(peer)
            self.udp.sendto(data, peer)

    def close(self):
        for s in (self.tcp, self.udp, self.all):
            s.close()


@pytest.fixture(scope="module")
def prober(tmp_path_factory):
    """Makes appliances that try to reach things, then serve a page."""
    folder = str(tmp_path_factory.mktemp("probe"))
    files = {"bin/probe": appliance.read(appliance.compile_guest(folder, "probe"))}

    def make(name, targets):
        return appliance.write(folder, files, name, entrypoint=["/bin/probe", *targets], workload={
            "type": "http", "base_url": "http://127.0.0.1:80", "env": {"PASSWORD": SECRET}})

    return make


def test_a_guest_reaches_nothing(prober):
    bait = Bait()
    with volant.Host() as host:
        host.stop()
        host.start("--listen", "127.0.0.1:7777" if port_free(7777) else "127.0.0.1:0")
        listen = host.api("GET", "/api/v1/system/info").json["api_listen_addr"].rsplit(":", 1)[1]
        host.install(prober("neighbour", []))
        neighbour = host.create("neighbour", "neighbour")
        tcp, udp, everywhere = bait.ports
        own = host_addresses()
        targets = [f"tcp:{GATEWAY}:{p}" for p in ("7777", listen, tcp, everywhere, neighbour, 22, 53)]
        targets += [f"tcp:10.0.2.2:{p}" for p in (listen, tcp, everywhere)]
        targets += [f"tcp:{a}:{everywhere}" for a in own]
        targets += ["tcp:192.168.127.10:80", f"tcp:192.168.127.2:{tcp}", "tcp:192.168.127.3:53", "tcp:10.0.2.3:53",
                    "tcp:1.1.1.1:80", f"tcp:fec0::2:{everywhere}", "udp:192.168.127.3:53", f"udp:{GATEWAY}:53",
                    "udp:10.0.2.3:53", f"udp:{GATEWAY}:{udp}", f"udp:{GATEWAY}:69"]
        host.install(prober("prober", targets))
        host.volar("vms", "create", "prober", "--plugin", "prober", "-p", "80", "--wait", "process")
        logs = volant.wait_until(lambda: probed(host), 120, every=0.5)
        print(logs)
        for target in targets:
            assert f"{target}: " in logs, target
        assert "REACHED" not in logs and bait.touched == []
        for port in ("7777", listen, tcp, everywhere):  # refused at once, not after a wait
            assert re.search(rf"^tcp:{GATEWAY}:{port}: Connection refused after \d{{1,3}} ms$", logs, re.M), port
        # The published port leads in, and the neighbour is still served.
        assert volant.fetch(host.vm("prober")["ports"][0]["host_port"]) == (200, b"ok\n")
        assert volant.fetch(neighbour) == (200, b"ok\n")
    bait.close()


def probed(host):
    """What the prober found out, once it has tried everything."""
    text = host.volar("vms", "logs", "prober", check=False).stdout
    return "probed\n" in text and text


def port_free(port):
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            s.bind(("127.0.0.1", port))
            return True
        except OSError:
            return False


def host_addresses():
    """IPv4 addresses of this host that are not loopback."""
    found = set()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        try:
            s.connect(("192.0.2.1", 9))
            found.add(s.getsockname()[0])
        except OSError:
            pass
    return found


def status_of(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        return dict(line.rstrip("\n").split(":\t", 1) for line in f if ":\t" in line)


@pytest.fixture
def confined(host, prober):
    host.install(prober("app", []))
    host.create("web", "app")
    return host


def test_the_vmm_is_confined(confined):
    host = confined
    vm, record, folder = host.vm("web"), host.run_record("web"), host.folder("web")
    uid = str(UID_BASE + vm["id"])
    status = status_of(record["vmm"]["pid"])
    assert status["Uid"].split() == [uid] * 4 and status["Gid"].split() == [uid] * 4 and not status["Groups"].strip()
    assert status["NoNewPrivs"] == "1" and status["Seccomp"] == "2"
    assert {int(status[c], 16) for c in ("CapInh", "CapPrm", "CapEff", "CapAmb")} == {0}
    assert os.getsid(record["vmm"]["pid"]) not in (os.getsid(host.process.pid), os.getsid(0))
    assert status_of(record["shim"]["pid"])["NoNewPrivs"] == "1"

    with open(f"/proc/{record['vmm']['pid']}/limits", encoding="ascii") as f:
        assert re.search(r"Max core file size +0 ", f.read())
    descriptors = f"/proc/{record['vmm']['pid']}/fd"
    held = [os.readlink(os.path.join(descriptors, fd)) for fd in os.listdir(descriptors)]
    assert not [h for h in held if host.state in h and "initrd" not in h and not h.startswith(folder)], held
    assert not [h for h in held if "state.db" in h or "volantd" in h], held


def test_what_lies_in_the_folder_of_a_vm(confined):
    host = confined
    vm, folder = host.vm("web"), host.folder("web")
    uid = UID_BASE + vm["id"]
    initrd = os.stat(os.path.join(folder, "initrd"))
    assert stat.S_IMODE(initrd.st_mode) == 0o400 and (initrd.st_uid, initrd.st_gid) == (uid, uid)
    assert stat.S_IMODE(os.stat(folder).st_mode) == 0o711
    for name in ("ctl", "sync", "qmp", "console.sock"):
        s = os.stat(os.path.join(folder, name))
        assert stat.S_ISSOCK(s.st_mode) and stat.S_IMODE(s.st_mode) & 0o077 == 0, name
    for name in os.listdir(folder):  # nobody else reads or writes anything
        assert stat.S_IMODE(os.stat(os.path.join(folder, name)).st_mode) & 0o022 == 0, name
    sock = os.stat(host.socket)
    assert stat.S_IMODE(sock.st_mode) in (0o600, 0o660) and sock.st_uid == 0
    assert stat.S_IMODE(os.stat(os.path.join(host.state, "state.db")).st_mode) & 0o077 == 0


def test_secrets_are_on_no_command_line(confined):
    host = confined
    record, folder = host.run_record("web"), host.folder("web")
    for who in ("vmm", "shim"):
        for file in ("cmdline", "environ"):
            with open(f"/proc/{record[who]['pid']}/{file}", "rb") as f:
                assert SECRET.encode() not in f.read(), (who, file)
    assert SECRET not in host.vm("web")["kernel_cmdline"] and SECRET not in host.logged()
    for name in os.listdir(folder):
        path = os.path.join(folder, name)
        if os.path.isfile(path) and os.stat(path).st_mode & 0o004:
            assert SECRET.encode() not in appliance.read(path), name


def test_another_users_vm_cannot_be_touched(confined):
    """An ordinary user of the host gets at neither the API, nor the console, nor the VM's files."""
    host = confined
    folder = host.folder("web")
    script = f"""
import os, socket
os.setgroups([]); os.setgid(65534); os.setuid(65534)
for path in {[host.socket, *(os.path.join(folder, n) for n in ("ctl", "sync", "qmp", "console.sock"))]!r}:
    try:
        socket.socket(socket.AF_UNIX).connect(path)
        print("connected to", path)
    except PermissionError:
        pass
for path in {[os.path.join(folder, "initrd"), os.path.join(host.state, "state.db")]!r}:
    try:
        open(path)
        print("opened", path)
    except PermissionError:
        pass
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=20, check=False)
    assert (done.stdout, done.stderr) == ("", "")
    assert host.vm("web")["status"] == "running"
