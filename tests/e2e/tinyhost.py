# SPDX-License-Identifier: Apache-2.0
"""A host of guests that cost milliseconds, for tests that need thousands of them."""
import contextlib
import hashlib
import http.client
import os
import random
import shutil
import subprocess

import appliance
import volant

GONE = (OSError, http.client.HTTPException)  # volantd died before it answered
ENDED = ("stopped", "crashed", "failed")
USERS = 100000  # a host's VMs have users of their own, by which their processes are found
BLOB = subprocess.run(["zstd", "-q", "-c"], input=appliance.archive({"init": b"anything"}), capture_output=True,
                      check=True).stdout


class TinyHost(volant.Host):
    """`kernel` boots; `plugin` is installed by `prepare`. Requests go to the API directly: no process for each."""

    plugin = "tiny"

    def __init__(self, kernel, **environment):
        base = 1_000_000_000 + random.SystemRandom().randrange(20000) * USERS
        super().__init__(**{"VOLANT_UID_BASE": str(base)} | environment)
        self.others = set()  # processes that are known to be none of this host's
        self.own_files = set()  # that a test puts into the state folder
        self.kernel = os.path.join(self.dir, "kernel")  # inside, so that who has it open is found
        shutil.copy(kernel, self.kernel)
        self.env["VOLANT_KERNEL_DIRS"] = self.dir

    def manifest(self, **keys):
        digest = "sha256:" + hashlib.sha256(BLOB).hexdigest()
        return {"name": self.plugin, "version": "1.0.0", "agent": "none", "resources": {"memory_mb": 48},
                "initramfs": {"url": "/tiny.cpio.zst", "checksum": digest, "size": len(BLOB)}} | keys

    def upload(self):
        manifest = self.manifest()
        answer = self.api("PUT", "/api/v1/blobs/" + manifest["initramfs"]["checksum"], BLOB)
        assert answer.status in (200, 201), answer

    def install_tiny(self, **keys):
        answer = self.api("POST", "/api/v1/plugins", self.manifest(**keys))
        assert answer.status == 201, answer

    def prepare(self):
        self.upload()
        self.install_tiny()

    def request(self, name, **config):
        config = {"kernel_override": self.kernel, "expose": [{"port": 80}]} | config
        return {"name": name, "plugin": self.plugin, "config": config}

    def make(self, name, wait="running", **config):
        return self.api("POST", "/api/v1/vms" + (f"?wait={wait}" if wait else ""), self.request(name, **config))

    def do(self, name, verb, wait="running"):
        return self.api("POST", f"/api/v1/vms/{name}/{verb}" + (f"?wait={wait}" if wait else ""))

    def drop(self, name):
        return self.api("DELETE", f"/api/v1/vms/{name}")

    def must(self, answer):
        assert 200 <= answer.status < 300, (answer, self.logged())
        return answer

    def wait_ready(self, name, timeout=60):
        vm = volant.wait_until(lambda: (v := self.vm(name)) and (v["ready"] or v["status"] in ENDED) and v, timeout)
        assert vm["ready"], (vm, self.logged())
        return vm

    def age_artifacts(self):
        """As if they had come long ago: what nobody refers to then is to be removed by the next volantd."""
        for folder in ("sha256", "boot"):
            for file in os.scandir(self.inside("artifacts", folder)):
                os.utime(file.path, (1e9, 1e9))

    # --- deployments ---

    def deploy(self, name, replicas):
        config = {"plugin": self.plugin, "kernel_override": self.kernel, "expose": [{"port": 80}]}
        return self.api("POST", "/api/v1/deployments", {"name": name, "replicas": replicas, "config": config})

    def scale(self, name, replicas):
        return self.api("PATCH", f"/api/v1/deployments/{name}", {"replicas": replicas})

    def update(self, name, **config):
        return self.api("PATCH", f"/api/v1/deployments/{name}", {"config": config})

    def deployed(self, name):
        d = self.api("GET", f"/api/v1/deployments/{name}").json
        return d["status"] == "ready" and d["ready_replicas"] == d["updated_replicas"] == d["desired_replicas"]

    def wait_deployed(self, name, timeout=60):
        volant.wait_until(lambda: self.deployed(name), timeout)

    def clear(self):
        """Deletes everything but the plugin."""
        answer = self.api("GET", "/api/v1/deployments")
        for d in answer.json if answer.status == 200 else ():
            self.must(self.api("DELETE", "/api/v1/deployments/" + d["name"]))
        for vm in self.vms():
            if not vm.get("deployment"):
                self.must(self.drop(vm["name"]))


@contextlib.contextmanager
def tiny_host(kernel, **environment):
    with TinyHost(kernel, **environment) as host:
        host.prepare()
        yield host
