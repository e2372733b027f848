/* SPDX-License-Identifier: Apache-2.0 */
/*
 * volantd. It starts in the order: settings, folders and their locks, database, registry, listeners; and stops in
 * reverse. SIGTERM and SIGINT end it and leave every VM running; SIGHUP is ignored (settings are read at start).
 */
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/io.h"
#include "config.h"
#include "volantd/api.h"
#include "volantd/http.h"
#include "volantd/journal.h"
#include "volantd/settings.h"
#include "volantd/sockets.h"
#include "volantd/systemd.h"
#include "volantd/tls.h"

#define WORKERS        8 /* jobs of VMs at once */
#define API_WORKERS    2 /* what blocks in handlers */
#define WORKER_IDLE_MS 5000
#define RESTART_MAX_MS 60000
#define RESTORE_MS     120000
#define AGAIN_MS       300000 /* to close everything, judge a restored registry, and serve again */
#define AGENT_MS       5000   /* these three are of engine_config */
#define MONITOR_MS     5000
#define SHIM_MS        3000
#define LOCK_STEP_MS   20
#define LOCK_MS        1000 /* for what an ended volantd left to let go of its locks */
#define PID_MAX_BYTES  16

static const int end_signals[] = {SIGTERM, SIGINT}, child_signals[] = {SIGCHLD};

struct daemon {
    struct settings settings;
    int state_lock, runtime_lock;
    struct sockets *sockets; /* the process's */
    char vms_dir[300];
    struct vmm_host host;
    struct loop *loop;
    struct store *store;
    struct events *events;
    struct artifacts *artifacts;
    struct engine *engine;
    struct deploy *deploy;
    struct pool *pool;
    struct api api;
    struct access *access;
    struct tls tls;
    struct http *http;
    struct systemd *systemd;
    char advertise[300]; /* what clients are told of the TCP address; "" none */
    bool again;          /* the registry is replaced */
};

/* --- starting ----------------------------------------------------------------------------------------------------- */

/*
 * A volantd that is killed while it spawns a program leaves a child that holds its locks until it executes that: a
 * moment, which its successor waits.
 */
static int lock_in_time(const char *path, int *ret_fd)
{
    int64_t deadline = mono_ms() + LOCK_MS;
    int r;

    while ((r = lock_file(path, ret_fd)) == -EWOULDBLOCK && mono_ms() < deadline)
        pause_ms(LOCK_STEP_MS);
    return r;
}

/* Locks a folder for this process and leaves its pid there for the next one to name. */
static int lock_folder(const char *folder, int *ret_fd, struct vl_error *err)
{
    char path[300], pid[PID_MAX_BYTES] = "";
    auto_close int fd = -1;
    int r;

    if (strf(path, sizeof(path), "%s/lock", folder) < 0) return vl_fail_errno(err, ENAMETOOLONG, "%s", folder);
    if ((r = lock_in_time(path, &fd)) == -EWOULDBLOCK) {
        auto_free char *text = NULL;
        int known = read_file_at(AT_FDCWD, path, PID_MAX_BYTES, &text, NULL);

        return vl_fail(err, VL_CONFLICT,
                       "another volantd (pid %s) uses %s: stop it, or give this one other folders by --state-dir and "
                       "--runtime-dir",
                       known < 0 || !*text ? "unknown" : text, folder);
    }
    if (r < 0) return vl_fail_errno(err, r, "lock %s", path);
    (void)strf(pid, sizeof(pid), "%d", (int)getpid());
    if (ftruncate(fd, 0) < 0 || (r = write_all(fd, pid, strlen(pid), -1)) < 0)
        return vl_fail_errno(err, r < 0 ? r : errno, "write %s", path);
    *ret_fd = take_fd(&fd);
    return 0;
}

