/* SPDX-License-Identifier: Apache-2.0 */
#include "volar/run_image.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/io.h"
#include "base/proc.h"
#include "base/str.h"
#include "model/schema.h"
#include "volar/api.h"
#include "volar/manifest_file.h"
#include "volar/volar.h"

#define BUILD_MS   (2ll * 3600 * 1000) /* fledge has its own, shorter, for what it asks of a registry */
#define LOOK_MS    200
#define END_MS     5000
#define CALL_S     30
#define DIGEST_HEX 12
#define BASE_MAX   40
#define FOLDER_MAX 200

extern char **environ;

/* --- the build ---------------------------------------------------------------------------------------------------- */

static void find_fledge(char *buf, size_t size)
{
    const char *given = getenv("VOLANT_FLEDGE"); /* NOLINT(concurrency-mt-unsafe): one thread */
    char folder[FOLDER_MAX];

    if (given && *given && strf(buf, size, "%s", given) >= 0) return;
    if (own_folder(folder, sizeof(folder)) == 0 && strf(buf, size, "%s/fledge", folder) >= 0 && access(buf, X_OK) == 0)
        return;
    (void)strf(buf, size, "fledge"); /* of PATH */
}

/* A signal of a terminal goes to fledge too; one for us alone is passed on. */
static int wait_for(int pidfd, const volatile sig_atomic_t *stop, int *ret_status)
{
    int64_t deadline = mono_ms() + BUILD_MS;
    int r;

    while ((r = proc_wait(pidfd, mono_ms() + LOOK_MS, ret_status)) == -ETIMEDOUT)
        if (*stop || mono_ms() > deadline) return proc_stop(pidfd, END_MS, ret_status);
    return r;
}

static int build(const char *reference, const char *folder, const volatile sig_atomic_t *stop, struct vl_error *err)
{
    struct spawn_opts opts = SPAWN_OPTS_INIT;
    char fledge[256];
    const char *argv[] = {fledge, "build", "--output", folder, "--", reference, NULL};
    auto_close int pidfd = -1;
    int status = 0, r;
    pid_t pid;

    find_fledge(fledge, sizeof(fledge));
    opts.argv = argv;
    opts.envp = (const char *const *)environ;
    opts.stderr_fd = STDERR_FILENO;
    if ((r = proc_spawn(&opts, &pid, &pidfd)) < 0)
        return vl_fail(err, VL_UNAVAILABLE, "%s: %s: install it beside volar, or name it in VOLANT_FLEDGE", fledge,
                       vl_strerror(r));
    if ((r = wait_for(pidfd, stop, &status)) < 0) return vl_fail_errno(err, r, "wait for fledge");
    if (*stop) return vl_fail(err, VL_INVALID, "interrupted");
    return status == 0 ? 0 : vl_fail(err, VL_INVALID, "'%s' could not be made bootable", reference);
}

/* The one manifest that fledge leaves there. */
static int find_manifest(const char *folder, char *buf, size_t size, struct vl_error *err)
{
    DIR *dir = opendir(folder);
    const struct dirent *entry;
    bool found = false;

    while (dir && !found && (entry = readdir(dir))) /* NOLINT(concurrency-mt-unsafe): its own DIR */
        found = str_ends(entry->d_name, ".manifest.json") && strf(buf, size, "%s/%s", folder, entry->d_name) >= 0;
    if (dir) (void)closedir(dir);
    return found ? 0 : vl_fail(err, VL_INTERNAL, "fledge left no manifest in %s", folder);
}

/* --- the plugin --------------------------------------------------------------------------------------------------- */

/* The digest of the image tells its content and its configuration; without one, that of the artifact. */
static void name_plugin(const struct manifest_file *m, struct run_plugin *p)
{
    const char *digest = json_string_value(json_object_get(m->json, "image_digest"));
    const char *hex = digest && str_starts(digest, "sha256:") ? digest + 7 : m->hex;

    (void)strf(p->base, sizeof(p->base), "%.*s", BASE_MAX, m->name);
    (void)strf(p->name, sizeof(p->name), "%s-%.*s", p->base, DIGEST_HEX, hex);
    p->agentless = str_eq(json_string_value(json_object_get(m->json, "agent")), "none");
}

/* 1: it is there and may be used, 0: it is not there. */
static int is_installed(struct volar *v, const char *name, struct vl_error *err)
{
    json_auto_t *j = NULL;
    char path[128];
    int r;

    (void)strf(path, sizeof(path), "/api/v1/plugins/%s", name);
    if ((r = api_json(v, "GET", path, NULL, CALL_S, &j, err)) < 0) return err->kind == VL_NOT_FOUND ? 0 : r;
    if (json_is_true(json_object_get(j, "enabled"))) return 1;
    return vl_fail(err, VL_CONFLICT, "plugin %s of this image is disabled: `volar plugins enable %s`", name, name);
}

static int rename_plugin(struct manifest_file *m, const char *name, struct vl_error *err)
{
    (void)json_object_del(m->json, "labels"); /* they name it as well; volantd writes them anew */
    if (json_object_set_new(m->json, "name", json_string(name)) < 0 ||
        json_object_set_new(m->json, "runtime", json_string(name)) < 0)
        return vl_fail_errno(err, ENOMEM, "manifest");
    (void)strf(m->name, sizeof(m->name), "%s", name);
    return 0;
}

static int install(struct volar *v, const char *folder, struct run_plugin *ret, struct vl_error *err)
{
    auto_manifest_file m = {.fd = -1};
    struct run_plugin p = {0};
    char path[FOLDER_MAX + 280];
    int r;

    if ((r = find_manifest(folder, path, sizeof(path), err)) < 0 || (r = manifest_file_read(path, &m, err)) < 0)
        return r;
    name_plugin(&m, &p);
    if ((r = is_installed(v, p.name, err)) < 0) return r;
    if (r == 0 && ((r = rename_plugin(&m, p.name, err)) < 0 || (r = plugin_install_file(v, &m, err)) < 0)) return r;
    *ret = p;
    return 0;
}

/* By way of its parent: it may be on another file system than we are. */
static void remove_folder(const char *tmp, const char *folder)
{
    auto_close int parent = open_dir(tmp);
    int r = parent < 0 ? parent : remove_tree_at(parent, strrchr(folder, '/') + 1);

    if (r < 0) (void)fprintf(stderr, "volar: %s is left: %s: remove it\n", folder, vl_strerror(r));
}

int run_plugin_make(struct volar *v, const char *reference, const volatile sig_atomic_t *stop, struct run_plugin *ret,
                    struct vl_error *err)
{
    const char *given = getenv("TMPDIR"); /* NOLINT(concurrency-mt-unsafe): one thread */
    const char *tmp = given && *given ? given : "/tmp";
    char folder[FOLDER_MAX];
    int r;

    if (strf(folder, sizeof(folder), "%s/volar-XXXXXX", tmp) < 0 || !mkdtemp(folder))
        return vl_fail_errno(err, errno, "make a folder in %s", tmp);
    v->stop = stop;
    if ((r = build(reference, folder, stop, err)) == 0) r = install(v, folder, ret, err);
    v->stop = NULL;
    remove_folder(tmp, folder);
    return *stop ? vl_fail(err, VL_INVALID, "interrupted: no VM was made") : r;
}
