/* SPDX-License-Identifier: Apache-2.0 */
/* A plugin's manifest: what is stored of an accepted one is accepted again and means the same. */
#include "fuzz.h"

#include "model/manifest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    json_auto_t *in = NULL, *stored = NULL, *stored_again = NULL;
    auto_manifest first = {0}, second = {0};
    auto_strv warnings = {0};
    struct vl_error err = {0};

    if (json_parse((const char *)data, size, "input", &in, &err) < 0) return 0;
    if (manifest_decode(in, "input", &first, &stored, &warnings, &err) < 0) return 0;
    must(stored);
    must(manifest_decode(stored, "stored", &second, &stored_again, NULL, &err) == 0);
    must(json_equal(stored, stored_again));
    return 0;
}