/* VMs of root's volantd run as users of their own, who may pass through the state folder to what is theirs. */
static int make_folders(struct daemon *d, struct vl_error *err)
{
    const struct paths *p = &d->settings.paths;
    mode_t mode = geteuid() == 0 ? 0711 : 0700;
    int r;

    if (strf(d->vms_dir, sizeof(d->vms_dir), "%s/vms", p->state_dir) < 0)
        return vl_fail_errno(err, ENAMETOOLONG, "%s", p->state_dir);
    if ((r = mkdir_p(p->state_dir, mode)) < 0)
        return vl_fail_errno(err, r, "make the state folder %s (choose another by --state-dir)", p->state_dir);
    if ((r = mkdir_p(p->runtime_dir, geteuid() == 0 ? 0755 : 0700)) < 0)
        return vl_fail_errno(err, r, "make the runtime folder %s (choose another by --runtime-dir)", p->runtime_dir);
    if ((r = lock_folder(p->state_dir, &d->state_lock, err)) < 0) return r;
    if (!str_eq(p->state_dir, p->runtime_dir) && (r = lock_folder(p->runtime_dir, &d->runtime_lock, err)) < 0) return r;
    if ((r = mkdir_p(d->vms_dir, mode)) < 0) return vl_fail_errno(err, r, "make %s", d->vms_dir);
    return 0;
}

/* More machines that boot at once than cores to boot them only make each of them late. */
static unsigned boot_width_of_host(void)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);

    return cores > 0 ? (unsigned)cores * 2 : 2;
}

static int load_deployments(struct daemon *d, struct vl_error *err)
{
    const struct settings *s = &d->settings;
    const struct deploy_config cfg = {
        .loop = d->loop,
        .store = d->store,
        .engine = d->engine,
        .addresses = s->subnet.last - s->subnet.first + 1,
        .boot_ms = 2 * (int)s->boot_timeout_s * 1000, /* the engine tries twice */
    };

    return deploy_new(&cfg, &d->deploy, err);
}

static int open_engine(struct daemon *d, struct vl_error *err)
{
    const struct settings *s = &d->settings;
    struct engine_config cfg = {
        .loop = d->loop,
        .store = d->store,
        .artifacts = d->artifacts,
        .host = &d->host,
        .vms_dir = d->vms_dir,
        .subnet = s->subnet,
        .boot_deadline_ms = (int)s->boot_timeout_s * 1000,
        .stop_grace_ms = (int)s->stop_timeout_s * 1000,
        .agent_ms = AGENT_MS,
        .monitor_ms = MONITOR_MS,
        .shim_ms = SHIM_MS,
        .quit_ms = (int)s->quit_timeout_s * 1000,
        .term_ms = (int)s->term_timeout_s * 1000,
        .hang_ms = (int)s->hang_timeout_s * 1000,
        .boot_width = s->boot_width > 0 ? (unsigned)s->boot_width : boot_width_of_host(),
        .restart = {.first_ms = (int)s->restart_delay_ms,
                    .max_ms = RESTART_MAX_MS,
                    .stable_ms = (int)s->restart_stable_s * 1000,
                    .limit = (int)s->restart_limit},
        .former = store_former_is_there(s->db_path),
        .db_path = s->db_path,
        .kernel_dirs = &s->kernel_dirs,
        .media_dirs = &s->media_dirs,
        .fetch_s = (int)s->fetch_timeout_s,
        .admission = {.memory_percent = (int)s->memory_percent,
                      .vcpus_per_core = (int)s->vcpus_per_core,
                      .disk_floor = s->disk_reserve_mb << 20,
                      .state_dir = s->paths.state_dir},
        .workers = WORKERS,
    };
    int r;

    if ((r = engine_new(&cfg, &d->engine, err)) < 0 || (r = load_deployments(d, err)) < 0 ||
        (r = engine_start(d->engine, err)) < 0)
        return r;
    deploy_start(d->deploy);
    return 0;
}

/* A copy that was put beside the database, by a client or by hand while nothing ran. */
static int take_restore(const char *db_path, struct vl_error *err)
{
    int leftovers = store_copies_sweep(db_path), r;
    auto_free char *kept = NULL;

    if (leftovers > 0) log_info("%d unfinished copies of the registry were removed", leftovers);
    if ((r = store_restore_pending(db_path, mono_ms() + RESTORE_MS, &kept, err)) <= 0) return r;
    log_warn("the registry was restored; the one before it is %s", *kept ? kept : "gone");
    return 0;
}

static int begin_cgroups(struct daemon *d, struct vl_error *err)
{
    const char *why = NULL;
    int r = vmm_cgroups_begin(d->settings.cgroup, d->host.cgroup, &why, err);

    if (r < 0) return r;
    if (*d->host.cgroup)
        log_info("each VM has a cgroup below %s", d->host.cgroup);
    else
        log_debug("VMs have no cgroups of their own: %s", why);
    return 0;
}

