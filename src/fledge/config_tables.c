/* SPDX-License-Identifier: Apache-2.0 */
/* The keys of both dialects of fledge.toml and of manifest.toml: checked by, and published as JSON Schema from, these.
 */
#include "fledge/config_keys.h"
#include "fledge/pack.h"
#include "oci/sqfs.h"

/* --- the one dialect: [plugin] ------------------------------------------------------------------------------------ */

static const char *const strategies[] = {"initramfs", "oci_rootfs", NULL};
static const char *const file_systems[] = {"squashfs", "ext4", NULL};

static const char *const library_choices[] = {"auto", "none", NULL};
static const char *const types[] = {"http", "exec", NULL};

static const char *const restarts[] = {"no", "on-failure", "always", NULL};
static const char *const checks[] = {"http", "tcp", "exec", NULL};

static const struct key plugin_keys[] = {
    {"name", KEY_TEXT, true, "name = \"web\"", NULL, NULL},
    {"version", KEY_TEXT, true, "version = \"1.0.0\"", NULL, NULL},
    {"runtime", KEY_TEXT, false, "runtime = \"web\"", NULL, NULL},
    {"strategy", KEY_TEXT, true, "strategy = \"initramfs\"", NULL, strategies},
    {"restart", KEY_TEXT, false, "restart = \"on-failure\"", NULL, restarts},
    {0},
};
static const struct key source_keys[] = {
    {"image", KEY_TEXT, false, "image = \"docker.io/library/nginx:alpine\"", NULL, NULL},
    {"dockerfile", KEY_TEXT, false, "dockerfile = \"./Dockerfile\"", NULL, NULL},
    {"context", KEY_TEXT, false, "context = \".\"", NULL, NULL},
    {"target", KEY_TEXT, false, "target = \"final\"", NULL, NULL},
    {"build_args", KEY_MAP, false, "build_args = { VERSION = \"1.0\" }", NULL, NULL},
    {0},
};
static const struct key initramfs_keys[] = {
    {"busybox", KEY_BOOL, false, "busybox = true", NULL, NULL},
    {"busybox_sha256", KEY_TEXT, false, "busybox_sha256 = \"...\"", NULL, NULL},
    {"compression", KEY_TEXT, false, "compression = \"zstd\"", NULL, packings},
    {"compression_level", KEY_COUNT, false, "compression_level = 19", NULL, NULL},
    {0},
};
static const struct key init_keys[] = {
    {"path", KEY_TEXT, false, "path = \"./init\"", NULL, NULL},
    {"none", KEY_BOOL, false, "none = true", NULL, NULL},
    {0},
};
static const struct key filesystem_keys[] = {
    {"type", KEY_TEXT, false, "type = \"squashfs\"", NULL, file_systems},
    {"compression", KEY_TEXT, false, "compression = \"zstd\"", NULL, sqfs_packings},
    {"compression_level", KEY_COUNT, false, "compression_level = 15", NULL, NULL},
    {"size_mb", KEY_NUMBER, false, "size_mb = 2048", NULL, NULL},
    {"size_buffer_mb", KEY_COUNT, false, "size_buffer_mb = 256", NULL, NULL},
    {"preallocate", KEY_BOOL, false, "preallocate = true", NULL, NULL},
    {0},
};
static const struct key mapping_keys[] = {
    {"source", KEY_TEXT, true, "source = \"./program\"", NULL, NULL},
    {"dest", KEY_TEXT, true, "dest = \"/usr/local/bin/program\"", NULL, NULL},
    {"mode", KEY_MODE, false, "mode = 0o755", NULL, NULL},
    {"libraries", KEY_TEXT, false, "libraries = \"auto\"", NULL, library_choices},
    {0},
};
static const struct key workload_keys[] = {
    {"entrypoint", KEY_TEXTS, false, "entrypoint = [\"/usr/local/bin/program\", \"--option\"]", NULL, NULL},
    {"env", KEY_MAP, false, "env = { NAME = \"value\" }", NULL, NULL},
    {"workdir", KEY_TEXT, false, "workdir = \"/srv\"", NULL, NULL},
    {"user", KEY_TEXT, false, "user = \"1000:1000\"", NULL, NULL},
    {"type", KEY_TEXT, false, "type = \"exec\"", NULL, types},
    {"base_url", KEY_TEXT, false, "base_url = \"http://127.0.0.1:80\"", NULL, NULL},
    {"stop_signal", KEY_TEXT, false, "stop_signal = \"SIGQUIT\"", NULL, NULL},
    {"exposed_ports", KEY_TEXTS, false, "exposed_ports = [\"80/tcp\"]", NULL, NULL},
    {"volumes", KEY_TEXTS, false, "volumes = [\"/var/lib/data\"]", NULL, NULL},
    {0},
};
static const struct key resources_keys[] = {
    {"cpu_cores", KEY_NUMBER, false, "cpu_cores = 1", NULL, NULL},
    {"memory_mb", KEY_NUMBER, false, "memory_mb = 256", NULL, NULL},
    {0},
};
static const struct key health_check_keys[] = {
    {"type", KEY_TEXT, false, "type = \"http\"", NULL, checks},
    {"endpoint", KEY_TEXT, false, "endpoint = \"/healthz\"", NULL, NULL},
    {"port", KEY_NUMBER, false, "port = 8080", NULL, NULL},
    {"command", KEY_TEXTS, false, "command = [\"/usr/local/bin/check\"]", NULL, NULL},
    {"timeout_ms", KEY_COUNT, false, "timeout_ms = 120000", NULL, NULL},
    {"interval_ms", KEY_NUMBER, false, "interval_ms = 10000", NULL, NULL},
    {"check_timeout_ms", KEY_NUMBER, false, "check_timeout_ms = 2000", NULL, NULL},
    {"retries", KEY_NUMBER, false, "retries = 3", NULL, NULL},
    {"start_period_ms", KEY_COUNT, false, "start_period_ms = 5000", NULL, NULL},
    {0},
};
const struct key config_keys[] = {
    {"plugin", KEY_TABLE, true, "[plugin]", plugin_keys, NULL},
    {"oci_source", KEY_TABLE, false, "[oci_source]", source_keys, NULL},
    {"filesystem", KEY_TABLE, false, "[filesystem]", filesystem_keys, NULL},
    {"initramfs", KEY_TABLE, false, "[initramfs]", initramfs_keys, NULL},
    {"init", KEY_TABLE, false, "[init]", init_keys, NULL},
    {"file_mappings", KEY_TABLES, false, "[[file_mappings]]", mapping_keys, NULL},
    {"workload", KEY_TABLE, false, "[workload]", workload_keys, NULL},
    {"resources", KEY_TABLE, false, "[resources]", resources_keys, NULL},
    {"health_check", KEY_TABLE, false, "[health_check]", health_check_keys, NULL},
    {0},
};

