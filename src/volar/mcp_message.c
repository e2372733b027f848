/* SPDX-License-Identifier: Apache-2.0 */
#include "volar/mcp.h"

#include <openssl/evp.h>
#include <string.h>

#include "model/schema.h"

#define KEY_VERSION "io.modelcontextprotocol/protocolVersion"
#define MARK_BEGIN  "=?base64?"
#define MARK_END    "?="
#define INTERNAL    (-32603)

static const char *text_of(const json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}

static const json_t *version_of(const json_t *message)
{
    return json_object_get(json_object_get(json_object_get(message, "params"), "_meta"), KEY_VERSION);
}

bool mcp_is_modern(const json_t *message)
{
    return version_of(message) != NULL;
}

/* Printable ASCII without space at its ends. */
static bool is_plain(const char *s)
{
    size_t n = strlen(s);

    if (n == 0 || s[0] == ' ' || s[n - 1] == ' ') return false;
    for (size_t i = 0; i < n; i++)
        if (s[i] < ' ' || s[i] > '~') return false;
    return true;
}

static int add_name(const char *name, struct strv *ret)
{
    auto_free unsigned char *encoded = NULL;
    size_t n = strlen(name);

    if (is_plain(name) && !(str_starts(name, MARK_BEGIN) && str_ends(name, MARK_END)))
        return strv_addf(ret, "Mcp-Name: %s", name);
    if (n > MCP_LINE_MAX || !(encoded = malloc(n / 3 * 4 + 5))) return -ENOMEM;
    (void)EVP_EncodeBlock(encoded, (const unsigned char *)name, (int)n);
    return strv_addf(ret, "Mcp-Name: " MARK_BEGIN "%s" MARK_END, (const char *)encoded);
}

/* What cannot be a header is left out: volantd says so. */
static int add_plain(const char *header, const char *value, struct strv *ret)
{
    return value && is_plain(value) ? strv_addf(ret, "%s: %s", header, value) : 0;
}

int mcp_headers(const json_t *message, const char *legacy, struct strv *ret)
{
    const json_t *params = json_object_get(message, "params");
    const char *method = text_of(message, "method"), *name = NULL;
    int r;

    if (!mcp_is_modern(message))
        return str_eq(method, "initialize") ? 0 : add_plain("MCP-Protocol-Version", legacy, ret);
    if (str_eq(method, "tools/call") || str_eq(method, "prompts/get")) name = text_of(params, "name");
    if (str_eq(method, "resources/read")) name = text_of(params, "uri");
    if ((r = add_plain("MCP-Protocol-Version", json_string_value(version_of(message)), ret)) < 0 ||
        (r = add_plain("Mcp-Method", method, ret)) < 0)
        return r;
    return name ? add_name(name, ret) : 0;
}

char *mcp_cancelled_line(const json_t *id)
{
    json_auto_t *j = json_pack("{s:s, s:s, s:{s:O, s:s}}", "jsonrpc", "2.0", "method", "notifications/cancelled",
                               "params", "requestId", (json_t *)id, "reason", "volantd ends the subscription");

    return j ? json_text(j) : NULL;
}

char *mcp_error_line(const json_t *id, int code, const char *text)
{
    size_t n = utf8_prefix(text, strlen(text));
    json_auto_t *j = json_pack("{s:s, s:{s:i, s:s%}}", "jsonrpc", "2.0", "error", "code", code, "message", text, n);

    if (!j || (id && json_object_set(j, "id", (json_t *)id) < 0)) return NULL;
    return json_text(j);
}

char *mcp_answer_line(const json_t *id, long status, const char *body, size_t len, char ret_version[static 16])
{
    json_auto_t *j = json_loadb(body, len, 0, NULL);
    const char *version = text_of(json_object_get(j, "result"), "protocolVersion"), *error;
    char text[300];

    if (text_of(j, "jsonrpc")) {
        if (version) (void)strf(ret_version, 16, "%s", version);
        return json_text(j);
    }
    error = text_of(j, "error"); /* of volantd, which refused it before it was looked at */
    if (!error || strf(text, sizeof(text), "volantd refused it: %s", error) < 0)
        (void)strf(text, sizeof(text), "volantd answered with status %ld", status);
    return mcp_error_line(id, INTERNAL, text);
}
