/* SPDX-License-Identifier: Apache-2.0 */
#include "volantd/settings.h"

#include <fcntl.h>
#include <string.h>

#include "base/io.h"

#define SECRET_MIN   20 /* bytes */
#define FILE_MAX     (64ul * 1024)
#define LARGE_ID     9999999999ll /* VMs' numbers stay below it in any life */
#define CONSOLE_SOCK "console.sock"

enum setting_type {
    SET_FOLDER,  /* absolute path, for struct paths */
    SET_PATH,    /* absolute path, "~/" allowed */
    SET_FOLDERS, /* absolute paths with ':' between them, into a struct strv */
    SET_NUMBER,  /* within [min, max] */
    SET_PERCENT, /* a decimal such as 1.5, as the number of hundredths within [min, max] */
    SET_CGROUP,  /* "auto", "off", or an absolute path */
    SET_LISTEN,  /* listen_parse */
    SET_ADDRESS, /* "host:port" */
    SET_CIDRS,   /* cidrs_parse */
    SET_NAMES,   /* access_names_parse */
    SET_ORIGINS, /* access_origins_parse */
    SET_SECRET,  /* printable text, not shown */
    SET_SUBNET,  /* subnet_parse */
    SET_LEVEL,   /* log_parse_level */
    SET_IGNORED, /* accepted with a warning */
};

struct setting {
    const char *name, *flag, *value;
    enum setting_type type;
    size_t offset; /* in struct settings, or struct folders */
    uint64_t min, max;
    const char *def; /* as text; NULL: none */
    const char *help;
};

struct folders {
    const char *state, *runtime;
};

