# SPDX-License-Identifier: Apache-2.0
"""`fledge build` of OCI images: what is in them is in the file system, whatever layers, compression and names they have."""
import io
import json
import os
import random
import shutil
import stat
import subprocess

import oci_image
import pytest
import volant
from oci_image import entry, folder, hardlink, symlink
from volant import says


class Fledge:
    """fledge with a folder and a cache of its own."""

    def __init__(self, path):
        self.dir, self.cache = str(path / "work"), str(path / "cache")
        os.makedirs(self.dir)
        self.env = dict(os.environ, XDG_CACHE_HOME=self.cache)

    def run(self, *args, timeout=120):
        return subprocess.run([volant.program("fledge"), *args], cwd=self.dir, env=self.env, stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=timeout, check=False)

    def build(self, *args, **more):
        done = self.run("build", *args, **more)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def path(self, *parts):
        return os.path.join(self.dir, *parts)

    def layout(self, name="app"):
        return oci_image.Layout(self.path(name))

    def manifest(self, name="app"):
        with open(self.path(name + ".manifest.json"), encoding="utf-8") as f:
            return json.load(f)

    def left(self):
        """What lies in the cache beside blobs and results: nothing should."""
        top = os.path.join(self.cache, "volant")
        return [os.path.join(where, name) for where in ("work", "blobs/tmp")
                if os.path.isdir(os.path.join(top, where)) for name in os.listdir(os.path.join(top, where))]


@pytest.fixture
def fledge(tmp_path):
    return Fledge(tmp_path)


def difference(ours, theirs, ignore=()):
    """{path: (ours, theirs)} where they differ; times of folders that no layer names are nobody's."""
    found = {}
    for path in set(ours) | set(theirs):
        a, b = dict(ours.get(path, {})), dict(theirs.get(path, {}))
        for key in ignore:
            a.pop(key, None)
            b.pop(key, None)
        if a.get("mtime") == 0 and stat.S_ISDIR(a["mode"]):
            b["mtime"] = 0
        if path == b"":
            b["mtime"] = a["mtime"]
        if a != b:
            found[path] = (a, b)
    return found


def noisy_layers(n, seed):
    """Layers that add, change, hide and replace at random."""
    chance = random.Random(seed)
    layers, names = [list(oci_image.APP)], [f"d{i}" for i in range(6)]
    for number in range(n - 1):
        layer, used = [], set()
        for _ in range(30):
            path = "/".join(chance.choice(names) for _ in range(chance.randint(1, 3)))
            what = chance.random()
            # a layer says one thing of a path and of what leads to it, as those of real builders do
            if any(path == other or path.startswith(other + "/") or other.startswith(path + "/") for other in used):
                continue
            used.add(path)
            parents = path.split("/")[:-1]
            for i in range(len(parents)):
                layer.append(folder("/".join(parents[:i + 1]), mtime=1600000000))
            if what < 0.5:
                layer.append(entry(path, f"{number} {path}".encode(), mode=chance.choice([0o644, 0o755, 0o4711]),
                                   uid=chance.randint(0, 3)))
            elif what < 0.7:
                layer.append(entry("/".join(parents + [".wh." + path.split("/")[-1]])))
            elif what < 0.8:
                layer += [folder(path, mtime=1600000000), entry(path + "/.wh..wh..opq"), entry(path + "/x", b"x")]
            elif what < 0.9:
                layer.append(symlink(path, "../" + chance.choice(names)))
            else:
                layer += [entry(path, b"linked"), hardlink(path + ".2", path)]
        layers.append(layer)
    return layers


IMAGES = {
    "everything": ([oci_image.RICH], "gzip"),
    "plain": ([oci_image.RICH, [entry("bin/app", b"new", mode=0o700)]], ""),
    "zstd": ([oci_image.APP, oci_image.RICH], "zstd"),
    "whiteouts": (noisy_layers(20, 1), "gzip"),
    "more whiteouts": (noisy_layers(20, 2), "zstd"),
}


@pytest.mark.parametrize("what", IMAGES)
def test_squashfs_is_what_umoci_unpacks(what, fledge, tmp_path):
    layers, packing = IMAGES[what]
    layout = fledge.layout()
    layout.image(layers, packing=packing)
    fledge.build("./app")
    ours = oci_image.tree_of_squashfs(fledge.path("app.squashfs"))
    # pax has no empty values, so umoci leaves those attributes out
    for item in ours.values():
        item["xattrs"] = {name: value for name, value in item["xattrs"].items() if value}
    if packing == "zstd":  # which umoci of Debian 12 does not know
        plain = oci_image.Layout(fledge.path("plain"))
        plain.image(layers)
        layout = plain
    theirs = oci_image.tree_of_folder(oci_image.unpack(layout.path, str(tmp_path / "bundle")))
    # times of folders change when umoci works in them
    for item in ours.values(), theirs.values():
        for one in item:
            if stat.S_ISDIR(one["mode"]):
                one["mtime"] = 0
    assert difference(ours, theirs) == {}
    assert fledge.left() == []


