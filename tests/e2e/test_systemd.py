# SPDX-License-Identifier: Apache-2.0
"""Under systemd, as far as can be without it as PID 1: a fake service manager, its own tools, and the units themselves."""
import os
import re
import shlex
import signal
import socket
import sqlite3
import subprocess
import threading

import pytest
import volant
from test_policy import tiny_vm
from test_access import certificate
from volant import says

PACKAGING = os.path.join(volant.BUILD, "packaging")
EXPOSURE_MAX = 50  # tenths: what `systemd-analyze security` calls OK


class Datagrams:
    """What comes to a Unix datagram socket, kept in order."""

    def __init__(self, path):
        self.path, self.got, self.changed = path, [], threading.Condition()
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(path)
        self.thread = threading.Thread(target=self.read, daemon=True)
        self.thread.start()

    def read(self):
        while data := self.socket.recv(65536):
            with self.changed:
                self.got.append(data)
                self.changed.notify_all()

    def wait(self, what, timeout=30, start=0):
        """The index behind the first one from `start` on for which what(text) is true."""
        def found():
            return next((i + 1 for i, d in enumerate(self.got) if i >= start and what(d.decode())), None)

        with self.changed:
            assert self.changed.wait_for(found, timeout), (what, self.got[start:])
            return found()

    def close(self):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
            s.sendto(b"", self.path)
        self.thread.join()
        self.socket.close()


@pytest.fixture
def manager(tmp_path):
    """The service manager's socket."""
    d = Datagrams(str(tmp_path / "notify"))
    yield d
    d.close()


def notified(tiny, manager, watchdog_s=1):
    return volant.Host(VOLANT_KERNEL_DIRS=tiny.folder, NOTIFY_SOCKET=manager.path,
                       WATCHDOG_USEC=str(watchdog_s * 1000000))


def test_ready_status_life_and_end_are_told(tiny, manager):
    with notified(tiny, manager) as host:
        at = manager.wait(lambda t: "READY=1" in t)
        assert "STATUS=0 VMs" in manager.got[at - 1].decode()
        at = manager.wait(lambda t: "WATCHDOG=1" in t, start=at)
        host.install(tiny.manifest)
        tiny_vm(host, tiny, "t")
        at = manager.wait(lambda t: "WATCHDOG=1" in t and "STATUS=1 VM: 1 running" in t, start=at)
        with open(f"/proc/{host.run_record('t')['vmm']['pid']}/environ", encoding="utf-8") as f:
            assert "NOTIFY" not in f.read()  # NotifyAccess=main says the same
        host.stop()
        manager.wait(lambda t: "STOPPING=1" in t, start=at)
        assert sum(b"READY=1" in d for d in manager.got) == 1


def test_ready_means_that_it_serves(tiny, manager):
    """No request fails after READY=1."""
    host = notified(tiny, manager, 60)
    asked = []

    def ask():
        manager.wait(lambda t: "READY=1" in t)
        asked.append(host.api("GET", "/healthz").status)

    asker = threading.Thread(target=ask)
    asker.start()
    with host:
        asker.join()
        assert asked == [200]


def test_a_store_that_hangs_is_not_fed(tiny, manager):
    with notified(tiny, manager) as host:
        manager.wait(lambda t: "WATCHDOG=1" in t)
        other = sqlite3.connect(host.inside("state.db"), isolation_level=None)
        other.execute("BEGIN EXCLUSIVE")
        before = len(manager.got)
        volant.wait_until(lambda: "the watchdog is not fed" in host.logged(), 30)
        assert len(manager.got) - before <= 1  # one may have been on its way; ten were due
        says(host.logged(), ["another program holds the database"])
        assert host.api("GET", "/api/v1/vms").status == 200  # reading is reading memory
        other.execute("ROLLBACK")
        other.close()
        manager.wait(lambda t: "WATCHDOG=1" in t, start=before + 1)