static const struct setting table[] = {
    {"VOLANT_STATE_DIR", "state-dir", "DIR", SET_FOLDER, offsetof(struct folders, state),
     .help = "Registry, artifacts, VMs (default /var/lib/volant, or $XDG_STATE_HOME/volant for ordinary users)"},
    {"VOLANT_RUNTIME_DIR", "runtime-dir", "DIR", SET_FOLDER, offsetof(struct folders, runtime),
     .help = "Socket volantd.sock (default /run/volant, or $XDG_RUNTIME_DIR/volant for ordinary users)"},
    {"VOLANT_DB_PATH", "db", "FILE", SET_PATH, offsetof(struct settings, db_path),
     .help = "Database (default state.db in the state folder)"},
    {"VOLANT_API_LISTEN", "listen", "ADDR:PORT", SET_LISTEN, offsetof(struct settings, listen),
     .help =
         "Serve the API on TCP too (default: the Unix socket alone). On loopback for every user of this host, until "
         "there is a token; on other addresses with TLS and a token only"},
    {"VOLANT_API_ADVERTISE", "advertise", "HOST:PORT", SET_ADDRESS, offsetof(struct settings, advertise),
     .help =
         "Address that clients are told, where the listener's is not theirs to use (default: the listener's, and for "
         "0.0.0.0 or [::] the gateway's)"},
    {"VOLANT_TLS_CERT", "tls-cert", "FILE", SET_PATH, offsetof(struct settings, access.tls_cert),
     .help = "Certificate of the TCP listener, PEM, with those that vouch for it behind it"},
    {"VOLANT_TLS_KEY", "tls-key", "FILE", SET_PATH, offsetof(struct settings, access.tls_key),
     .help = "Its key, PEM, without a password"},
    {"VOLANT_API_ALLOW_CIDR", "allow-cidr", "CIDRS", SET_CIDRS, offsetof(struct settings, access.allow),
     .help = "Networks whose clients may use TCP, with ',' between them (default: any)"},
    {"VOLANT_API_PROXIES", "proxies", "CIDRS", SET_CIDRS, offsetof(struct settings, access.proxies),
     .help = "Reverse proxies whose X-Forwarded-For and X-Forwarded-Proto are believed (default: none)"},
    {"VOLANT_API_NAMES", "names", "NAMES", SET_NAMES, offsetof(struct settings, access.names),
     .help = "Names, besides its address, by which clients reach TCP: what their Host header may say"},
    {"VOLANT_CORS_ORIGINS", "cors-origins", "ORIGINS", SET_ORIGINS, offsetof(struct settings, access.origins),
     .help = "Origins of web pages that may use the API, as https://host; *: any, with a token (default: none)"},
    {"VOLANT_API_KEY", .type = SET_SECRET, .offset = offsetof(struct settings, access.key)},
    {"VOLANT_SUBNET", "subnet", "CIDR", SET_SUBNET, offsetof(struct settings, subnet), .def = "192.168.127.0/24",
     .help = "Network of the VMs: gateway .1, VMs from .10 on"},
    {"VOLANT_UID_BASE", "uid-base", "N", SET_NUMBER, offsetof(struct settings, uid_base), 65536, 4000000000, "2000000",
     "A VM runs as user N + its id, volant-fetch as N, where volantd is root"},
    {"VOLANT_CGROUP", "cgroup", "WHERE", SET_CGROUP, offsetof(struct settings, cgroup), .def = "auto",
     .help =
         "A cgroup for each VM: auto, below volantd's own where that was delegated to it; a cgroup v2 folder; or off"},
    {"VOLANT_KERNEL_VMLINUX", "kernel", "FILE", SET_PATH, offsetof(struct settings, kernel),
     .help = "Guest kernel (default: the installed vmlinux-generic)"},
    {"VOLANT_KERNEL_BZIMAGE", "rootfs-kernel", "FILE", SET_PATH, offsetof(struct settings, rootfs_kernel),
     .help = "Guest kernel that boots disk images (default: bzImage-volant beside the guest kernel)"},
    {"VOLANT_KERNEL_DIRS", "kernel-dirs", "DIRS", SET_FOLDERS, offsetof(struct settings, kernel_dirs),
     .help = "Folders, with ':' between them, below which a VM's config.kernel_override may be (default: none may)"},
    {"VOLANT_MEDIA_DIRS", "media-dirs", "DIRS", SET_FOLDERS, offsetof(struct settings, media_dirs),
     .help = "Folders, with ':' between them, below which volantd reads media that a manifest names by path (default: "
             "none, volar sends them)"},
    {"VOLANT_FETCH_TIMEOUT", "fetch-timeout", "SECONDS", SET_NUMBER, offsetof(struct settings, fetch_timeout_s), 1,
     86400, "3600", "Time for a medium that a manifest names by http(s) to come"},
    {"VOLANT_SHIM", "shim", "FILE", SET_PATH, offsetof(struct settings, shim),
     .help = "volant-shim (default: the installed one)"},
    {"VOLANT_QEMU", "qemu", "FILE", SET_PATH, offsetof(struct settings, qemu),
     .help = "qemu-system-x86_64 (default: from PATH)"},
    {"VOLANT_BOOT_TIMEOUT", "boot-timeout", "SECONDS", SET_NUMBER, offsetof(struct settings, boot_timeout_s), 1, 600,
     "30", "Time for a boot until the agent answers; it is tried once more"},
    {"VOLANT_STOP_TIMEOUT", "stop-timeout", "SECONDS", SET_NUMBER, offsetof(struct settings, stop_timeout_s), 1, 300,
     "10", "Time from SIGTERM to SIGKILL for a workload that is to stop"},
    {"VOLANT_QUIT_TIMEOUT", "quit-timeout", "SECONDS", SET_NUMBER, offsetof(struct settings, quit_timeout_s), 1, 60,
     "2", "Then: time for a VMM to end when its monitor tells it to"},
    {"VOLANT_TERM_TIMEOUT", "term-timeout", "SECONDS", SET_NUMBER, offsetof(struct settings, term_timeout_s), 1, 60,
     "2", "Then: time for a VMM to end by SIGTERM; SIGKILL comes last"},
    {"VOLANT_HANG_TIMEOUT", "hang-timeout", "SECONDS", SET_NUMBER, offsetof(struct settings, hang_timeout_s), 0, 3600,
     "60", "A running guest that is silent for so long hangs; 0: it is not looked at"},
    {"VOLANT_BOOT_WIDTH", "boot-width", "N", SET_NUMBER, offsetof(struct settings, boot_width), 0, 1024, "0",
     "VMs that boot at the same time, others wait as pending; 0: twice the cores"},
    {"VOLANT_RESTART_DELAY", "restart-delay", "MS", SET_NUMBER, offsetof(struct settings, restart_delay_ms), 1, 60000,
     "500", "Wait before the restart policy boots a VM again; doubles with each time in a row, up to a minute"},
    {"VOLANT_RESTART_LIMIT", "restart-limit", "N", SET_NUMBER, offsetof(struct settings, restart_limit), 1, 1000, "8",
     "Restarts in a row after which a VM has failed"},
    {"VOLANT_RESTART_STABLE", "restart-stable", "SECONDS", SET_NUMBER, offsetof(struct settings, restart_stable_s), 1,
     86400, "60", "A VM that stayed up for so long begins to count anew"},
    {"VOLANT_MEMORY_OVERCOMMIT", "memory-overcommit", "FACTOR", SET_PERCENT, offsetof(struct settings, memory_percent),
     10, 10000, "1.0", "Memory that VMs may have together, as a part of this host's; 0.1 to 100"},
    {"VOLANT_CPU_OVERCOMMIT", "cpu-overcommit", "N", SET_NUMBER, offsetof(struct settings, vcpus_per_core), 1, 4096,
     "64", "vCPUs that VMs may have together, for each core of this host"},
    {"VOLANT_DISK_RESERVE", "disk-reserve", "MB", SET_NUMBER, offsetof(struct settings, disk_reserve_mb), 0, 1048576,
     "256", "Room in the state folder below which no VM, plugin or blob is taken"},
    {"VOLANT_LOG_LEVEL", "log-level", "LEVEL", SET_LEVEL, offsetof(struct settings, log_level), .def = "info",
     .help = "error, warn, info or debug"},
    /* The original's: */
    {"VOLANT_LOG_DIR", .type = SET_IGNORED, .help = "volantd logs to stderr, VMs into their folders"},
    {"VOLANT_HYPERVISOR", .type = SET_IGNORED, .help = "the VMM is QEMU, see VOLANT_QEMU"},
    {"VOLANT_BRIDGE", .type = SET_IGNORED, .help = "VMs have user networking, and no bridge"},
    {"VOLANT_HOST_IP", .type = SET_IGNORED, .help = "the gateway is the first address of VOLANT_SUBNET"},
    {"VOLANT_DRIFT_ENDPOINT", .type = SET_IGNORED, .help = "this version has no load balancer"},
    {"VOLANT_DRIFT_API_KEY", .type = SET_IGNORED, .help = "this version has no load balancer"},
};
_Static_assert(ARRAY_LEN(table) <= SETTINGS_MAX, "SETTINGS_MAX");