def debugfs(image, *commands):
    done = subprocess.run(["debugfs", "-f", "-", image], input="\n".join(commands), capture_output=True, text=True,
                          check=True, timeout=60, errors="replace")
    return done.stdout


def test_ext4_is_sound_and_the_same(fledge):
    fledge.layout().image([oci_image.RICH])
    fledge.build("--filesystem", "ext4", "./app")
    image = fledge.path("app.ext4")
    subprocess.run(["e2fsck", "-fn", image], check=True, timeout=60, stdout=subprocess.DEVNULL)
    found = oci_image.tree_of_tar(io.BytesIO(oci_image.archive(oci_image.RICH)))
    for path, item in found.items():
        if b"\xff" in path or not path or item.get("same"):
            continue
        name = path.decode()
        told = debugfs(image, f'stat "/{name}"')
        assert f"Mode:  0{item['mode'] & 0o7777:o}" in told, (path, told)
        gid = item["gid"] - (1 << 32) * (item["gid"] >> 31)  # debugfs shows it with a sign
        assert f"User: {item['uid']:5}   Group: {gid:5}" in told, (path, told)
        assert f"mtime: 0x{item['mtime']:08x}" in told, (path, told)
        for attribute in item["xattrs"]:
            assert attribute in told, (path, told)
        if "sha256" in item:
            out = fledge.path("out")
            debugfs(image, f'dump "/{name}" "{out}"')
            with open(out, "rb") as f:
                assert oci_image.sha256(f.read()) == item["sha256"], path
            os.unlink(out)
        if "device" in item:
            assert f"{item['device'][0]}, {item['device'][1]}" in told or "Device major/minor number: " in told, told
    assert "Links: 2" in debugfs(image, "stat /bin/app2")


@pytest.mark.parametrize("options", [[], ["--compression", "lz4"], ["--filesystem", "ext4"]])
def test_the_same_image_gives_the_same_bytes(options, fledge):
    fledge.layout().image(noisy_layers(8, 3) + [oci_image.RICH])
    name = "app.ext4" if "ext4" in options else "app.squashfs"
    first = second = None
    for _ in range(2):
        shutil.rmtree(fledge.cache, ignore_errors=True)
        fledge.build(*options, "./app")
        with open(fledge.path(name), "rb") as f:
            first, second = second, f.read()
    assert first == second
    # another kind of compression of the layers is another image with the same content: only names differ
    with open(fledge.path("app.manifest.json"), encoding="utf-8") as f:
        assert json.load(f)["rootfs"]["checksum"] == "sha256:" + oci_image.sha256(second)


def test_manifest_says_what_the_image_says(fledge):
    config = {
        "Entrypoint": ["/bin/app"], "Cmd": ["-x", "a b"], "Env": ["PATH=/bin", "EMPTY=", "A=b=c", "nothing"],
        "User": "65534:65534", "WorkingDir": "/etc", "StopSignal": "SIGQUIT", "Volumes": {"/data": {}, "/b": {}},
        "ExposedPorts": {"443/tcp": {}, "80/tcp": {}, "53/udp": {}}, "Labels": {"maintainer": "me"},
        "Healthcheck": {"Test": ["CMD-SHELL", "true"], "Interval": 5000000000, "Timeout": 3000000000,
                        "StartPeriod": 1000000000, "Retries": 2},
    }
    digest = fledge.layout().image([oci_image.RICH], config=config, kind="docker", tag="v2")
    said = fledge.build("./app:v2")
    says(said, ["app v2", digest, "app.squashfs", "volar plugins install --manifest app.manifest.json"])
    manifest = fledge.manifest()
    assert manifest["name"] == "app" and manifest["version"] == "v2"
    assert manifest["image_digest"] == digest and manifest["image"] == "./app:v2"
    assert manifest["labels"] == {"maintainer": "me"}
    assert manifest["resources"] == {"cpu_cores": 1, "memory_mb": 256}
    assert "initramfs" not in manifest
    size = os.path.getsize(fledge.path("app.squashfs"))
    assert manifest["rootfs"] == {"url": "app.squashfs", "checksum": manifest["rootfs"]["checksum"], "size": size,
                                  "format": "raw", "fstype": "squashfs"}
    assert manifest["workload"] == {
        "type": "http", "base_url": "http://127.0.0.1:80", "entrypoint": ["/bin/app", "-x", "a b"], "command_index": 1,
        "env": {"PATH": "/bin", "EMPTY": "", "A": "b=c"}, "workdir": "/etc", "user": "65534:65534",
        "stop_signal": "SIGQUIT", "volumes": ["/b", "/data"], "exposed_ports": ["443/tcp", "53/udp", "80/tcp"]}
    check = manifest["health_check"]
    assert check["type"] == "exec" and check["command"] == ["/bin/sh", "-c", "true"]
    assert (check["interval_ms"], check["check_timeout_ms"], check["retries"], check["start_period_ms"]) == (
        5000, 3000, 2, 1000)


