/* SPDX-License-Identifier: Apache-2.0 */
/* A server for tests and fuzzing: a tool for each way to end, a few hundred resources, a prompt. */
#pragma once
#include <string.h>

#include "mcp/mcp.h"

#define TEST_RESOURCES 250

static json_t *test_input(const struct mcp_tool *t)
{
    (void)t;
    return json_pack("{s:s}", "type", "object");
}

static enum mcp_end test_echo(struct mcp_call *c, const struct mcp_tool *t, const json_t *arguments)
{
    (void)t;
    return mcp_tool_done(c, json_pack("{s:O}", "arguments", (json_t *)arguments),
                         json_object_size(arguments) ? "note" : NULL);
}

static enum mcp_end test_fails(struct mcp_call *c, const struct mcp_tool *t, const json_t *arguments)
{
    (void)t;
    (void)arguments;
    return mcp_tool_failed(c, "it fails");
}

static void test_cancelled(struct mcp_call *c)
{
    *(bool *)c->state = true;
}

/* Its `own` is told of a cancel. */
static enum mcp_end test_waits(struct mcp_call *c, const struct mcp_tool *t, const json_t *arguments)
{
    (void)arguments;
    c->state = (void *)t->own;
    c->cancel = test_cancelled;
    return MCP_WAITING;
}

static bool test_was_cancelled;
static const struct mcp_tool test_tools[] = {
    {"echo", "Echo", "Gives back.", MCP_READ_ONLY, test_input, test_input, test_echo, NULL},
    {"fails", "Fails", "Fails.", MCP_DESTRUCTIVE, test_input, NULL, test_fails, NULL},
    {"waits", "Waits", "Waits.", MCP_PROGRESS, test_input, NULL, test_waits, &test_was_cancelled},
};

static json_t *test_resources(void *arg)
{
    json_t *list = json_array();

    (void)arg;
    for (int i = 0; i < TEST_RESOURCES; i++)
        (void)json_array_append_new(
            list, json_pack("{s:s+, s:s}", "uri", "test://", i == 0 ? "first" : "other", "name", "one"));
    return list;
}

static enum mcp_end test_read(struct mcp_call *c, const char *uri)
{
    return strcmp(uri, "test://first") == 0 ? mcp_contents(c, uri, "text/plain", "first") : mcp_no_resource(c, uri);
}

static bool test_subscribable(void *arg, const char *uri)
{
    (void)arg;
    return str_starts(uri, "test://");
}

static char *test_text(const struct mcp_prompt *p, const json_t *arguments)
{
    (void)p;
    return strf_new("hello %s", json_string_value(json_object_get(arguments, "who")));
}

static const struct mcp_prompt test_prompts[] = {
    {"hello", "Hello", "Greets.", {{"who", "Whom", true}, {"how", "How", false}}, test_text},
};
static const struct mcp_template test_templates[] = {{"test://{x}", "x", "X", "An x.", "text/plain"}};
static const struct mcp_server test_server = {
    .name = "test",
    .version = "1",
    .instructions = "Try.",
    .tools = test_tools,
    .n_tools = ARRAY_LEN(test_tools),
    .prompts = test_prompts,
    .n_prompts = ARRAY_LEN(test_prompts),
    .templates = test_templates,
    .n_templates = ARRAY_LEN(test_templates),
    .resources = test_resources,
    .read = test_read,
    .subscribable = test_subscribable,
};