/* --- command line ------------------------------------------------------------------------------------------------- */

static char *help_text(const struct setting *s)
{
    return s->def ? strf_new("%s (default %s) [%s]", s->help, s->def, s->name) : strf_new("%s [%s]", s->help, s->name);
}

int settings_flags_init(struct settings_flags *f)
{
    size_t n = 0;

    *f = (struct settings_flags){0};
    f->opts[n++] = (struct opt){.name = "config",
                                .type = OPT_STRING,
                                .value = "FILE",
                                .dest = &f->config,
                                .help = "Settings as NAME=value lines with the names in brackets below (default "
                                        "/etc/volant/volantd.conf, or $XDG_CONFIG_HOME/volant/volantd.conf)"};
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        if (!table[i].flag) continue;
        if (!(f->help[i] = help_text(&table[i]))) return -ENOMEM;
        f->opts[n++] = (struct opt){.name = table[i].flag,
                                    .type = OPT_STRING,
                                    .value = table[i].value,
                                    .help = f->help[i],
                                    .dest = &f->text[i]};
    }
    f->opts[n] = (struct opt){.name = "version", .type = OPT_FLAG, .help = "Print the version", .dest = &f->version};
    return 0;
}

void settings_flags_done(struct settings_flags *f)
{
    for (size_t i = 0; i < ARRAY_LEN(f->help); i++)
        free(f->help[i]);
}

/* --- file --------------------------------------------------------------------------------------------------------- */

struct file {
    const char *path;
    char *text;                       /* cut into lines by parsing */
    const char *values[SETTINGS_MAX]; /* in text; NULL: not set */
    unsigned lines[SETTINGS_MAX];
};

static void file_done(struct file *f)
{
    free(f->text);
}

