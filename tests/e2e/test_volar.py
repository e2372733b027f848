# SPDX-License-Identifier: Apache-2.0
"""What volar prints and how it ends, command by command, as users and scripts of the original know it (contract 13).

Where it differs on purpose, docs/reference/cli.md says so, under "Compared with the original".
"""
import gzip
import hashlib
import json
import os
import re
import socket
import subprocess

import appliance
import volant
from test_contract import TIME, host, shared, stopped, vm_is  # pylint: disable=unused-import

IP = r"192\.168\.127\.\d{1,3}"
MAC = r"02(:[0-9a-f]{2}){5}"
CONTRACT = """version; vms list; vms get; vms create; vms delete; vms start; vms stop; vms restart; vms scale; vms config get;
vms config set; vms config history; vms console; plugins list; plugins show; plugins install; plugins enable;
plugins disable; plugins remove; deployments list; deployments create; deployments get; deployments delete;
deployments scale""".replace("\n", " ").split("; ")


# The smallest that the original takes (contract, appendix A); its url is relative here.
MANIFEST = """{"schema_version":"1.0","name":"caddy","version":"0.1.0","runtime":"caddy","enabled":true,
 "initramfs":{"url":"plugin.cpio.gz","checksum":"sha256:%s"},
 "resources":{"cpu_cores":1,"memory_mb":512},
 "workload":{"type":"http","base_url":"http://127.0.0.1:80","entrypoint":["/usr/bin/caddy","run","--config","/etc/caddy/Caddyfile"]},
 "health_check":{"endpoint":"/","timeout_ms":10000}}"""


def said(host, *args):
    """What a command printed for people; nothing of it is on stderr."""
    done = host.volar(*args)
    assert done.stderr == "", done
    return done.stdout


def told(host, *args):
    """The same for scripts: what it printed is JSON."""
    return json.loads(said(host, *args, "-o", "json"))


def fails(host, code, *args):
    """Its complaint: on stderr alone."""
    done = host.volar(*args, check=False)
    assert (done.returncode, done.stdout) == (code, ""), done
    assert done.stderr.startswith("volar: "), done
    return done.stderr


def table(text):
    """Rows of a table whose columns begin where those of its header do."""
    header, *lines = text.splitlines()
    starts = [m.start() for m in re.finditer(r"\S+", header)]
    for line in lines:
        for at in starts:
            assert line[at] != " " and (at == 0 or line[at - 1] == " "), (header, line)
    ends = [*starts[1:], None]
    return [[line[a:b].strip() for a, b in zip(starts, ends)] for line in [header, *lines]]


def test_every_command_of_the_contract_is_there(host):
    overview = said(host)
    assert overview == said(host, "--help") == said(host, "help")
    for command in CONTRACT:
        assert re.search(rf"^  {command}\b", overview, re.M), command
        usage = said(host, *command.split(), "--help")
        assert usage.startswith(f"Usage: volar {command} ") and "\n\nGlobal options:\n" in usage
        assert said(host, "help", *command.split()) == usage == said(host, *command.split(), "-h")
    assert "vms config get NAME" in said(host, "vms") and "plugins" not in said(host, "vms", "--help")
    for later in (["setup"], ["vms", "operations", "web"], ["vms", "call", "web", "x"]):
        assert "unknown command" in fails(host, 2, *later)


def test_version(host):
    text = said(host, "version")
    assert re.fullmatch(r"volar \d+\.\d+\.\d+\S*\n", text) and said(host, "--version") == text
    assert told(host, "version") == {"version": text.split()[1]}


