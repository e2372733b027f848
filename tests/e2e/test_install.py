# SPDX-License-Identifier: Apache-2.0
"""`make install`: what lies where, and that it works from there without being told where anything is."""
import json
import os
import re
import shutil
import stat
import subprocess

import pytest
import volant


def prefix_of_build():
    """The prefix that the build folder has: with it, installing changes nothing there."""
    done = subprocess.run(["meson", "introspect", "--buildoptions", volant.BUILD], check=True, capture_output=True,
                          text=True)
    return next(o["value"] for o in json.loads(done.stdout) if o["name"] == "prefix")


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """DESTDIR and the prefix below it."""
    folder, prefix = str(tmp_path_factory.mktemp("dest")), prefix_of_build()
    subprocess.run(["make", "--no-print-directory", "install", f"BUILD={volant.BUILD}",
                    f"DESTDIR={folder}", f"PREFIX={prefix}"],
                   cwd=volant.ROOT, check=True, stdin=subprocess.DEVNULL, timeout=300)
    os.chmod(folder, 0o755)
    return folder, folder + prefix


def test_layout(installed):
    folder, prefix = installed
    files = {os.path.relpath(os.path.join(root, name), prefix): stat.S_IMODE(os.stat(os.path.join(root, name)).st_mode)
             for root, _, names in os.walk(folder) for name in names}
    documents = {os.path.join(root, name) for root, _, names in os.walk(os.path.join(volant.ROOT, "docs")) for name in names}
    documents |= {os.path.join(volant.ROOT, name) for name in ("README.md", "SECURITY.md")}
    assert files == {f"share/doc/volant/{os.path.relpath(name, volant.ROOT)}": 0o644 for name in documents} | {
        "bin/volantd": 0o755, "bin/volar": 0o755, "bin/fledge": 0o755,
        "libexec/volant/volant-shim": 0o755, "libexec/volant/volant-fetch": 0o755, "share/volant/kestrel": 0o755,
        "share/volant/vmlinux-generic": 0o644, "share/volant/vmlinux-generic.json": 0o644,
        "share/volant/vmlinux-generic.config": 0o644, "share/volant/bzImage-volant": 0o644,
        "share/volant/bzImage-volant.json": 0o644, "share/volant/volantd.conf": 0o644,
        "lib/systemd/system/volantd.service": 0o644, "lib/systemd/system/volantd.socket": 0o644,
    }


def test_the_unit_starts_what_is_installed(installed):
    """And names the guide that is installed with it."""
    folder, prefix = installed
    with open(f"{prefix}/lib/systemd/system/volantd.service", encoding="utf-8") as f:
        text = f.read()
    assert f"\nExecStart={prefix_of_build()}/bin/volantd\n" in text
    (guide,) = re.findall(r"^Documentation=file:(/\S+)$", text, re.M)
    assert os.path.exists(folder + guide)


def test_versions(installed):
    _, prefix = installed
    said = {name: subprocess.run([f"{prefix}/bin/{name}", "--version"], check=True, capture_output=True,
                                 text=True).stdout for name in ("volantd", "volar", "fledge")}
    assert len({text.split()[1] for text in said.values()}) == 1, said


def test_it_works_from_there(installed, tmp_path):
    """Copied as a package would, so that nothing is found in the build folder; PATH is all they get."""
    _, prefix = installed
    example = tmp_path / "busybox"
    shutil.copytree(os.path.join(volant.ROOT, "examples", "busybox"), example)
    host = volant.Host()
    host.env = {"PATH": f"{prefix}/bin:/usr/bin:/bin:/usr/sbin:/sbin", "VOLANT_STATE_DIR": host.state,
                "VOLANT_RUNTIME_DIR": host.run}
    host.programs = f"{prefix}/bin"
    with host:
        subprocess.run(["fledge", "build"], cwd=example, env=host.env, check=True, timeout=60)
        host.install(str(example / "busybox.manifest.json"))
        port = host.create("web", "busybox")
        assert volant.fetch(port)[0] == 200
        info = host.api("GET", "/api/v1/system/info").json
        assert info["kernel"]["path"] == f"{prefix}/share/volant/vmlinux-generic"
        shim = host.run_record("web")["shim"]["pid"]
        assert os.readlink(f"/proc/{shim}/exe") == f"{prefix}/libexec/volant/volant-shim"
