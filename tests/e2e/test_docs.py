# SPDX-License-Identifier: Apache-2.0
"""The README's commands work as they are printed."""
import hashlib
import json
import os
import re
import shutil
import subprocess

import appliance
import images
import pytest
import volant

SECTION = "## First VM by hand"


def blocks(section):
    """The ```sh blocks of one section of the README."""
    with open(os.path.join(volant.ROOT, "README.md"), encoding="utf-8") as f:
        text = f.read().split(f"\n{section}\n", 1)[1].split("\n## ", 1)[0]
    return re.findall(r"^```sh\n(.*?)^```", text, re.S | re.M)


def test_first_vm_by_hand(tmp_path):
    """In a copy of the examples and with folders of its own; port 8080 may be somebody else's here."""
    shutil.copytree(os.path.join(volant.ROOT, "examples"), tmp_path / "examples")
    commands = "".join(blocks(SECTION)).replace("8080", str(volant.free_port()))
    assert "volantd &" in commands and "fledge build" in commands and "curl" in commands
    # volantd is ready before fledge is, which the script below does not rely on under a sanitizer.
    until_ready = 'volantd 2>"$LOG" & until volar vms list >/dev/null 2>&1; do sleep 0.05; done; #'
    commands = commands.replace("volantd &", until_ready, 1)
    host = volant.Host()
    host.env |= {"PATH": f"{volant.BUILD}:{host.env['PATH']}", "LOG": host.log}
    script = "set -eu\ntrap 'kill $(jobs -p) && wait' EXIT\n" + commands + '[ "$(volar vms list)" = "No VMs found" ]\n'
    try:
        done = subprocess.run(["bash", "-c", script], cwd=tmp_path, env=host.env, stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=120, check=False)
        print(done.stdout)
        assert done.returncode == 0, done.stderr
        assert "<html" in done.stdout.lower() and "VM web deleted" in done.stdout
    finally:
        host.close()


def test_what_the_readme_says_of_helps():
    """Each program explains itself."""
    for name in ("volantd", "volar", "fledge"):
        done = subprocess.run([volant.program(name), "--help"], capture_output=True, text=True, timeout=10, check=False)
        assert done.returncode == 0 and name in done.stdout and not done.stderr
    overview = subprocess.run([volant.program("volar"), "--help"], capture_output=True, text=True, check=True).stdout
    commands = r"^  ((?:vms|deployments|plugins|artifacts|system) [a-z]+(?: [a-z]+)?|doctor|events|mcp|run|version)\b"
    for command in re.findall(commands, overview, re.M):
        done = subprocess.run([volant.program("volar"), *command.split(), "--help"], capture_output=True,
                              text=True, check=False)
        assert done.returncode == 0 and command in done.stdout, command


def test_the_reference_of_commands_is_what_the_programs_say():
    """After a change of a command or an option: scripts/cli-reference"""
    done = subprocess.run([os.path.join(volant.ROOT, "scripts", "cli-reference"), "--check", "--build", volant.BUILD],
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_reference_has_every_variable_of_the_environment():
    """Those that volar and fledge ask for; volantd's are settings, and stand beside their options."""
    ours = {"VOLANT_RUNTIME_DIR", "VOLANT_STATE_DIR", "XDG_RUNTIME_DIR", "XDG_STATE_HOME", "XDG_CONFIG_HOME"}
    for folder in ("volar", "fledge", "oci"):
        for name in os.listdir(os.path.join(volant.ROOT, "src", folder)):
            with open(os.path.join(volant.ROOT, "src", folder, name), encoding="utf-8") as f:
                ours |= set(re.findall(r'getenv\("(\w+)"\)', f.read()))
    with open(os.path.join(volant.ROOT, "docs", "reference", "cli.md"), encoding="utf-8") as f:
        told = set(re.findall(r"^\| `([A-Z_]+)` \|", f.read(), re.M))
    assert ours - {"HOME", "PATH"} == told


def reference(name, language):
    """The blocks of one language in docs/reference/<name>.md."""
    with open(os.path.join(volant.ROOT, "docs", "reference", name + ".md"), encoding="utf-8") as f:
        return re.findall(rf"^```{language}\n(.*?)^```", f.read(), re.S | re.M)


def test_the_manifest_of_the_reference_is_one(host, tmp_path):
    """As it is printed, but for the archive, which is another one here."""
    (text,) = reference("manifest", "json")
    manifest = json.loads(text)
    blob = appliance.archive({"init": b"#!"})
    (tmp_path / "web.cpio").write_bytes(blob)
    manifest["initramfs"] = {"url": str(tmp_path / "web.cpio"), "checksum": hashlib.sha256(blob).hexdigest()}
    path = tmp_path / "web.manifest.json"
    path.write_text(json.dumps(manifest), encoding="utf-8")
    done = host.volar("plugins", "install", str(path))
    assert "has no effect" not in done.stderr and "unknown" not in done.stderr
    stored = host.api("GET", "/api/v1/plugins/web").json
    assert stored["health_check"] == {"type": "http"} | manifest["health_check"]
    assert stored["workload"] == {"type": "http"} | manifest["workload"]
    assert (stored["restart"], stored["runtime"]) == ("on-failure", "web")


def test_the_fledge_toml_of_the_reference_builds_and_runs(host, tmp_path):
    (text,) = reference("manifest", "toml")
    (tmp_path / "fledge.toml").write_text(text, encoding="utf-8")
    (tmp_path / "index.html").write_text("<html>", encoding="utf-8")
    subprocess.run([volant.program("fledge"), "build"], cwd=tmp_path, check=True, timeout=60, stdin=subprocess.DEVNULL)
    host.install(str(tmp_path / "checked.manifest.json"))
    host.volar("vms", "create", "web", "--plugin", "checked", "--wait", "ready")
    assert host.vm("web")["ready"] is True


@pytest.mark.long
def test_the_quick_start_with_an_image(tmp_path):
    """As it is printed, where docker.io is a registry of the loopback that holds the image."""
    with open(os.path.join(volant.ROOT, "docs", "getting-started", "quick-start-rootfs.md"), encoding="utf-8") as f:
        commands = "".join(re.findall(r"^```sh\n(.*?)^```", f.read(), re.S | re.M))
    for folder in "registry", "home/.config/containers", "work":
        (tmp_path / folder).mkdir(parents=True)
    registry = images.Registry(tmp_path / "registry")
    try:
        registry.push_from("dir:" + images.image("nginx"), "library/nginx:alpine")
        (tmp_path / "home/.config/containers/registries.conf").write_text(
            f'[[registry]]\nprefix = "docker.io"\nlocation = "{registry.host}"\ninsecure = true\n', encoding="utf-8")
        with volant.Host(HOME=str(tmp_path / "home"), XDG_CACHE_HOME=str(tmp_path / "cache")) as host:
            host.env |= {"PATH": f"{volant.BUILD}:{host.env['PATH']}"}
            script = "set -eux\n" + commands.replace("8080", str(volant.free_port()))
            done = subprocess.run(["bash", "-c", script], cwd=tmp_path / "work", env=host.env, stdin=subprocess.DEVNULL,
                                  capture_output=True, text=True, timeout=400, check=False)
            print(done.stdout, done.stderr)
            assert done.returncode == 0
            assert done.stdout.count("a page of Debian's nginx") == 3 and "Deployment web-cluster created" in done.stdout
            assert "test is successful" in done.stderr and host.vms() == []
    finally:
        registry.stop()
