# SPDX-License-Identifier: Apache-2.0
"""Loaded by schemathesis on behalf of tests/fuzz/api: leads cases to what is there, and keeps account of the answers."""
import os
import random

import schemathesis

KNOWN = {"vms": ("up", "down"), "deployments": ("none",), "plugins": ("tiny",)}
OFTEN = 0.6  # the other cases keep what was made up
SELDOM = 0.05
CHANCE = random.Random(os.environ["VOLANT_FUZZ_SEED"])
LOG = open(os.environ["VOLANT_FUZZ_LOG"], "a", encoding="utf-8", buffering=1)  # pylint: disable=consider-using-with


def lead_path(case):
    for name in case.path_parameters or ():
        kind = next((k for k in KNOWN if f"/{k}/" in case.path), None)
        if kind and CHANCE.random() < OFTEN:
            case.path_parameters[name] = CHANCE.choice(KNOWN[kind])
        if "/tokens/" in case.path and case.path_parameters[name] == "fuzz":
            case.path_parameters[name] = "other"  # that is ours


def lead_body(case):
    """A plugin that there is, few names, and no fleets."""
    body = case.body
    if not isinstance(body, dict) or CHANCE.random() > OFTEN:
        return
    if case.path in ("/api/v1/vms", "/api/v1/deployments") and case.method == "POST":
        body["name"] = f"n{CHANCE.randrange(20)}"
        body["config"] = body.get("config") if isinstance(body.get("config"), dict) else {}
        body["config"]["plugin"] = "tiny"
        for key in ("plugin", "runtime"):
            body.pop(key, None)
            body["config"].pop(key if key == "runtime" else "manifest", None)
    if isinstance(body.get("replicas"), int):
        body["replicas"] = int(CHANCE.random() < SELDOM)  # who asks for more than there is room for waits long


@schemathesis.hook
def before_call(context, case, kwargs):  # pylint: disable=unused-argument
    if CHANCE.random() > SELDOM:
        case.headers["Authorization"] = "Bearer " + os.environ["VOLANT_FUZZ_TOKEN"]
    lead_path(case)
    lead_body(case)


@schemathesis.hook
def after_call(context, case, response):  # pylint: disable=unused-argument
    LOG.write(f"{response.status_code} {case.operation.label}\n")
