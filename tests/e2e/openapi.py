# SPDX-License-Identifier: Apache-2.0
"""Answers held to the document that volantd serves at /openapi, strictly: what is not described is not allowed."""
import copy
import json
import re

import jsonschema

METHODS = ("get", "put", "post", "patch", "delete", "head")


def close(schema):
    """Members beyond those described are refused, unless the schema speaks of them."""
    if isinstance(schema, dict):
        if "properties" in schema and isinstance(schema["properties"], dict) and "additionalProperties" not in schema:
            schema["additionalProperties"] = False
        if schema.get("nullable") is True:  # as OpenAPI 3.0 says what JSON Schema says by a second type
            schema["type"] = [schema["type"], "null"]
        for value in schema.values():
            close(value)
    elif isinstance(schema, list):
        for value in schema:
            close(value)


def pattern(template):
    """/api/v1/vms/{name} as an expression; the original's escaped query belongs to no segment."""
    return re.compile(re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(template)) + r"(%3[Ff].*)?")


class Document:
    """What /openapi says."""

    def __init__(self, text):
        self.json = json.loads(text)
        strict = copy.deepcopy(self.json)
        close(strict["components"])
        self.resolver = jsonschema.RefResolver("", strict)
        self.operations = [(method, pattern(path), item[method]) for path, item in strict["paths"].items()
                           for method in METHODS if method in item]

    def operation(self, method, target):
        path = target.split("?", 1)[0]
        wanted = [method.lower()] + (["get"] if method == "HEAD" else [])
        found = [o for m, p, o in self.operations if m in wanted and p.fullmatch(path)]
        return found[0] if found else None

    def check(self, method, target, status, headers, body):
        content_type = headers["Content-Type"]
        operation = self.operation(method, target)
        what = f"{method} {target}: {status} {body[:300]!r}"
        if operation is None:
            assert status >= 300, f"{what} is not in /openapi"
            return
        if 300 <= status < 400:
            return
        response = operation["responses"].get(str(status))
        if response is None:
            assert status >= 400, f"{what}: {operation['operationId']} has no such status in /openapi"
            if content_type is None or content_type.startswith("text/plain"):
                return  # of the HTTP library itself
            response = operation["responses"]["default"]
            response = self.resolver.resolve(response["$ref"])[1] if "$ref" in response else response
        for name in response.get("headers", ()):
            assert name in headers, f"{what}: /openapi promises the header {name}"
        content = response.get("content")
        if method == "HEAD" or (content is None and not body):
            return
        assert content, f"{what}: /openapi promises no body"
        assert content_type in content, f"{what} is {content_type}, /openapi says {sorted(content)}"
        if content_type.startswith("application/json"):
            self.validate(what, content[content_type]["schema"], body)
        elif content_type == "application/x-ndjson":
            for line in body.splitlines()[:100]:
                self.validate(what, content[content_type]["x-volant-item"], line)

    def validate(self, what, schema, text):
        errors = list(jsonschema.Draft7Validator(schema, resolver=self.resolver).iter_errors(json.loads(text)))
        assert not errors, f"{what}: " + "; ".join(f"{'/'.join(map(str, e.path))}: {e.message}" for e in errors[:5])
