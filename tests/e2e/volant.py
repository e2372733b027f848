# SPDX-License-Identifier: Apache-2.0
"""One Volant host for a test: a volantd with folders of its own, its command line and its API."""
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time

import openapi

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.abspath(os.environ.get("VOLANT_BUILD_DIR", os.path.join(ROOT, "build")))
DOCUMENTS = {}  # of each build of volantd, once it was asked
START_S = 10
STOP_S = 60


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path, timeout):
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Answer:
    """What the API answered."""

    def __init__(self, response, body):
        self.status, self.headers, self.body = response.status, response.headers, body

    @property
    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return f"<{self.status} {self.body[:300]!r}>"


def program(name):
    return os.path.join(BUILD, name)


def free_port():
    """A TCP port of the loopback that nobody has at this moment."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_until(what, timeout, every=0.02):
    """The first true value of what(); fails after `timeout` seconds."""
    end = time.monotonic() + timeout
    while True:
        value = what()
        if value:
            return value
        assert time.monotonic() < end, f"waited {timeout} s in vain for {what}"
        time.sleep(every)


def fetch(port, path="/", timeout=5, host="127.0.0.1"):
    """GET from a published port: (status, body)."""
    connection = http.client.HTTPConnection(host, port, timeout=timeout)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def processes(needle):
    """pids of processes that have `needle` in their command line or environment's place: their folder."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as f:
                if needle.encode() in f.read():
                    found.append(int(pid))
        except OSError:
            pass
    return found


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as f:
            return f.read().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


def says(text, words):
    """Each of `words` is in the text; one may offer alternatives as "a|b"."""
    for word in words:
        assert any(w.lower() in text.lower() for w in word.split("|")), f"{word!r} is not in {text!r}"


def write(path, text):
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)


def listing(folder):
    """Everything below a folder, with sizes."""
    return {os.path.join(root, name): os.path.getsize(os.path.join(root, name))
            for root, _, files in os.walk(folder) for name in files}


class Host:
    """A volantd of one's own; `with` starts it and afterwards ends it and every VM it left."""

    def __init__(self, **environment):
        self.dir = tempfile.mkdtemp(prefix="vl-")  # short: socket paths are bounded
        self.state, self.run = os.path.join(self.dir, "state"), os.path.join(self.dir, "run")
        self.socket = os.path.join(self.run, "volantd.sock")
        self.log = os.path.join(self.dir, "volantd.log")
        self.process = None
        self.programs = BUILD  # or another build's, of an earlier version
        self.volantd = None  # another than that of `programs`
        self.wrapper = []  # a command that becomes volantd
        self.env = {k: v for k, v in os.environ.items() if not k.startswith("VOLANT_")}
        self.env |= {"VOLANT_STATE_DIR": self.state, "VOLANT_RUNTIME_DIR": self.run} | environment

    def __enter__(self):
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_):
        self.close()

    def launch(self, *args):
        with open(self.log, "ab") as log:
            volantd = self.volantd or os.path.join(self.programs, "volantd")
            self.process = subprocess.Popen([*self.wrapper, volantd, *args], env=self.env, stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=log)

    def start(self, *args):
        self.launch(*args)
        wait_until(lambda: self.process.poll() is not None or self.answers(), START_S, every=0.002)
        assert self.process.poll() is None, f"volantd ended with {self.process.returncode}:\n{self.logged()}"

    def answers(self):
        try:
            return self.api("GET", "/healthz", timeout=2).status == 200
        except OSError:
            return False

    def stop(self):
        """SIGTERM: VMs go on."""
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(STOP_S) == 0, self.logged()

    def kill(self):
        """kill -9: VMs go on."""
        self.process.kill()
        self.process.wait(STOP_S)

    def api(self, method, path, body=None, timeout=60, headers=None):
        connection = UnixConnection(self.socket, timeout)
        try:
            data = json.dumps(body) if isinstance(body, (dict, list)) else body
            try:
                connection.request(method, path, body=data, headers=headers or {})
            except BrokenPipeError:
                pass  # refused by its head alone: the answer is there
            response = connection.getresponse()
            answer = Answer(response, response.read())
        finally:
            connection.close()
        self.check(method, path, answer)
        return answer

    def check(self, method, path, answer):
        """Every answer is as /openapi says; an earlier volantd has no such document."""
        if path == "/healthz":
            return  # while it starts and ends
        if self.programs not in DOCUMENTS and self.process and self.process.poll() is None:
            DOCUMENTS[self.programs] = None
            served = self.api("GET", "/openapi")
            DOCUMENTS[self.programs] = openapi.Document(served.body) if served.status == 200 else None
        document = DOCUMENTS.get(self.programs)
        if document and not self.volantd:
            document.check(method, path, answer.status, answer.headers, answer.body)

    def volar(self, *args, check=True, timeout=120, **kwargs):
        done = subprocess.run([os.path.join(self.programs, "volar"), *args], env=self.env, stdin=subprocess.DEVNULL, capture_output=True,
                              text=True, timeout=timeout, check=False, **kwargs)
        assert not check or done.returncode == 0, (args, done.returncode, done.stdout, done.stderr, self.logged())
        return done

    def vm(self, name):
        answer = self.api("GET", f"/api/v1/vms/{name}")
        assert answer.status == 200, answer
        return answer.json

    def vms(self):
        return self.api("GET", "/api/v1/vms").json

    def inside(self, *path):
        """A path below the state folder, as this process reaches it."""
        return os.path.join(self.state, *path)

    def folder(self, name):
        return self.inside("vms", str(self.vm(name)["id"]))

    def run_record(self, name):
        with open(os.path.join(self.folder(name), "run.json"), encoding="utf-8") as f:
            return json.load(f)

    def wait_status(self, name, *statuses, timeout=60):
        return wait_until(lambda: (v := self.vm(name))["status"] in statuses and v, timeout)

    def install(self, manifest):
        self.volar("plugins", "install", "--manifest", manifest)

    def create(self, name, plugin, *args, wait="ready"):
        """A VM from an installed plugin with guest port 80 published: its host port."""
        self.volar("vms", "create", name, "--plugin", plugin, "-p", "80", "--wait", wait, *args)
        return self.vm(name)["ports"][0]["host_port"]

    def logged(self):
        with open(self.log, encoding="utf-8", errors="replace") as f:
            return f.read()[-8000:]

    def records(self):
        """The run.json of every VM folder."""
        found = []
        for name in os.listdir(self.inside("vms")) if os.path.isdir(self.inside("vms")) else []:
            try:
                with open(self.inside("vms", name, "run.json"), encoding="utf-8") as f:
                    found.append(json.load(f))
            except (OSError, ValueError):
                pass
        return found

    def close(self):
        """Ends what this host started, by pid, and removes its folders."""
        records = self.records() if self.process else []
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait(STOP_S)
        records += self.records()
        for pid in [r[who]["pid"] for r in records for who in ("vmm", "shim")] + processes(self.dir):
            if alive(pid):
                os.kill(pid, signal.SIGKILL)
        shutil.rmtree(self.dir, ignore_errors=True)