static int open_state(struct daemon *d, struct vl_error *err)
{
    const struct settings *s = &d->settings;
    char artifacts_dir[300];
    const struct vmm_kernels kernels = {.vmlinux = s->kernel, .bzimage = s->rootfs_kernel};
    uint32_t uid_base = geteuid() == 0 ? (uint32_t)s->uid_base : 0;
    int r;

    if (strf(artifacts_dir, sizeof(artifacts_dir), "%s/artifacts", s->paths.state_dir) < 0)
        return vl_fail_errno(err, ENAMETOOLONG, "%s", s->paths.state_dir);
    if ((r = vmm_host_probe(&kernels, s->shim, s->qemu, uid_base, &d->host, err)) < 0 ||
        (r = begin_cgroups(d, err)) < 0 || (r = take_restore(s->db_path, err)) < 0 ||
        (r = store_open(d->loop, s->db_path, &d->store, err)) < 0 ||
        (r = events_new(d->loop, d->store, &d->events, err)) < 0 ||
        (r = artifacts_open(artifacts_dir, &d->artifacts, err)) < 0)
        return r;
    if ((r = pool_new(d->loop, API_WORKERS, WORKER_IDLE_MS, &d->pool)) < 0) return vl_fail_errno(err, r, "workers");
    return open_engine(d, err);
}

static void stop_loop(void *arg)
{
    loop_stop(((struct daemon *)arg)->loop);
}

static void begin_anew(struct api *api)
{
    struct daemon *d = container_of(api, struct daemon, api);

    d->again = true;
    systemd_patience(AGAIN_MS);
    if (loop_defer(d->loop, stop_loop, d) < 0) loop_stop(d->loop); /* deferred: the answer is on its way */
}

static void status_line(void *arg, char *buf, size_t size)
{
    const struct daemon *d = arg;
    struct engine_summary summary;

    engine_summary(d->engine, &summary);
    systemd_status_text(&summary, buf, size);
}

static void drop_caller(struct api *api, const char *caller, const struct api_req *but)
{
    http_drop(container_of(api, struct daemon, api)->http, caller, but); /* none any more, where we stop meanwhile */
}

/* The sockets stay the process's: each round serves copies. */
static int serve_socket(struct daemon *d, int fd, const struct tls *tls, struct vl_error *err)
{
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);

    return copy < 0 ? vl_fail_errno(err, errno, "serve a socket") : http_listen(d->http, copy, tls, err);
}

/* Other machines get TLS, and nobody without a token. */
static int check_access(const struct daemon *d, struct vl_error *err)
{
    const struct settings *s = &d->settings;
    bool given = d->sockets->tcp_fd >= 0;
    bool remote = given ? !d->sockets->loopback : s->listen && !listen_is_loopback(&s->listen_addr);
    const char *address = given ? d->sockets->listen : s->listen;

    if (!remote && address && *address && !access_has_tokens(d->access))
        log_warn("every user of this host can control VMs through %s: `volar tokens create` ends that", address);
    if (!remote) return 0;
    if (!d->tls.cert)
        return vl_fail(err, VL_INVALID, "%s is not loopback: serving it needs TLS (--tls-cert and --tls-key)", address);
    if (!access_has_tokens(d->access))
        return vl_fail(err, VL_INVALID,
                       "%s is not loopback: serving it needs a token; start volantd without it and make one by `volar "
                       "tokens create NAME --role admin`",
                       address);
    return 0;
}

/* Contract 14: who listens everywhere is reached by the host's own address. */
static int find_advertised(struct daemon *d)
{
    const struct settings *s = &d->settings;
    const char *listen = d->sockets->listen, *said = s->advertise ? s->advertise : listen;
    bool everywhere = str_starts(said, "0.0.0.0:") || str_starts(said, "[::]:");

    if (!everywhere) return strf(d->advertise, sizeof(d->advertise), "%s", said);
    return strf(d->advertise, sizeof(d->advertise), "%s%s", s->subnet.gateway_text, strrchr(said, ':'));
}

