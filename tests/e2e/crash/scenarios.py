# SPDX-License-Identifier: Apache-2.0
"""What is done to a host so that it passes all crash points of an operation: {operation, or a single point: Scenario}.

`before` makes what the operation needs, on a volantd that does not die; `between` happens while none runs; `act` is
the operation, on one that dies; `after` is what must still be possible with the result, on one that does not.
"""
import contextlib
import json
import os
import signal
import sqlite3

import invariants
import volant


class Scenario:
    """One that needs nothing and leaves nothing."""

    def before(self, host):
        pass

    def between(self, host):
        """While no volantd runs."""

    def act(self, host):
        raise NotImplementedError

    def after(self, host):
        pass


SCENARIOS = {}


def operation(*names):
    def add(scenario):
        for name in names:
            SCENARIOS[name] = scenario()
        return scenario
    return add


class OnOne(Scenario):
    """Something that is done to a VM `a` which runs, beside another one that shall not notice."""

    def before(self, host):
        for name in ("bystander", "a"):
            host.must(host.make(name))
        host.bystander = host.vm("bystander")["pid"]

    def after(self, host):
        assert host.vm("bystander")["pid"] == host.bystander, "the bystander was restarted"


@operation("create")
class Create(OnOne):
    def act(self, host):
        host.make("b", expose=[{"port": 80}, {"port": 443}, {"port": 53, "protocol": "udp"}])

    def after(self, host):
        super().after(host)
        if all(v["name"] != "b" for v in host.vms()):
            host.must(host.make("b"))
            invariants.whole(host)


@operation("start", "boot")
class Start(OnOne):
    def before(self, host):
        super().before(host)
        host.must(host.do("a", "stop", wait=None))

    def act(self, host):
        host.do("a", "start")


@operation("start.data_disk_sized", "start.data_disk_made")
class DataDisk(OnOne):
    """A VM whose image is a disk, with one of its own beside it; what is on them matters to nobody here."""

    def before(self, host):
        super().before(host)
        manifest = host.manifest(name="disk")
        manifest["rootfs"] = manifest.pop("initramfs") | {"format": "raw", "fstype": "squashfs", "init": "/init"}
        host.must(host.api("POST", "/api/v1/plugins", manifest))

    def act(self, host):
        config = {"kernel_override": host.kernel, "disk_mb": 64}
        host.api("POST", "/api/v1/vms?wait=running", {"name": "d", "plugin": "disk", "config": config})

    def after(self, host):
        super().after(host)
        assert os.path.getsize(os.path.join(host.folder("d"), "data.ext4")) == 64 << 20


@operation("start.data_disk_grown")
class DataDiskGrows(DataDisk):
    def before(self, host):
        super().before(host)
        super().act(host)
        host.must(host.do("d", "stop", wait=None))
        host.disk = os.path.join(host.folder("d"), "data.ext4")

    def between(self, host):
        os.truncate(host.disk, 32 << 20)  # it was that small when its VM was given more

    def act(self, host):
        host.do("d", "start")


@operation("delete.auto_remove_committed")
class AutoRemove(OnOne):
    """Nobody asked for this deletion but the VM's own configuration."""

    def before(self, host):
        super().before(host)
        host.must(host.make("once", auto_remove=True))
        host.victim = host.run_record("once")["vmm"]["pid"]
        host.answered.discard("once")

    def act(self, host):
        os.kill(host.victim, signal.SIGKILL)

    def after(self, host):
        super().after(host)
        assert all(v["name"] != "once" for v in host.vms())


@operation("stop")
class Stop(OnOne):
    def act(self, host):
        host.do("a", "stop", wait=None)

    def after(self, host):
        super().after(host)
        host.must(host.do("a", "stop", wait=None))
        host.must(host.do("a", "start"))


@operation("restart")
class Restart(OnOne):
    def act(self, host):
        host.do("a", "restart")


@operation("start.token_recorded")
class Again(OnOne):
    """A boot that nobody asked for: a VMM that died comes back by its restart policy."""

    def before(self, host):
        super().before(host)
        host.must(host.make("again", restart="always"))
        host.victim = host.run_record("again")["vmm"]["pid"]

    def act(self, host):
        os.kill(host.victim, signal.SIGKILL)


@operation("pause")
class Pause(OnOne):
    def act(self, host):
        host.do("a", "pause", wait=None)

    def after(self, host):
        super().after(host)
        if host.vm("a")["status"] == "running":
            host.must(host.do("a", "pause", wait=None))
        host.must(host.do("a", "resume", wait=None))
        assert host.vm("a")["status"] == "running"


@operation("resume")
class Resume(OnOne):
    def before(self, host):
        super().before(host)
        host.must(host.do("a", "pause", wait=None))

    def act(self, host):
        host.do("a", "resume", wait=None)


@operation("delete")
class Delete(OnOne):
    def act(self, host):
        host.drop("a")

    def after(self, host):
        super().after(host)
        if any(v["name"] == "a" for v in host.vms()):
            host.must(host.drop("a"))
        host.must(host.make("a"))  # name and ports are free


@operation("store")
class Store(Create):
    """The transactions of a life, one after the other."""

    def act(self, host):
        host.make("b")
        for verb in ("stop", "start", "restart"):
            host.do("b", verb, wait=None)
        host.drop("b")


