/* SPDX-License-Identifier: Apache-2.0 */
/* A configuration in a file: alone, or as the API shows it, in "config". */
#pragma once
#include <jansson.h>

#include "base/error.h"

/* *ret is an object, the caller's. VL_INVALID begins with the option's name. */
int config_file_read(const char *option, const char *path, json_t **ret, struct vl_error *err);
