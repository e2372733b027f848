/* SPDX-License-Identifier: Apache-2.0 */
/* A fledge.toml: a refusal has its place in the file, and what is accepted makes a manifest that volantd accepts. */
#include "fuzz.h"

#include <string.h>

#include "base/str.h"
#include "fledge/config_file.h"
#include "fledge/manifest.h"

static void check_manifest(const struct manifest *m)
{
    static const char hex[] = "0123456789012345678901234567890123456789012345678901234567890123";
    auto_free char *text = NULL;
    json_auto_t *j = NULL;
    auto_manifest again = {0};
    struct vl_error err = {0};

    const struct built built = {.url = "/a.cpio.zst", .hex = hex, .size = 1};
    must(manifest_write(m, &built, &text, &err) == 0);
    must(json_parse(text, strlen(text), "manifest", &j, &err) == 0);
    must(manifest_decode(j, "manifest", &again, NULL, NULL, &err) == 0);
    must(str_eq(m->name, again.name) && m->workload.entrypoint.len == again.workload.entrypoint.len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    /* manifest.toml is what follows the first form feed, which no TOML holds. */
    const char *text = (const char *)data, *feed = size ? memchr(text, '\f', size) : NULL;
    size_t len = feed ? (size_t)(feed - text) : size;
    const struct config_text from = {.file = "input",
                                     .text = text,
                                     .len = len,
                                     .manifest_file = "manifest",
                                     .manifest = feed ? feed + 1 : NULL,
                                     .manifest_len = feed ? size - len - 1 : 0};
    auto_config c = {0};
    struct vl_error err = {0};

    if (config_parse(&from, &c, &err) < 0) {
        must(err.kind == VL_INVALID && (str_starts(err.msg, "input:") || str_starts(err.msg, "manifest:")));
        must(!c.file && c.n_mappings == 0);
        return 0;
    }
    for (size_t i = 0; i < c.n_mappings; i++)
        must(*c.mappings[i].source && *c.mappings[i].dest && c.mappings[i].mode <= 07777);
    check_manifest(&c.manifest);
    return 0;
}