@operation("adopt", "sweep")
class Adopt(OnOne):
    """volantd's own start, with a VM that runs, one whose boot was cut off, one that ended, and somebody's rubbish."""

    def before(self, host):
        super().before(host)
        host.must(host.make("gone"))
        host.must(host.make("stopped"))
        host.must(host.do("stopped", "stop", wait=None))
        host.victim = host.run_record("gone")["vmm"]["pid"]
        host.may_end.add("gone")

    def act(self, host):
        pass

    def between(self, host):
        os.kill(host.victim, signal.SIGKILL)
        volant.wait_until(lambda: not volant.alive(host.victim), 10)
        os.makedirs(host.inside("vms", "99999"))
        with open(host.inside("vms", "99999", "console.log"), "w", encoding="utf-8") as f:
            f.write("of nobody\n")


def edit(host, *statements):
    """Makes another registry of it, as an older backup would be; while no volantd runs."""
    with contextlib.closing(sqlite3.connect(host.inside("state.db"))) as db:
        db.execute("PRAGMA foreign_keys = ON")
        for statement in statements:
            db.execute(statement)
        db.commit()


@operation("adopt.found_recorded")
class Found(OnOne):
    """volantd's start with a registry that has a VM stopped which runs."""

    def between(self, host):
        edit(host, "UPDATE vms SET status = 'stopped', desired = 'stopped', pid = NULL WHERE name = 'a'")

    def act(self, host):
        host.wait_status("a", "running")

    def after(self, host):
        super().after(host)
        assert host.vm("a")["status"] == "running"


@operation("adopt.imported", "repair.mended")
class Import(OnOne):
    """A VM that runs and that the registry does not know is taken in."""

    def between(self, host):
        edit(host, "DELETE FROM vms WHERE name = 'a'")
        host.answered.discard("a")

    def act(self, host):
        host.api("POST", "/api/v1/system/repair", {})

    def after(self, host):
        super().after(host)
        assert host.vm("a")["status"] == "running"


@operation("repair.stranger_ended")
class Evict(Import):
    """One that cannot be taken in, as its record is gone, is ended where that is asked for."""

    def before(self, host):
        super().before(host)
        host.note = os.path.join(host.folder("a"), "vm.json")

    def between(self, host):
        super().between(host)
        with open(host.note, encoding="utf-8") as f:
            note = json.load(f)
        del note["record"]
        with open(host.note, "w", encoding="utf-8") as f:
            json.dump(note, f)

    def act(self, host):
        host.api("POST", "/api/v1/system/repair", {"end_strangers": True})

    def after(self, host):
        OnOne.after(self, host)
        assert [v["name"] for v in host.vms()] == ["bystander"]


@operation("backup")
class Backup(OnOne):
    def act(self, host):
        host.api("GET", "/api/v1/system/backup")


@operation("restore")
class Restore(Scenario):
    """A copy takes the registry's place; what was made since is not in it."""

    def before(self, host):
        for name in ("a", "later"):
            host.must(host.make(name))
            host.must(host.do(name, "stop", wait=None))
            if name == "a":
                host.copy = host.must(host.api("GET", "/api/v1/system/backup")).body
        host.own_files |= {"state.db.before-restore" + suffix for suffix in ("", "-wal", "-shm")}
        host.answered.discard("later")

    def act(self, host):
        # 503: a VM is still being looked at by the volantd that has just begun.
        volant.wait_until(lambda: host.api("PUT", "/api/v1/system/restore", host.copy).status != 503, 30)

    def after(self, host):
        names = [v["name"] for v in host.vms()]
        assert names in (["a"], ["a", "later"]), names
        host.must(host.do("a", "start"))


@operation("install")
class Install(Scenario):
    """The blob, its boot form, the plugin; then another version in its place."""

    def before(self, host):
        host.must(host.api("DELETE", "/api/v1/plugins/tiny"))

    def act(self, host):
        host.prepare()
        host.install_tiny(version="2.0.0")

    def after(self, host):
        host.prepare()
        host.must(host.make("a"))


@operation("uninstall")
class Uninstall(Scenario):
    def act(self, host):
        host.api("DELETE", "/api/v1/plugins/tiny")

    def after(self, host):
        host.prepare()
        host.must(host.make("a"))


# --- deployments -------------------------------------------------------------------------------------------------------

class OnDeployment(OnOne):
    """Something that is done to a deployment `web` of two replicas."""

    replicas = 2

    def before(self, host):
        super().before(host)
        host.must(host.deploy("web", self.replicas))
        host.wait_deployed("web")

    def after(self, host):
        super().after(host)
        if self.still(host):
            host.wait_deployed("web")
            host.must(host.scale("web", 1))
            host.wait_deployed("web")

    def still(self, host):
        return host.api("GET", "/api/v1/deployments/web").status == 200


@operation("deploy")
class Deploy(OnOne):
    def act(self, host):
        host.deploy("web", 3)
        host.wait_deployed("web")


@operation("scale")
class Scale(OnDeployment):
    def act(self, host):
        host.scale("web", 4)
        host.wait_deployed("web")
        host.scale("web", 1)
        host.wait_deployed("web")


@operation("update", "configure")
class Update(OnDeployment):
    def act(self, host):
        host.update("web", metadata={"colour": "blue"})
        host.wait_deployed("web")


@operation("rollback")
class Rollback(OnDeployment):
    def before(self, host):
        super().before(host)
        host.must(host.update("web", metadata={"colour": "blue"}))
        host.wait_deployed("web")

    def act(self, host):
        host.api("POST", "/api/v1/deployments/web/rollback", {"version": 1})
        host.wait_deployed("web")


@operation("undeploy")
class Undeploy(OnDeployment):
    def act(self, host):
        host.api("DELETE", "/api/v1/deployments/web")
