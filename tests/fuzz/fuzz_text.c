/* SPDX-License-Identifier: Apache-2.0 */
/* Text that people and guests supply: what we make of it for terminals and JSON, and our small parsers. */
#include "fuzz.h"

#include <string.h>

#include "model/vm.h"

static void check_escapes(const char *text, size_t size)
{
    char shown[256];
    size_t taken = escape_printable(shown, sizeof(shown), text, size);
    size_t len = strlen(shown);

    must(taken <= size);
    must(len < sizeof(shown));
    must(utf8_prefix(shown, len) == len);
    for (size_t i = 0; i < len; i++)
        must((unsigned char)shown[i] >= 0x20 && shown[i] != 0x7f);
}

static void check_json(const char *text, size_t size)
{
    auto_strbuf b = {0};
    json_auto_t *parsed = NULL;
    struct vl_error err = {0};

    strbuf_adds(&b, "[");
    strbuf_add_json(&b, text, size);
    strbuf_adds(&b, "]");
    must(!b.failed);
    must(json_parse(b.data, b.len, "escaped", &parsed, &err) == 0);
    must(json_is_string(json_array_get(parsed, 0)));
}

static void check_parsers(const char *text)
{
    struct port_map port = {0};
    struct vl_error err = {0};
    char shown[16];
    uint32_t address, again;
    unsigned prefix;

    if (parse_ipv4(text, &address) == 0) {
        format_ipv4(address, shown);
        must(parse_ipv4(shown, &again) == 0 && again == address);
    }
    if (parse_cidr(text, &address, &prefix) == 0) must(prefix <= 32);
    if (port_map_parse(text, &port, &err) == 0) {
        must(port.port >= 1 && port.port <= 65535);
        must(port.host_port >= 0 && port.host_port <= 65535);
        port_map_done(&port);
    } else {
        must(err.msg[0]);
    }
    (void)name_problem(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    auto_free char *text = strndup((const char *)(data ? data : (const uint8_t *)""), size);

    must(text);
    check_escapes((const char *)data, size);
    check_json((const char *)data, size);
    check_parsers(text);
    return 0;
}
