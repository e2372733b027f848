# SPDX-License-Identifier: Apache-2.0
"""The published JSON Schemas are the programs' own, and say what the programs say; `fledge validate` names the place."""
import json
import os
import subprocess
import tomllib

import jsonschema
import pytest
import test_bad_fledge
import volant
from volant import says

SCHEMAS = ("fledge", "manifest", "manifest-toml")


def run(*args, cwd=None):
    return subprocess.run([volant.program("fledge"), *args], cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, timeout=60, check=False)


def schema(name):
    return json.loads(run("schema", name).stdout)


def docs(*path):
    with open(os.path.join(volant.ROOT, "docs", *path), encoding="utf-8") as f:
        return f.read()


@pytest.mark.parametrize("name", SCHEMAS)
def test_the_published_schema_is_the_program_s(name):
    """After a change: fledge schema NAME > docs/schemas/NAME.schema.json"""
    assert docs("schemas", name + ".schema.json") == run("schema", name).stdout
    jsonschema.Draft202012Validator.check_schema(schema(name))


def test_misuse():
    for args in ([], ["volant"]):
        done = run("schema", *args)
        assert done.returncode == 2 and "fledge manifest manifest-toml" in done.stderr


def fits(validator, text):
    return validator.is_valid(tomllib.loads(text))


def test_good_files_are_good_by_the_schema(tmp_path):
    validator = jsonschema.Draft202012Validator(schema("fledge"))
    examples = os.path.join(volant.ROOT, "examples")
    for name in filter(lambda n: not n.startswith("."), os.listdir(examples)):
        with open(os.path.join(examples, name, "fledge.toml"), encoding="utf-8") as f:
            assert fits(validator, f.read()), name
    for strategy in ("initramfs", "oci_rootfs"):
        assert run("init", "-s", strategy, cwd=tmp_path).returncode == 0
        with open(tmp_path / "fledge.toml", encoding="utf-8") as f:
            text = f.read()
        assert fits(validator, text)
        # every key that is only a comment there, too
        lines = [line[2:] if line.startswith("# ") and ("=" in line or line.startswith("# [")) else line
                 for line in text.split("\n")]
        assert fits(validator, "\n".join(lines)), lines
        os.unlink(tmp_path / "fledge.toml")
    assert fits(validator, 'version = "1"\nstrategy = "initramfs"\n[mappings]\n"./a" = "/bin/a"\n')


def test_bad_files_are_bad_by_the_schema():
    """Unknown keys, wrong types, what is missing; not what only the build can know."""
    validator = jsonschema.Draft202012Validator(schema("fledge"))
    known = 0
    for old, new, _ in test_bad_fledge.FLEDGE.values():
        try:
            bad = tomllib.loads(test_bad_fledge.TOML.replace(old, new))
        except tomllib.TOMLDecodeError:
            continue
        known += not validator.is_valid(bad)
    assert known >= 15, known


MANIFEST = """\
{
  "name": "app",
  "version": "1.0.0",
  "initramfs": {"url": "app.cpio", "checksum": "sha256:%s"},
  "workload": {"entrypoint": ["/bin/app"],
               "env": {"A": "b"}}
}
""" % ("0" * 64)
MANIFESTS = {
    "not JSON": ("}\n}", "}", ["app.manifest.json is not JSON", "line 7"]),
    "a key twice": ('"name": "app",', '"name": "app", "name": "b",', ["duplicate", "line 2"]),
    "name is a number": ('"app",', "7,", ["app.manifest.json:2:11: name must be a string"]),
    "no name": ('  "name": "app",\n', "", ["app.manifest.json:1:1: name is missing"]),
    "another digest": ('"sha256:%s"' % ("0" * 64), '"md5:0"', ["app.manifest.json:4:48: initramfs.checksum", "sha256"]),
    "no digest": (', "checksum": "sha256:%s"' % ("0" * 64), "", ["app.manifest.json:4:16: initramfs.checksum is missing"]),
    "an empty entrypoint": ('["/bin/app"]', "[]", ["app.manifest.json:5:30: workload.entrypoint"]),
    "an entrypoint with a number": ('["/bin/app"]', '["/bin/app", 1]', ["app.manifest.json:5:43: workload.entrypoint[1]"]),
    "a name with '='": ('{"A": "b"}', '{"A=": "b"}', ["app.manifest.json:6:23: workload.env"]),
    "a value that is none": ('{"A": "b"}', '{"A": 1}', ["app.manifest.json:6:29: workload.env.A"]),
    "a check of nothing": ('"env": {"A": "b"}}', '"env": {}},\n  "health_check": {"interval_ms": 5}',
                           ["app.manifest.json:7:35: health_check.interval_ms is 5"]),
    "a policy nobody knows": ('"name"', '"restart": "never", "name"', ["app.manifest.json:2:14: restart", "on-failure"]),
    "an archive that is not there": ("app.cpio", "gone.cpio", ["app.manifest.json:4:24: initramfs.url", "gone.cpio"]),
    "an archive of another digest": ("", "", ["app.manifest.json:4:48: initramfs.checksum", "is not that of", "app.cpio"]),
}


@pytest.mark.parametrize("what", MANIFESTS)
def test_the_place_in_a_manifest(what, tmp_path):
    old, new, words = MANIFESTS[what]
    (tmp_path / "app.cpio").write_bytes(b"070701")
    (tmp_path / "app.manifest.json").write_text(MANIFEST.replace(old, new, 1))
    done = run("validate", "app.manifest.json", cwd=tmp_path)
    assert done.returncode == 1 and not done.stdout, done
    says(done.stderr, words)


def test_a_good_manifest(hello, tmp_path):
    done = run("validate", hello)
    assert done.returncode == 0 and "hello.manifest.json is good: hello 1.0.0" in done.stdout, done
    with open(hello, encoding="utf-8") as f:
        manifest = json.load(f)
    validator = jsonschema.Draft202012Validator(schema("manifest"))
    validator.validate(manifest)
    # what only later versions understand is said, with its place
    (tmp_path / "x.manifest.json").write_text(json.dumps(
        manifest | {"frob": 1, "initramfs": manifest["initramfs"] | {"url": "/elsewhere"}}, indent=1))
    done = run("validate", "x.manifest.json", cwd=tmp_path)
    assert done.returncode == 0
    says(done.stdout, ["x.manifest.json:", "frob", "unknown and ignored", "is good"])


def test_the_place_in_manifest_toml(tmp_path):
    (tmp_path / "fledge.toml").write_text('version = "1"\nstrategy = "initramfs"\n')
    (tmp_path / "manifest.toml").write_text('name = "a"\nversion = "1"\nruntime = "a"\n[workload]\nentrypoint = "/x"\n'
                                            'args = [1]\n')
    done = run("validate", cwd=tmp_path)
    assert done.returncode == 1
    says(done.stderr, ["manifest.toml:6:9: workload.args[0] is an integer"])
    done = run("validate", "--manifest", "other.toml", cwd=tmp_path)
    says(done.stderr, ["there is no file 'other.toml'"])
