/* SPDX-License-Identifier: Apache-2.0 */
/* volar system info */
#include <stdio.h>

#include "volar/api.h"
#include "volar/output.h"
#include "volar/volar.h"

#define CALL_S 10

static void print_size(const char *label, const json_t *bytes)
{
    char size[24];

    size_text((uint64_t)json_integer_value(bytes), size);
    print_field(label, size);
}

static void print_patches(const json_t *kernel)
{
    const json_t *patches = json_object_get(kernel, "patches"), *p;
    size_t i;

    printf("Kernel patches:");
    for (i = 0; (p = json_array_get(patches, i)); i++)
        printf(" %s", json_string_value(p));
    puts(json_array_size(patches) ? "" : " none");
}

static void print_statuses(const json_t *by_status)
{
    const char *status;
    json_t *n;

    json_object_foreach((json_t *)by_status, status, n) if (json_integer_value(n))
        printf("  %s: %lld\n", status, (long long)json_integer_value(n));
}

static long long number(const json_t *object, const char *key)
{
    return (long long)json_integer_value(json_object_get(object, key));
}

static void print_capacity(const json_t *capacity)
{
    printf("Memory for VMs: %lld MB, %lld MB taken\n", number(capacity, "memory_mb"),
           number(capacity, "memory_taken_mb"));
    printf("vCPUs for VMs: %lld, %lld taken\n", number(capacity, "vcpus"), number(capacity, "vcpus_taken"));
    print_size("Disk free", json_object_get(capacity, "disk_free_bytes"));
    print_size("Disk reserve", json_object_get(capacity, "disk_reserve_bytes"));
}

static void print_info(const json_t *j)
{
    const json_t *memory = json_object_get(j, "memory");

    print_field("volantd", text_at(j, NULL, "version"));
    printf("PID: %lld, up %lld s\n", (long long)json_integer_value(json_object_get(j, "pid")),
           (long long)json_integer_value(json_object_get(j, "uptime_seconds")));
    print_field("Socket", text_at(j, NULL, "socket"));
    if (*text_at(j, NULL, "api_listen_addr")) print_field("TCP", text_at(j, NULL, "api_listen_addr"));
    print_field("State", text_at(j, NULL, "state_dir"));
    printf("Acceleration: %s (%s)\n", text_at(j, NULL, "accel"), text_at(j, NULL, "accel_reason"));
    printf("VMM: %s %s at %s\n", text_at(j, "vmm", "name"), text_at(j, "vmm", "version"), text_at(j, "vmm", "path"));
    printf("Kernel: %s at %s\n", text_at(j, "kernel", "version"), text_at(j, "kernel", "path"));
    print_patches(json_object_get(j, "kernel"));
    print_size("Host memory", json_object_get(memory, "host_total_bytes"));
    print_size("Host memory available", json_object_get(memory, "host_available_bytes"));
    print_capacity(json_object_get(j, "capacity"));
    printf("VMs: %lld\n", (long long)json_integer_value(json_object_get(j, "vm_count")));
    print_statuses(json_object_get(j, "vms_by_status"));
    printf("Plugins: %lld\n", (long long)json_integer_value(json_object_get(j, "plugin_count")));
}

int system_info(void *ctx, int argc, char *const *argv)
{
    struct volar *v = ctx;
    struct vl_error err = {0};
    json_auto_t *j = NULL;
    size_t n;
    int r = volar_begin(v, argc, argv, NULL, 0, 0, &n);

    if (r >= 0) return r;
    if (api_json(v, "GET", "/api/v1/system/info", NULL, CALL_S, &j, &err) < 0) return volar_fail(&err);
    if (volar_json(v)) return print_json(j) < 0 ? EXIT_FAILED : EXIT_DONE;
    print_info(j);
    return EXIT_DONE;
}
