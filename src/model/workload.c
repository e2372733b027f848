/* SPDX-License-Identifier: Apache-2.0 */
/* The part of a manifest that both sides of the channel read, apart from it so that kestrel links nothing else. */
#include <string.h>

#include "model/manifest.h"

static const struct field resources_fields[] = {
    {"cpu_cores", FIELD_INT, .offset = offsetof(struct resources, cpu_cores), .min = 1, .max = CPU_CORES_MAX},
    {"memory_mb", FIELD_INT, .offset = offsetof(struct resources, memory_mb), .min = MEMORY_MB_MIN,
     .max = MEMORY_MB_MAX},
};
const struct schema resources_schema = {"resources", sizeof(struct resources), resources_fields,
                                        ARRAY_LEN(resources_fields)};

static const char *const workload_types[] = {"http", "exec", NULL};
static const struct field workload_fields[] = {
    {"type", FIELD_STRING, .flags = FIELD_TOLD, .offset = offsetof(struct workload, type), .choices = workload_types},
    {"base_url", FIELD_STRING, .offset = offsetof(struct workload, base_url), .max = 2048, .pattern = "^http://[^/]"},
    {"entrypoint", FIELD_STRINGS, .flags = FIELD_REQUIRED, .offset = offsetof(struct workload, entrypoint), .min = 1,
     .max = 1024},
    {"command_index", FIELD_INT, .offset = offsetof(struct workload, command_index), .min = 0, .max = 1024},
    {"env", FIELD_MAP, .offset = offsetof(struct workload, env)},
    {"workdir", FIELD_STRING, .offset = offsetof(struct workload, workdir), .max = 4095, .pattern = "^/"},
    {"user", FIELD_STRING, .offset = offsetof(struct workload, user), .max = 128},
    {"stop_signal", FIELD_STRING, .offset = offsetof(struct workload, stop_signal), .max = 16},
    {"volumes", FIELD_STRINGS, .offset = offsetof(struct workload, volumes), .max = 64},
    {"exposed_ports", FIELD_STRINGS, .offset = offsetof(struct workload, exposed_ports), .max = 256},
};
static const char *const health_types[] = {"http", "tcp", "exec", NULL};

#define AT(member) offsetof(struct health_check, member)
#define HOUR_MS    3600000ll
static const struct field health_check_fields[] = {
    {"type", FIELD_STRING, .offset = AT(type), .choices = health_types},
    {"endpoint", FIELD_STRING, .offset = AT(endpoint), .max = 2048},
    {"port", FIELD_INT, .offset = AT(port), .min = 1, .max = 65535},
    {"command", FIELD_STRINGS, .offset = AT(command), .max = 64},
    {"timeout_ms", FIELD_INT, .offset = AT(timeout_ms), .min = 0, .max = 24 * HOUR_MS},
    {"interval_ms", FIELD_INT, .offset = AT(interval_ms), .min = 100, .max = HOUR_MS, .def = HEALTH_INTERVAL_MS},
    {"check_timeout_ms", FIELD_INT, .offset = AT(check_timeout_ms), .min = 10, .max = 600000,
     .def = HEALTH_CHECK_TIMEOUT_MS},
    {"retries", FIELD_INT, .offset = AT(retries), .min = 1, .max = 100, .def = HEALTH_RETRIES},
    {"start_period_ms", FIELD_INT, .offset = AT(start_period_ms), .min = 0, .max = HOUR_MS},
};
const struct schema health_check_schema = {"health_check", sizeof(struct health_check), health_check_fields,
                                           ARRAY_LEN(health_check_fields)};

const char *const restart_policies[] = {
    [RESTART_NO] = "no", [RESTART_ON_FAILURE] = "on-failure", [RESTART_ALWAYS] = "always", NULL};

const char *restart_policy_name(enum restart_policy p)
{
    return restart_policies[p];
}

int restart_policy_parse(const char *s, enum restart_policy *ret)
{
    for (int i = 0; restart_policies[i]; i++)
        if (s && str_eq(s, restart_policies[i])) {
            *ret = (enum restart_policy)i;
            return 0;
        }
    if (s && *s) return -EINVAL;
    *ret = RESTART_NO;
    return 0;
}

const struct schema workload_schema = {"workload", sizeof(struct workload), workload_fields,
                                       ARRAY_LEN(workload_fields)};