/* --- the other one: version = "1" --------------------------------------------------------------------------------- */

static const char *const ones[] = {"1", NULL};
static const char *const agent_sources[] = {"release", "local", "http", NULL};
static const char *const all_file_systems[] = {"squashfs", "ext4", "xfs", "btrfs", NULL};

static const struct key agent_keys[] = {
    {"source_strategy", KEY_TEXT, false, "source_strategy = \"local\"", NULL, agent_sources},
    {"version", KEY_TEXT, false, "version = \"latest\"", NULL, NULL},
    {"path", KEY_TEXT, false, "path = \"./kestrel\"", NULL, NULL},
    {"url", KEY_TEXT, false, "url = \"https://example.com/kestrel\"", NULL, NULL},
    {"checksum", KEY_TEXT, false, "checksum = \"sha256:...\"", NULL, NULL},
    {0},
};
static const struct key v1_source_keys[] = {
    {"image", KEY_TEXT, false, "image = \"docker.io/library/nginx:alpine\"", NULL, NULL},
    {"dockerfile", KEY_TEXT, false, "dockerfile = \"./Dockerfile\"", NULL, NULL},
    {"context", KEY_TEXT, false, "context = \".\"", NULL, NULL},
    {"target", KEY_TEXT, false, "target = \"final\"", NULL, NULL},
    {"build_args", KEY_MAP, false, "build_args = { VERSION = \"1.0\" }", NULL, NULL},
    {"busybox_url", KEY_TEXT, false, "busybox_url = \"https://...\"", NULL, NULL},
    {"busybox_sha256", KEY_TEXT, false, "busybox_sha256 = \"...\"", NULL, NULL},
    {0},
};
static const struct key v1_filesystem_keys[] = {
    {"type", KEY_TEXT, false, "type = \"squashfs\"", NULL, all_file_systems},
    {"size_buffer_mb", KEY_COUNT, false, "size_buffer_mb = 256", NULL, NULL},
    {"preallocate", KEY_BOOL, false, "preallocate = true", NULL, NULL},
    {"compression_level", KEY_COUNT, false, "compression_level = 15", NULL, NULL},
    {"overlay_size", KEY_TEXT, false, "overlay_size = \"1G\"", NULL, NULL},
    {0},
};
const struct key v1_keys[] = {
    {"version", KEY_TEXT, true, "version = \"1\"", NULL, ones},
    {"strategy", KEY_TEXT, true, "strategy = \"initramfs\"", NULL, strategies},
    {"agent", KEY_TABLE, false, "[agent]", agent_keys, NULL},
    {"source", KEY_TABLE, false, "[source]", v1_source_keys, NULL},
    {"filesystem", KEY_TABLE, false, "[filesystem]", v1_filesystem_keys, NULL},
    {"init", KEY_TABLE, false, "[init]", init_keys, NULL},
    {"mappings", KEY_MAP, false, "[mappings]", NULL, NULL},
    {0},
};

