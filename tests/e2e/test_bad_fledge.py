# SPDX-License-Identifier: Apache-2.0
"""What fledge refuses: it names file, line and key and the remedy, and leaves the folder as it was."""
import os
import subprocess

import appliance
import pytest
import volant
from volant import listing, says

TOML = """\
[plugin]
name = "app"
version = "1.0.0"
strategy = "initramfs"

[[file_mappings]]
source = "./app"
dest = "/bin/app"
mode = 0o755

[workload]
entrypoint = ["/bin/app"]
"""
MAPPING = '[[file_mappings]]\nsource = "./app"\ndest = "{}"\n\n[workload]'

FLEDGE = {
    "broken TOML": ('name = "app"', 'name = "app', ["fledge.toml:2"]),
    "not TOML at all": (TOML, "hello, world", ["fledge.toml:1"]),
    "a key twice": ('name = "app"', 'name = "app"\nname = "app"', ["fledge.toml:3", "name"]),
    "empty file": (TOML, "", ["fledge.toml", "plugin"]),
    "unknown key": ('version = "1.0.0"', 'version = "1.0.0"\nnmae = "x"', ["fledge.toml:4", "nmae"]),
    "unknown section": ("[workload]", "[workloads]\nx = 1\n\n[workload]", ["fledge.toml:11", "workloads"]),
    "unknown key of a mapping": ("mode = 0o755", "mdoe = 0o755", ["fledge.toml:9", "mdoe"]),
    "name is a number": ('name = "app"', "name = 7", ["fledge.toml:2", "name", "string"]),
    "name with a slash": ('name = "app"', 'name = "a/b"', ["fledge.toml:2", "name", "a/b", "letters"]),
    "name of 300 characters": ('name = "app"', f'name = "{"x" * 300}"', ["fledge.toml:2", "name", "63"]),
    "no name": ('name = "app"\n', "", ["fledge.toml", "name"]),
    "no version": ('version = "1.0.0"\n', "", ["fledge.toml", "version"]),
    "mappings are a string": (TOML, 'file_mappings = "x"\n' + TOML.replace("[[file_mappings]]", "[x]"),
                              ["fledge.toml:1", "file_mappings"]),
    "entrypoint is a string": ('entrypoint = ["/bin/app"]', 'entrypoint = "/bin/app"',
                               ["fledge.toml:12", "entrypoint", "array"]),
    "entrypoint holds a number": ('entrypoint = ["/bin/app"]', 'entrypoint = ["/bin/app", 7]',
                                  ["fledge.toml:12", "entrypoint"]),
    "no entrypoint": ('entrypoint = ["/bin/app"]\n', "", ["fledge.toml", "entrypoint"]),
    "no workload": ('[workload]\nentrypoint = ["/bin/app"]\n', "", ["fledge.toml", "workload"]),
    "entrypoint not in the image": ('entrypoint = ["/bin/app"]', 'entrypoint = ["/bin/other"]',
                                    ["fledge.toml:12", "/bin/other", "file_mappings|mapping"]),
    "another strategy": ('"initramfs"', '"oci_rootfs"', ["fledge.toml:1", "oci_source", "image ="]),
    "a strategy nobody knows": ('"initramfs"', '"magic"', ["fledge.toml:4", "magic", "initramfs"]),
    "missing source": ('source = "./app"', 'source = "./nothing"', ["fledge.toml:7", "nothing"]),
    "source is a table": ('source = "./app"', "source = {}", ["fledge.toml:7", "source", "string"]),
    "no source": ('source = "./app"\n', "", ["fledge.toml", "source"]),
    "no dest": ('dest = "/bin/app"\n', "", ["fledge.toml", "dest"]),
    "relative dest": ('dest = "/bin/app"', 'dest = "bin/app"', ["fledge.toml:8", "dest", "bin/app", "absolute|begin"]),
    ".. in dest": ('dest = "/bin/app"', 'dest = "/bin/../app"', ["fledge.toml:8", "dest", ".."]),
    "empty dest": ('dest = "/bin/app"', 'dest = ""', ["fledge.toml:8", "dest"]),
    "the same dest twice": ("[workload]", MAPPING.format("/bin/app"), ["fledge.toml", "/bin/app"]),
    "dest below a file": ("[workload]", MAPPING.format("/bin/app/more"), ["fledge.toml", "/bin/app"]),
    "dest is kestrel's place": ("[workload]", MAPPING.format("/init"),
                                ["kestrel", "/init", "file_mappings[1]", "change one"]),
    "mode is a string": ("mode = 0o755", 'mode = "755"', ["fledge.toml:9", "mode"]),
    "mode beyond 07777": ("mode = 0o755", "mode = 0o17777", ["fledge.toml:9", "mode"]),
    "libraries neither auto nor none": ("mode = 0o755", 'libraries = "some"', ["fledge.toml:9", "libraries", "auto"]),
    "resources too small": ("[workload]", "[resources]\nmemory_mb = 8\n\n[workload]",
                            ["fledge.toml:12", "memory_mb", "48"]),
}