TOML = """\
[plugin]
name = "web"
version = "1.0.0"
strategy = "oci_rootfs"

[oci_source]
image = "./image"
"""


def test_fledge_toml_wins_over_the_image(fledge):
    oci_image.Layout(fledge.path("image")).image([oci_image.RICH], config={
        "Entrypoint": ["/bin/app", "a", "b"], "Cmd": ["c"], "Env": ["A=its", "B=its"], "ExposedPorts": {"80": {}},
        "User": "nobody"})
    with open(fledge.path("page"), "w", encoding="utf-8") as f:
        f.write("mine")
    os.chmod(fledge.path("page"), 0o600)
    with open(fledge.path("fledge.toml"), "w", encoding="utf-8") as f:
        f.write(TOML + """
[filesystem]
compression = "lz4"

[[file_mappings]]
source = "./page"
dest = "/etc/link/../page"

[workload]
entrypoint = ["app", "again"]
env = { A = "mine" }
user = "0"
type = "exec"

[resources]
memory_mb = 128
""".replace("/etc/link/../page", "/srv/page"))
    says(fledge.run("validate").stdout, ["fledge.toml is good", "web 1.0.0", "./image"])
    fledge.build()
    manifest = fledge.manifest("web")
    assert manifest["workload"]["entrypoint"] == ["app", "again"] and "command_index" not in manifest["workload"]
    assert manifest["workload"]["env"] == {"A": "mine", "B": "its"}
    assert manifest["workload"]["user"] == "0" and "base_url" not in manifest["workload"]
    assert manifest["resources"]["memory_mb"] == 128
    tree = oci_image.tree_of_squashfs(fledge.path("web.squashfs"))
    assert tree[b"srv/page"]["sha256"] == oci_image.sha256(b"mine")
    assert tree[b"srv/page"]["mode"] & 0o777 == 0o644 and tree[b"srv/page"]["uid"] == 0
    assert tree[b"etc/secret"]["gid"] == 4000000000
    # another page is another result, the same page the same
    assert "from the cache" in fledge.build()
    with open(fledge.path("page"), "w", encoding="utf-8") as f:
        f.write("other")
    assert "from the cache" not in fledge.build()


def test_mapped_files_follow_the_links_of_the_image(fledge):
    oci_image.Layout(fledge.path("image")).image([[folder("usr/bin"), symlink("bin", "usr/bin"),
                                                   entry("usr/bin/app", b"x", mode=0o755)]])
    with open(fledge.path("fledge.toml"), "w", encoding="utf-8") as f:
        f.write(TOML + '[[file_mappings]]\nsource = "./tool"\ndest = "/bin/tool"\n')
    shutil.copy("/bin/true", fledge.path("tool"))
    fledge.build()
    tree = oci_image.tree_of_squashfs(fledge.path("web.squashfs"))
    assert stat.S_ISLNK(tree[b"bin"]["mode"]) and tree[b"usr/bin/tool"]["mode"] & 0o7777 == 0o755
    assert not any(b"libc" in path for path in tree)  # an image has libraries of its own


def test_what_was_built_is_there_at_once(fledge):
    fledge.layout().image(noisy_layers(5, 4))
    assert "from the cache" not in fledge.build("./app")
    first = fledge.manifest()
    assert "from the cache" in fledge.build("./app")
    assert fledge.manifest() == first
    # for as long as the options are the same
    assert "from the cache" not in fledge.build("--compression-level", "9", "./app")
    assert "from the cache" not in fledge.build("--filesystem", "ext4", "./app")
    assert "from the cache" not in fledge.build("--filesystem", "ext4", "--free", "100", "./app")
    assert "from the cache" in fledge.build("--filesystem", "ext4", "./app")
    # what was changed where it lies is written anew
    with open(fledge.path("app.ext4"), "r+b") as f:
        f.write(b"changed")
    fledge.build("--filesystem", "ext4", "./app")
    with open(fledge.path("app.ext4"), "rb") as f:
        assert "sha256:" + oci_image.sha256(f.read()) == fledge.manifest()["rootfs"]["checksum"]


