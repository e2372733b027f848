# SPDX-License-Identifier: Apache-2.0
"""Images that are broken or mean harm: `fledge build` says what is wrong with them, and leaves nothing behind."""
import io
import json
import os
import shutil
import subprocess
import tarfile

import oci_image
import pytest
import volant
from oci_image import APP, archive, device, entry, folder, hardlink, sha256, symlink
from test_oci_build import Fledge
from volant import says

LAYER = oci_image.OCI + "layer.v1.tar"


def raw_header(name, size=b"00000000000", kind=b"0", magic=b"ustar\x0000", link=b"", checksum=None):
    """A tar header as no archiver writes it."""
    head = bytearray(512)
    head[0:len(name)] = name
    head[100:108], head[108:116], head[116:124] = b"0000644\0", b"0000000\0", b"0000000\0"
    head[124:124 + len(size)] = size
    head[136:147], head[148:156] = b"00000000000", b"        "
    head[156:157], head[157:157 + len(link)], head[257:265] = kind, link, magic
    total = sum(head) if checksum is None else checksum
    head[148:156] = b"%06o\0 " % total
    return bytes(head)


def pax(records):
    """An extended header with these records, right or wrong."""
    body = b"".join(records)
    return raw_header(b"PaxHeader", b"%011o" % len(body), b"x") + body + bytes(-len(body) % 512)


def record(key, value):
    tail = b" " + key + b"=" + value + b"\n"
    length = len(tail)
    while len(str(length).encode()) + len(tail) != length:
        length = len(str(length).encode()) + len(tail)
    return str(length).encode() + tail


