# SPDX-License-Identifier: Apache-2.0
"""Where `fledge build` gets images: registries with and without a password, archives; and what goes wrong on the way."""
import base64
import http.client
import json
import os
import random
import shutil
import signal
import subprocess

import oci_image
import pytest
import volant
from images import Registry
from oci_image import entry
from test_oci_build import Fledge
from volant import says

NOISE = [entry("noise", random.Random(11).randbytes(3 << 20))]


@pytest.fixture
def fledge(tmp_path):
    f = Fledge(tmp_path)
    f.env |= {"HOME": str(tmp_path / "home"), "XDG_RUNTIME_DIR": str(tmp_path / "run")}
    f.env.pop("REGISTRY_AUTH_FILE", None)
    os.makedirs(tmp_path / "home")
    os.makedirs(tmp_path / "run")
    return f


@pytest.fixture(scope="module")
def registry(tmp_path_factory):
    r = Registry(tmp_path_factory.mktemp("registry"))
    yield r
    r.stop()


@pytest.fixture(scope="module")
def closed(tmp_path_factory):
    """A registry that wants to know who asks."""
    r = Registry(tmp_path_factory.mktemp("closed"), password="secret")
    yield r
    r.stop()


def blobs(fledge):
    where = os.path.join(fledge.cache, "volant", "blobs", "sha256")
    return {name: os.path.join(where, name) for name in os.listdir(where)}


@pytest.mark.parametrize("kind, packing", [("oci", "gzip"), ("oci", "zstd"), ("docker", "gzip")])
def test_registry(kind, packing, registry, fledge):
    layout = fledge.layout("lay")
    layout.image([oci_image.APP, oci_image.RICH], packing=packing)
    form = ["--format", "v2s2"] if kind == "docker" else []
    name = registry.push(layout, f"some/{kind}-{packing}", "latest", *form)
    fledge.build("./lay")
    said = fledge.build(name)
    says(said, [f"{kind}-{packing} latest", "2 layers", "sha256:"])
    squashfs = fledge.path(f"{kind}-{packing}.squashfs")
    assert oci_image.tree_of_squashfs(squashfs) == oci_image.tree_of_squashfs(fledge.path("lay.squashfs"))
    assert "from the cache" in fledge.build(name)
    assert fledge.left() == []


def digest_of(fledge, name):
    return fledge.manifest(name)["image_digest"]


def test_by_digest_needs_no_registry_once_it_is_there(fledge, tmp_path):
    (tmp_path / "r").mkdir()
    registry = Registry(tmp_path / "r")
    try:
        layout = fledge.layout("lay")
        layout.image([oci_image.RICH])
        name = registry.push(layout, "thing")
        fledge.build(name)
        digest = digest_of(fledge, "thing")
        by_digest = name.rsplit(":", 1)[0] + "@" + digest
        says(fledge.build(by_digest), [digest, "from the cache"])
    finally:
        registry.stop()
    says(fledge.build(by_digest), ["from the cache"])
    says(fledge.build("--compression", "lz4", by_digest), [digest])
    done = fledge.run("build", name)
    assert done.returncode == 1
    says(done.stderr, ["cannot get the image", name, "refused"])


def multi_arch(fledge, architectures):
    layout = fledge.layout("multi")
    listed = []
    for architecture in architectures:
        layout.image([[entry("bin/app", architecture.encode(), mode=0o755)]],
                     bend=lambda _, config, a=architecture: config.update(architecture=a))
        descriptor = dict(layout.listed[-1])
        descriptor.pop("annotations")
        listed.append(descriptor | {"platform": {"os": "linux", "architecture": architecture}})
    index = json.dumps({"schemaVersion": 2, "mediaType": oci_image.OCI + "index.v1+json", "manifests": listed}).encode()
    layout.listed = []
    layout.list(layout.blob(index, oci_image.OCI + "index.v1+json")
                | {"annotations": {"org.opencontainers.image.ref.name": "latest"}})
    return layout, [d["digest"] for d in listed]