static char *trim(char *s)
{
    size_t n;

    s += strspn(s, " \t\r");
    n = strlen(s);
    while (n > 0 && strchr(" \t\r", s[n - 1]))
        n--;
    if (n >= 2 && s[0] == '"' && s[n - 1] == '"') {
        s++;
        n -= 2;
    }
    s[n] = '\0';
    return s;
}

static int parse_line(struct file *f, char *line, unsigned number, struct vl_error *err)
{
    char *name = trim(line), *equals, *value;

    if (*name == '\0' || *name == '#') return 0;
    if (!(equals = strchr(name, '=')))
        return vl_fail(err, VL_INVALID, "%s:%u: '%.60s' is not NAME=value; comments begin with '#'", f->path, number,
                       name);
    *equals = '\0';
    name = trim(name);
    value = trim(equals + 1);
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        if (!str_eq(table[i].name, name)) continue;
        if (f->lines[i])
            return vl_fail(err, VL_INVALID, "%s:%u: %s is set in line %u already: remove one", f->path, number, name,
                           f->lines[i]);
        f->values[i] = value;
        f->lines[i] = number;
        return 0;
    }
    return vl_fail(err, VL_INVALID, "%s:%u: there is no setting '%.60s': remove it; `volantd --help` lists all",
                   f->path, number, name);
}

/* A file that is not there is empty, unless it was asked for. */
static int file_read(struct file *f, bool asked, struct vl_error *err)
{
    size_t len = 0;
    int r = *f->path ? read_file_at(AT_FDCWD, f->path, FILE_MAX, &f->text, &len) : -ENOENT;
    char *save = f->text;

    if (r == -ENOENT && !asked) return 0;
    if (r < 0) return vl_fail(err, VL_INVALID, "cannot read the settings in %s: %s", f->path, vl_strerror(r));
    if (strlen(f->text) != len) return vl_fail(err, VL_INVALID, "%s is not a text file", f->path);
    for (unsigned number = 1; save; number++) {
        char *line = strsep(&save, "\n");

        if ((r = parse_line(f, line, number, err)) < 0) return r;
    }
    return 0;
}

/* --- values ------------------------------------------------------------------------------------------------------- */

#ifndef __clang__ /* whose place is known only at run time GCC's analyzer takes for lost: a leak that is none */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wanalyzer-malloc-leak"
#endif
static int set_path(const char *text, const char *where, char **ret, struct vl_error *err)
{
    const char *home = secure_getenv("HOME");
    char *path;

    if (str_starts(text, "~/") && home)
        path = strf_new("%s%s", home, text + 1);
    else if (*text == '/')
        path = strdup(text);
    else
        return vl_fail(err, VL_INVALID, "%s is '%.80s', not an absolute path: begin it with '/'", where, text);
    if (!path) return vl_fail_errno(err, ENOMEM, "settings");
    *ret = path;
    return 0;
}

static int set_cgroup(const char *text, const char *where, char **ret, struct vl_error *err)
{
    char *copy;

    if (!str_eq(text, "auto") && !str_eq(text, "off") && *text != '/')
        return vl_fail(err, VL_INVALID, "%s is '%.80s', allowed auto, off, or the absolute path of a cgroup v2", where,
                       text);
    if (!(copy = strdup(text))) return vl_fail_errno(err, ENOMEM, "settings");
    *ret = copy;
    return 0;
}
static int set_address(const char *text, const char *where, char **ret, struct vl_error *err)
{
    const char *colon = strrchr(text, ':');
    uint64_t port;

    if (!colon || colon == text || parse_u64(colon + 1, 1, 65535, &port) < 0 || text[strcspn(text, " /?#@")] != '\0')
        return vl_fail(err, VL_INVALID, "%s is '%.80s', not HOST:PORT", where, text);
    return (*ret = strdup(text)) ? 0 : vl_fail_errno(err, ENOMEM, "settings");
}

/* A key that clients of the original send. It has no flag: a command line is for every user to read. */
static int set_secret(const char *text, const char *where, char **ret, struct strv *warnings, struct vl_error *err)
{
    size_t n = strlen(text);

    for (size_t i = 0; i < n; i++)
        if (text[i] <= ' ' || text[i] > '~')
            return vl_fail(err, VL_INVALID, "%s has a blank or a byte that headers cannot carry: choose another key",
                           where);
    if (n < SECRET_MIN &&
        strv_addf(warnings, "%s is short and may be guessed: make a token by `volar tokens create`", where) < 0)
        return vl_fail_errno(err, ENOMEM, "settings");
    return (*ret = strdup(text)) ? 0 : vl_fail_errno(err, ENOMEM, "settings");
}
#ifndef __clang__
#pragma GCC diagnostic pop
#endif