static int open_listeners(struct daemon *d, struct vl_error *err)
{
    const struct settings *s = &d->settings;
    const struct systemd_config systemd = {.loop = d->loop, .store = d->store, .status = status_line, .arg = d};
    int r;

    if ((r = access_new(d->store, &s->access, &d->access, err)) < 0 || (r = check_access(d, err)) < 0 ||
        (r = sockets_open(d->sockets, s->paths.socket, s->listen ? &s->listen_addr : NULL, err)) < 0)
        return r;
    if ((r = find_advertised(d)) < 0) return vl_fail_errno(err, r, "tell clients an address");
    d->api = (struct api){
        .loop = d->loop,
        .store = d->store,
        .events = d->events,
        .engine = d->engine,
        .deploy = d->deploy,
        .artifacts = d->artifacts,
        .pool = d->pool,
        .access = d->access,
        .drop_caller = drop_caller,
        .open_without_tokens = d->sockets->tcp_fd >= 0 && d->sockets->loopback,
        .host = &d->host,
        .state_dir = s->paths.state_dir,
        .db_path = s->db_path,
        .begin_anew = begin_anew,
        .socket = d->sockets->path,
        .listen = d->sockets->listen,
        .advertise = d->advertise,
        .gateway = s->subnet.gateway_text,
        .started_ms = mono_ms(),
    };
    engine_observe(d->engine, mcp_vm_changed, &d->api);
    if ((r = http_new(d->loop, &d->api, d->access, api_routes, api_n_routes, &d->http, err)) < 0 ||
        (d->sockets->tcp_fd >= 0 && (r = serve_socket(d, d->sockets->tcp_fd, d->tls.cert ? &d->tls : NULL, err)) < 0) ||
        (r = serve_socket(d, d->sockets->unix_fd, NULL, err)) < 0)
        return r;
    return systemd_ready(&systemd, &d->systemd, err);
}

static void on_signal(int signo, void *arg)
{
    struct daemon *d = arg;

    log_info("%s: stopping; VMs go on", signo == SIGTERM ? "SIGTERM" : "SIGINT");
    loop_stop(d->loop);
}

/* Every child has somebody who waits for it; this is for shims that took longer than that, or were killed. */
static void on_child(int signo, void *arg)
{
    const struct daemon *d = arg;

    (void)signo;
    proc_reap_late();
    if (d->engine) engine_child_ended(d->engine);
}

static void daemon_close(struct daemon *d)
{
    if (!d->again) {
        systemd_stopping();
        sockets_close(d->sockets); /* our socket's file goes while its folder is locked */
    }
    systemd_free(d->systemd);
    http_free(take_ptr(d->http)); /* what is on its way into the store may come back and ask for it */
    deploy_free(d->deploy);
    engine_free(d->engine);
    pool_free(d->pool);
    store_close(d->store);
    access_free(d->access);
    tls_done(&d->tls);
    events_free(d->events); /* who watched it to its end */
    artifacts_close(d->artifacts);
    loop_free(d->loop);
    closep(&d->runtime_lock);
    closep(&d->state_lock);
    settings_done(&d->settings);
}

static int daemon_open(struct daemon *d, struct vl_error *err)
{
    int r;

    if ((r = signals_block(end_signals, ARRAY_LEN(end_signals))) < 0 ||
        (r = signals_block(child_signals, ARRAY_LEN(child_signals))) < 0 || (r = loop_new(&d->loop)) < 0 ||
        (r = loop_signals(d->loop, end_signals, ARRAY_LEN(end_signals), on_signal, d)) < 0 ||
        (r = loop_signals(d->loop, child_signals, ARRAY_LEN(child_signals), on_child, d)) < 0)
        return vl_fail_errno(err, r, "event loop");
    if ((r = make_folders(d, err)) < 0 || (r = open_state(d, err)) < 0) return r;
    return open_listeners(d, err);
}

/* --- the process -------------------------------------------------------------------------------------------------- */

static void prepare_process(void)
{
    struct rlimit files;
    struct sigaction ignore = {.sa_handler = SIG_IGN};

    /* Threads are few and short-lived: an arena each would only cost memory. */
    (void)mallopt(M_ARENA_MAX, 2); /* NOLINT(concurrency-mt-unsafe): there is no other thread yet */
    (void)umask(022);              /* NOLINT(concurrency-mt-unsafe) */
    (void)sigaction(SIGPIPE, &ignore, NULL);
    (void)sigaction(SIGHUP, &ignore, NULL);
    if (getrlimit(RLIMIT_NOFILE, &files) < 0 || files.rlim_cur == files.rlim_max) return;
    files.rlim_cur = files.rlim_max; /* a VM takes a handful, a client one */
    (void)setrlimit(RLIMIT_NOFILE, &files);
}

/* 1: to be done again, with the settings as they are then. */
static int serve(struct settings *settings, struct tls *tls, const struct strv *warnings, struct sockets *sockets,
                 struct vl_error *err)
{
    int64_t start_us = mono_us();
    struct daemon d = {.settings = *settings, .tls = *tls, .state_lock = -1, .runtime_lock = -1, .sockets = sockets};
    int r;