def test_a_restore_is_no_restart(tiny, manager, tmp_path):
    with notified(tiny, manager) as host:
        host.volar("system", "backup", str(tmp_path / "b.db"))
        before = manager.wait(lambda t: "READY=1" in t)
        host.volar("system", "restore", str(tmp_path / "b.db"))
        # Whatever its judgement takes is no reason to be ended; then the unit's own time counts again.
        patient = manager.wait(lambda t: "WATCHDOG_USEC=300000000" in t, start=before)
        ready = manager.wait(lambda t: "READY=1" in t and "WATCHDOG_USEC=1000000" in t, start=patient)
        manager.wait(lambda t: "WATCHDOG=1" in t, start=ready)
        assert not any(b"STOPPING=1" in d for d in manager.got)


# --- socket activation ------------------------------------------------------------------------------------------------


class Activated(volant.Host):
    """Started by the first client of sockets that somebody else holds."""

    def __init__(self, *addresses, **environment):
        super().__init__(**environment)
        os.mkdir(self.run)
        self.wrapper = ["systemd-socket-activate", *(a for address in (self.socket, *addresses) for a in ("-l", address)),
                        *(a for name in self.env if name.startswith("VOLANT_") or name == "PATH" for a in ("-E", name))]


def test_the_first_client_starts_it():
    port = volant.free_port()
    with Activated(f"127.0.0.1:{port}") as host:
        info = host.api("GET", "/api/v1/system/info").json
        assert info["socket"] == host.socket and info["api_listen_addr"] == f"127.0.0.1:{port}"
        assert volant.fetch(port, "/healthz")[0] == 200
        assert host.volar("vms", "list").stdout == "No VMs found\n"
        host.stop()
        assert os.path.exists(host.socket)  # not ours to remove


class Held(volant.Host):
    """Its sockets are this test's, as a socket unit's are systemd's."""

    def __init__(self, *listeners, **environment):
        super().__init__(**environment)
        os.mkdir(self.run)
        self.listeners = listeners or [socket.socket(socket.AF_UNIX)]
        if not listeners:
            self.listeners[0].bind(self.socket)
            self.listeners[0].listen(64)
        # Descriptors from 3 on, then LISTEN_PID, which is known only behind the fork.
        moves = " ".join(f"{3 + i}<&{self.fd(i)}" for i in range(len(self.listeners)))
        self.wrapper = ["bash", "-c", f'exec {moves}; LISTEN_FDS={len(self.listeners)} LISTEN_PID=$$ exec "$@"', "-"]

    def fd(self, i):
        """Above all others, so that none is overwritten while they are moved."""
        os.dup2(self.listeners[i].fileno(), 100 + i, inheritable=True)
        return 100 + i

    def start(self, *args):
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen([*self.wrapper, volant.program("volantd"), *args], env=self.env,
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=log, close_fds=False)

    def close(self):
        super().close()
        for i, listener in enumerate(self.listeners):
            os.close(100 + i)
            listener.close()


def test_clients_wait_while_volantd_is_away():
    with Held() as host:
        assert host.api("GET", "/healthz").status == 200
        for _ in range(3):
            host.stop()
            answers = []
            clients = [threading.Thread(target=lambda: answers.append(host.api("GET", "/api/v1/vms").status))
                       for _ in range(8)]
            for c in clients:
                c.start()
            host.start()
            for c in clients:
                c.join()
            assert answers == [200] * 8
        host.kill()
        connection = volant.UnixConnection(host.socket, 30)
        connection.request("GET", "/healthz")  # nobody is there, and yet it is accepted
        host.start()
        assert connection.getresponse().status == 200
        connection.close()


@pytest.mark.parametrize("kind", ["everywhere", "abstract", "datagrams"])
def test_sockets_that_anybody_could_reach_are_refused(kind):
    if kind == "everywhere":
        s = socket.create_server(("0.0.0.0", 0))
    elif kind == "abstract":
        s = socket.socket(socket.AF_UNIX)
        s.bind("")
        s.listen(8)
    else:
        s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    with Held(s) as host:
        assert host.process.wait(30) == 1
        says(host.logged(), [{"everywhere": "is not loopback: serving it needs TLS", "abstract": "abstract socket",
                              "datagrams": "descriptor 3 of the socket unit cannot be served: it is no listening stream "
                                           "socket"}[kind]])


# --- journal ----------------------------------------------------------------------------------------------------------