def test_a_vm(host):
    assert said(host, "vms", "list") == "No VMs found\n" and told(host, "vms", "list") == []
    options = ["--plugin", "tiny", "--runtime", "tiny", "--kernel", host.kernel]
    done = host.volar("vms", "create", "web", *options, "--cpu", "1", "--memory", "64", "--kernel-cmdline", "quiet",
                      "--api-host", "a", "--api-port", "1")
    assert re.fullmatch(rf"VM web created with IP {IP}\n", done.stdout)
    assert done.stderr.count("has no effect in this version") == done.stderr.count("\n") == 2
    made = vm_is(told(host, "vms", "create", "db", *options, "-p", "80"))
    assert said(host, "vms", "create", "third", *options, "-p", "53/udp").splitlines()[1].endswith(" -> 53/udp")

    header, web, db, _ = table(said(host, "vms", "list"))
    assert header == ["NAME", "STATUS", "RUNTIME", "IP", "MAC", "CPU", "MEM", "READY", "PORTS"]
    assert web[:3] == ["web", "running", "tiny"] and re.fullmatch(IP, web[3]) and re.fullmatch(MAC, web[4])
    assert web[5:7] == ["1", "64"] and web[8] == "-"
    assert db[0] == "db" and db[8] == f"127.0.0.1:{made['ports'][0]['host_port']}->80/tcp"
    assert [vm_is(vm)["name"] for vm in told(host, "vms", "list")] == ["web", "db", "third"]

    lines = dict(line.split(": ", 1) for line in said(host, "vms", "get", "web").splitlines())
    names = ["Name", "Status", "Runtime", "IP", "MAC", "CPU", "Memory", "PID", "Kernel Cmdline", "Serial Socket"]
    assert [n for n in lines if n in names] == names
    vm = vm_is(told(host, "vms", "get", "web"))
    assert lines["Name"] == "web" and lines["CPU"] == "1" and lines["Memory"] == "64 MB"
    assert lines["PID"] == str(vm["pid"]) and lines["Serial Socket"] == vm["serial_socket"]
    assert vm == host.vm("web") and os.path.isabs(vm["serial_socket"])


def test_a_vm_starts_and_ends(host):
    stopped(host, "web", "db")
    for verb, text in (("start", r"VM web started \(PID \d+\)\n"), ("stop", r"VM web stopped\n"),
                       ("restart", r"VM web restarted \(PID \d+\)\n"), ("pause", r"VM web paused\n"),
                       ("unpause", r"VM web resumed\n"), ("stop", r"VM web stopped\n")):
        assert re.fullmatch(text, said(host, "vms", verb, "web")), verb
    for verb, status in (("start", "running"), ("pause", "paused"), ("unpause", "running"), ("restart", "running"),
                         ("stop", "stopped")):
        assert vm_is(told(host, "vms", verb, "web"))["status"] == status
    assert said(host, "vms", "stop", "web", "db") == "VM web stopped\nVM db stopped\n"  # they have, already
    done = host.volar("vms", "stop", "web", "nobody", "db", check=False)  # each is tried
    assert (done.returncode, done.stdout) == (1, "VM web stopped\nVM db stopped\n") and "nobody" in done.stderr
    assert said(host, "vms", "delete", "web") == "VM web deleted\n"
    assert said(host, "vms", "delete", "db", "-o", "json") == "" and host.vms() == []


def test_the_console_is_a_socket_of_this_host(host):
    said(host, "vms", "create", "web", "--plugin", "tiny", "--kernel", host.kernel)
    path = host.vm("web")["serial_socket"]
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as s:  # as the original's client does
        s.connect(path)
    first = said(host, "vms", "console", "web")  # which has the tail of what came before, in this version
    assert said(host, "vms", "console", "web", "--socket", path) == first
    said(host, "vms", "stop", "web")
    assert "has no console" in fails(host, 1, "vms", "console", "web")
    assert path in fails(host, 1, "vms", "console", "web", "--socket", path)


def test_configuration(host, tmp_path):
    """What is not in test_contract's test of the same commands."""
    stopped(host, "web")
    change = tmp_path / "change.json"
    change.write_text('{"resources": {"memory_mb": 96}}')
    assert told(host, "vms", "config", "set", "web", "--file", str(change))["version"] == 2
    config = json.loads(said(host, "vms", "config", "get", "web"))
    assert config["resources"]["memory_mb"] == 96 and said(host, "vms", "config", "get", "web").startswith('{\n  "')
    assert told(host, "vms", "config", "get", "web", "--raw")["config"] == config
    assert told(host, "vms", "scale", "web", "--memory", "64")["version"] == 3
    assert told(host, "vms", "config", "rollback", "web")["version"] == 4
    assert len(said(host, "vms", "config", "history", "web").splitlines()) == 4  # --limit 0: all
    assert "--file" in fails(host, 2, "vms", "config", "set", "web")
    assert "96x" in fails(host, 2, "vms", "scale", "web", "--memory", "96x")
    # as the original's own defaults: not given
    scaled = told(host, "vms", "scale", "web", "--cpu", "-1", "--memory", "96", "--replicas", "-1")
    assert scaled["config"]["resources"] == {"cpu_cores": 1, "memory_mb": 96}
    assert "--replicas" in fails(host, 2, "vms", "scale", "web", "--cpu", "-1", "--memory=-1", "--replicas", "-1")
    assert "'-2'" in fails(host, 2, "vms", "scale", "web", "--cpu", "-2")


