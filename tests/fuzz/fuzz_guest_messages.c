/* SPDX-License-Identifier: Apache-2.0 */
/* What a hostile guest may answer on the control channel. The first byte chooses the message, JSON follows. */
#include "fuzz.h"

#include "model/guest.h"

static const struct schema *const schemas[] = {&guest_health_schema, &guest_event_schema, &guest_stats_schema,
                                               &guest_log_schema,    &guest_clock_schema, &guest_config_schema};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    json_auto_t *in = NULL, *once = NULL, *twice = NULL;
    union {
        struct guest_health health;
        struct guest_event event;
        struct guest_stats stats;
        struct guest_log log;
        struct guest_clock clock;
        struct guest_config config;
    } first, second;
    struct vl_error err = {0};
    const struct schema *s;

    if (size == 0) return 0;
    s = schemas[data[0] % ARRAY_LEN(schemas)];
    must(s->size <= sizeof(first));
    if (json_parse((const char *)data + 1, size - 1, "input", &in, &err) < 0) return 0;
    if (schema_decode(s, in, NULL, &first, NULL, &err) < 0) return 0;
    must(once = schema_encode(s, &first));
    must(schema_decode(s, once, NULL, &second, NULL, &err) == 0);
    must(twice = schema_encode(s, &second));
    must(json_equal(once, twice));
    schema_done(s, &first);
    schema_done(s, &second);
    return 0;
}