def test_the_right_one_of_several_architectures(registry, fledge):
    layout, digests = multi_arch(fledge, ["arm64", "amd64", "riscv64"])
    name = registry.push(layout, "multi", "latest", "--all")
    fledge.build(name)
    assert digest_of(fledge, "multi") == digests[1]
    tree = oci_image.tree_of_squashfs(fledge.path("multi.squashfs"))
    assert tree[b"bin/app"]["sha256"] == oci_image.sha256(b"amd64")
    says(fledge.build("./multi"), [digests[1], "from the cache"])


def test_another_architecture(registry, fledge):
    layout, _ = multi_arch(fledge, ["arm64", "riscv64"])
    name = registry.push(layout, "foreign", "latest", "--all")
    done = fledge.run("build", name)
    assert done.returncode == 1 and not os.path.exists(fledge.path("foreign.squashfs"))
    says(done.stderr, ["linux/amd64", "linux/arm64", "linux/riscv64"])


def test_a_health_check_survives(registry, fledge):
    """skopeo drops it on the way into a layout: OCI's configuration has none."""
    layout = fledge.layout("lay")
    config = {"Cmd": ["/bin/app"], "Healthcheck": {"Test": ["CMD", "/bin/app", "-h"], "Interval": 2000000000}}
    layout.image([oci_image.APP], config=config, kind="docker")

    # skopeo reads no docker manifest out of a layout, so this one is pushed by hand
    def put(path, data, kind):
        connection = http.client.HTTPConnection("127.0.0.1", registry.port, timeout=30)
        connection.request("PUT", path, data, {"Content-Type": kind})
        answer = connection.getresponse()
        assert answer.status == 201, answer.read()

    manifest_path = os.path.join(layout.blobs, layout.listed[0]["digest"][7:])
    with open(manifest_path, "rb") as f:
        manifest = f.read()
    for digest in [d["digest"] for d in json.loads(manifest)["layers"] + [json.loads(manifest)["config"]]]:
        connection = http.client.HTTPConnection("127.0.0.1", registry.port, timeout=30)
        connection.request("POST", "/v2/healthy/blobs/uploads/")
        where = connection.getresponse().headers["Location"].split(registry.host, 1)[1]
        with open(os.path.join(layout.blobs, digest[7:]), "rb") as f:
            put(f"{where}&digest={digest}", f.read(), "application/octet-stream")
    put("/v2/healthy/manifests/1", manifest, oci_image.KINDS["docker"]["manifest"])
    fledge.build(f"{registry.host}/healthy:1")
    assert digest_of(fledge, "healthy") == layout.listed[0]["digest"]
    check = fledge.manifest("healthy")["health_check"]
    assert check["command"] == ["/bin/app", "-h"] and check["interval_ms"] == 2000


def test_a_password(closed, fledge):
    layout = fledge.layout("lay")
    layout.image([oci_image.APP])
    name = closed.push(layout, "private")
    done = fledge.run("build", name)
    assert done.returncode == 1
    says(done.stderr, ["private", f"skopeo login {closed.host}", "unauthorized|authentication"])
    auth = {"auths": {closed.host: {"auth": base64.b64encode(b"me:secret").decode()}}}
    os.makedirs(os.path.join(fledge.env["HOME"], ".docker"))
    path = os.path.join(fledge.env["HOME"], ".docker", "config.json")
    with open(path, "w", encoding="utf-8") as f:
        json.dump(auth, f)
    fledge.build(name)
    # podman's file, and a wrong password
    shutil.rmtree(fledge.cache)
    auth["auths"][closed.host]["auth"] = base64.b64encode(b"me:wrong").decode()
    with open(path, "w", encoding="utf-8") as f:
        json.dump(auth, f)
    done = fledge.run("build", name)
    assert done.returncode == 1
    says(done.stderr, ["skopeo login"])
    subprocess.run(["skopeo", "login", "--tls-verify=false", "-u", "me", "--password-stdin", closed.host], input="secret",
                   text=True, env=fledge.env, check=True, timeout=30, stdout=subprocess.DEVNULL)
    fledge.build(name)


