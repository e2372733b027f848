/* SPDX-License-Identifier: Apache-2.0 */
/* What is done to strings that a struct owns. Characters are tested in ASCII ranges: no locale. */
#include <string.h>

#include "model/manifest_rules.h"

int string_set(char **slot, const char *text)
{
    char *copy = text ? strdup(text) : NULL;

    if (text && !copy) return -ENOMEM;
    free(*slot);
    *slot = copy;
    return 0;
}

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

void trim_text(char *s)
{
    size_t start = 0, end = strlen(s);

    while (is_space(s[start]))
        start++;
    while (end > start && is_space(s[end - 1]))
        end--;
    memmove(s, s + start, end - start);
    s[end - start] = '\0';
}

void trim_field(char **slot)
{
    if (*slot) trim_text(*slot);
    if (*slot && !**slot) free(take_ptr(*slot));
}

void lower_case(char *s)
{
    for (; s && *s; s++)
        if (*s >= 'A' && *s <= 'Z') *s = (char)(*s - 'A' + 'a');
}
