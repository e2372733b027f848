# SPDX-License-Identifier: Apache-2.0
"""Real images, as people have them: built by buildah of Debian's packages, kept between runs by what went into them."""
import hashlib
import http.client
import json
import os
import shutil
import subprocess
import tempfile

import appliance
import volant

SECRET = "$2b$04$5FmvSzbwPZnWugNxcakU/.ziGpMkBTFAiVTAs4HpgAN0caZaBqQ9W"  # "secret"
BASE = ["base-files", "base-passwd", "busybox-static"]
# Without maintainer scripts: what they would have done and is needed is done here.
START = """\
FROM scratch
COPY root /
SHELL ["/bin/busybox", "sh", "-c"]
RUN busybox mkdir -p /usr/local/bin && busybox --install -s /usr/local/bin && ln -s busybox /bin/sh && \\
    busybox rm -rf /var/run && busybox ln -s /run /var/run && \\
    cp /usr/share/base-passwd/passwd.master /etc/passwd && cp /usr/share/base-passwd/group.master /etc/group
SHELL ["/bin/sh", "-c"]
"""
LEFT_OUT = ("libllvm", "libz3")  # of postgresql's compiler of queries: large, and not for here
NGINX = """\
server { listen 80; root /srv/www; location /echo { default_type text/plain; return 200 "$request_method\\n"; } }
"""
PYTHON = '''\
import http.server, json, os, sqlite3, zlib

class Handler(http.server.BaseHTTPRequestHandler):
    seen = 0
    def do_GET(self):
        Handler.seen += 1
        db = sqlite3.connect("/data/seen.db")
        db.execute("create table if not exists seen (path text)")
        db.execute("insert into seen values (?)", (self.path,))
        db.commit()
        rows = db.execute("select count(*) from seen").fetchone()[0]
        body = json.dumps({"seen": Handler.seen, "rows": rows, "greeting": os.environ["GREETING"], "uid": os.getuid(),
                           "crc": zlib.crc32(self.path.encode())}).encode()
        self.send_response(200)
        self.end_headers()
        self.wfile.write(body)

http.server.ThreadingHTTPServer(("", 5000), Handler).serve_forever()
'''
# name: packages, files of the build folder, programs compiled into it, Dockerfile
RECIPES = {
    "nginx": (["nginx-light", *BASE], {"site": NGINX, "index.html": "<html>a page of Debian's nginx</html>\n"}, [], START + """\
RUN mkdir -p /srv/www /var/lib/nginx /var/log/nginx /run && rm -f /etc/nginx/sites-enabled/* && \\
    ln -sf /dev/stdout /var/log/nginx/access.log && ln -sf /dev/stderr /var/log/nginx/error.log
COPY site /etc/nginx/conf.d/site.conf
COPY index.html /srv/www/
EXPOSE 80
STOPSIGNAL SIGQUIT
HEALTHCHECK --interval=5s --timeout=20s CMD wget -q -O /dev/null http://127.0.0.1/
CMD ["nginx", "-g", "daemon off;"]
"""),
    "redis": (["redis-server", *BASE], {}, [], START + """\
RUN echo 'redis:x:999:999::/data:/bin/false' >>/etc/passwd && echo 'redis:x:999:' >>/etc/group && \\
    mkdir -p /data && chown 999:999 /data
VOLUME /data
WORKDIR /data
USER redis
EXPOSE 6379
ENTRYPOINT ["redis-server", "--bind", "0.0.0.0", "--protected-mode", "no"]
CMD ["--appendonly", "yes"]
"""),
    "postgres": (["postgresql-15", *BASE], {}, [], START + """\
RUN echo 'postgres:x:999:999::/var/lib/postgresql:/bin/sh' >>/etc/passwd && echo 'postgres:x:999:' >>/etc/group && \\
    mkdir -p /data /run/postgresql && chown 999:999 /data /run/postgresql
USER postgres
ENV PATH=/usr/lib/postgresql/15/bin:/usr/local/bin:/usr/bin:/bin PGDATA=/data/db
RUN initdb --auth=trust --no-locale --encoding=UTF8 --no-sync && \\
    echo 'host all all all trust' >>/data/db/pg_hba.conf && echo "listen_addresses = '*'" >>/data/db/postgresql.conf
EXPOSE 5432
STOPSIGNAL SIGINT
HEALTHCHECK --interval=1s --timeout=30s CMD pg_isready -q
ENTRYPOINT ["postgres"]
"""),
    "python": (["python3", *BASE], {"app.py": PYTHON}, [], START + """\
RUN mkdir -p /data && chown 1000:1000 /data
COPY app.py /app/
WORKDIR /app
ENV GREETING=hello
USER 1000:1000
EXPOSE 5000
CMD ["python3", "app.py"]
"""),
    "static": ([], {}, ["page"], "FROM scratch\nCOPY page /page\nEXPOSE 8000\nENTRYPOINT [\"/page\"]\n"),
    "setuid": (["libcap2-bin", *BASE], {}, ["bind80", "whois"], START + """\
COPY bind80 whois /usr/bin/
RUN chmod 4755 /usr/bin/whois && setcap cap_net_bind_service=+ep /usr/bin/bind80
USER 1000:1000
EXPOSE 80
CMD ["bind80"]
"""),
}


def cache():
    where = os.environ.get("VOLANT_CACHE_DIR") or os.path.join(
        os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "volant")
    return os.path.join(where, "test-images")


