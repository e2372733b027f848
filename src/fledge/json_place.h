/* SPDX-License-Identifier: Apache-2.0 */
/* Where in a JSON text a value is, for messages that name it by its path. */
#pragma once
#include <stddef.h>

struct json_place {
    unsigned line, column; /* from 1; characters, not bytes */
};

/*
 * Of the value that `path` begins with: "workload.env has ..." and "health_check.command[2]" name theirs. What is not
 * there is looked for as far as it goes: the place is then that of the value it is missing in. The text is JSON that
 * json_parse has accepted.
 */
struct json_place json_place_of(const char *text, size_t len, const char *path);