/* "1", "1.5" or "0.25" as hundredths. */
static int parse_percent(const char *text, uint64_t *ret)
{
    const char *dot = strchr(text, '.');
    char digits[16];
    size_t whole = dot ? (size_t)(dot - text) : strlen(text), part = dot ? strlen(dot + 1) : 0;

    if (whole == 0 || (dot && part == 0) || part > 2 || whole + 2 >= sizeof(digits)) return -EINVAL;
    if (strf(digits, sizeof(digits), "%.*s%s%s", (int)whole, text, dot ? dot + 1 : "", &"00"[part]) < 0) return -EINVAL;
    return parse_u64(digits, 0, UINT64_MAX, ret);
}

static int set_percent(const struct setting *t, const char *text, const char *where, uint64_t *ret,
                       struct vl_error *err)
{
    uint64_t n;

    if (parse_percent(text, &n) == 0 && n >= t->min && n <= t->max) {
        *ret = n;
        return 0;
    }
    return vl_fail(err, VL_INVALID, "%s is '%.80s', allowed %g to %g, with at most two decimals", where, text,
                   (double)t->min / 100, (double)t->max / 100);
}

static int set_folders(const char *text, const char *where, struct strv *ret, struct vl_error *err)
{
    auto_strv dirs = {0};

    for (size_t n; *text; text += n + (text[n] == ':')) {
        n = strcspn(text, ":");
        if (n == 0) continue;
        if (*text != '/')
            return vl_fail(err, VL_INVALID, "%s has '%.*s', not an absolute path: begin it with '/'", where,
                           (int)(n < 80 ? n : 80), text);
        if (strv_addf(&dirs, "%.*s", (int)n, text) < 0) return vl_fail_errno(err, ENOMEM, "settings");
    }
    *ret = dirs;
    dirs = (struct strv){0};
    return 0;
}

static int set_listen(const char *text, const char *where, struct settings *s, struct vl_error *err)
{
    int r = listen_parse(text, where, &s->listen_addr, err);

    if (r < 0) return r;
    return (s->listen = strdup(text)) ? 0 : vl_fail_errno(err, ENOMEM, "settings");
}

static int set_value(const struct setting *t, const char *text, const char *where, struct settings *s,
                     struct folders *folders, struct strv *warnings, struct vl_error *err)
{
    char *base = t->type == SET_FOLDER ? (char *)folders : (char *)s;
    void *dest = base + t->offset;

    switch (t->type) {
    case SET_FOLDER:
        if (*text != '/')
            return vl_fail(err, VL_INVALID, "%s is '%.80s', not an absolute path: begin it with '/'", where, text);
        *(const char **)dest = text;
        return 0;
    case SET_PATH:
        return set_path(text, where, dest, err);
    case SET_CGROUP:
        return set_cgroup(text, where, dest, err);
    case SET_FOLDERS:
        return set_folders(text, where, dest, err);
    case SET_NUMBER:
        if (parse_u64(text, t->min, t->max, dest) == 0) return 0;
        return vl_fail(err, VL_INVALID, "%s is '%.80s', allowed %llu to %llu", where, text, (unsigned long long)t->min,
                       (unsigned long long)t->max);
    case SET_PERCENT:
        return set_percent(t, text, where, dest, err);
    case SET_LISTEN:
        return set_listen(text, where, s, err);
    case SET_ADDRESS:
        return set_address(text, where, dest, err);
    case SET_CIDRS:
        return cidrs_parse(text, where, dest, err);
    case SET_NAMES:
        return access_names_parse(text, where, dest, err);
    case SET_ORIGINS:
        return access_origins_parse(text, where, dest, err);
    case SET_SECRET:
        return set_secret(text, where, dest, warnings, err);
    case SET_SUBNET:
        return subnet_parse(text, where, dest, err);
    case SET_LEVEL:
        if (log_parse_level(text, dest) == 0) return 0;
        return vl_fail(err, VL_INVALID, "%s is '%.80s', allowed error, warn, info, debug", where, text);
    case SET_IGNORED:
        return strv_addf(warnings, "%s has no effect: %s", where, t->help) < 0 ? vl_fail_errno(err, ENOMEM, "settings")
                                                                               : 0;
    }
    return vl_fail(err, VL_INTERNAL, "%s", where);
}