def test_what_a_registry_lacks(registry, fledge):
    for name in f"{registry.host}/nothing", f"{registry.host}/nothing@sha256:{'0' * 64}":
        done = fledge.run("build", name)
        assert done.returncode == 1 and os.listdir(fledge.dir) == []
        says(done.stderr, ["cannot get the image", name, "unknown|not found"])


def test_oci_archive(fledge):
    layout, digests = multi_arch(fledge, ["amd64", "arm64"])
    layout.archive(fledge.path("image.tar"))
    fledge.build("oci-archive:image.tar")
    assert digest_of(fledge, "image") == digests[0]
    says(fledge.build("oci-archive:image.tar:latest"), ["from the cache"])
    done = fledge.run("build", "oci-archive:image.tar:other")
    assert done.returncode == 1
    says(done.stderr, ["other", "latest"])


def test_docker_archive(fledge):
    layout = fledge.layout("lay")
    layout.image([oci_image.APP, oci_image.RICH, NOISE], config={"Cmd": ["/bin/app"], "User": "7"})
    subprocess.run(["skopeo", "copy", "-q", f"oci:{layout.path}:latest", f"docker-archive:{fledge.path('saved.tar')}:a:1"],
                   check=True, timeout=60)
    fledge.build("./lay")
    fledge.build("docker-archive:saved.tar")
    assert fledge.manifest("saved")["workload"]["user"] == "7"
    assert oci_image.tree_of_squashfs(fledge.path("saved.squashfs")) == oci_image.tree_of_squashfs(
        fledge.path("lay.squashfs"))
    says(fledge.build("docker-archive:saved.tar:a:1"), ["saved 1", "from the cache"])


def test_a_damaged_layer_in_the_cache_is_got_again(registry, fledge):
    layout = fledge.layout("lay")
    layout.image([oci_image.APP, NOISE])
    name = registry.push(layout, "damaged")
    fledge.build(name)
    layers = sorted(blobs(fledge).values(), key=os.path.getsize)[-2:]
    for path in layers:
        with open(path, "r+b") as f:
            f.seek(1000)
            f.write(b"damage")
    says(fledge.build("--compression", "lz4", name), ["sha256:"])
    tree = oci_image.tree_of_squashfs(fledge.path("damaged.squashfs"))
    assert tree[b"noise"]["sha256"] == oci_image.sha256(NOISE[0][1])


