# SPDX-License-Identifier: Apache-2.0
"""Guide and reference of fledge: each command runs, each file builds, each key is explained."""
import json
import os
import re
import shutil
import subprocess

import appliance
import oci_image
import pytest
import volant
from test_oci_build import Fledge


def blocks(name, language):
    """[(rest of the fence's line, text)]"""
    with open(os.path.join(volant.ROOT, "docs", name), encoding="utf-8") as f:
        return re.findall(rf"^```{language}\b ?(.*?)\n(.*?)^```", f.read(), re.S | re.M)


@pytest.fixture
def fledge(tmp_path):
    f = Fledge(tmp_path)
    f.env |= {"STORAGE_DRIVER": "vfs", "XDG_DATA_HOME": str(tmp_path / "data")}
    return f


def test_the_guide(host, fledge):
    """From the first to the last command, in one folder; port 8080 may be somebody else's here."""
    script = "set -e\n" + "".join(text for _, text in blocks("guides/plugin-development.md", "sh"))
    env = host.env | {"PATH": f"{volant.BUILD}:{host.env['PATH']}", "XDG_CACHE_HOME": fledge.cache,
                      "STORAGE_DRIVER": "vfs", "XDG_DATA_HOME": fledge.env["XDG_DATA_HOME"]}
    done = subprocess.run(["bash", "-c", script.replace("8080", str(volant.free_port()))], cwd=fledge.dir, env=env,
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, (done.stdout, done.stderr)
    for words in ("fledge.toml is good", "as it should be", "s, greetings from Volant", "s, many greetings from Volant",
                  "libc.so.6", "packed.manifest.json is good", "from the cache"):
        assert words in done.stdout, (words, done.stdout)
    assert "did you mean 'entrypoint'" in done.stderr
    assert host.vms() == []


def test_the_files_of_the_reference_build(fledge):
    os.makedirs(fledge.path("site"))
    program = appliance.compile_guest(fledge.dir, "pid1")
    os.rename(program, fledge.path("program"))
    layout = fledge.layout("image")
    layout.image([oci_image.APP])
    with open(fledge.path("Dockerfile"), "w", encoding="utf-8") as f:
        f.write("FROM scratch\nARG GREETING\nCOPY program /program\nENV GREETING=$GREETING\nCMD [\"/program\"]\n")
    busybox = oci_image.sha256(appliance.read("/bin/busybox"))
    built = 0
    files = blocks("reference/fledge-toml.md", "toml")
    others = {name: text for name, text in files if name}
    for name, text in files:
        if name:
            continue
        with open(fledge.path("fledge.toml"), "w", encoding="utf-8") as f:
            f.write(text.replace("BUSYBOX_SHA256", busybox))
        for other, content in others.items():
            with open(fledge.path(other), "w", encoding="utf-8") as f:
                f.write(content)
        assert fledge.run("validate").returncode == 0, text
        fledge.build()
        built += 1
    assert built == 5
    assert fledge.manifest("built")["workload"]["env"]["GREETING"] == "hello"
    assert fledge.manifest("later")["workload"]["entrypoint"] == ["/usr/local/bin/program", "--site", "/srv/site"]
    assert fledge.manifest("own")["agent"] == "none"
    assert fledge.manifest("web")["workload"]["exposed_ports"] == ["8080/tcp"]
    for name in ("web", "shop", "built", "own", "later"):
        assert fledge.run("validate", name + ".manifest.json").returncode == 0
    shutil.rmtree(fledge.path("site"))


def keys_of(schema):
    for name, one in schema.get("properties", {}).items():
        yield name
        yield from keys_of(one)
        if isinstance(one.get("additionalProperties"), dict):
            yield from keys_of(one["additionalProperties"])
        yield from keys_of(one.get("items", {}))
    for one in schema.get("oneOf", []):
        yield from keys_of(one)


@pytest.mark.parametrize("name, page", [("fledge", "fledge-toml"), ("manifest-toml", "fledge-toml"),
                                        ("manifest", "manifest")])
def test_every_key_is_explained(name, page):
    with open(os.path.join(volant.ROOT, "docs", "reference", page + ".md"), encoding="utf-8") as f:
        text = f.read()
    told = re.findall(r"[\w.$]+", " ".join("".join(pair) for pair in re.findall(r"`([^`\n]+)`|^#+ (.*)$", text, re.M)))
    parts = {part for one in told for part in one.split(".")}
    done = subprocess.run([volant.program("fledge"), "schema", name], capture_output=True, text=True, check=True)
    missing = set(keys_of(json.loads(done.stdout))) - parts
    assert not missing, missing