def test_groups_of_commands(host):
    for args in (["vms", "config"], ["vms", "config", "--help"], ["vms", "config", "-h"], ["vms", "config", "help"],
                 ["help", "vms", "config"]):
        text = said(host, *args)
        assert "Usage: volar vms config COMMAND" in text and re.findall(r"^  vms (\S+ \S+) NAME", text, re.M) == [
            "config get", "config set", "config history", "config rollback"], args
    assert "  vms config get NAME " in said(host, "vms") and "  vms list " in said(host, "vms", "--help")
    assert "'vms config gett'; did you mean 'vms config get'?" in fails(host, 2, "vms", "config", "gett", "web")
    assert "'vms config nonsense'" in fails(host, 2, "vms", "config", "nonsense", "web")
    assert "'vms nonsense'" in fails(host, 2, "vms", "nonsense", "web")



def test_plugins(host, tmp_path):
    header, row = table(said(host, "plugins", "list"))
    assert header == ["NAME", "VERSION", "ENABLED", "RUNTIME"] and row[0] == row[3] == "tiny" and row[2] == "yes"
    assert told(host, "plugins", "list") == [{"name": "tiny", "version": row[1], "enabled": True, "runtime": "tiny"}]
    assert json.loads(said(host, "plugins", "list", "-o", "json")) == host.api("GET", "/api/v1/system/summary").json["plugins"]
    assert json.loads(said(host, "plugins", "show", "tiny")) == told(host, "plugins", "show", "tiny")
    blob = gzip.compress(appliance.archive({"init": b"#!"}))
    (tmp_path / "plugin.cpio.gz").write_bytes(blob)
    path = tmp_path / "caddy.manifest.json"
    path.write_text(MANIFEST % hashlib.sha256(blob).hexdigest())
    installed = "Plugin caddy 0.1.0 installed\n"
    assert said(host, "plugins", "install", "--manifest", str(path)) == installed
    assert said(host, "plugins", "install", str(path)) == installed
    shown = told(host, "plugins", "show", "caddy")
    assert shown["rootfs"] == {"url": "", "format": "raw"} and shown["workload"]["entrypoint"][0] == "/usr/bin/caddy"
    assert shown["labels"] == {"volant.plugin": "caddy", "volant.runtime": "caddy"}
    assert said(host, "plugins", "disable", "caddy") == "Plugin caddy disabled\n"
    assert [row[2] for row in table(said(host, "plugins", "list"))] == ["ENABLED", "no", "yes"]
    assert said(host, "plugins", "enable", "caddy") == "Plugin caddy enabled\n"
    for args in (["disable", "caddy"], ["enable", "caddy"], ["remove", "caddy"], ["install", str(path)]):
        assert said(host, "plugins", *args, "-o", "json") == ""
    assert said(host, "plugins", "remove", "caddy") == "Plugin caddy removed\n"
    assert "manifest" in fails(host, 2, "plugins", "install")
    with volant.Host() as empty:
        assert said(empty, "plugins", "list") == "No plugins installed\n" and told(empty, "plugins", "list") == []
        assert empty.api("GET", "/api/v1/system/summary").json["plugins"] is None


def test_deployments(host, tmp_path):
    assert said(host, "deployments", "list") == "No deployments found\n" and told(host, "deployments", "list") == []
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"plugin": "tiny", "kernel_override": host.kernel}))
    text = said(host, "deployments", "create", "group", "--config", str(config), "--replicas", "2")
    assert text == "Deployment group created with 2 replicas\n"
    assert told(host, "deployments", "create", "one", "--config", str(config))["desired_replicas"] == 1
    header, group, _ = table(said(host, "deployments", "list"))
    assert header == ["NAME", "DESIRED", "READY", "UP-TO-DATE", "VERSION", "STATUS", "AGE"]
    assert group[:2] == ["group", "2"] and re.fullmatch("[012]", group[2])
    assert [d["name"] for d in told(host, "deployments", "list")] == ["group", "one"]
    assert "Replicas: 2 desired" in said(host, "deployments", "get", "group")
    assert told(host, "deployments", "get", "group")["name"] == "group"
    kept = str(tmp_path / "kept.json")
    assert said(host, "deployments", "get", "group", "--output", kept) == ""
    with open(kept, encoding="utf-8") as f:
        assert json.load(f)["desired_replicas"] == 2
    assert re.fullmatch(r"Deployment one scaled to 0 replicas \(ready \d\)\n", said(host, "deployments", "scale", "one", "0"))
    assert told(host, "deployments", "scale", "one", "0")["desired_replicas"] == 0
    assert told(host, "vms", "scale", "one", "--replicas", "0")["desired_replicas"] == 0
    assert "REPLICAS" in fails(host, 2, "deployments", "scale", "one", "--", "-1")
    assert "REPLICAS" in fails(host, 2, "deployments", "scale", "one", "many")
    assert len(told(host, "deployments", "history", "group")) == 1
    assert said(host, "deployments", "delete", "one") == "Deployment one deleted\n"
    assert said(host, "deployments", "delete", "group", "-o", "json") == ""


