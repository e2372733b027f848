/* SPDX-License-Identifier: Apache-2.0 */
/* Small ordered string maps: environments and labels, of which there are tens. */
#include <string.h>

#include "model/schema.h"

void strmap_done(struct strmap *m)
{
    for (size_t i = 0; i < m->len; i++) {
        free(m->items[i].key);
        free(m->items[i].value);
    }
    free(m->items);
    *m = (struct strmap){0};
}

static struct strpair *find(const struct strmap *m, const char *key)
{
    for (size_t i = 0; i < m->len; i++)
        if (strcmp(m->items[i].key, key) == 0) return &m->items[i];
    return NULL;
}

static int append(struct strmap *m, const char *key, const char *value)
{
    auto_free char *new_key = strdup(key), *new_value = strdup(value);
    struct strpair *items;

    if (!new_key || !new_value) return -ENOMEM;
    if (!(items = reallocarray(m->items, m->len + 1, sizeof(*items)))) return -ENOMEM;
    m->items = items;
    items[m->len++] = (struct strpair){.key = take_ptr(new_key), .value = take_ptr(new_value)};
    return 0;
}

int strmap_set(struct strmap *m, const char *key, const char *value)
{
    struct strpair *pair = find(m, key);

    return pair ? string_set(&pair->value, value) : append(m, key, value);
}

const char *strmap_get(const struct strmap *m, const char *key)
{
    const struct strpair *pair = find(m, key);

    return pair ? pair->value : NULL;
}