static const char *const v1_schemas[] = {"v1", NULL};
static const char *const protocols[] = {"tcp", "udp", "sctp", NULL};

static const struct key v1_workload_keys[] = {
    {"entrypoint", KEY_TEXT, false, "entrypoint = \"/usr/local/bin/program\"", NULL, NULL},
    {"args", KEY_ARGUMENTS, false, "args = [\"--option\"]", NULL, NULL},
    {"workdir", KEY_TEXT, false, "workdir = \"/srv\"", NULL, NULL},
    {"base_url", KEY_TEXT, false, "base_url = \"http://127.0.0.1:80\"", NULL, NULL},
    {0},
};
static const struct key expose_keys[] = {
    {"port", KEY_NUMBER, true, "port = 80", NULL, NULL},
    {"protocol", KEY_TEXT, false, "protocol = \"tcp\"", NULL, protocols},
    {"host_port", KEY_COUNT, false, "host_port = 8080", NULL, NULL},
    {0},
};
static const struct key network_keys[] = {
    {"mode", KEY_TEXT, false, "mode = \"bridged\"", NULL, NULL},
    {"expose", KEY_TABLES, false, "[[network.expose]]", expose_keys, NULL},
    {0},
};
static const struct key action_keys[] = {
    {"path", KEY_TEXT, true, "path = \"/reload\"", NULL, NULL},
    {"method", KEY_TEXT, true, "method = \"POST\"", NULL, NULL},
    {"description", KEY_TEXT, false, "description = \"reloads\"", NULL, NULL},
    {0},
};
const struct key v1_manifest_keys[] = {
    {"schema_version", KEY_TEXT, false, "schema_version = \"v1\"", NULL, v1_schemas},
    {"name", KEY_TEXT, true, "name = \"web\"", NULL, NULL},
    {"version", KEY_TEXT, true, "version = \"1.0.0\"", NULL, NULL},
    {"runtime", KEY_TEXT, true, "runtime = \"web\"", NULL, NULL},
    {"resources", KEY_TABLE, false, "[resources]", resources_keys, NULL},
    {"workload", KEY_TABLE, false, "[workload]", v1_workload_keys, NULL},
    {"health_check", KEY_TABLE, false, "[health_check]", health_check_keys, NULL},
    {"env", KEY_MAP, false, "[env]", NULL, NULL},
    {"network", KEY_TABLE, false, "[network]", network_keys, NULL},
    {"actions", KEY_NAMED, false, "[actions.reload]", action_keys, NULL},
    {"cloud_init", KEY_ANY, false, "[cloud_init]", NULL, NULL},
    {"devices", KEY_ANY, false, "[devices]", NULL, NULL},
    {0},
};
