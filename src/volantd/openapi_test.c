/* SPDX-License-Identifier: Apache-2.0 */
/* The document tells of every route and of nothing else. Replies are held to it by the end-to-end suite. */
#include "volantd/openapi.h"

#include <string.h>

#include "base/unit.h"
#include "volantd/api.h"

static void every_route_is_described(void **state)
{
    (void)state;
    for (size_t i = 0; i < api_n_routes; i++)
        if (!api_operation_of(&api_routes[i])) fail_msg("%s %s", api_routes[i].method, api_routes[i].pattern);
}

static void every_operation_has_a_route_and_an_id_of_its_own(void **state)
{
    (void)state;
    for (size_t i = 0; i < api_n_operations; i++) {
        size_t routes = 0;

        for (size_t j = 0; j < api_n_routes; j++)
            routes += api_routes[j].fn == api_operations[i].fn;
        if (!api_operations[i].id) continue;
        if (routes != 1) fail_msg("%s has %zu routes", api_operations[i].id, routes);
        for (size_t j = 0; j < i; j++)
            if (api_operations[j].id) assert_string_not_equal(api_operations[i].id, api_operations[j].id);
    }
}

static bool is_component(const char *ref)
{
    static const char schemas[] = "#/components/schemas/";

    if (str_eq(ref, "#/components/responses/Error")) return true;
    if (!str_starts(ref, schemas)) return false;
    for (size_t i = 0; i < api_n_components; i++)
        if (str_eq(ref + strlen(schemas), api_components[i].name)) return true;
    return false;
}

static void check(const json_t *j)
{
    const char *key;
    json_t *value;
    size_t i;

    json_array_foreach(j, i, value)
    {
        check(value);
    }
    json_object_foreach((json_t *)j, key, value)
    {
        if (str_eq(key, "$ref") && !is_component(json_string_value(value))) fail_msg("%s", json_string_value(value));
        check(value);
    }
}

static void what_it_refers_to_is_there(void **state)
{
    json_auto_t *j = openapi_document(api_routes, api_n_routes, "http://localhost:7777");

    (void)state;
    assert_non_null(j);
    assert_int_equal(json_object_size(json_object_get(json_object_get(j, "components"), "schemas")), api_n_components);
    check(j);
}

static void the_form_of_a_route(void **state)
{
    static const struct api_route routes[] = {{"POST", "/api/v1/vms/:name/start", vm_start, ROLE_OPERATE, BODY_KEPT}};
    json_auto_t *j = openapi_document(routes, 1, "http://a");
    const json_t *op =
        json_object_get(json_object_get(json_object_get(j, "paths"), "/api/v1/vms/{name}/start"), "post");

    (void)state;
    assert_string_equal(json_string_value(json_object_get(op, "operationId")), "startVM");
    assert_int_equal(json_array_size(json_object_get(op, "parameters")), 3);
    assert_non_null(json_object_get(json_object_get(op, "responses"), "200"));
    assert_non_null(json_object_get(json_object_get(op, "responses"), "default"));
}

static void what_a_route_replies(void **state)
{
    json_auto_t *vm = openapi_reply("GET", "/api/v1/vms/{whoever}"),
                *list = openapi_reply("GET", "/api/v1/deployments");
    json_auto_t *none = openapi_reply("PUT", "/api/v1/vms"), *text = openapi_reply("GET", "/api/v1/vms/{name}/logs");
    json_auto_t *empty = openapi_reply("POST", "/api/v1/plugins");
    const json_t *properties = json_object_get(vm, "properties"), *config;

    (void)state;
    assert_non_null(json_object_get(properties, "status"));
    properties = json_object_get(json_object_get(list, "items"), "properties");
    config = json_object_get(json_object_get(properties, "config"), "properties");
    assert_string_equal(json_string_value(json_object_get(json_object_get(config, "plugin"), "type")), "string");
    assert_int_equal(json_object_size(json_object_get(config, "manifest")), 1); /* an object, and that is all */
    assert_true(!none && !text && !empty);
    assert_null(openapi_reply("GET", "/api/v1/vms/{name}/config/"));
}

static void patterns_of_paths(void **state)
{
    static const struct api_route routes[] = {{"GET", "/api/v1/vms/:name", vm_get, ROLE_READ, BODY_KEPT},
                                              {"HEAD", "/api/v1/blobs/:digest", blob_head, ROLE_READ, BODY_KEPT}};
    json_auto_t *j = openapi_document(routes, ARRAY_LEN(routes), "http://a");
    const json_t *vm = NULL, *blob = NULL;

    (void)state;
    assert_int_equal(json_unpack(j, "{s:{s:{s:{s:[o]}}, s:{s:{s:[o]}}}}", "paths", "/api/v1/vms/{name}", "get",
                                 "parameters", &vm, "/api/v1/blobs/{digest}", "head", "parameters", &blob),
                     0);
    assert_string_equal(json_string_value(json_object_get(json_object_get(vm, "schema"), "pattern")), NAME_PATTERN);
    assert_string_equal(json_string_value(json_object_get(json_object_get(blob, "schema"), "pattern")),
                        "^sha256:[0-9a-f]{64}$");
}

static void a_parameter_may_be_required(void **state)
{
    static const struct api_route routes[] = {
        {"GET", "/api/v1/plugins/:plugin/artifacts/:artifact", artifact_get, ROLE_READ, BODY_KEPT}};
    json_auto_t *j = openapi_document(routes, 1, "http://a");
    const json_t *list = NULL;

    (void)state;
    assert_int_equal(json_unpack(j, "{s:{s:{s:{s:o}}}}", "paths", "/api/v1/plugins/{plugin}/artifacts/{artifact}",
                                 "get", "parameters", &list),
                     0);
    assert_int_equal(json_array_size(list), 3);
    assert_true(json_is_true(json_object_get(json_array_get(list, 2), "required")));
}

static void what_streams_are_made_of(void **state)
{
    static const struct api_route routes[] = {{"GET", "/api/v1/events/vms", events_get, ROLE_READ, BODY_KEPT},
                                              {"POST", "/mcp", mcp_post, ROLE_READ, BODY_KEPT}};
    json_auto_t *j = openapi_document(routes, ARRAY_LEN(routes), "http://a");
    const char *type = NULL, *item = NULL, *json = NULL;

    (void)state;
    assert_int_equal(json_unpack(j, "{s:{s:{s:{s:{s:{s:{s:{s:{s:s}, s:{s:s}}}}}}}}}", "paths", "/api/v1/events/vms",
                                 "get", "responses", "200", "content", "text/event-stream", "schema", "type", &type,
                                 "x-volant-item", "$ref", &item),
                     0);
    assert_string_equal(type, "string");
    assert_string_equal(item, "#/components/schemas/VMEvent");
    assert_int_equal(json_unpack(j, "{s:{s:{s:{s:{s:{s:{s:{s:{s:s}}, s:{s:{s:s}}}}}}}}}", "paths", "/mcp", "post",
                                 "responses", "200", "content", "application/json; charset=utf-8", "schema", "$ref",
                                 &json, "text/event-stream", "x-volant-item", "$ref", &item),
                     0);
    assert_string_equal(json, item); /* either way */
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_route_is_described),
        cmocka_unit_test(every_operation_has_a_route_and_an_id_of_its_own),
        cmocka_unit_test(what_it_refers_to_is_there),
        cmocka_unit_test(the_form_of_a_route),
        cmocka_unit_test(what_a_route_replies),
        cmocka_unit_test(patterns_of_paths),
        cmocka_unit_test(a_parameter_may_be_required),
        cmocka_unit_test(what_streams_are_made_of),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