def fledge(folder, *args):
    return subprocess.run([volant.program("fledge"), *(args or ("build",))], cwd=folder, stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=30, check=False)


@pytest.fixture
def source(tmp_path):
    """A folder that fledge builds an appliance from."""
    (tmp_path / "app").write_bytes(appliance.read(volant.program("kestrel")))
    (tmp_path / "fledge.toml").write_text(TOML)
    return tmp_path


def test_the_good_fledge_toml_is_good(source):
    done = fledge(source)
    assert done.returncode == 0, done.stderr
    assert {"app.cpio.zst", "app.manifest.json"} <= set(os.listdir(source))


@pytest.mark.parametrize("what", FLEDGE)
def test_fledge_refuses(what, source):
    old, new, words = FLEDGE[what]
    assert old in TOML
    (source / "fledge.toml").write_text(TOML.replace(old, new))
    before = listing(source)
    done = fledge(source)
    assert done.returncode == 1 and not done.stdout, done
    says(done.stderr, words)
    assert listing(source) == before


def test_fledge_refuses_a_program_of_another_architecture(source):
    program = bytearray((source / "app").read_bytes())
    program[18:20] = b"\xb7\0"  # e_machine: AArch64
    (source / "app").write_bytes(program)
    before = listing(source)
    done = fledge(source)
    assert done.returncode == 1
    says(done.stderr, ["fledge.toml:7|fledge.toml:12", "app", "architecture|aarch64|x86"])
    assert listing(source) == before


def test_fledge_refuses_a_library_that_is_not_there(source):
    subprocess.run(["gcc", "-shared", "-fPIC", "-x", "c", "-o", "libgone.so", "/dev/null"], cwd=source, check=True)
    subprocess.run(["gcc", "-x", "c", "-o", "app", "-", "-Wl,--no-as-needed", "-L.", "-lgone"], cwd=source, check=True,
                   input=b"int main(void) { return 0; }")
    os.unlink(source / "libgone.so")
    before = listing(source)
    done = fledge(source)
    assert done.returncode == 1
    says(done.stderr, ["libgone.so", "app"])
    assert listing(source) == before


def test_fledge_without_fledge_toml(tmp_path):
    done = fledge(tmp_path)
    assert done.returncode == 1 and os.listdir(tmp_path) == []
    says(done.stderr, ["fledge.toml", "there is no file", "--config"])


@pytest.mark.parametrize("args", [["biuld"], ["build", "--frobnicate"], ["build", "a", "b", "c"]])
def test_fledge_misused(args, source):
    before = listing(source)
    done = fledge(source, *args)
    assert done.returncode == 2 and "--help" in done.stderr or "did you mean" in done.stderr, done
    assert listing(source) == before