/* The value that wins and where it comes from; NULL where the default does. */
static const char *pick(size_t i, const struct settings_flags *flags, const char *(*env)(const char *name),
                        const struct file *file, char *where, size_t size)
{
    const char *text = flags->text[i];

    if (text && *text) {
        (void)strf(where, size, "--%s", table[i].flag);
        return text;
    }
    if ((text = env(table[i].name)) && *text) {
        (void)strf(where, size, "%s", table[i].name);
        return text;
    }
    (void)strf(where, size, "%s:%u: %s", file->path, file->lines[i], table[i].name);
    return file->values[i] && *file->values[i] ? file->values[i] : NULL;
}

static int set_all(const struct settings_flags *flags, const char *(*env)(const char *name), const struct file *file,
                   struct settings *s, struct strv *warnings, struct vl_error *err)
{
    struct folders folders = {0};
    char where[512];
    int r;

    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        const char *text = pick(i, flags, env, file, where, sizeof(where));

        if (!text && !(text = table[i].def)) continue;
        if ((r = set_value(&table[i], text, where, s, &folders, warnings, err)) < 0) return r;
    }
    return paths_find_for(folders.state, folders.runtime, &s->paths, err);
}

static int check_folder(struct settings *s, struct vl_error *err)
{
    char path[108];

    if (strf(path, sizeof(path), "%s/vms/%lld/" CONSOLE_SOCK, s->paths.state_dir, LARGE_ID) < 0)
        return vl_fail(err, VL_INVALID,
                       "the state folder's path '%s' is too long for the sockets of VMs below it (at most 79 bytes): "
                       "choose a shorter one by --state-dir",
                       s->paths.state_dir);
    if (s->db_path) return 0;
    return (s->db_path = strf_new("%s/state.db", s->paths.state_dir)) ? 0 : vl_fail_errno(err, ENOMEM, "settings");
}

static int check_tls(const struct settings *s, struct vl_error *err)
{
    if (s->access.tls_cert && !s->access.tls_key)
        return vl_fail(err, VL_INVALID, "--tls-cert (VOLANT_TLS_CERT) is set without --tls-key (VOLANT_TLS_KEY)");
    if (s->access.tls_key && !s->access.tls_cert)
        return vl_fail(err, VL_INVALID, "--tls-key (VOLANT_TLS_KEY) is set without --tls-cert (VOLANT_TLS_CERT)");
    if (s->listen && !listen_is_loopback(&s->listen_addr) && !s->access.tls_cert)
        return vl_fail(err, VL_INVALID,
                       "--listen (VOLANT_API_LISTEN) is %s, which is not loopback: that needs TLS (--tls-cert and "
                       "--tls-key); or listen on 127.0.0.1 and reach it from elsewhere through ssh -L",
                       s->listen);
    return 0;
}

void settings_done(struct settings *s)
{
    free(s->db_path);
    free(s->listen);
    free(s->advertise);
    free(s->kernel);
    free(s->rootfs_kernel);
    free(s->shim);
    free(s->qemu);
    free(s->cgroup);
    access_rules_done(&s->access);
    strv_done(&s->kernel_dirs);
    strv_done(&s->media_dirs);
    *s = (struct settings){0};
}

int settings_load(const struct settings_flags *flags, const char *(*env)(const char *name), struct settings *ret,
                  struct strv *warnings, struct vl_error *err)
{
    auto_settings s = {0};
    auto_(file_done) struct file file = {0};
    char path[256];
    int r;

    if ((r = paths_config_file(path, err)) < 0) return r;
    file.path = flags->config ? flags->config : path;
    if ((r = file_read(&file, flags->config != NULL, err)) < 0 ||
        (r = set_all(flags, env, &file, &s, warnings, err)) < 0 || (r = check_folder(&s, err)) < 0 ||
        (r = check_tls(&s, err)) < 0)
        return r;
    *ret = s;
    s = (struct settings){0};
    return 0;
}
