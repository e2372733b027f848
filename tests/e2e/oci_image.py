# SPDX-License-Identifier: Apache-2.0
"""OCI images made here, layer by layer, and what is in the file systems that fledge makes of them."""
import gzip
import hashlib
import io
import json
import os
import stat
import subprocess
import tarfile

OCI = "application/vnd.oci.image."
DOCKER = "application/vnd.docker."
KINDS = {
    "oci": {"manifest": OCI + "manifest.v1+json", "config": OCI + "config.v1+json", "layer": OCI + "layer.v1.tar"},
    "docker": {"manifest": DOCKER + "distribution.manifest.v2+json", "config": DOCKER + "container.image.v1+json",
               "layer": DOCKER + "image.rootfs.diff.tar"},
}


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def entry(path, data=b"", mode=0o644, kind=tarfile.REGTYPE, **more):
    """One entry of a layer: (TarInfo, bytes). xattrs={name: bytes}; link= for links; others as in TarInfo."""
    info = tarfile.TarInfo(path if isinstance(path, str) else path.decode("utf-8", "surrogateescape"))
    info.mode, info.type, info.size = mode, kind, len(data)
    info.mtime = more.pop("mtime", 1700000000)
    info.linkname = more.pop("link", "")
    info.pax_headers = {"SCHILY.xattr." + name: value.decode("utf-8", "surrogateescape")
                        for name, value in more.pop("xattrs", {}).items()}
    for name, value in more.items():
        setattr(info, name, value)
    return info, data


def folder(path, mode=0o755, **more):
    return entry(path, mode=mode, kind=tarfile.DIRTYPE, **more)


def symlink(path, link, **more):
    return entry(path, kind=tarfile.SYMTYPE, mode=0o777, link=link, **more)


def hardlink(path, link, **more):
    return entry(path, kind=tarfile.LNKTYPE, link=link, **more)


def device(path, major, minor, kind=tarfile.CHRTYPE, mode=0o600, **more):
    return entry(path, kind=kind, mode=mode, devmajor=major, devminor=minor, **more)


def archive(entries, form=tarfile.PAX_FORMAT):
    """An uncompressed tar archive."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as tar:
        for info, data in entries:
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


def pack(data, packing):
    if packing == "gzip":
        return gzip.compress(data, 1, mtime=0)
    if packing == "zstd":
        return subprocess.run(["zstd", "-q", "-3", "-c"], input=data, stdout=subprocess.PIPE, check=True).stdout
    return data


class Layout:
    """An OCI layout folder that is being written; every document can be bent on its way."""

    def __init__(self, path):
        self.path = str(path)
        self.blobs = os.path.join(self.path, "blobs", "sha256")
        os.makedirs(self.blobs)
        self.listed = []
        self.write("oci-layout", json.dumps({"imageLayoutVersion": "1.0.0"}).encode())

    def write(self, name, data):
        with open(os.path.join(self.path, name), "wb") as f:
            f.write(data)

    def blob(self, data, kind):
        """Adds a blob: its descriptor."""
        digest = sha256(data)
        self.write(os.path.join("blobs", "sha256", digest), data)
        return {"mediaType": kind, "digest": "sha256:" + digest, "size": len(data)}

    def image(self, layers, config=None, packing="gzip", kind="oci", tag="latest", bend=None, **top):
        """Adds an image of [archive bytes or entries]: its manifest's digest. bend(manifest, config) may change both."""
        types = KINDS[kind]
        archives = [layer if isinstance(layer, bytes) else archive(layer) for layer in layers]
        if config is None:
            config = {"Entrypoint": ["/bin/app"]}
        document = {"architecture": "amd64", "os": "linux", "config": config} | top
        document["rootfs"] = {"type": "layers", "diff_ids": ["sha256:" + sha256(a) for a in archives]}
        suffix = {"gzip": "+gzip" if kind == "oci" else ".gzip", "zstd": "+zstd", "": ""}[packing]
        manifest = {"schemaVersion": 2, "mediaType": types["manifest"], "config": None,
                    "layers": [self.blob(pack(a, packing), types["layer"] + suffix) for a in archives]}
        if bend:
            bend(manifest, document)
        if manifest["config"] is None:
            manifest["config"] = self.blob(json.dumps(document).encode(), types["config"])
        listed = self.blob(json.dumps(manifest).encode(), types["manifest"])
        self.list(listed | {"annotations": {"org.opencontainers.image.ref.name": tag}})
        return listed["digest"]

    def list(self, descriptor):
        self.listed.append(descriptor)
        self.index(self.listed)

    def index(self, descriptors):
        self.write("index.json", json.dumps({"schemaVersion": 2, "manifests": descriptors}).encode())

    def archive(self, path):
        """The layout as an oci-archive."""
        with tarfile.open(path, "w") as tar:
            tar.add(self.path, arcname=".")


APP = [folder("bin"), entry("bin/app", b"#!/bin/sh\n", mode=0o755)]