class Journalled(volant.Host):
    """stderr is the journal's, which is this test. Needs root, for a mount of its own."""

    def __init__(self, folder, **environment):
        super().__init__(**environment)
        with open(self.log, "ab") as log:
            st = os.fstat(log.fileno())
        self.env["JOURNAL_STREAM"] = f"{st.st_dev}:{st.st_ino}"
        mount = ('mount -t tmpfs tmpfs /run && mkdir -p /run/systemd/journal && '
                 'mount --bind "$0" /run/systemd/journal && exec "$@"')
        self.wrapper = ["unshare", "-m", "sh", "-c", mount, folder]


def fields(text):
    return dict(line.split("=", 1) for line in text.splitlines() if "=" in line)


def test_lines_are_entries_of_the_journal(tiny, tmp_path):
    folder = tmp_path / "journal"
    folder.mkdir()
    journal = Datagrams(str(folder / "socket"))
    with Journalled(str(folder), VOLANT_KERNEL_DIRS=tiny.folder) as host:
        at = journal.wait(lambda t: "serving on" in t)
        entry = fields(journal.got[at - 1].decode())
        assert entry["MESSAGE"].startswith("volantd ") and entry["PRIORITY"] == "6"
        assert entry["SYSLOG_IDENTIFIER"] == "volantd" and entry["VOLANT_THREAD"] == "loop"
        assert entry["CODE_FILE"] == "src/volantd/main.c" and int(entry["CODE_LINE"]) > 0 and entry["CODE_FUNC"]
        assert "VOLANT_VM" not in entry
        host.install(tiny.manifest)
        tiny_vm(host, tiny, "t")
        at = journal.wait(lambda t: "VOLANT_VM=t" in t)
        assert fields(journal.got[at - 1].decode())["MESSAGE"].startswith("vm=t")
        assert host.logged() == ""  # nothing twice
        journal.close()  # the journal is away: better on stderr than nowhere
        host.volar("vms", "delete", "t")
        volant.wait_until(lambda: "vm=t" in host.logged(), 30)


# --- the units --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def units(tmp_path_factory):
    """The built units, with the program where it is now."""
    folder = tmp_path_factory.mktemp("units")
    for name in ("volantd.service", "volantd.socket"):
        with open(os.path.join(PACKAGING, name), encoding="utf-8") as f:
            text = re.sub(r"(?m)^ExecStart=\S+", "ExecStart=" + volant.program("volantd"), f.read())
        (folder / name).write_text(text)
    return folder


def directives(path):
    """{name: [values]} of a unit; every line that is set has a comment above it or above its neighbours."""
    found, commented = {}, False
    for line in path.read_text().splitlines():
        if line.startswith("#"):
            commented = True
        elif not line or line.startswith("["):
            commented = False
        else:
            name, value = line.split("=", 1)
            found.setdefault(name, []).append(value)
            assert commented or name in ("Description", "Documentation", "WantedBy", "Also", "ListenStream"), line
    return found


