/* SPDX-License-Identifier: Apache-2.0 */
/* Forwards only: an old volantd must not guess what a newer one meant, so it refuses and says who wrote the file. */
#include "store/migrate.h"

#include <inttypes.h>

#include "base/str.h"
#include "config.h"

const char *const schema_steps[] = {
    /* 1. Times are milliseconds since 1970. `volant` says which volantd last changed the schema. */
    "CREATE TABLE volant ("
    "  one INTEGER PRIMARY KEY CHECK (one = 1),"
    "  version TEXT NOT NULL CHECK (version <> '')"
    ") STRICT;"

    /* AUTOINCREMENT: uid and folder of a VM come from its id, which must never be another's again. */
    "CREATE TABLE vms ("
    "  id INTEGER PRIMARY KEY AUTOINCREMENT,"
    "  name TEXT NOT NULL UNIQUE CHECK (length(name) BETWEEN 1 AND 63),"
    "  plugin TEXT NOT NULL CHECK (plugin <> ''),"
    "  runtime TEXT NOT NULL,"
    "  desired TEXT NOT NULL CHECK (desired IN ('running', 'stopped', 'deleted')),"
    "  status TEXT NOT NULL CHECK (status IN ('pending', 'starting', 'running', 'paused', 'stopping', 'stopped',"
    "    'crashed', 'failed')),"
    "  reason TEXT NOT NULL,"
    "  cpu_cores INTEGER NOT NULL CHECK (cpu_cores > 0),"
    "  memory_mb INTEGER NOT NULL CHECK (memory_mb > 0),"
    "  ip_address TEXT UNIQUE CHECK (ip_address <> ''),"
    "  mac_address TEXT UNIQUE CHECK (mac_address <> ''),"
    "  config TEXT NOT NULL,"
    "  manifest TEXT NOT NULL,"
    "  boot TEXT NOT NULL,"
    "  kernel_cmdline TEXT NOT NULL,"
    "  pid INTEGER CHECK (pid > 0),"
    "  exit_code INTEGER,"
    "  created_ms INTEGER NOT NULL,"
    "  updated_ms INTEGER NOT NULL"
    ") STRICT;"
    "INSERT INTO sqlite_sequence (name, seq) VALUES ('vms', 0);"

    /* The address as a number, so that the lowest one is the least. */
    "CREATE TABLE ip_allocations ("
    "  address INTEGER PRIMARY KEY CHECK (address BETWEEN 0 AND 4294967295),"
    "  vm_id INTEGER NOT NULL UNIQUE REFERENCES vms (id) ON DELETE CASCADE"
    ") STRICT;"

    "CREATE TABLE vm_ports ("
    "  vm_id INTEGER NOT NULL REFERENCES vms (id) ON DELETE CASCADE,"
    "  protocol TEXT NOT NULL CHECK (protocol IN ('tcp', 'udp')),"
    "  host_ip TEXT NOT NULL CHECK (host_ip <> ''),"
    "  host_port INTEGER NOT NULL CHECK (host_port BETWEEN 1 AND 65535),"
    "  port INTEGER NOT NULL CHECK (port BETWEEN 1 AND 65535),"
    "  name TEXT NOT NULL,"
    "  UNIQUE (host_port, protocol, host_ip)"
    ") STRICT;"
    "CREATE INDEX vm_ports_vm ON vm_ports (vm_id);"

    "CREATE TABLE plugins ("
    "  id INTEGER PRIMARY KEY,"
    "  name TEXT NOT NULL UNIQUE CHECK (length(name) BETWEEN 1 AND 63),"
    "  version TEXT NOT NULL,"
    "  enabled INTEGER NOT NULL CHECK (enabled IN (0, 1)),"
    "  manifest TEXT NOT NULL,"
    "  installed_ms INTEGER NOT NULL,"
    "  updated_ms INTEGER NOT NULL"
    ") STRICT;"

    /* No reference to vms: events outlive their VM. Ids only grow, as the newest event is never removed. */
    "CREATE TABLE events ("
    "  id INTEGER PRIMARY KEY,"
    "  vm_id INTEGER NOT NULL,"
    "  vm_name TEXT NOT NULL,"
    "  type TEXT NOT NULL CHECK (type <> ''),"
    "  status TEXT NOT NULL,"
    "  message TEXT NOT NULL,"
    "  at_ms INTEGER NOT NULL"
    ") STRICT;",

    /*
     * 2. Restarts and replicas. not_before_ms: a VM that waits for its next boot, wall clock. started_ms: when the
     * present boot became running. A deployment's configuration has versions; revision says which one a VM was made or
     * last changed from.
     */
    "ALTER TABLE vms ADD COLUMN deployment TEXT NOT NULL DEFAULT '';"
    "ALTER TABLE vms ADD COLUMN revision INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE vms ADD COLUMN restarts INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE vms ADD COLUMN not_before_ms INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE vms ADD COLUMN started_ms INTEGER NOT NULL DEFAULT 0;"

    "CREATE TABLE deployments ("
    "  id INTEGER PRIMARY KEY AUTOINCREMENT,"
    "  name TEXT NOT NULL UNIQUE CHECK (length(name) BETWEEN 1 AND 63),"
    "  desired TEXT NOT NULL CHECK (desired IN ('present', 'deleted')),"
    "  replicas INTEGER NOT NULL CHECK (replicas >= 0),"
    "  version INTEGER NOT NULL CHECK (version >= 1)," /* that the replicas are to have */
    "  rollout TEXT NOT NULL CHECK (rollout IN ('progressing', 'complete', 'failed')),"
    "  reason TEXT NOT NULL,"
    "  created_ms INTEGER NOT NULL,"
    "  updated_ms INTEGER NOT NULL"
    ") STRICT;"

    "CREATE TABLE deployment_versions ("
    "  deployment_id INTEGER NOT NULL REFERENCES deployments (id) ON DELETE CASCADE,"
    "  version INTEGER NOT NULL CHECK (version >= 1),"
    "  config TEXT NOT NULL," /* with the manifest in it */
    "  created_ms INTEGER NOT NULL,"
    "  PRIMARY KEY (deployment_id, version)"
    ") STRICT;",

    /*
     * 3. Configurations of VMs have versions; those that there were become the first. config_ms: since when it is the
     * present one. Artifacts that plugins are registered with.
     */
    "ALTER TABLE vms ADD COLUMN config_version INTEGER NOT NULL DEFAULT 1;"
    "ALTER TABLE vms ADD COLUMN config_ms INTEGER NOT NULL DEFAULT 0;"
    "UPDATE vms SET config_ms = created_ms;"

    "CREATE TABLE vm_configs ("
    "  id INTEGER PRIMARY KEY,"
    "  vm_id INTEGER NOT NULL REFERENCES vms (id) ON DELETE CASCADE,"
    "  version INTEGER NOT NULL CHECK (version >= 1),"
    "  config TEXT NOT NULL,"
    "  manifest TEXT NOT NULL,"
    "  created_ms INTEGER NOT NULL,"
    "  UNIQUE (vm_id, version)"
    ") STRICT;"
    "INSERT INTO vm_configs (vm_id, version, config, manifest, created_ms)"
    "  SELECT id, 1, config, manifest, created_ms FROM vms;"

    /* No reference to plugins: an artifact may be registered before the plugin is installed. */
    "CREATE TABLE plugin_artifacts ("
    "  id INTEGER PRIMARY KEY,"
    "  plugin TEXT NOT NULL CHECK (plugin <> ''),"
    "  version TEXT NOT NULL CHECK (version <> ''),"
    "  name TEXT NOT NULL CHECK (name <> ''),"
    "  kind TEXT NOT NULL,"
    "  source_url TEXT NOT NULL,"
    "  checksum TEXT NOT NULL,"
    "  format TEXT NOT NULL,"
    "  local_path TEXT NOT NULL,"
    "  size_bytes INTEGER NOT NULL CHECK (size_bytes >= 0),"
    "  created_ms INTEGER NOT NULL,"
    "  updated_ms INTEGER NOT NULL,"
    "  UNIQUE (plugin, version, name)"
    ") STRICT;"

    /* Events tell all that the stream says of a VM (contract 1.9). */
    "ALTER TABLE events ADD COLUMN ip_address TEXT NOT NULL DEFAULT '';"
    "ALTER TABLE events ADD COLUMN mac_address TEXT NOT NULL DEFAULT '';"
    "ALTER TABLE events ADD COLUMN pid INTEGER NOT NULL DEFAULT 0;"

    /* As SHA-256: what is in a backup opens nothing. */
    "CREATE TABLE tokens ("
    "  id INTEGER PRIMARY KEY,"
    "  name TEXT NOT NULL UNIQUE CHECK (length(name) BETWEEN 1 AND 63),"
    "  role TEXT NOT NULL CHECK (role IN ('read', 'operate', 'admin')),"
    "  hash TEXT NOT NULL UNIQUE CHECK (length(hash) = 64),"
    "  created_ms INTEGER NOT NULL"
    ") STRICT;",
};
const size_t n_schema_steps = ARRAY_LEN(schema_steps);