def test_an_interrupted_build_leaves_nothing_and_goes_on(registry, fledge):
    layout = fledge.layout("lay")
    layout.image([oci_image.APP] + [[entry(f"n{i}", random.Random(i).randbytes(6 << 20))] for i in range(8)])
    name = registry.push(layout, "large")
    for signo in signal.SIGTERM, signal.SIGINT, signal.SIGKILL:
        build = subprocess.Popen([volant.program("fledge"), "build", "--compression", "xz", name], cwd=fledge.dir,
                                 env=fledge.env, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        volant.wait_until(lambda: os.path.isdir(os.path.join(fledge.cache, "volant", "work")) and
                          any("image" in files for _, _, files in os.walk(os.path.join(fledge.cache, "volant", "work"))),
                          60, every=0.002)
        build.send_signal(signo)
        _, said = build.communicate(timeout=30)
        assert build.returncode == -signo and not os.path.exists(fledge.path("large.squashfs"))
        if signo != signal.SIGKILL:
            says(said, ["interrupted", "nothing was kept"])
            assert fledge.left() == []
    # its tar2sqfs ends a moment later, and takes its file out of the folder, which is younger then
    volant.wait_until(lambda: not volant.processes(os.path.join(fledge.cache, "volant", "work")), 30)
    # what a killed one left goes when it is a minute old; its layers are used
    for left in fledge.left():
        os.utime(os.path.join(fledge.cache, "volant", left), (1, 1))
    fledge.build(name)
    assert fledge.left() == []
    for path in blobs(fledge):
        with open(blobs(fledge)[path], "rb") as f:
            assert oci_image.sha256(f.read()) == path


def test_a_full_disk(fledge, tmp_path):
    layout = fledge.layout("lay")
    layout.image([oci_image.APP, NOISE])
    layout.archive(fledge.path("image.tar"))
    script = """
        set -e
        mkdir -p "$1"
        mount -t tmpfs -o size=2m tmpfs "$1"
        export XDG_CACHE_HOME="$1"
        for image in ./lay oci-archive:image.tar; do
            "$0" build "$image" 2>> stderr && exit 9
            echo >> stderr
        done
        (cd "$1/volant"; find work/* blobs/tmp/* || true) 2>/dev/null > left
        mount -o remount,size=200m "$1"
        "$0" build ./lay >&2
        mount -t tmpfs -o size=1m tmpfs out
        "$0" build -o out ./lay 2>> stderr && exit 9
        ls -A out > out-left
    """
    os.makedirs(fledge.path("out"))
    done = subprocess.run(["unshare", "-m", "sh", "-c", script, volant.program("fledge"), str(tmp_path / "disk")],
                          cwd=fledge.dir, env=fledge.env, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=120, check=False)
    with open(fledge.path("stderr"), encoding="utf-8") as f:
        said = f.read()
    assert done.returncode == 0, (done, said)
    says(said, ["no space|no room|disk is full"])
    assert len(said.strip().split("\n\n")) == 3, said
    with open(fledge.path("left"), encoding="utf-8") as f, open(fledge.path("out-left"), encoding="utf-8") as g:
        assert f.read() == "" and g.read() == ""


def test_programs_that_are_not_there(registry, fledge):
    """Each is named with its package."""
    layout = fledge.layout("lay")
    layout.image([oci_image.APP])
    script = 'for p in skopeo tar2sqfs mke2fs; do mount --bind /dev/null "$(command -v $p)"; done; exec "$@"'
    for options, package in (["./lay"], "squashfs-tools-ng"), (["--filesystem", "ext4", "./lay"], "e2fsprogs"), (
            [f"{registry.host}/x"], "skopeo"):
        done = subprocess.run(["unshare", "-m", "sh", "-c", script, "sh", volant.program("fledge"), "build", *options],
                              cwd=fledge.dir, env=fledge.env, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 1
        says(done.stderr, ["is not installed", f"package '{package}'"])


def test_buildah_s_image(fledge):
    """One as a builder makes it, of Debian's own busybox."""
    root = fledge.path("root")
    os.makedirs(os.path.join(root, "bin"))
    shutil.copy("/bin/busybox", os.path.join(root, "bin"))
    with open(fledge.path("Containerfile"), "w", encoding="utf-8") as f:
        f.write("FROM scratch\nCOPY root /\nENV A=b\nEXPOSE 8080\nSTOPSIGNAL SIGINT\nVOLUME /data\n"
                'ENTRYPOINT ["/bin/busybox", "httpd", "-f"]\nCMD ["-p", "8080"]\n')
    store = ["--root", fledge.path("store"), "--runroot", fledge.path("runroot"), "--storage-driver", "vfs"]
    for args in (["bud", "--isolation", "chroot", "-q", "-t", "bb", "."], ["push", "-q", "bb", f"oci:{fledge.path('bb')}:1"]):
        subprocess.run(["buildah", *store, *args], cwd=fledge.dir, check=True, timeout=120, stdout=subprocess.DEVNULL)
    fledge.build("./bb:1")
    workload = fledge.manifest("bb")["workload"]
    assert workload["entrypoint"] == ["/bin/busybox", "httpd", "-f", "-p", "8080"]
    assert workload["base_url"] == "http://127.0.0.1:8080" and workload["stop_signal"] == "SIGINT"
    assert workload["volumes"] == ["/data"] and workload["env"]["A"] == "b"
    tree = oci_image.tree_of_squashfs(fledge.path("bb.squashfs"))
    assert tree[b"bin/busybox"]["mode"] & 0o777 == 0o755