def test_prune(fledge):
    fledge.layout().image([oci_image.RICH])
    fledge.build("./app")
    says(fledge.run("prune").stdout, ["Removed 0 files"])
    says(fledge.run("prune", "--all").stdout, ["Removed", "0.0 kB are left"])
    assert "from the cache" not in fledge.build("./app")
    assert fledge.run("prune", "--max", "x").returncode == 2


def test_ext4_sizes(fledge):
    fledge.layout().image([oci_image.RICH, [entry("big", random.Random(7).randbytes(14 << 20))]])
    fledge.build("--filesystem", "ext4", "--size", "50", "./app")
    assert os.path.getsize(fledge.path("app.ext4")) == 50 << 20
    assert fledge.manifest()["rootfs"]["fstype"] == "ext4"
    before = volant.listing(fledge.dir)
    done = fledge.run("build", "--filesystem", "ext4", "--size", "16", "./app")
    assert done.returncode == 1
    says(done.stderr, ["room for", "larger size"])
    assert volant.listing(fledge.dir) == before and fledge.left() == []


@pytest.mark.long
def test_many_small_files(fledge):
    chance = random.Random(5)
    small = [entry(f"f/{i % 7}/{i}", chance.randbytes(chance.randint(0, 300))) for i in range(50000)]
    fledge.layout().image([oci_image.APP, small])
    script = ("import resource, subprocess, sys\n"
              "code = subprocess.run(sys.argv[1:]).returncode\n"
              "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)\n"
              "sys.exit(code)\n")
    for options, name in ([], "app.squashfs"), (["--filesystem", "ext4"], "app.ext4"):
        done = subprocess.run(["python3", "-c", script, volant.program("fledge"), "-q", "build", *options, "./app"],
                              cwd=fledge.dir, env=fledge.env, capture_output=True, text=True, timeout=300, check=True)
        print(name, done.stdout.split()[-1], "KB at most")
        if name == "app.squashfs":
            assert len(oci_image.tree_of_squashfs(fledge.path(name))) == 50000 + 7 + 4
        else:
            subprocess.run(["e2fsck", "-fn", fledge.path(name)], check=True, timeout=120, stdout=subprocess.DEVNULL)


def test_two_builds_at_once(fledge):
    fledge.layout().image(noisy_layers(10, 6) + [oci_image.RICH])
    os.makedirs(fledge.path("other"))
    builds = [subprocess.Popen([volant.program("fledge"), "build", "-o", where, "./app"], cwd=fledge.dir, env=fledge.env,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE) for where in (".", "other", ".", "other")]
    for build in builds:
        assert build.wait(timeout=120) == 0, build.stderr.read()
        build.stdout.close()
        build.stderr.close()
    with open(fledge.path("app.squashfs"), "rb") as a, open(fledge.path("other", "app.squashfs"), "rb") as b:
        assert a.read() == b.read()
    assert fledge.left() == []


def test_inspect(fledge):
    fledge.layout().image([oci_image.APP, oci_image.RICH], config={"Cmd": ["/bin/app"], "User": "7"})
    says(fledge.run("inspect", "./app").stdout, ["sha256:", "linux/amd64", '["/bin/app"]', "2 layers"])
    told = json.loads(fledge.run("inspect", "--json", "./app").stdout)
    assert len(told["layers"]) == 2 and told["workload"]["user"] == "7"
    fledge.build("./app")
    says(fledge.run("inspect", "app.manifest.json").stdout, ["squashfs", "/bin/app"])


@pytest.mark.parametrize("strategy", ["oci_rootfs", "initramfs"])
def test_init_writes_what_validates(strategy, fledge):
    says(fledge.run("init", "--strategy", strategy).stdout, ["fledge.toml"])
    shutil.copy(volant.program("kestrel"), fledge.path("program"))
    done = fledge.run("validate")
    assert done.returncode == 0, done.stderr
    again = fledge.run("init")
    assert again.returncode == 1
    says(again.stderr, ["fledge.toml", "already"])
    # with every comment that is a key taken as one
    with open(fledge.path("fledge.toml"), encoding="utf-8") as f:
        text = f.read()
    keys = "\n".join(line[2:] if line.startswith(("# [", "# type =", "# compression", "# source", "# dest", "# env",
                                                   "# workdir", "# user", "# base_url", "# stop_signal", "# entrypoint",
                                                   "# mode", "# libraries", "# image", "# busybox")) and
                     line != "# [init]" else line for line in text.splitlines())
    keys = keys.replace('"./index.html"', '"./program"')
    with open(fledge.path("fledge.toml"), "w", encoding="utf-8") as f:
        f.write(keys)
    done = fledge.run("validate")
    assert done.returncode == 0, done.stderr
