# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the end-to-end tests: hosts, and appliances built once for all of them."""
import os
import shutil
import subprocess
from types import SimpleNamespace

import appliance
import pytest
import volant


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """What volantd and the guests said goes into the report of a failed test."""
    report = (yield).get_result()
    host = item.funcargs.get("host")
    if report.when == "call" and report.failed and isinstance(host, volant.Host):
        report.sections.append(("volantd", host.logged()))
        for root, _, files in os.walk(os.path.join(host.state, "vms")):
            for name in sorted(n for n in files if n in ("console.log", "exit.json", "run.json")):
                with open(os.path.join(root, name), encoding="utf-8", errors="replace") as f:
                    report.sections.append((os.path.join(os.path.basename(root), name), f.read()[-4000:]))


@pytest.fixture
def host():
    """A running volantd with nothing in it."""
    with volant.Host() as h:
        yield h


def build(tmp_path_factory, name, prepare=None):
    """Builds examples/<name> in a folder of its own: the path of its manifest."""
    folder = os.path.join(tmp_path_factory.mktemp("examples"), name)
    shutil.copytree(os.path.join(volant.ROOT, "examples", name), folder)
    if prepare:
        prepare(folder)
    subprocess.run([volant.program("fledge"), "build"], cwd=folder, check=True, timeout=120, stdin=subprocess.DEVNULL)
    return os.path.join(folder, f"{name}.manifest.json")


@pytest.fixture(scope="session")
def nginx(tmp_path_factory):
    return build(tmp_path_factory, "nginx")


@pytest.fixture(scope="session")
def busybox(tmp_path_factory):
    return build(tmp_path_factory, "busybox")


@pytest.fixture(scope="session")
def hello(tmp_path_factory):
    def compile_it(folder):
        subprocess.run(["gcc", "-static", "-Os", "-o", "hello", "hello.c"], cwd=folder, check=True, timeout=60)

    return build(tmp_path_factory, "hello", compile_it)


@pytest.fixture(scope="session")
def caddy(tmp_path_factory):
    return build(tmp_path_factory, "caddy", lambda folder: shutil.copy("/usr/bin/caddy", folder + "/caddy_linux_amd64"))


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    """A guest that costs milliseconds: `manifest`, `kernel` (and `ending`, which ends at once), `folder` of the two."""
    folder = str(tmp_path_factory.mktemp("tiny"))
    return SimpleNamespace(folder=folder, manifest=appliance.tiny_manifest(folder),
                           kernel=appliance.tiny_kernel(folder),
                           ending=appliance.tiny_kernel(folder, "ending", "-DEND"))


@pytest.fixture
def tiny_host(tiny):
    """A host that has the plugin `tiny` and takes its kernels: `volar vms create NAME --plugin tiny --kernel ...`."""
    with volant.Host(VOLANT_KERNEL_DIRS=tiny.folder) as h:
        h.install(tiny.manifest)
        yield h


@pytest.fixture
def busybox_host(host, busybox):
    """A host with the busybox plugin, the smallest server."""
    host.install(busybox)
    return host


@pytest.fixture
def nginx_host(host, nginx):
    host.install(nginx)
    return host