    *settings = (struct settings){0}; /* moved, both */
    *tls = (struct tls){0};
    log_set_level(d.settings.log_level);
    for (size_t i = 0; i < warnings->len; i++)
        log_warn("%s", warnings->items[i]);
    if ((r = daemon_open(&d, err)) == 0) {
        log_info("volantd %s serving on %s%s%s after %lld ms, state in %s", VOLANT_VERSION, sockets->path,
                 *sockets->listen ? " and " : "", sockets->listen, (long long)(mono_us() - start_us) / 1000,
                 d.settings.paths.state_dir);
        (void)malloc_trim(0);
        if ((r = loop_run(d.loop)) < 0) vl_fail_errno(err, r, "event loop");
    }
    daemon_close(&d);
    return r == 0 && d.again ? 1 : r;
}

static const char *env_get(const char *name)
{
    return secure_getenv(name);
}

static const char details[] =
    "A flag wins over the environment variable in brackets, which wins over the file.\n"
    "VOLANT_API_KEY, which has no flag, is a token of role admin; others are made by `volar tokens create`.\n"
    "SIGTERM and SIGINT end volantd and leave VMs running: the next volantd picks them up. SIGHUP is ignored.\n"
    "Exit codes: 0 ended by a signal, 1 failed, 2 bad option or setting.\n\n"
    "Examples:\n"
    "  volantd                                     Serve on the Unix socket\n"
    "  volantd --listen 127.0.0.1:7777             Also on TCP, for every user of this host until there is a token\n"
    "  volantd --listen 0.0.0.0:7777 --tls-cert /etc/volant/tls.crt --tls-key /etc/volant/tls.key\n"
    "  volantd --state-dir /srv/volant --log-level debug\n";

/* What is wrong with either stays wrong until somebody changes it. */
static int load(const struct settings_flags *flags, struct settings *ret, struct tls *ret_tls, struct strv *warnings,
                struct vl_error *err)
{
    int r = settings_load(flags, env_get, ret, warnings, err);

    if (r < 0 || !ret->access.tls_cert) return r;
    return tls_load(ret->access.tls_cert, ret->access.tls_key, ret_tls, err);
}

/* Exit code; -1: once more. */
static int run_once(const struct settings_flags *flags, struct sockets *sockets)
{
    auto_settings settings = {0};
    auto_(tls_done) struct tls tls = {0};
    auto_strv warnings = {0};
    struct vl_error err = {0};
    int r;

    if (load(flags, &settings, &tls, &warnings, &err) < 0) {
        (void)fprintf(stderr, "volantd: %s\n", err.msg);
        return 2;
    }
    if ((r = serve(&settings, &tls, &warnings, sockets, &err)) < 0) {
        log_err("%s", err.msg);
        return 1;
    }
    return r == 0 ? 0 : -1;
}

static int run(const struct settings_flags *flags)
{
    struct sockets sockets = SOCKETS_NONE;
    struct vl_error err = {0};
    int code = 1;

    prepare_process();
    journal_begin();
    if (sockets_take(&sockets, &err) < 0)
        log_err("%s", err.msg);
    else
        while ((code = run_once(flags, &sockets)) < 0)
            ;
    sockets_close(&sockets);
    return code;
}

int main(int argc, char **argv)
{
    auto_(settings_flags_done) struct settings_flags flags;
    const struct command cmd = {.name = "",
                                .operands = "",
                                .summary = "The control plane of Volant: runs microVMs and "
                                           "serves the API that volar uses.",
                                .details = details,
                                .opts = flags.opts};
    const char *operand;
    size_t n_operands = 0;
    bool help = false;
    struct vl_error err = {0};

    log_set_thread("loop");
    if (settings_flags_init(&flags) < 0) return 1;
    if (opt_parse(flags.opts, argc - 1, argv + 1, &operand, 0, &n_operands, &help, &err) < 0) {
        (void)fprintf(stderr, "volantd: %s\nSee volantd --help.\n", err.msg);
        return 2;
    }
    if (help)
        command_help(stdout, "volantd", &cmd, NULL);
    else if (flags.version)
        (void)printf("volantd %s\n", VOLANT_VERSION);
    else
        return run(&flags);
    return fflush(stdout) == 0 ? 0 : 1;
}