def zeros_bomb(packing, size):
    head = archive([entry("bomb")]).replace(b"00000000000\0", b"%011o\0" % size, 1)
    info = tarfile.TarInfo("bomb")
    info.size = size
    head = info.tobuf(tarfile.GNU_FORMAT)
    if packing == "gzip":
        tool = ["gzip", "-1", "-c"]
    else:
        tool = ["zstd", "-q", "-c"]
    with subprocess.Popen(tool, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        chunk = bytes(1 << 20)

        def feed():
            process.stdin.write(head)
            for _ in range(size >> 20):
                process.stdin.write(chunk)
            process.stdin.write(bytes(1024))
            process.stdin.close()

        import threading
        thread = threading.Thread(target=feed)
        thread.start()
        data = process.stdout.read()
        thread.join()
    return data


# --- layers whose content is refused: [layers], words ---------------------------------------------------------------

LAYERS = {
    "up and out": ([APP, [entry("../../etc/passwd", b"x")]], ["../../etc/passwd", '".."']),
    "up within": ([APP, [entry("bin/../../x", b"x")]], ['".."']),
    "up at the end": ([APP, [folder("bin/..")]], ['".."']),
    "absolute and up": ([APP, [entry("/../x", b"x")]], ['".."']),
    "hard link up and out": ([APP, [hardlink("x", "../../../../etc/shadow")]], ["x", '".."']),
    "hard link to an absolute file of the host": ([APP, [hardlink("x", "/etc/passwd")]], ["hard link", "is not there"]),
    "hard link to nothing": ([APP, [hardlink("x", "y")]], ["hard link to 'y'", "not there"]),
    "hard links in a circle": ([APP, [hardlink("x", "y"), hardlink("y", "x")]], ["hard link", "not there"]),
    "hard link to a folder": ([APP, [hardlink("x", "bin")]], ["hard link to the folder 'bin'"]),
    "hard link to what the layer removes": ([APP, [entry("bin/.wh.app"), hardlink("x", "bin/app")]], ["not there"]),
    "hard link over its own folder": ([APP, [hardlink("bin", "bin/app")]], ["bin", "folder of its target"]),
    "link to itself on the way": ([APP, [symlink("x", "x"), entry("x/y", b"1")]], ["x/y", "circle"]),
    "links in a circle": ([APP, [symlink("x", "y"), symlink("y", "x"), entry("x/z", b"1")]], ["circle"]),
    "links that grow": ([APP, [symlink("x", "x/x"), entry("x/z", b"1")]], ["x/z", "circle|far"]),
    "a file on the way": ([APP, [entry("bin/app/x", b"1")]], ["no folder"]),
    "a link without a target": ([APP, [symlink("x", "")]], ["target has 0 bytes"]),
    "the root a file": ([APP, [entry(".", b"1")]], ["root"]),
    "the root a link": ([APP, [symlink("./", "/etc")]], ["root"]),
    "whiteout of nothing": ([APP, [entry(".wh.")]], ["whiteout"]),
    "whiteout of itself": ([APP, [entry("bin/.wh..")]], ["whiteout"]),
    "whiteout of what is above": ([APP, [entry("bin/.wh...")]], ["whiteout"]),
    "name of 300 bytes": ([APP, [entry("n" * 300, b"")]], ["300 bytes", "255"]),
    "path of 6000 bytes": ([APP, [entry("/".join(["d" * 200] * 30), b"")]], ["4095"]),
    "300 folders deep": ([APP, [folder("/".join(["d"] * 300))]], ["256 deep"]),
    "deep by way of a link": ([APP, [folder("/".join(["d"] * 250)), symlink("x", "/".join(["d"] * 250)),
                                     folder("x/" + "/".join(["e"] * 20))]], ["256 deep"]),
    "an owner that cannot be": ([APP, [entry("x", uid=1 << 32)]], ["x", "owner"]),
    "a group that cannot be": ([APP, [entry("x", gid=(1 << 32) - 1)]], ["x", "owner"]),
    "attributes without end": ([APP, [entry("x", xattrs={f"user.{i}": b"v" * 30000 for i in range(4)})]],
                               ["attributes of 'x'", "65536"]),
    "a file of petabytes": ([APP, raw_header(b"x", b"\x80\0\0\0\0\x08\0\0\0\0\0\0") + bytes(1024)],
                            ["--max-size|damaged"]),
    "a sparse file of petabytes": ([APP, pax([record(b"GNU.sparse.major", b"1"), record(b"GNU.sparse.minor", b"0"),
                                              record(b"GNU.sparse.name", b"x"),
                                              record(b"GNU.sparse.realsize", b"9007199254740992")])
                                    + raw_header(b"x", b"%011o" % 512) + b"0\n".ljust(512, b"\0") + bytes(1024)],
                                   ["--max-size|damaged"]),
    "less than no bytes": ([APP, raw_header(b"x", b"\xff" + b"\xff" * 11) + bytes(1024)], ["damaged|less than"]),
    "a header with a wrong sum": ([APP, raw_header(b"x", checksum=7) + bytes(1024)], ["damaged"]),
    "no archive at all": ([APP, b"hello, world\n" * 100], ["damaged"]),
    "an archive that is cut off": ([APP, archive([entry("x", bytes(range(256)) * 40)])[:2000]], ["damaged", "runcated"]),
    "a pax header that is cut off": ([APP, pax([record(b"path", b"x")])[:700]], ["damaged"]),
    "a pax header without a file": ([APP, pax([record(b"path", b"x")]) + bytes(1024)], ["damaged|ordinary"]),
    "no name": ([APP, raw_header(b"") + bytes(1024)], ["name|damaged|root"]),
    "a name by pax that leads out": ([APP, pax([record(b"path", b"../../x")]) + raw_header(b"y") + bytes(1024)], ['".."']),
    "an entry of an unknown type": ([APP, pax([]) + raw_header(b"x", kind=b"\x01") + bytes(1024)], None),
}


@pytest.fixture
def fledge(tmp_path):
    return Fledge(tmp_path)


def refused(fledge, words, *args, name="app"):
    before = volant.listing(fledge.dir)
    done = fledge.run("build", *(args or ("./app",)))
    assert done.returncode == 1 and not done.stdout, done
    says(done.stderr, words)
    assert len(done.stderr.strip().split("\n")) == 1 and "\x1b" not in done.stderr
    assert volant.listing(fledge.dir) == before and fledge.left() == []


@pytest.mark.parametrize("what", LAYERS)
def test_layers(what, fledge):
    layers, words = LAYERS[what]
    fledge.layout().image(layers)
    if words is None:  # harmless: it counts as an ordinary file
        fledge.build("./app")
    else:
        refused(fledge, words)


# --- blobs and documents: bend(layout) after an image was made, words ------------------------------------------------


def blob_of(layout, document, *path):
    """Path of the file that a document's descriptor names."""
    with open(os.path.join(layout.blobs, document), encoding="utf-8") as f:
        found = json.load(f)
    for step in path:
        found = found[step]
    return os.path.join(layout.blobs, found["digest"][7:])


def manifest_of(layout):
    return layout.listed[0]["digest"][7:]


def overwrite(path, data):
    with open(path, "wb") as f:
        f.write(data)


def change_layer(change):
    def bend(layout):
        path = blob_of(layout, manifest_of(layout), "layers", 1)
        with open(path, "rb") as f:
            overwrite(path, change(f.read()))
    return bend


def change_index(change):
    def bend(layout):
        path = os.path.join(layout.path, "index.json")
        with open(path, encoding="utf-8") as f:
            overwrite(path, change(json.load(f)))
    return bend


def edit(**changes):
    """Changes to the listed descriptor."""
    return change_index(lambda index: json.dumps(
        index | {"manifests": [index["manifests"][0] | changes]}).encode())


def nested(depth):
    """Indexes within indexes."""
    def bend(layout):
        listed = dict(layout.listed[0])
        for _ in range(depth):
            text = json.dumps({"schemaVersion": 2, "manifests": [listed]}).encode()
            listed = layout.blob(text, oci_image.OCI + "index.v1+json")
        layout.index([listed])
    return bend


def fifo(layout):
    path = blob_of(layout, manifest_of(layout), "layers", 0)
    os.unlink(path)
    os.mkfifo(path)


def fifo_index(layout):
    os.unlink(os.path.join(layout.path, "index.json"))
    os.mkfifo(os.path.join(layout.path, "index.json"))


def link_out(layout):
    path = blob_of(layout, manifest_of(layout), "layers", 0)
    os.rename(path, path + ".real")
    os.symlink(path + ".real", path)


def self_index(layout):
    """An index that claims to hold itself cannot have its own digest."""
    text = json.dumps({"schemaVersion": 2, "manifests": [dict(layout.listed[0], digest="sha256:" + "a" * 64)]}).encode()
    overwrite(os.path.join(layout.blobs, "a" * 64), text)
    layout.index([{"mediaType": oci_image.OCI + "index.v1+json", "digest": "sha256:" + "a" * 64, "size": len(text)}])


BENT = {
    "layer: one byte changed": (change_layer(lambda d: d[:-20] + b"\xff" + d[-19:]), ["layer sha256:", "damaged"]),
    "layer: another content": (change_layer(lambda d: oci_image.pack(archive([entry("y")]), "gzip").ljust(len(d), b"\0")),
                               ["layer sha256:", "bytes|digest|damaged"]),
    "layer: cut off": (change_layer(lambda d: d[:len(d) // 2]), ["cut off"]),
    "layer: longer": (change_layer(lambda d: d + b"x"), ["bytes"]),
    "layer: empty": (change_layer(lambda d: b""), ["cut off"]),
    "layer: missing": (lambda layout: os.unlink(blob_of(layout, manifest_of(layout), "layers", 1)), ["layer", "not there"]),
    "layer: a FIFO": (fifo, ["layer", "cut off|bytes"]),
    "layer: a link": (link_out, ["layer"]),
    "manifest: one byte changed": (
        lambda layout: overwrite(os.path.join(layout.blobs, manifest_of(layout)), b"{} "), ["changed or damaged"]),
    "manifest: missing": (lambda layout: os.unlink(os.path.join(layout.blobs, manifest_of(layout))), ["missing"]),
    "manifest: another size": (edit(size=7), ["announced"]),
    "manifest: no digest": (edit(digest="nonsense"), ["nonsense", "sha256"]),
    "manifest: a digest that is a path": (edit(digest="sha256:../../../../../../etc/passwd"), ["digest"]),
    "manifest: a digest of another kind": (edit(digest="md5:" + "0" * 32), ["md5", "sha256"]),
    "manifest: larger than documents are": (edit(size=1 << 30), ["allowed"]),
    "config: missing": (lambda layout: os.unlink(blob_of(layout, manifest_of(layout), "config")), ["configuration", "missing"]),
    "config: changed": (lambda layout: overwrite(blob_of(layout, manifest_of(layout), "config"), b"{}"), ["damaged"]),
    "index: not JSON": (change_index(lambda _: b"hello"), ["JSON"]),
    "index: empty": (change_index(lambda _: b""), ["JSON"]),
    "index: a list": (change_index(lambda _: b"[]"), ["object|array"]),
    "index: nothing in it": (change_index(lambda _: b'{"schemaVersion": 2, "manifests": []}'), ["nothing"]),
    "index: a key twice": (change_index(lambda _: b'{"manifests": [], "manifests": []}'), ["manifests", "duplicate"]),
    "index: 100 lists deep": (change_index(lambda _: b"[" * 100), ["JSON|deep"]),
    "index: 5 MB": (change_index(lambda _: b" " * (5 << 20)), ["index.json"]),
    "index: a FIFO": (fifo_index, ["no OCI layout"]),
    "index: missing": (lambda layout: os.unlink(os.path.join(layout.path, "index.json")), ["no OCI layout", "index.json"]),
    "index: of indexes without end": (nested(9), ["indexes within each other"]),
    "index: of itself": (self_index, ["damaged|within each other"]),
    "no blobs": (lambda layout: os.rename(layout.blobs, layout.blobs + "x"), ["blobs/sha256"]),
}


@pytest.mark.parametrize("what", BENT)
def test_blobs_and_documents(what, fledge):
    bend, words = BENT[what]
    layout = fledge.layout()
    layout.image([APP, oci_image.RICH])
    bend(layout)
    refused(fledge, words)


# --- documents that are what they claim to be, and wrong: bend(manifest, config) -------------------------------------


def at(document, *path, to):
    """A bend that sets one place of the manifest (0) or configuration (1)."""
    def bend(*documents):
        place = documents[document]
        for step in path[:-1]:
            place = place[step]
        place[path[-1]] = to
    return bend


DOCUMENTS = {
    "another architecture": (at(1, "architecture", to="arm64"), ["arm64", "linux/amd64"]),
    "another system": (at(1, "os", to="windows"), ["windows", "linux/amd64"]),
    "fewer diff_ids than layers": (at(1, "rootfs", "diff_ids", to=[]), ["0 layers", "the manifest 2"]),
    "a diff_id of another layer": (at(1, "rootfs", "diff_ids", 1, to="sha256:" + "0" * 64), ["layer", "digest"]),
    "a diff_id that is none": (at(1, "rootfs", "diff_ids", 1, to="x"), ["diff_ids[1]"]),
    "no rootfs": (at(1, "rootfs", to=None), ["rootfs"]),
    "an entrypoint that is a string": (at(1, "config", "Entrypoint", to="/bin/app"), ["Entrypoint", "array"]),
    "an entrypoint that is not in the image": (at(1, "config", "Entrypoint", to=["/bin/none"]), ["/bin/none", "[workload]"]),
    "an entrypoint that cannot be executed": (at(1, "config", "Entrypoint", to=["/etc/secret"]), ["/etc/secret"]),
    "an entrypoint that is a folder": (at(1, "config", "Entrypoint", to=["/etc"]), ["/etc"]),
    "no program": (at(1, "config", to={}), ["no program", "entrypoint"]),
    "a user that cannot be": (at(1, "config", "User", to="a b:c d"), ["workload.user", "a b:c d"]),
    "a signal that is none": (at(1, "config", "StopSignal", to="SIGFOO"), ["stop_signal", "SIGFOO"]),
    "a folder that climbs": (at(1, "config", "WorkingDir", to="/a/../.."), ["workdir"]),
    "a volume that climbs": (at(1, "config", "Volumes", to={"/../x": {}}), ["volumes"]),
    "a layer of an unknown kind": (at(0, "layers", 0, "mediaType", to="application/x-rar"), ["layers[0]", "application/x-rar"]),
    "a layer that is encrypted": (at(0, "layers", 0, "mediaType", to=LAYER + "+gzip+encrypted"), ["layers[0]", "encrypted"]),
    "a layer of another size": (at(0, "layers", 0, "size", to=5), ["layer", "5 bytes"]),
    "a layer of no size": (at(0, "layers", 0, "size", to=0), ["layers[0]", "no bytes"]),
    "a layer of less than no size": (at(0, "layers", 0, "size", to=-1), ["layers[0].size", "-1"]),
    "a layer by another digest": (at(0, "layers", 0, "digest", to="sha512:" + "0" * 128), ["layers[0]", "sha256"]),
    "layers that are no list": (at(0, "layers", to={}), ["layers"]),
    "10,000 layers": (at(0, "layers", to=[{"digest": "sha256:" + "0" * 64, "size": 1}] * 10000), ["layers", "512"]),
    "a manifest of an unknown kind": (at(0, "mediaType", to="text/plain"), ["text/plain"]),
    "a manifest that says it is an index": (at(0, "mediaType", to=oci_image.OCI + "index.v1+json"), ["index", "another"]),
    "index and manifest at once": (at(0, "manifests", to=[]), ["at once"]),
    "Docker's schema 1": (at(0, "fsLayers", to=[]), ["schema 1"]),
    "no image, but a chart": (
        at(0, "config", to={"mediaType": "application/vnd.cncf.helm.config.v1+json", "digest": "sha256:" + "0" * 64,
                            "size": 2}), ["helm", "no image"]),
}


@pytest.mark.parametrize("what", DOCUMENTS)
def test_documents(what, fledge):
    bend, words = DOCUMENTS[what]
    fledge.layout().image([APP, oci_image.RICH], bend=bend)
    refused(fledge, words)


@pytest.mark.parametrize("packing", ["gzip", "zstd"])
def test_bombs(packing, fledge):
    """256 MB of zeros in some KB, where 100 MB are allowed; without an end to it, too."""
    data = zeros_bomb(packing, 256 << 20)
    layout = fledge.layout()
    head = tarfile.TarInfo("bomb")
    head.size = 256 << 20

    def bend(manifest, config):
        manifest["layers"].append(layout.blob(data, f"{LAYER}+{packing}"))
        config["rootfs"]["diff_ids"].append("sha256:" + "0" * 64)

    layout.image([APP], bend=bend)
    assert len(data) < 2 << 20
    refused(fledge, ["bomb", "104 MB|100 MB", "--max-size"], "--max-size", "100M", "./app")


def test_too_many_entries(fledge):
    """A million entries are the most: they are small, so it is quick."""
    one = raw_header(b"x")
    block = one * 20000
    layout = fledge.layout()
    data = subprocess.run(["zstd", "-q", "-c"], input=block * 51, stdout=subprocess.PIPE, check=True).stdout

    def bend(manifest, config):
        manifest["layers"].append(layout.blob(data, LAYER + "+zstd"))
        config["rootfs"]["diff_ids"].append("sha256:" + "0" * 64)

    layout.image([APP], bend=bend)
    refused(fledge, ["1000000 entries"])


REFERENCES = {
    "empty": ("", ["empty"]), "an option": ("--help-me", None), "a dash": ("-", ["no name"]),
    "spaces": ("a b", ["a b", "write a name"]), "control characters": ("a\x1b[31mb", ["control"]),
    "a shell's": ("nginx;reboot", ["write a name"]), "another protocol": ("https://example.invalid/x", ["write a name"]),
    "half a digest": ("nginx@sha256:1234", ["digest"]), "a tag that is none": ("nginx:-x", ["tag"]),
    "a folder that is not there": ("./nowhere", ["no folder", "./nowhere"]),
    "a folder that is no layout": (".", ["no OCI layout"]),
    "a file": ("./file", ["oci-archive:", "docker-archive:"]),
    "an archive that is not there": ("oci-archive:none.tar", ["no archive", "none.tar"]),
    "an archive that is none": ("oci-archive:file", ["file", "damaged"]),
    "an archive without a layout": ("oci-archive:other.tar", ["index.json"]),
    "an archive of Docker's that is none": ("docker-archive:file", ["docker-archive:file"]),
    "a folder as an archive": ("oci-archive:.", ["no file"]),
}


@pytest.mark.parametrize("what", REFERENCES)
def test_references(what, fledge):
    text, words = REFERENCES[what]
    with open(fledge.path("file"), "w", encoding="utf-8") as f:
        f.write("no archive")
    with open(fledge.path("other.tar"), "wb") as f:
        f.write(archive(APP))
    if words is None:
        done = fledge.run("build", text)
        assert done.returncode == 2
        return
    before = volant.listing(fledge.dir)
    done = fledge.run("build", text)
    assert done.returncode == 1, done
    says(done.stderr, words)
    assert "\x1b" not in done.stderr and volant.listing(fledge.dir) == before


def test_archives_of_layouts(fledge):
    """The archive around a layout is as hostile as the layers in it."""
    layout = fledge.layout("lay")
    layout.image([APP])
    layout.archive(fledge.path("good.tar"))
    with open(fledge.path("good.tar"), "rb") as f:
        good = f.read()
    wrong = [entry("blobs/sha256/" + "0" * 64, b"not this")]
    out = [entry("../../blobs/sha256/" + sha256(b"x"), b"x"), entry("/etc/x", b"x"), symlink("blobs/sha256/" + "1" * 64, "/")]
    for name, data, words in (("cut", good[:len(good) // 2], ["damaged|missing|not there|cut off|index.json"]),
                              ("wrong", archive(wrong) [:-1024] + good, ["digest"]),
                              ("devices", archive([device("index.json", 1, 3)]), ["index.json"])):
        with open(fledge.path(name + ".tar"), "wb") as f:
            f.write(data)
        refused(fledge, words, f"oci-archive:{name}.tar")
    with tarfile.open(fledge.path("out.tar"), "w") as tar:
        for info, data in out:
            tar.addfile(info, io.BytesIO(data))
        tar.add(layout.path, arcname=".")
    fledge.build("oci-archive:out.tar")  # what nothing refers to is not looked at


TOML = {
    "no source": ('[oci_source]\nimage = "./app"\n', "", ["fledge.toml:1:1", "oci_source"]),
    "an empty image": ('"./app"', '""', ["fledge.toml:7", "image"]),
    "an image that is no name": ('"./app"', '"a b"', ["fledge.toml:7", "a b"]),
    "an image that is a list": ('"./app"', '["./app"]', ["fledge.toml:7", "image", "string"]),
    "unknown key of the source": ("image =", "imgae =", ["fledge.toml:7", "imgae", "image"]),
    "a file system nobody knows": ("[x]", '[filesystem]\ntype = "ntfs"', ["fledge.toml:10", "ntfs", "squashfs"]),
    "a size that is a string": ("[x]", '[filesystem]\ntype = "ext4"\nsize_mb = "1G"', ["fledge.toml:11", "size_mb"]),
    "a size of squashfs": ("[x]", "[filesystem]\nsize_mb = 100", ["fledge.toml:10", "ext4"]),
    "a level beyond zstd's": ("[x]", "[filesystem]\ncompression_level = 30", ["fledge.toml:10", "22"]),
    "a mapped file that is not there": ("[x]", '[[file_mappings]]\nsource = "./none"\ndest = "/x"', ["fledge.toml:10", "none"]),
    "a mapped file that leads out": ("[x]", '[[file_mappings]]\nsource = "./fledge.toml"\ndest = "/../x"',
                                     ["fledge.toml:11", ".."]),
    "a program that is not in the image": ("[x]", '[workload]\nentrypoint = ["/none"]', ["/none"]),
    "keys of the other strategy": ("[x]", "[initramfs]\nbusybox = true", ["fledge.toml:9", "'initramfs'", "strategy"]),
    "an image and a dockerfile": ('"./app"', '"./app"\ndockerfile = "./x"', ["fledge.toml:8", "exclude each other"]),
    "a target without a dockerfile": ('"./app"', '"./app"\ntarget = "x"', ["fledge.toml:8", "target", "dockerfile"]),
    "an init that is not absolute": ("[x]", '[init]\npath = "init"', ["fledge.toml:10:8", "absolute"]),
    "an init and a workload": ("[x]", '[init]\nnone = true\n[workload]\nuser = "0"', ["fledge.toml:11", "kestrel"]),
}


@pytest.mark.parametrize("what", TOML)
def test_fledge_toml(what, fledge):
    old, new, words = TOML[what]
    good = ('[plugin]\nname = "app"\nversion = "1"\nstrategy = "oci_rootfs"\n\n[oci_source]\nimage = "./app"\n\n[x]\n')
    fledge.layout().image([APP])
    with open(fledge.path("fledge.toml"), "w", encoding="utf-8") as f:
        f.write(good.replace(old, new).replace("[x]", ""))
    before = volant.listing(fledge.dir)
    done = fledge.run("build")
    assert done.returncode == 1, done
    says(done.stderr, words)
    assert volant.listing(fledge.dir) == before and fledge.left() == []
    if what != "a program that is not in the image":
        done = fledge.run("validate")
        assert done.returncode == 1
        says(done.stderr, words)


def test_what_an_initramfs_cannot_hold(fledge):
    """An image as its source: its end would come early, it would not fit into the memory, it has no program."""
    text = ('[plugin]\nname = "app"\nversion = "1"\nstrategy = "initramfs"\n[oci_source]\nimage = "{}"\n'
            '[resources]\nmemory_mb = 64\n')
    for name, layers, words in (("end", [APP, [entry("TRAILER!!!", b"x")]], ["TRAILER!!!", "end the archive"]),
                                ("large", [APP, [entry("zeros", bytes(40 << 20))]], ["40 MB|41 MB", "64 MB", "memory_mb ="]),
                                ("none", [[entry("x")]], ["holds no program"])):
        fledge.layout(name).image(layers)
        with open(fledge.path("fledge.toml"), "w", encoding="utf-8") as f:
            f.write(text.format(f"./{name}"))
        before = volant.listing(fledge.dir)
        done = fledge.run("build")
        assert done.returncode == 1
        says(done.stderr, words)
        assert volant.listing(fledge.dir) == before and fledge.left() == []


DOCKERFILES = {
    "that is not there": (None, ["there is no file", "Dockerfile"]),
    "of nothing": ("", ["Dockerfile", "buildah"]),
    "with an unknown word": ("FROM scratch\nFROB x\n", ["Dockerfile", "FROB"]),
    "that copies what is not there": ("FROM scratch\nCOPY nothing /\n", ["Dockerfile", "nothing"]),
    "whose command fails": ("FROM scratch\nCOPY busybox /bin/\nRUN [\"/bin/busybox\", \"false\"]\n", ["Dockerfile", "busybox"]),
    "without a program": ("FROM scratch\nCOPY busybox /x\n", ["names no program"]),
}


@pytest.mark.parametrize("what", DOCKERFILES)
def test_dockerfiles(what, fledge, tmp_path):
    """buildah's reason is told, and nothing stays: neither here nor in its storage."""
    text, words = DOCKERFILES[what]
    fledge.env |= {"STORAGE_DRIVER": "vfs", "XDG_DATA_HOME": str(tmp_path / "data"), "HOME": str(tmp_path)}
    shutil.copy("/bin/busybox", fledge.path("busybox"))
    for name, content in (("Dockerfile", text), ("fledge.toml", 'version = "1"\nstrategy = "oci_rootfs"\n[source]\n'
                                                               'dockerfile = "Dockerfile"\n')):
        if content is not None:
            with open(fledge.path(name), "w", encoding="utf-8") as f:
                f.write(content)
    before = volant.listing(fledge.dir)
    done = fledge.run("build")
    assert done.returncode == 1 and not done.stdout
    says(done.stderr, words)
    assert volant.listing(fledge.dir) == before and fledge.left() == []
    for command in (["images", "-q"], ["containers", "-q"]):
        said = subprocess.run(["buildah", *command], env=fledge.env, capture_output=True, text=True, check=True)
        assert said.stdout == ""


@pytest.mark.parametrize("args", [["build", "a", "b"], ["build", "--size", "x"], ["build", "--filesystem"],
                                  ["prune", "--frobnicate"], ["inspect"], ["init", "x"], ["init", "--strategy", "x"]])
def test_misuse(args, fledge):
    done = fledge.run(*args)
    assert done.returncode == 2 and done.stderr and os.listdir(fledge.dir) == []


@pytest.mark.parametrize("args, words", [
    (["--max-size", "many", "./app"], ["--max-size"]), (["--filesystem", "xfs", "./app"], ["--filesystem", "xfs"]),
    (["--compression", "brotli", "./app"], ["--compression"]), (["--size", "100", "./app"], ["--size", "squashfs"]),
    (["--filesystem", "ext4", "--compression", "lz4", "./app"], ["ext4 is not compressed"]),
    (["--config", "x", "./app"], ["--config"]), (["-o", "nowhere", "./app"], ["nowhere", "--output"])])
def test_options_that_do_not_fit(args, words, fledge):
    fledge.layout().image([APP])
    refused(fledge, words, *args)
