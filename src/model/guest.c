/* SPDX-License-Identifier: Apache-2.0 */
/* Messages between host and guest. The host reads the guest's: a hostile one gets no long strings or odd numbers past.
 */
#include "model/guest.h"

#define COUNT .min = 0, .max = INT64_MAX

static const char *const shutdowns[] = {"reboot", "poweroff", NULL};

static const struct field network_fields[] = {
    {"address", FIELD_STRING, .offset = offsetof(struct guest_network, address), .max = 64},
    {"gateway", FIELD_STRING, .offset = offsetof(struct guest_network, gateway), .max = 64},
    {"mac", FIELD_STRING, .offset = offsetof(struct guest_network, mac), .max = 64},
};
static const struct schema network_schema = {"network", sizeof(struct guest_network), network_fields,
                                             ARRAY_LEN(network_fields)};

static const struct field root_fields[] = {
    {"fstype", FIELD_STRING, .offset = offsetof(struct guest_root, fstype), .max = 16},
    {"persistent", FIELD_BOOL, .offset = offsetof(struct guest_root, persistent)},
    {"overlay_mb", FIELD_INT, .offset = offsetof(struct guest_root, overlay_mb), COUNT},
    {"init", FIELD_STRING, .offset = offsetof(struct guest_root, init), .max = 4095},
};
static const struct schema root_schema = {"root", sizeof(struct guest_root), root_fields, ARRAY_LEN(root_fields)};

static const struct field config_fields[] = {
    {"api", FIELD_INT, .flags = FIELD_REQUIRED, .offset = offsetof(struct guest_config, api), .min = 1,
     .max = INT64_MAX},
    {"vm_id", FIELD_INT, .offset = offsetof(struct guest_config, vm_id), COUNT},
    {"hostname", FIELD_STRING, .offset = offsetof(struct guest_config, hostname), .max = 64},
    {"shutdown", FIELD_STRING, .flags = FIELD_REQUIRED, .offset = offsetof(struct guest_config, shutdown),
     .choices = shutdowns},
    {"network", FIELD_OBJECT, .offset = offsetof(struct guest_config, network), .sub = &network_schema},
    {"root", FIELD_OBJECT, .offset = offsetof(struct guest_config, root), .sub = &root_schema},
    {"health_check", FIELD_OBJECT, .offset = offsetof(struct guest_config, health_check), .sub = &health_check_schema},
    {"ready_port", FIELD_INT, .offset = offsetof(struct guest_config, ready_port), .min = 0, .max = 65535},
    {"workload", FIELD_OBJECT, .offset = offsetof(struct guest_config, workload), .sub = &workload_schema},
};
const struct schema guest_config_schema = {"config", sizeof(struct guest_config), config_fields,
                                           ARRAY_LEN(config_fields)};

void guest_config_done(struct guest_config *c)
{
    schema_done(&guest_config_schema, c);
}

static const struct field health_fields[] = {
    {"api", FIELD_INT, .flags = FIELD_REQUIRED, .offset = offsetof(struct guest_health, api), .min = 1,
     .max = INT64_MAX},
    {"version", FIELD_STRING, .flags = FIELD_EMIT, .offset = offsetof(struct guest_health, version), .max = 64},
    {"state", FIELD_STRING, .flags = FIELD_REQUIRED, .offset = offsetof(struct guest_health, state), .max = 32},
    {"ready", FIELD_BOOL, .flags = FIELD_EMIT, .offset = offsetof(struct guest_health, ready)},
    {"health", FIELD_STRING, .offset = offsetof(struct guest_health, health), .max = 16},
    {"reason", FIELD_STRING, .offset = offsetof(struct guest_health, reason), .max = HEALTH_REASON_MAX},
    {"uptime_ms", FIELD_INT, .flags = FIELD_EMIT, .offset = offsetof(struct guest_health, uptime_ms), COUNT},
};
const struct schema guest_health_schema = {"health", sizeof(struct guest_health), health_fields,
                                           ARRAY_LEN(health_fields)};

static const struct field event_fields[] = {
    {"type", FIELD_STRING, .flags = FIELD_REQUIRED, .offset = offsetof(struct guest_event, type), .min = 1, .max = 64},
    {"state", FIELD_STRING, .offset = offsetof(struct guest_event, state), .max = 32},
    {"ready", FIELD_BOOL, .flags = FIELD_EMIT, .offset = offsetof(struct guest_event, ready)},
    {"health", FIELD_STRING, .offset = offsetof(struct guest_event, health), .max = 16},
    {"reason", FIELD_STRING, .offset = offsetof(struct guest_event, reason), .max = HEALTH_REASON_MAX},
    {"code", FIELD_INT, .offset = offsetof(struct guest_event, code), .min = 0, .max = 255},
    {"signal", FIELD_INT, .offset = offsetof(struct guest_event, signal), .min = 0, .max = 127},
};
const struct schema guest_event_schema = {"event", sizeof(struct guest_event), event_fields, ARRAY_LEN(event_fields)};

#define STAT(name)                                                                                                     \
    {                                                                                                                  \
#name, FIELD_INT, .flags = FIELD_EMIT, .offset = offsetof(struct guest_stats, name), COUNT                     \
    }
static const struct field stats_fields[] = {
    STAT(uptime_ms),   STAT(memory_total), STAT(memory_available), STAT(cpu_user_ms),  STAT(cpu_system_ms),
    STAT(cpu_idle_ms), STAT(processes),    STAT(workload_pid),     STAT(workload_rss),
};
const struct schema guest_stats_schema = {"stats", sizeof(struct guest_stats), stats_fields, ARRAY_LEN(stats_fields)};

static const struct field log_fields[] = {
    {"stream", FIELD_STRING, .flags = FIELD_EMIT, .offset = offsetof(struct guest_log, stream), .max = 16},
    {"line", FIELD_STRING, .flags = FIELD_EMIT, .offset = offsetof(struct guest_log, line), .max = LOG_LINE_MAX},
    {"timestamp", FIELD_STRING, .flags = FIELD_EMIT, .offset = offsetof(struct guest_log, timestamp), .max = 64},
};
const struct schema guest_log_schema = {"log", sizeof(struct guest_log), log_fields, ARRAY_LEN(log_fields)};

static const struct field clock_fields[] = {
    {"unix_us", FIELD_INT, .flags = FIELD_REQUIRED, .offset = offsetof(struct guest_clock, unix_us), .min = 1,
     .max = INT64_MAX},
};
const struct schema guest_clock_schema = {"clock", sizeof(struct guest_clock), clock_fields, ARRAY_LEN(clock_fields)};
