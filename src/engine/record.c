/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A VM's record: what of its row its folder keeps beside each boot (vm.json), so that a registry that lost it can take
 * it in again. It tells of the boot that runs, so a configuration that counts from the next start on is not in it.
 */
#include <string.h>

#include "engine/vm.h"

#define TEXT_MAX (2 << 20)

struct record {
    char *plugin, *runtime, *ip_address, *mac_address, *deployment;
    char *config, *manifest; /* JSON text */
    int64_t cpu_cores, memory_mb, revision, created_ms;
};

#define AT(member) offsetof(struct record, member)
static const struct field fields[] = {
    {"plugin", FIELD_STRING, .flags = FIELD_REQUIRED, .offset = AT(plugin), .min = 1, .max = 63},
    {"runtime", FIELD_STRING, .offset = AT(runtime), .max = 128},
    {"cpu_cores", FIELD_INT, .flags = FIELD_REQUIRED, .offset = AT(cpu_cores), .min = 1, .max = CPU_CORES_MAX},
    {"memory_mb", FIELD_INT, .flags = FIELD_REQUIRED, .offset = AT(memory_mb), .min = 1, .max = MEMORY_MB_MAX},
    {"ip_address", FIELD_STRING, .flags = FIELD_REQUIRED, .offset = AT(ip_address), .min = 7, .max = 15},
    {"mac_address", FIELD_STRING, .flags = FIELD_REQUIRED, .offset = AT(mac_address), .min = 17, .max = 17},
    {"deployment", FIELD_STRING, .offset = AT(deployment), .max = 63},
    {"revision", FIELD_INT, .offset = AT(revision), .min = 0, .max = INT64_MAX},
    {"created_ms", FIELD_INT, .flags = FIELD_REQUIRED, .offset = AT(created_ms), .min = 0, .max = INT64_MAX},
    {"config", FIELD_JSON, .flags = FIELD_REQUIRED, .offset = AT(config), .max = TEXT_MAX},
    {"manifest", FIELD_JSON, .flags = FIELD_REQUIRED, .offset = AT(manifest), .max = TEXT_MAX},
};
static const struct schema record_schema = {"record", sizeof(struct record), fields, ARRAY_LEN(fields)};

static void record_done(struct record *r)
{
    schema_done(&record_schema, r);
}

char *vm_record_text(const struct vm *vm)
{
    const struct vm_row *row = &vm->row;
    const struct record r = {.plugin = row->plugin, /* borrows all */
                             .runtime = row->runtime,
                             .ip_address = row->ip_address,
                             .mac_address = row->mac_address,
                             .deployment = row->deployment,
                             .config = row->config,
                             .manifest = row->manifest,
                             .cpu_cores = row->cpu_cores,
                             .memory_mb = row->memory_mb,
                             .revision = row->revision,
                             .created_ms = row->created_ms};
    json_auto_t *j = schema_encode(&record_schema, &r);

    return j ? json_text(j) : NULL;
}

static char *text_or_empty(const char *s)
{
    return strdup(s ? s : "");
}

static int row_fill(const struct vmm_note *note, const struct record *r, struct vm_row *row)
{
    row->id = note->id;
    row->cpu_cores = r->cpu_cores;
    row->memory_mb = r->memory_mb;
    row->revision = r->revision;
    row->created_ms = row->config_ms = r->created_ms;
    row->config_version = 1; /* its history went with its row */
    row->name = strdup(note->name);
    row->boot = strdup(note->boot);
    row->kernel_cmdline = strdup(note->kernel_cmdline);
    row->reason = strdup("");
    row->plugin = strdup(r->plugin);
    row->runtime = text_or_empty(r->runtime);
    row->deployment = text_or_empty(r->deployment);
    row->ip_address = strdup(r->ip_address);
    row->mac_address = strdup(r->mac_address);
    row->config = strdup(r->config);
    row->manifest = strdup(r->manifest);
    return row->name && row->boot && row->kernel_cmdline && row->reason && row->plugin && row->runtime &&
                   row->deployment && row->ip_address && row->mac_address && row->config && row->manifest
               ? 0
               : -ENOMEM;
}

int vm_record_row(const struct vmm_note *note, struct vm_row *ret, struct vl_error *err)
{
    auto_(record_done) struct record r = {0};
    auto_(vm_row_done) struct vm_row row = {0};
    json_auto_t *j = NULL;
    int e;

    if (!note->record)
        return vl_fail(err, VL_INVALID, "an older volantd started it, which left no record of it in its folder");
    if (name_problem(note->name)) return vl_fail(err, VL_INVALID, "its name in vm.json is none");
    if ((e = json_parse(note->record, strlen(note->record), "vm.json: record", &j, err)) < 0) return e;
    if ((e = schema_decode(&record_schema, j, "vm.json: record", &r, NULL, err)) < 0) return e;
    if ((e = row_fill(note, &r, &row)) < 0) return vl_fail_errno(err, e, "read the record");
    *ret = row;
    row = (struct vm_row){0};
    return 0;
}