/* The volantd that last changed the schema, "newer" if the file does not say. */
static void last_writer(const struct store_tx *tx, char *buf, size_t size)
{
    auto_stmt *stmt = NULL;
    auto_free char *version = NULL;

    if (sql_prepare(tx, "SELECT version FROM volant", SQL_NO_VALUES, &stmt, NULL) == 0 &&
        sql_step(tx, stmt, NULL) == 1 && sql_column_copy(stmt, 0, &version) == 0 &&
        strf(buf, size, "%s or newer", version) >= 0)
        return;
    (void)strf(buf, size, "a newer one");
}

int schema_version(const struct store_tx *tx, size_t n_steps, size_t *ret, struct vl_error *err)
{
    int64_t application, version, tables;
    char writer[64];
    int r;

    if ((r = sql_number(tx, "PRAGMA application_id", &application, err)) < 0 ||
        (r = sql_number(tx, "PRAGMA user_version", &version, err)) < 0 ||
        (r = sql_number(tx, "SELECT count(*) FROM sqlite_schema", &tables, err)) < 0)
        return r;
    if (application == 0 && version == 0 && tables == 0) {
        *ret = 0;
        return 0;
    }
    if (application != STORE_APPLICATION_ID || version < 1)
        return vl_fail(err, VL_INVALID,
                       "'%s' is the database of another program: name another file (VOLANT_DB_PATH is volantd's own)",
                       tx->path);
    if ((size_t)version > n_steps) {
        last_writer(tx, writer, sizeof(writer));
        return vl_fail(err, VL_INVALID,
                       "the database '%s' has schema %" PRId64 ", this volantd (" VOLANT_VERSION
                       ") knows 1 to %zu: run "
                       "volantd %s, or put back a backup",
                       tx->path, version, n_steps, writer);
    }
    *ret = (size_t)version;
    return 0;
}

