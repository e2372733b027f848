/* SPDX-License-Identifier: Apache-2.0 */
/* An image's configuration as the parts of a plugin manifest that it determines. */
#pragma once
#include <jansson.h>

#include "oci/image.h"
#include "oci/index.h"

/*
 * {"workload": {...}, "health_check": {...}, "labels": {...}, "image": ..., "image_digest": ...}, as config_complete
 * takes it; the caller's. `reference` is how the image was named.
 */
int image_config_json(const struct oci_image *image, const char *reference, json_t **ret, struct vl_error *err);

/* It may be executed; links are followed. */
bool image_is_program(const struct oci_index *x, const char *path);
struct workload;
/* What kestrel would not find in the image: the program, or that it may be executed. VL_INVALID. */
int image_program_check(const struct oci_index *x, const struct workload *w, const char *reference,
                        struct vl_error *err);