def apt(*args):
    """apt-get with a status of its own, where nothing is installed: what is needed is all that is needed."""
    state = os.path.join(cache(), "apt")
    os.makedirs(os.path.join(state, "archives", "partial"), exist_ok=True)
    status = os.path.join(state, "status")
    with open(status, "a", encoding="utf-8"):
        pass
    done = subprocess.run(["apt-get", "-qq", "-y", "-o", f"Dir::State::status={status}", "-o", f"Dir::Cache={state}",
                           "-o", "APT::Install-Recommends=0", "-o", "Debug::NoLocking=1", "-o", "APT::Sandbox::User=root",
                           "-o", "Acquire::Retries=3", *args], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=600, check=False)
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout


def packages(names):
    """[file name with its version] of all that these need."""
    # What is in the folder of archives already has no address: another folder is named.
    none = os.path.join(cache(), "apt", "none")
    os.makedirs(os.path.join(none, "partial"), exist_ok=True)
    lines = apt("-o", f"Dir::Cache::archives={none}", "--print-uris", "install", *names).splitlines() if names else []
    files = [line.split()[1] for line in lines if line.startswith("'")]
    return [file for file in files if not file.startswith(LEFT_OUT)]


def unpack(names, files, root):
    """As dpkg would, without maintainer scripts, into a merged /usr."""
    for name in ("bin", "sbin", "lib", "lib64"):
        os.makedirs(os.path.join(root, "usr", name))
        os.symlink("usr/" + name, os.path.join(root, name))
    if names:
        apt("--download-only", "install", *names)
    for file in files:
        deb = os.path.join(cache(), "apt", "archives", file)
        with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", deb], stdout=subprocess.PIPE) as tar:
            subprocess.run(["tar", "-x", "--keep-directory-symlink", "--exclude=./usr/share/doc", "--exclude=./usr/share/man",
                            "--exclude=./usr/share/locale", "-C", root], stdin=tar.stdout, check=True, timeout=120)
        assert tar.returncode == 0, deb


def make(name, files, layout):
    names, texts, programs, dockerfile = RECIPES[name]
    with tempfile.TemporaryDirectory(prefix="volant-image-") as work:
        os.mkdir(os.path.join(work, "root"))
        if names:
            unpack(names, files, os.path.join(work, "root"))
        for program in programs:
            appliance.compile_guest(work, program)
        for file, text in (texts | {"Dockerfile": dockerfile}).items():
            with open(os.path.join(work, file), "w", encoding="utf-8") as f:
                f.write(text)
        store = ["buildah", "--root", os.path.join(work, "store"), "--runroot", os.path.join(work, "run"),
                 "--storage-driver", "vfs"]
        for args in (["bud", "--isolation", "chroot", "--format", "docker", "--timestamp", "1700000000", "-q", "-t", name, "."],
                     ["push", "-q", "--format", "docker", name, f"dir:{layout}"]):
            done = subprocess.run([*store, *args], cwd=work, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                                  timeout=600, check=False)
            assert done.returncode == 0, done.stderr[-3000:]


def image(name):
    """An image as a folder (skopeo's dir:), made once of the same recipe, programs and packages."""
    names, _, programs, _ = RECIPES[name]
    files = packages(names)
    sources = [appliance.read(os.path.join(appliance.GUESTS, program + ".c")).decode() for program in programs]
    key = hashlib.sha256(json.dumps([RECIPES[name], files, sources]).encode()).hexdigest()[:24]
    path = os.path.join(cache(), f"{name}-{key}")
    if os.path.isdir(path):
        os.utime(path)
        return path
    os.makedirs(cache(), exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".making-", dir=cache()) as temp:
        made = os.path.join(temp, "image")
        make(name, files, made)
        for old in os.listdir(cache()):  # of another recipe or of older packages
            if old.startswith(name + "-"):
                shutil.rmtree(os.path.join(cache(), old), ignore_errors=True)
        try:
            os.rename(made, path)
        except OSError:  # another run was faster
            assert os.path.isdir(path)
    return path


class Registry:
    """Debian's docker-registry on the loopback."""

    def __init__(self, path, password=None):
        self.port = volant.free_port()
        self.host = f"127.0.0.1:{self.port}"
        self.password = password
        config = {"version": 0.1, "storage": {"filesystem": {"rootdirectory": str(path / "store")},
                                              "delete": {"enabled": True}},
                  "http": {"addr": self.host}, "log": {"level": "error"}}
        if password:
            (path / "htpasswd").write_text(f"me:{SECRET}\n")
            config["auth"] = {"htpasswd": {"realm": "here", "path": str(path / "htpasswd")}}
        (path / "config.yml").write_text(json.dumps(config))
        self.log = open(path / "log", "wb")
        self.process = subprocess.Popen(["docker-registry", "serve", str(path / "config.yml")], stdout=self.log,
                                        stderr=self.log)
        volant.wait_until(self.answers, 30)

    def answers(self):
        try:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
            connection.request("GET", "/v2/")
            return connection.getresponse().status in (200, 401)
        except OSError:
            return False

    def push_from(self, source, name, *options):
        creds = ["--dest-creds", f"me:{self.password}"] if self.password else []
        subprocess.run(["skopeo", "copy", "--quiet", "--dest-tls-verify=false", *creds, *options, source,
                        f"docker://{self.host}/{name}"], check=True, timeout=120)
        return f"{self.host}/{name}"

    def push(self, layout, name, tag="latest", *options):
        return self.push_from(f"oci:{layout.path}:{tag}", f"{name}:{tag}", *options)

    def stop(self):
        self.process.terminate()
        self.process.wait(timeout=30)
        self.log.close()
