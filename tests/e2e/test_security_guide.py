# SPDX-License-Identifier: Apache-2.0
"""docs/guides/security.md: its commands work as they are printed, in order, and its settings are taken."""
import os
import re
import subprocess

import volant

GUIDE = os.path.join(volant.ROOT, "docs", "guides", "security.md")


def blocks(kind):
    with open(GUIDE, encoding="utf-8") as f:
        return re.findall(rf"^```{kind}\n(.*?)^```", f.read(), re.S | re.M)


def test_the_guide(tmp_path):
    """On loopback alone: other addresses are this host's network."""
    plain, tls = volant.free_port(), volant.free_port()
    host = volant.Host()
    host.env["PATH"] = f"{volant.BUILD}:{host.env['PATH']}"

    def run(script, port):
        script = script.replace("7777", str(port)).replace("/etc/volant", str(tmp_path))
        done = subprocess.run(["bash", "-euc", "set -o pipefail\n" + script], cwd=tmp_path, env=host.env, text=True,
                              stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False)
        assert done.returncode == 0, (script, done.stdout, done.stderr)
        return done.stdout

    try:
        host.start("--listen", f"127.0.0.1:{plain}")
        tokens, client, curl, certificate, secure = blocks("sh")
        volant.says(run(tokens, plain), ["ops", "admin", "ci", "operate"])
        assert run(client, plain) == "No VMs found\n"
        assert run(curl, plain) == "[]"
        run(certificate, plain)
        settings = blocks("conf")[0].replace("0.0.0.0:7777", f"127.0.0.1:{tls}").replace("/etc/volant", str(tmp_path))
        volant.write(tmp_path / "volantd.conf", settings)
        host.stop()
        host.start("--config", str(tmp_path / "volantd.conf"))
        token_file = client.splitlines()[0]
        assert run(f"{token_file}\n{secure}", tls) == "No VMs found\n"
    finally:
        host.close()
