# SPDX-License-Identifier: Apache-2.0
"""docs/reference/rest-api.md: its second half is what volantd serves, the commands of its first half work as printed."""
import os
import re
import subprocess
import sys

import tinyhost
import volant

PAGE = os.path.join(volant.ROOT, "docs", "reference", "rest-api.md")
SOCKET = "SOCKET=/run/volant/volantd.sock\n"


def test_the_generated_half_is_what_is_served(host):
    """After a change: scripts/rest-api"""
    done = subprocess.run([sys.executable, os.path.join(volant.ROOT, "scripts", "rest-api"), "--check", "--socket",
                           host.socket], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def test_every_link_leads_somewhere():
    """Within the page: GitHub's names of its headings."""
    with open(PAGE, encoding="utf-8") as f:
        text = f.read()
    headings = {re.sub(r"[^\w -]", "", h.lower()).replace(" ", "-") for h in re.findall(r"^#+ (.*)$", text, re.M)}
    assert {link for link in re.findall(r"\]\(#([^)]*)\)", text)} <= headings


def test_the_commands(tiny):
    """In order, with a plugin called nginx whose machine costs nothing."""
    with open(PAGE, encoding="utf-8") as f:
        script = "".join(re.findall(r"^```sh\n(.*?)^```", f.read(), re.S | re.M))
    assert script.count(SOCKET) == 1 and script.count("\napi ") > 10
    with tinyhost.TinyHost(tiny.kernel, VOLANT_KERNEL_VMLINUX=tiny.kernel) as host:
        host.plugin = "nginx"
        host.prepare()
        script = "set -eu -o pipefail\n" + script.replace(SOCKET, f"SOCKET={host.socket}\n")
        done = subprocess.run(["bash", "-c", script], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=120, check=False)
        print(done.stdout)
        assert done.returncode == 0, done.stderr
        for word in ('{"status":"ok"}', "Volant-Warning", "event: VM_RUNNING", '"metadata":{"team":"a"}', "X-Total-Count: 1"):
            assert word in done.stdout, word
        assert host.api("GET", "/api/v1/vms/web/config").json["version"] == 3
        assert host.vm("web")["status"] == "stopped"
