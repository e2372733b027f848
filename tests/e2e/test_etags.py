# SPDX-License-Identifier: Apache-2.0
"""A change of what its client has seen, and of nothing else (RFC 9110, 13.1.1): configurations and deployments."""
import threading

CONFIG = "/api/v1/vms/web/config"


def match(tag):
    return {"If-Match": tag}


def test_a_configuration_is_changed_as_seen(busybox_host):
    host = busybox_host
    assert host.api("POST", "/api/v1/vms", {"name": "web", "plugin": "busybox", "start": False}).status == 201
    seen = host.api("GET", CONFIG)
    assert seen.headers["ETag"] == '"1"' and seen.json["version"] == 1
    changed = host.api("PATCH", CONFIG, {"metadata": {"by": "me"}}, headers=match('"1"'))
    assert changed.status == 200 and changed.headers["ETag"] == '"2"'
    late = host.api("PATCH", CONFIG, {"metadata": {"by": "another"}}, headers=match('"1"'))
    assert late.status == 412 and "version 2" in late.json["error"]
    for tag, status in (('W/"2"', 412), ("2", 412), ('"x"', 412), ('"1", "2"', 400), ("*", 200), ('"3"', 200)):
        answer = host.api("PATCH", CONFIG, {"metadata": {"tag": tag}}, headers=match(tag))
        assert answer.status == status, (tag, answer)
    assert host.api("POST", CONFIG + "/rollback", {"version": 1}, headers=match('"1"')).status == 412
    assert host.api("POST", CONFIG + "/rollback", {"version": 1}, headers=match('"4"')).json["version"] == 5


def test_of_many_that_have_seen_the_same_one_changes_it(busybox_host):
    host = busybox_host
    assert host.api("POST", "/api/v1/vms", {"name": "web", "plugin": "busybox", "start": False}).status == 201
    answers = []

    def change(n):
        answers.append(host.api("PATCH", CONFIG, {"metadata": {"n": n}}, headers=match('"1"')).status)

    threads = [threading.Thread(target=change, args=(n,)) for n in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(60)
    assert sorted(answers) == [200] + 7 * [412]
    assert host.api("GET", CONFIG).json["version"] == 2


def test_a_deployment_is_changed_as_seen(busybox_host):
    host = busybox_host
    url = "/api/v1/deployments/web"
    made = host.api("POST", "/api/v1/deployments", {"name": "web", "replicas": 0, "config": {"plugin": "busybox"}})
    first = made.headers["ETag"]
    assert made.status == 201 and host.api("GET", url).headers["ETag"] == first
    changed = host.api("PATCH", url, {"config": {"metadata": {"a": 1}}}, headers=match(first))
    second = changed.headers["ETag"]
    assert changed.status == 200 and second != first
    for answer in (host.api("PATCH", url, {"replicas": 1}, headers=match(first)),
                   host.api("POST", url + "/rollback", headers=match(first)),
                   host.api("DELETE", url, headers=match(first))):
        assert answer.status == 412 and "ETag" in answer.json["error"], answer
    assert host.api("GET", url).headers["ETag"] == second and host.api("GET", url).json["version"] == 2
    assert host.api("DELETE", url, headers=match(second)).status == 204


def test_histories_have_pages(busybox_host):
    host = busybox_host
    assert host.api("POST", "/api/v1/vms", {"name": "web", "plugin": "busybox", "start": False}).status == 201
    host.api("POST", "/api/v1/deployments", {"name": "web", "replicas": 0, "config": {"plugin": "busybox"}})
    for n in range(4):
        for url in (CONFIG, "/api/v1/deployments/web"):
            patch = {"metadata": {"n": n}}
            assert host.api("PATCH", url, patch if url == CONFIG else {"config": patch}).status == 200
    for url in (CONFIG + "/history", "/api/v1/deployments/web/history"):
        for query, versions in (("", [5, 4, 3, 2, 1]), ("?limit=0", [5, 4, 3, 2, 1]), ("?limit=2", [5, 4]),
                                ("?limit=2&offset=2", [3, 2]), ("?offset=4", [1]), ("?offset=5", [])):
            answer = host.api("GET", url + query)
            assert [v["version"] for v in answer.json] == versions, (url, query)
            assert answer.headers["X-Total-Count"] == "5"
        assert host.api("GET", url + "?offset=x").status == 400