def test_units_are_what_systemd_takes(units):
    done = subprocess.run(["systemd-analyze", "verify", str(units / "volantd.service"), str(units / "volantd.socket")],
                          capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0 and not done.stderr.strip(), done


def test_exposure_is_bounded(units):
    done = subprocess.run(["systemd-analyze", "security", "--offline=true", f"--threshold={EXPOSURE_MAX}",
                           "--no-pager", str(units / "volantd.service")],
                          capture_output=True, text=True, timeout=60, check=False)
    print(done.stdout.strip().splitlines()[-1], f"(at most {EXPOSURE_MAX / 10})")
    assert done.returncode == 0, done.stdout


def test_nothing_in_the_unit_ends_a_vm(units):
    d = directives(units / "volantd.service")
    assert d["Type"] == ["notify"] and d["NotifyAccess"] == ["main"] and int(d["WatchdogSec"][0]) > 0
    assert d["KillMode"] == ["process"] and d["Delegate"] == ["yes"] and d["OOMPolicy"] == ["continue"]
    assert d["RuntimeDirectoryPreserve"] == ["yes"] and d["StateDirectoryMode"] == ["0711"]
    assert d["TasksMax"] == ["infinity"]
    for name in ("MemoryDenyWriteExecute", "PrivateDevices", "PrivateTmp", "PrivateNetwork", "ProtectControlGroups",
                 "ProtectProc", "ProcSubset", "PrivateUsers", "DynamicUser", "IPAddressDeny", "OOMScoreAdjust"):
        assert name not in d, name
    assert directives(units / "volantd.socket")["SocketMode"] == ["0600"]


def test_its_capabilities_are_enough(units, busybox):
    """A VM as a user of its own, at a port below 1024, over a restart of volantd, from its start to its end."""
    names = " ".join(directives(units / "volantd.service")["CapabilityBoundingSet"]).split()
    bounding = ",".join(["-all", *("+" + n.removeprefix("CAP_").lower() for n in names)])
    with volant.Host(VOLANT_STOP_TIMEOUT="1", VOLANT_QUIT_TIMEOUT="1", VOLANT_TERM_TIMEOUT="1") as host:
        host.stop()
        host.wrapper = ["setpriv", "--no-new-privs", f"--bounding-set={bounding}"]
        host.start()
        with open(f"/proc/{host.process.pid}/status", encoding="utf-8") as f:
            assert int(re.search(r"CapEff:\s*(\w+)", f.read())[1], 16).bit_count() <= len(names)
        host.install(busybox)
        port = next(p for p in range(700, 1000) if is_free(p))
        host.volar("vms", "create", "web", "--plugin", "busybox", "-p", f"{port}:80", "--wait", "ready")
        record = host.run_record("web")
        assert os.stat(f"/proc/{record['vmm']['pid']}").st_uid > 65535
        host.stop()
        host.start()
        assert host.vm("web")["pid"] == record["vmm"]["pid"] and volant.fetch(port)[0] == 200
        host.volar("vms", "stop", "web")
        host.volar("vms", "start", "web", "--wait", "ready")
        record = host.run_record("web")
        os.kill(record["vmm"]["pid"], signal.SIGSTOP)  # nothing but SIGKILL ends it now
        host.volar("vms", "delete", "web")
        assert os.listdir(host.inside("vms")) == [] and not volant.alive(record["vmm"]["pid"])


def is_free(port):
    with socket.socket() as s:
        try:
            s.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


# --- the example of settings ------------------------------------------------------------------------------------------


def described():
    """{setting: its text in volantd --help}."""
    text = subprocess.run([volant.program("volantd"), "--help"], capture_output=True, text=True, check=True).stdout
    options = re.sub(r"\s+", " ", text.split("Options:")[1].split("\n\n")[0])
    return {m[2]: m[1] for m in re.finditer(r"--\S+ [A-Z:]+ ((?:(?! --).)*?) \[(VOLANT_\w+)\]", options)}


def exemplified():
    """{setting: (the comment above it, its value)} of packaging/volantd.conf."""
    with open(os.path.join(volant.ROOT, "packaging", "volantd.conf"), encoding="utf-8") as f:
        blocks = f.read().split("\n\n")
    found = {}
    for block in blocks[1:]:
        *comment, setting = block.strip().splitlines()
        name, value = setting.removeprefix("#").split("=", 1)
        assert setting.startswith("#") and all(c.startswith("# ") for c in comment), block
        found[name] = " ".join(c.removeprefix("# ") for c in comment), value
    return found


def test_the_example_has_every_setting_and_says_what_help_says():
    assert {name: text for name, (text, _) in exemplified().items()} == described()
    for name, (text, value) in exemplified().items():
        if default := re.search(r"\(default ([^() ]+)\)$", text):
            assert value == default[1], name


def test_the_example_is_taken(tmp_path):
    """As it is, and with every line of it in force but for the places, which are this host's."""
    example = os.path.join(volant.ROOT, "packaging", "volantd.conf")
    in_force = tmp_path / "volantd.conf"
    cert, key = certificate(str(tmp_path))
    with open(example, encoding="utf-8") as f:
        in_force.write_text(re.sub(r"(?m)^#(VOLANT_)", r"\1", f.read()))
    places = shlex.split(f"--kernel {volant.program('kernel/vmlinux-generic')}"
                         f" --rootfs-kernel {volant.program('kernel/bzImage-volant')} --shim {volant.program('volant-shim')}"
                         f" --listen 127.0.0.1:0 --tls-cert {cert} --tls-key {key}")
    for args in (["--config", example], ["--config", str(in_force), *places]):
        host = volant.Host()
        try:
            host.start(*args, "--db", os.path.join(host.state, "state.db"))
            host.stop()
        finally:
            host.close()
