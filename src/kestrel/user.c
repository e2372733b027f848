/* SPDX-License-Identifier: Apache-2.0 */
/* See user.h, passwd(5) and group(5). Lines that are no entries are passed over. */
#include "kestrel/user.h"

#include <fcntl.h>
#include <string.h>

#include "base/io.h"
#include "base/str.h"

#define DATABASE_MAX (1024UL * 1024)
#define ID_MAX       (UINT32_MAX - 1) /* the number above it means "unchanged" to the kernel */

/* The next field up to `separator`, cut off by a NUL; the rest stays in *rest. NULL at the end. */
static char *next_field(char **rest, char separator)
{
    char *field = *rest, *end;

    if (!field) return NULL;
    end = strchr(field, separator);
    if (end) *end++ = '\0';
    *rest = end;
    return field;
}

static bool parse_id(const char *s, uint32_t *ret)
{
    uint64_t id;

    if (!s || parse_u64(s, 0, ID_MAX, &id) < 0) return false;
    *ret = (uint32_t)id;
    return true;
}

/* An absent file is an empty one. */
static int read_database(int root_fd, const char *path, char **ret, struct vl_error *err)
{
    auto_close int fd = open_beneath(root_fd, path, O_RDONLY, 0);
    size_t len;
    int r = fd;

    if (fd == -ENOENT || fd == -ENOTDIR) {
        *ret = strdup("");
        return *ret ? 0 : vl_fail_errno(err, ENOMEM, "read /%s", path);
    }
    if (fd >= 0) r = read_all(fd, DATABASE_MAX, ret, &len);
    return r < 0 ? vl_fail_errno(err, r, "read /%s of the image", path) : 0;
}

struct entry {
    const char *name; /* points into the database's text */
    uint32_t uid, gid;
    const char *home;
};

/* The entry with this name, or, if there is none and by_uid, the first one with this number. */
static bool find_passwd(char *text, const char *name, bool by_uid, uint32_t uid, struct entry *ret)
{
    bool found = false;

    for (char *line; (line = next_field(&text, '\n'));) {
        struct entry e = {.name = next_field(&line, ':')};

        (void)next_field(&line, ':');
        if (!parse_id(next_field(&line, ':'), &e.uid) || !parse_id(next_field(&line, ':'), &e.gid)) continue;
        (void)next_field(&line, ':');
        e.home = next_field(&line, ':');
        if (strcmp(e.name, name) == 0) {
            *ret = e;
            return true;
        }
        if (by_uid && !found && e.uid == uid) {
            *ret = e;
            found = true;
        }
    }
    return found;
}

static bool find_group(char *text, const char *name, uint32_t *ret_gid)
{
    for (char *line; (line = next_field(&text, '\n'));) {
        const char *group = next_field(&line, ':');

        (void)next_field(&line, ':');
        if (strcmp(group, name) == 0 && parse_id(next_field(&line, ':'), ret_gid)) return true;
    }
    return parse_id(name, ret_gid);
}

static bool lists_member(char *members, const char *name)
{
    for (const char *member; (member = next_field(&members, ','));)
        if (strcmp(member, name) == 0) return true;
    return false;
}

static void add_groups_of(char *text, const char *name, struct user *u)
{
    for (char *line; (line = next_field(&text, '\n'));) {
        uint32_t gid;

        (void)next_field(&line, ':');
        (void)next_field(&line, ':');
        if (!parse_id(next_field(&line, ':'), &gid) || gid == u->gid || !lists_member(line, name)) continue;
        if (u->n_groups < USER_GROUPS_MAX) u->groups[u->n_groups++] = gid;
    }
}

int user_find(int root_fd, const char *spec, struct user *ret, struct vl_error *err)
{
    auto_free char *name = strdup(spec), *passwd = NULL, *groups = NULL;
    struct entry e = {.name = ""};
    struct user u = {.home = "/"};
    uint32_t uid = 0;
    bool is_number, found;
    char *group;
    int r;

    if (!name) return vl_fail_errno(err, ENOMEM, "look up workload.user");
    if ((r = read_database(root_fd, "etc/passwd", &passwd, err)) < 0) return r;
    if ((r = read_database(root_fd, "etc/group", &groups, err)) < 0) return r;
    group = name;
    (void)next_field(&group, ':');
    is_number = parse_id(name, &uid);
    found = find_passwd(passwd, name, is_number, uid, &e);
    if (!found && !is_number)
        return vl_fail(err, VL_INVALID,
                       "workload.user: no user '%s' in the image's /etc/passwd: map one in, or give a number", name);
    u.uid = found ? e.uid : uid;
    u.gid = found ? e.gid : uid;
    if (found && e.home && e.home[0] == '/') (void)strf(u.home, sizeof(u.home), "%s", e.home);
    if (!group) {
        if (found) add_groups_of(groups, e.name, &u);
    } else if (!find_group(groups, group, &u.gid)) {
        return vl_fail(err, VL_INVALID,
                       "workload.user: no group '%s' in the image's /etc/group: map one in, or give a number", group);
    }
    *ret = u;
    return 0;
}
