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

static const struct field workload_fields[] = {
    {"type", FIELD_STRING, .offset = offsetof(struct workload, type)},
    {"base_url", FIELD_STRING, .offset = offsetof(struct workload, base_url), .max = 2048},
    {"entrypoint", FIELD_STRINGS, .flags = FIELD_REQUIRED, .offset = offsetof(struct workload, entrypoint), .min = 1,
     .max = 1024},
    {"env", FIELD_MAP, .offset = offsetof(struct workload, env)},
    {"workdir", FIELD_STRING, .offset = offsetof(struct workload, workdir), .max = 4095},
    {"user", FIELD_STRING, .offset = offsetof(struct workload, user), .max = 128},
};
const struct schema workload_schema = {"workload", sizeof(struct workload), workload_fields,
                                       ARRAY_LEN(workload_fields)};
