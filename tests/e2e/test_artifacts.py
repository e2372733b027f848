# SPDX-License-Identifier: Apache-2.0
"""Artifacts: what is registered of them, where they come from, and when they go."""
import json
import re

import pytest
import volant

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z")
JSON = "application/json; charset=utf-8"
MEMBERS = {"ID": int, "PluginName": str, "Version": str, "ArtifactName": str, "Kind": str, "SourceURL": str,
           "Checksum": str, "Format": str, "LocalPath": str, "SizeBytes": int, "CreatedAt": str, "UpdatedAt": str}
SHA = "sha256:" + "ab" * 32


@pytest.fixture(scope="module")
def shared():
    with volant.Host() as h:
        yield h


def rows(host, plugin, query=""):
    answer = host.api("GET", f"/api/v1/plugins/{plugin}/artifacts{query}")
    assert (answer.status, answer.headers["Content-Type"]) == (200, JSON), answer
    return answer.json


def register(host, plugin, **body):
    answer = host.api("POST", f"/api/v1/plugins/{plugin}/artifacts", body)
    assert (answer.status, answer.body, answer.headers["Content-Type"]) == (201, b"", None), answer


def refused(answer, status, *words):
    assert (answer.status, answer.headers["Content-Type"]) == (status, JSON), answer
    assert sorted(answer.json) == ["error"]
    volant.says(answer.json["error"], words)


# --- what is registered -----------------------------------------------------------------------------------------------

def test_an_artifact_is_registered_field_by_field(shared):
    full = {"version": " 1.0.0 ", "artifact_name": "rootfs", "kind": "rootfs", "source_url": "http://example.org/x.img",
            "checksum": SHA, "format": "raw", "local_path": "/srv/x.img", "size_bytes": 123}
    register(shared, "full", **full)  # the plugin need not be installed, nor the file be there
    one, = rows(shared, "full")
    assert {k: type(v) for k, v in one.items()} == MEMBERS
    assert TIME.fullmatch(one.pop("CreatedAt")) and TIME.fullmatch(one.pop("UpdatedAt")) and one.pop("ID") > 0
    assert one == {"PluginName": "full", "Version": "1.0.0", "ArtifactName": "rootfs", "Kind": "rootfs",
                   "SourceURL": "http://example.org/x.img", "Checksum": SHA, "Format": "raw",
                   "LocalPath": "/srv/x.img", "SizeBytes": 123}
    register(shared, "bare", version="1", artifact_name="a", kind="", checksum=None)
    one, = rows(shared, "bare")
    assert [one[k] for k in ("Kind", "SourceURL", "Checksum", "Format", "LocalPath", "SizeBytes")] == [""] * 5 + [0]


def test_registering_again_replaces(shared):
    register(shared, "again", version="1", artifact_name="a", kind="rootfs", size_bytes=5)
    before, = rows(shared, "again")
    register(shared, "again", version="1", artifact_name="a", format="raw", size_bytes=2**53)
    after, = rows(shared, "again")
    assert after["ID"] == before["ID"] and after["CreatedAt"] == before["CreatedAt"] <= after["UpdatedAt"]
    assert (after["Kind"], after["Format"], after["SizeBytes"]) == ("", "raw", 2**53)


def test_the_list_is_ordered_and_null_when_empty(shared):
    for version, name in (("1", "b"), ("2", "z"), ("1", "a"), ("2", "c")):
        register(shared, "many", version=version, artifact_name=name)
    assert [(r["Version"], r["ArtifactName"]) for r in rows(shared, "many")] == [("2", "c"), ("2", "z"), ("1", "a"),
                                                                               ("1", "b")]
    assert [r["ArtifactName"] for r in rows(shared, "many", "?version=1")] == ["a", "b"]
    assert rows(shared, "many", "?version=3") is None and rows(shared, "none") is None
    assert shared.api("GET", "/api/v1/plugins/none/artifacts").body == b"null"


def test_one_artifact_is_asked_for_by_version(shared):
    register(shared, "one", version="1.0 beta", artifact_name="root fs", kind="rootfs")
    answer = shared.api("GET", "/api/v1/plugins/one/artifacts/root%20fs?version=1.0%20beta")
    assert (answer.status, answer.headers["Content-Type"]) == (200, JSON)
    assert answer.json == rows(shared, "one")[0]
    path = "/api/v1/plugins/one/artifacts/root%20fs"
    refused(shared.api("GET", path), 400, "version query required")
    refused(shared.api("GET", path + "?version="), 400, "version query required")
    refused(shared.api("GET", path + "?version=2"), 404, "artifact not found", "root fs")
    refused(shared.api("GET", "/api/v1/plugins/one/artifacts/other?version=1"), 404, "artifact not found")


def test_artifacts_are_forgotten_by_version_or_all(shared):
    for version in "123":
        register(shared, "gone", version=version, artifact_name="a")
    register(shared, "stays", version="1", artifact_name="a")
    for query, left in (("?version=2", ["3", "1"]), ("?version=9", ["3", "1"]), ("", None), ("", None)):
        answer = shared.api("DELETE", "/api/v1/plugins/gone/artifacts" + query)
        assert (answer.status, answer.body) == (204, b"")
        found = rows(shared, "gone")
        assert (found and [r["Version"] for r in found]) == left
    assert len(rows(shared, "stays")) == 1


def test_bad_registrations_change_nothing(shared):
    good = {"version": "1", "artifact_name": "a"}
    both = "version and artifact_name required"
    for body, *words in (({}, both), ({"version": "1"}, both), (good | {"artifact_name": " \t"}, both),
                         (good | {"version": ""}, both), (good | {"version": None}, both),
                         (good | {"version": 1}, "version", "string"), (good | {"kind": 5}, "kind", "string"),
                         (good | {"size_bytes": -1}, "size_bytes", "0"), (good | {"size_bytes": "5"}, "size_bytes"),
                         (good | {"size_bytes": 2**63}, "size_bytes|integer|number|big"),
                         (good | {"artifact_name": "../a"}, "artifact_name", "/"),
                         (good | {"artifact_name": "a" * 129}, "artifact_name", "128"),
                         (good | {"local_path": "/x\ny"}, "local_path", "control"),
                         ([], "object"), (b"{", "body"), (b"", "empty")):
        refused(shared.api("POST", "/api/v1/plugins/bad/artifacts", body), 400, *words)
    refused(shared.api("POST", "/api/v1/plugins/-bad-/artifacts", good), 400, "plugin", "-bad-")
    refused(shared.api("GET", "/api/v1/plugins/..%2f/artifacts"), 400, "plugin")
    assert rows(shared, "bad") is None


def test_unknown_members_are_named(shared):
    answer = shared.api("POST", "/api/v1/plugins/warned/artifacts", {"version": "1", "artifact_name": "a", "colour": 1})
    assert answer.status == 201 and "colour" in answer.headers["Volant-Warning"]


def test_the_document_has_the_original_ids(shared):
    paths = json.loads(shared.api("GET", "/openapi").body)["paths"]
    all_of, one = paths["/api/v1/plugins/{plugin}/artifacts"], paths["/api/v1/plugins/{plugin}/artifacts/{artifact}"]
    assert {m: all_of[m]["operationId"] for m in all_of} == {
        "get": "listPluginArtifacts", "post": "upsertPluginArtifact", "delete": "deletePluginArtifacts"}
    assert one["get"]["operationId"] == "getPluginArtifact"
