/* SPDX-License-Identifier: Apache-2.0 */
/* Folders and installed files by environment, user and the place of the running program. */
#include "base/path.h"

#include <string.h>
#include <sys/stat.h>

#include "base/proc.h"
#include "base/str.h"
#include "config.h"

/* A folder that `name` gives, without slashes at its end; NULL if it is not set, empty or (`ignore_relative`) relative.
 */
static int given_folder(const char *name, const char *value, bool ignore_relative, char buf[static 256],
                        const char **ret, struct vl_error *err)
{
    int len;

    *ret = NULL;
    if (!value || !*value) return 0;
    if (*value != '/') {
        if (ignore_relative) return 0; /* as the XDG specification wants it */
        return vl_fail(err, VL_INVALID, "%s is '%s', not an absolute path: begin it with '/'", name, value);
    }
    if ((len = strf(buf, 256, "%s", value)) < 0)
        return vl_fail(err, VL_INVALID, "%s is longer than 255 bytes: choose a shorter folder", name);
    while (len > 1 && buf[len - 1] == '/')
        buf[--len] = '\0';
    *ret = buf;
    return 0;
}

static int env_folder(const char *name, bool ignore_relative, char buf[static 256], const char **ret,
                      struct vl_error *err)
{
    return given_folder(name, secure_getenv(name), ignore_relative, buf, ret, err);
}

static int join(char buf[static 256], const char *folder, const char *rest, struct vl_error *err)
{
    if (strf(buf, 256, "%s%s", folder, rest) < 0)
        return vl_fail(err, VL_INVALID,
                       "the path '%s%s' is longer than 255 bytes: set VOLANT_STATE_DIR to a shorter one", folder, rest);
    return 0;
}

/* $XDG_... or the folder below $HOME that stands for it; *ret is NULL where neither is known. */
static int xdg_folder(const char *name, const char *below_home, char buf[static 256], const char **ret,
                      struct vl_error *err)
{
    char home_buf[256];
    const char *home;
    int r;

    if ((r = env_folder(name, true, buf, ret, err)) < 0 || *ret || !below_home) return r;
    if ((r = env_folder("HOME", true, home_buf, &home, err)) < 0 || !home) return r;
    if ((r = join(buf, home, below_home, err)) < 0) return r;
    *ret = buf;
    return 0;
}

int paths_config_file(char ret[static 256], struct vl_error *err)
{
    char buf[256];
    const char *folder;
    int r;

    if (geteuid() == 0) return join(ret, "/etc", "/volant/volantd.conf", err);
    if ((r = xdg_folder("XDG_CONFIG_HOME", "/.config", buf, &folder, err)) < 0) return r;
    if (folder) return join(ret, folder, "/volant/volantd.conf", err);
    ret[0] = '\0';
    return 0;
}

static int find_state(struct paths *p, const char *given, struct vl_error *err)
{
    const char *name = "VOLANT_STATE_DIR", *folder;
    char buf[256];
    int r;

    if ((r = given_folder(name, given ? given : secure_getenv(name), false, buf, &folder, err)) < 0) return r;
    if (folder) return join(p->state_dir, folder, "", err);
    if (geteuid() == 0) return join(p->state_dir, "/var/lib", "/volant", err);
    if ((r = xdg_folder("XDG_STATE_HOME", "/.local/state", buf, &folder, err)) < 0) return r;
    if (!folder) return vl_fail(err, VL_INVALID, "no folder for Volant's state: set HOME or VOLANT_STATE_DIR");
    return join(p->state_dir, folder, "/volant", err);
}

static int find_runtime(struct paths *p, const char *given, struct vl_error *err)
{
    const char *name = "VOLANT_RUNTIME_DIR", *folder;
    char buf[256];
    int r;

    if ((r = given_folder(name, given ? given : secure_getenv(name), false, buf, &folder, err)) < 0) return r;
    if (folder) return join(p->runtime_dir, folder, "", err);
    if (geteuid() == 0) return join(p->runtime_dir, "/run", "/volant", err);
    if ((r = xdg_folder("XDG_RUNTIME_DIR", NULL, buf, &folder, err)) < 0) return r;
    return folder ? join(p->runtime_dir, folder, "/volant", err) : join(p->runtime_dir, p->state_dir, "/run", err);
}

int paths_find_for(const char *state_dir, const char *runtime_dir, struct paths *ret, struct vl_error *err)
{
    struct paths p = {0};
    int r;

    if ((r = paths_config_file(p.config_file, err)) < 0 || (r = find_state(&p, state_dir, err)) < 0 ||
        (r = find_runtime(&p, runtime_dir, err)) < 0)
        return r;
    if (strf(p.socket, sizeof(p.socket), "%s/volantd.sock", p.runtime_dir) < 0)
        return vl_fail(
            err, VL_INVALID,
            "the socket's path '%s/volantd.sock' is longer than 107 bytes: set VOLANT_RUNTIME_DIR to a shorter "
            "folder",
            p.runtime_dir);
    *ret = p;
    return 0;
}

int paths_find(struct paths *ret, struct vl_error *err)
{
    return paths_find_for(NULL, NULL, ret, err);
}

static bool is_file(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

int find_installed(const char *name, const char *override, char *buf, size_t size, struct vl_error *err)
{
    char own[256] = "", prefix[256], path[512], tried[400] = "";
    const struct {
        const char *folder, *below;
    } places[] = {{own, ""},
                  {own, "/kernel"},
                  {prefix, "/libexec/volant"},
                  {prefix, "/share/volant"},
                  {VOLANT_LIBEXECDIR, ""},
                  {VOLANT_DATADIR, ""}};
    size_t n = 0, first = 0;
    char *slash;

    if (override) {
        if (!is_file(override)) return vl_fail(err, VL_INVALID, "there is no file '%s' to use as %s", override, name);
        return strf(buf, size, "%s", override) < 0 ? vl_fail_errno(err, ENAMETOOLONG, "path of %s", name) : 0;
    }
    if (own_folder(own, sizeof(own)) < 0) first = 4; /* the configured prefix is left */
    memcpy(prefix, own, sizeof(prefix));
    if ((slash = strrchr(prefix, '/'))) *slash = '\0';
    for (size_t i = first; i < ARRAY_LEN(places); i++) {
        int len = strf(path, sizeof(path), "%s%s/%s", places[i].folder, places[i].below, name);

        if (len < 0) continue;
        if (is_file(path)) return strf(buf, size, "%s", path) < 0 ? vl_fail_errno(err, ENAMETOOLONG, "%s", path) : 0;
        len = strf(tried + n, sizeof(tried) - n, "%s%s", n ? ", " : "", path);
        if (len > 0) n += (size_t)len;
    }
    return vl_fail(err, VL_INVALID, "%s is not installed; looked for %s", name, tried);
}

const char *path_below(const char *dir, const char *path)
{
    size_t n = strlen(dir);

    while (n > 0 && dir[n - 1] == '/')
        n--;
    if (strncmp(dir, path, n) != 0 || path[n] != '/') return NULL;
    path += n;
    return path + strspn(path, "/");
}