# A bit of everything that layers have and that must not get lost.
CAPABILITY = bytes.fromhex("0100000200040000000000000000000000000000")
RICH = [
    folder("./", 0o755, mtime=1600000000),
    folder("bin"), entry("bin/app", b"#!/bin/sh\n", mode=0o755),
    folder("etc", uid=0, gid=42), entry("etc/secret", b"s" * 5000, mode=0o640, uid=7, gid=4000000000),
    entry("bin/su", b"setuid", mode=0o4755), entry("bin/wall", b"setgid", mode=0o2755, gid=5),
    folder("tmp", 0o1777),
    entry("bin/ping", b"capable", mode=0o755, xattrs={"security.capability": CAPABILITY}),
    entry("etc/marked", b"x", xattrs={"user.colour": b"red", "user.empty": b""}),
    folder("etc/marked.d", xattrs={"user.colour": b"blue"}),
    symlink("etc/link", "../bin/app"), symlink("etc/dangling", "/nowhere/" + "x" * 150),
    hardlink("bin/app2", "bin/app"), hardlink("etc/link2", "etc/link"),
    folder("dev"), device("dev/null", 1, 3, mode=0o666), device("dev/sda", 8, 0, kind=tarfile.BLKTYPE, mode=0o660, gid=6),
    device("dev/big", 300, 70000), entry("dev/fifo", kind=tarfile.FIFOTYPE, mode=0o622),
    entry(b"etc/latin-\xe9\xff", b"not UTF-8"), entry("etc/nfd-e\u0301", b"decomposed"), entry("etc/nfc-\u00e9", b"composed"),
    entry("long/" + "d" * 200 + "/" + "f" * 240, b"long names"),
    entry("zero"), entry("zeros", bytes(300000)), entry("big", os.urandom(0) + bytes(range(256)) * 4000),
    entry("holes", b"a" + bytes(200000) + b"b" + bytes(70000)),
    entry("new", b"2100", mtime=4102444800), entry("old", b"1960", mtime=0),
    entry("twice", b"first", mode=0o600), entry("twice", b"second", mode=0o644),
]


def tree_of_tar(stream):
    """{path: what it is} of a tar archive; hard links are sets of paths with the same `same`."""
    found, same = {}, {}
    with tarfile.open(fileobj=stream, mode="r|") as tar:
        for info in tar:
            path = info.name.strip("/") if info.name not in (".", "./") else ""
            path = path.removeprefix("./").encode("utf-8", "surrogateescape")
            if info.islnk():
                target = info.linkname.removeprefix("./").encode("utf-8", "surrogateescape")
                same[path] = same.get(target, target)
                found[path] = dict(found[same[path]])
                continue
            kind = {tarfile.DIRTYPE: stat.S_IFDIR, tarfile.SYMTYPE: stat.S_IFLNK, tarfile.CHRTYPE: stat.S_IFCHR,
                    tarfile.BLKTYPE: stat.S_IFBLK, tarfile.FIFOTYPE: stat.S_IFIFO}.get(info.type, stat.S_IFREG)
            item = {"mode": kind | info.mode, "uid": info.uid, "gid": info.gid, "mtime": int(info.mtime)}
            if kind == stat.S_IFREG:
                item["sha256"] = sha256(tar.extractfile(info).read())
            if kind == stat.S_IFLNK:
                item["target"] = info.linkname.encode("utf-8", "surrogateescape")
            if kind in (stat.S_IFCHR, stat.S_IFBLK):
                item["device"] = (info.devmajor, info.devminor)
            item["xattrs"] = {name.removeprefix("SCHILY.xattr."): value.encode("utf-8", "surrogateescape")
                              for name, value in info.pax_headers.items() if name.startswith("SCHILY.xattr.")}
            found[path] = item
    groups = {}
    for path, target in same.items():
        groups.setdefault(target, {target}).add(path)
    for paths in groups.values():
        for path in paths:
            found[path]["same"] = sorted(paths)
    return found


def tree_of_squashfs(path):
    with subprocess.Popen(["sqfs2tar", "--root-becomes", ".", path], stdout=subprocess.PIPE) as process:
        found = tree_of_tar(process.stdout)
    assert process.returncode == 0
    return found


def tree_of_folder(root):
    """The same of a folder that something unpacked."""
    root, found, inodes = os.fsencode(root), {}, {}
    for base, folders, files in os.walk(root):
        for name in [b"."] * (base == root) + folders + files:
            full = os.path.join(base, name)
            path = os.path.relpath(full, root) if name != b"." else b""
            st = os.lstat(full)
            item = {"mode": st.st_mode, "uid": st.st_uid, "gid": st.st_gid, "mtime": int(st.st_mtime)}
            if stat.S_ISREG(st.st_mode):
                with open(full, "rb") as f:
                    item["sha256"] = sha256(f.read())
            if stat.S_ISLNK(st.st_mode):
                item["target"] = os.readlink(full)
            if stat.S_ISCHR(st.st_mode) or stat.S_ISBLK(st.st_mode):
                item["device"] = (os.major(st.st_rdev), os.minor(st.st_rdev))
            item["xattrs"] = {a: os.getxattr(full, a, follow_symlinks=False)
                              for a in os.listxattr(full, follow_symlinks=False)}
            found[path] = item
            if not stat.S_ISDIR(st.st_mode) and st.st_nlink > 1:
                inodes.setdefault(st.st_ino, []).append(path)
    for paths in inodes.values():
        for path in paths:
            found[path]["same"] = sorted(paths)
    return found


def unpack(layout, folder, tag="latest"):
    """What umoci makes of an image: its root folder."""
    subprocess.run(["umoci", "unpack", "--image", f"{layout}:{tag}", folder], check=True, timeout=300,
                   stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    return os.path.join(folder, "rootfs")