def test_what_the_original_has_not_is_json_as_well(host, tmp_path):
    said(host, "vms", "create", "web", "--plugin", "tiny", "--kernel", host.kernel, "--wait", "running")
    assert told(host, "system", "info")["host_ip"] == host.api("GET", "/api/v1/system/info").json["host_ip"]
    checks = json.loads(host.volar("doctor", "-o", "json", check=False).stdout)
    assert isinstance(checks, list) and checks
    lines = volant.wait_until(lambda: said(host, "vms", "logs", "web", "-o", "json").splitlines(), 30)
    assert all(json.loads(line)["name"] == "web" for line in lines)
    kept = str(tmp_path / "kept.db")
    assert told(host, "system", "backup", kept)["file"] == kept and os.path.getsize(kept) > 0


def test_how_errors_look(host):
    """One line on stderr that names the object, and nothing on stdout; 1 for what failed, 2 for what was typed wrong."""
    for args in (["vms", "get"], ["vms", "start"], ["vms", "delete"], ["vms", "config", "get"], ["vms", "logs"],
                 ["plugins", "show"], ["plugins", "remove"], ["deployments", "get"], ["deployments", "delete"]):
        error = fails(host, 1, *args, "nobody")
        assert "nobody" in error and error.count("\n") == 1, error
        assert fails(host, 1, *args, "nobody", "-o", "json") == error
        assert "NAME is missing" in fails(host, 2, *args)
        assert "'Bad_Name!'" in fails(host, 2, *args, "Bad_Name!")
    assert "--output" in fails(host, 2, "vms", "list", "-o", "yaml")
    assert "--nonsense" in fails(host, 2, "vms", "list", "--nonsense")
    assert "did you mean 'vms list'" in fails(host, 2, "vms", "ls")
    assert "--plugin" in fails(host, 2, "vms", "create", "web")
    assert "'none' is not installed" in fails(host, 1, "vms", "create", "web", "--plugin", "none")


def test_how_options_may_be_written(host):
    """As docs/reference/cli.md says."""
    for args in (["-o", "json", "vms", "list"], ["--output", "json", "vms", "list"], ["--output=json", "vms", "list"],
                 ["-ojson", "vms", "list"], ["vms", "list", "-ojson"], ["vms", "list", "--output=json"]):
        assert said(host, *args) == "[]\n", args
    stopped(host, "web")
    assert said(host, "vms", "get", "-o", "json", "--", "web") == said(host, "vms", "get", "web", "-o", "json")


def test_where_volantd_is():
    """--api before VOLANT_API_BASE before the user's own socket; paths, sockets and addresses, with what is behind."""
    port = volant.free_port()
    with volant.Host(VOLANT_API_LISTEN=f"127.0.0.1:{port}") as host:
        bare = {k: v for k, v in host.env.items() if not k.startswith("VOLANT_")} | {"XDG_RUNTIME_DIR": host.dir}
        http = f"http://127.0.0.1:{port}"

        def ask(*args, **env):
            return subprocess.run([volant.program("volar"), "vms", "list", *args], env=bare | env, timeout=30,
                                  stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)

        for address in (host.socket, f"unix://{host.socket}", http, f"{http}/", f"{http}/api/v1?x=1"):
            assert ask(VOLANT_API_BASE=address).stdout == "No VMs found\n", address
            assert ask("--api", address, VOLANT_API_BASE="unix:///nowhere").stdout == "No VMs found\n", address
            assert ask("-a", address).stdout == "No VMs found\n", address
        assert ask(VOLANT_RUNTIME_DIR=host.run).stdout == "No VMs found\n"
        gone = ask(VOLANT_API_BASE="http://127.0.0.1:1")
        assert (gone.returncode, gone.stdout) == (1, "") and "volantd does not answer at http://127.0.0.1:1" in gone.stderr
        wrong = ask(VOLANT_API_BASE="ftp://x")
        assert wrong.returncode == 1 and "VOLANT_API_BASE" in wrong.stderr


def test_history_lines(host):
    stopped(host, "web")
    assert re.fullmatch(rf"Version 1\t{TIME.pattern}\tCPU=\d+\tMemory=\d+ MB\n",
                        said(host, "vms", "config", "history", "web"))