static int take_steps(const struct store_tx *tx, const char *const *steps, size_t n_steps, struct vl_error *err)
{
    char pragmas[96];
    size_t done = 0;
    int r;

    if ((r = schema_version(tx, n_steps, &done, err)) < 0 || done == n_steps) return r;
    for (size_t i = done; i < n_steps; i++)
        if ((r = sql_script(tx, steps[i], err)) < 0) return vl_wrap(err, "schema step %zu", i + 1);
    if ((r = strf(pragmas, sizeof(pragmas), "PRAGMA application_id = %d; PRAGMA user_version = %zu",
                  STORE_APPLICATION_ID, n_steps)) < 0)
        return vl_fail_errno(err, r, "schema");
    if ((r = sql_script(tx, pragmas, err)) < 0) return r;
    return sql_run(tx, "INSERT OR REPLACE INTO volant (one, version) VALUES (1, ?1)",
                   SQL_VALUES(sql_text(VOLANT_VERSION)), err);
}

int migrate(const struct store_tx *tx, const char *const *steps, size_t n_steps, struct vl_error *err)
{
    int r;

    if ((r = sql_script(tx, "BEGIN IMMEDIATE", err)) < 0) return r;
    if ((r = take_steps(tx, steps, n_steps, err)) == 0) r = sql_script(tx, "COMMIT", err);
    if (r < 0) (void)sqlite3_exec(tx->db, "ROLLBACK", NULL, NULL, NULL); /* an error if SQLite did it already */
    return r;
}
