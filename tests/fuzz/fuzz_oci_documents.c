/* SPDX-License-Identifier: Apache-2.0 */
/* An image's documents: input is split at NUL bytes into index, manifest, configuration. */
#include "fuzz.h"

#include <string.h>

#include "base/str.h"
#include "oci/image.h"

static void check_image(const struct oci_image *image)
{
    must(image->n_layers <= OCI_LAYERS_MAX && strlen(image->config_hex) == SHA256_HEX);
    for (size_t i = 0; i < image->n_layers; i++)
        must(strlen(image->layers[i].hex) == SHA256_HEX && image->layers[i].size > 0);
}

static void check_document(const json_t *doc, struct oci_image *image)
{
    struct oci_listed listed = {0};
    struct oci_image other = {0};
    struct vl_error err = {0};
    enum oci_document kind;

    if (oci_config_decode(doc, "c", image, &err) == 0) must(str_eq(image->os, "linux"));
    oci_image_done(image);
    if (oci_document_kind(doc, "d", &kind, &err) < 0) {
        must(err.kind == VL_INVALID && *err.msg);
    } else if (kind == OCI_INDEX) {
        if (oci_index_choose(doc, "i", NULL, NULL, &listed, &err) == 0) must(strlen(listed.hex) == SHA256_HEX);
    } else if (oci_manifest_decode(doc, "m", image, &err) == 0) {
        check_image(image);
    } else {
        must(memcmp(image, &other, sizeof(other)) == 0); /* NOLINT(bugprone-suspicious-memory-comparison): all zero */
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    auto_oci_image image = {0};

    while (size > 0) {
        const uint8_t *end = memchr(data, 0, size);
        size_t len = end ? (size_t)(end - data) : size;
        json_auto_t *doc = NULL;

        if (json_parse((const char *)data, len, "d", &doc, NULL) == 0) check_document(doc, &image);
        data += len + (end != NULL);
        size -= len + (end != NULL);
    }
    return 0;
}
