/* SPDX-License-Identifier: Apache-2.0 */
/*
 * volant-shim: one per VM, between volantd and the VMM. It confines and starts the VMM, owns its console, waits for it,
 * and leaves word of why it ended. It needs nothing of volantd once it runs: volantd may end, be killed or be upgraded,
 * and the VM goes on. If the shim itself is killed the VM goes on too, and only its console and its exit reason are
 * lost.
 *
 * volantd starts it in a session of its own. It is told everything on its command line and by descriptors; it answers
 * with one JSON line on --status-fd: {"vmm_pid":N} or {"error":"..."}. Idle, it does not wake up.
 */
#include <fcntl.h>
#include <link.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "base/io.h"
#include "shim/child.h"
#include "shim/console.h"
#include "shim/record.h"

#define STDERR_KEPT   4096 /* bytes of the VMM's last words */
#define STDERR_ROUNDS 1024

struct shim {
    struct options options;
    struct loop *loop;
    struct console *console;
    struct child child;
    struct watch ended, text;
    struct strbuf stderr_tail;
    int status; /* of the VMM, as waitpid(2) gives it */
};

/* False once there is nothing more for now. */
static bool take_stderr(struct shim *s)
{
    char chunk[2048];
    ssize_t n = read(s->child.stderr_fd, chunk, sizeof(chunk));

    if (n < 0 && errno == EINTR) return true;
    if (n < 0 && errno == EAGAIN) return false;
    if (n <= 0) {
        loop_unwatch(&s->text);
        return false;
    }
    strbuf_add(&s->stderr_tail, chunk, (size_t)n);
    if (s->stderr_tail.len > STDERR_KEPT) strbuf_consume(&s->stderr_tail, s->stderr_tail.len - STDERR_KEPT);
    return true;
}

static void text_ready(struct watch *w, uint32_t events)
{
    (void)events;
    (void)take_stderr(container_of(w, struct shim, text));
}

static void vmm_ended(struct watch *w, uint32_t events)
{
    struct shim *s = container_of(w, struct shim, ended);

    (void)events;
    while (waitpid(s->child.pid, &s->status, 0) < 0 && errno == EINTR)
        ;
    loop_unwatch(w);
    loop_stop(s->loop);
}

static void report(struct shim *s, const char *key, const char *quoted)
{
    auto_strbuf line = {0};

    strbuf_addf(&line, "{\"%s\":%s}\n", key, quoted);
    if (!line.failed) (void)write_all(s->options.status_fd, line.data, line.len, -1); /* nobody listens: no harm */
    (void)close(s->options.status_fd);
}

static void report_error(struct shim *s, const char *msg)
{
    auto_strbuf text = {0};

    strbuf_add_json(&text, msg, strlen(msg));
    report(s, "error", text.failed ? "\"out of memory\"" : text.data);
}

static int watch_child(struct shim *s, struct vl_error *err)
{
    const struct child *c = &s->child;
    int r;

    if ((r = console_attach(s->console, c->console)) < 0 ||
        (r = loop_watch(s->loop, &s->text, c->stderr_fd, EPOLLIN, text_ready)) < 0 ||
        (r = loop_watch(s->loop, &s->ended, c->pidfd, EPOLLIN, vmm_ended)) < 0)
        return vl_fail_errno(err, r, "watch the VMM");
    if ((r = record_run(s->options.dir_fd, s->options.boot, c->pid)) < 0)
        return vl_fail_errno(err, r, "write run.json");
    return 0;
}

/* Before the VMM is there, which is born where its parent is. */
static int enter_cgroup(int fd, struct vl_error *err)
{
    int r = fd < 0 ? 0 : write_all(fd, "0", 1, -1);

    if (fd >= 0) (void)close(fd);
    return r < 0 ? vl_fail_errno(err, r, "move into the VM's cgroup (VOLANT_CGROUP=off does without)") : 0;
}

static int start(struct shim *s, struct vl_error *err)
{
    const struct options *o = &s->options;
    int r;

    if ((r = enter_cgroup(o->cgroup_fd, err)) < 0 || (r = child_prepare(o, err)) < 0) return r;
    if ((r = loop_new(&s->loop)) < 0) return vl_fail_errno(err, r, "make a loop");
    r = console_new(s->loop, o->dir_fd, o->console_listen_fd, o->console_bytes, &s->console);
    if (r < 0) return vl_fail_errno(err, r, "make the console");
    if ((r = child_start(o, &s->child, err)) < 0) return r;
    if ((r = watch_child(s, err)) < 0) child_abort(&s->child);
    return r;
}

/* A new boot makes its sockets anew; these would only look alive. The record comes last: where it is, all is done. */
static void finish(struct shim *s)
{
    static const char *const sockets[] = {"ctl", "sync", "qmp", "console.sock"};
    const struct options *o = &s->options;
    int r;

    for (int i = 0; i < STDERR_ROUNDS && take_stderr(s); i++)
        ;
    console_finish(s->console);
    for (size_t i = 0; i < ARRAY_LEN(sockets); i++)
        (void)unlinkat(o->dir_fd, sockets[i], 0);
    r = record_exit(o->dir_fd, o->boot, s->status, s->stderr_tail.len ? s->stderr_tail.data : "", s->stderr_tail.len);
    if (r < 0) console_say(s->console, "cannot write exit.json: %s", vl_strerror(r));
}

/*
 * Most of a static program is start-up code of the C library, mapped in large steps and not used again. Its pages stay
 * in the page cache; given back here, what is needed later comes from there. 0.8 MB of resident memory per VM become
 * 0.2.
 */
static void forget_startup(void)
{
    const ElfW(Phdr) *header = (const ElfW(Phdr) *)getauxval(AT_PHDR);
    const uintptr_t page = (uintptr_t)getpagesize();

    for (size_t n = header ? getauxval(AT_PHNUM) : 0; n > 0; n--, header++) {
        uintptr_t begin = header->p_vaddr & ~(page - 1);

        if (header->p_type == PT_LOAD && !(header->p_flags & PF_W))
            (void)madvise((void *)begin, header->p_vaddr + header->p_memsz - begin, MADV_DONTNEED);
    }
}

int main(int argc, char **argv)
{
    struct shim s = {0};
    struct vl_error err = {0};
    char pid[16];

    if (options_parse(argc - 1, argv + 1, &s.options, &err) < 0) {
        (void)dprintf(STDERR_FILENO, "volant-shim: %s\n", err.msg);
        return 2;
    }
    if (start(&s, &err) < 0) {
        report_error(&s, err.msg);
        return 1;
    }
    (void)strf(pid, sizeof(pid), "%d", (int)s.child.pid);
    report(&s, "vmm_pid", pid);
    forget_startup();
    if (loop_run(s.loop) < 0)
        (void)waitpid(s.child.pid, &s.status, 0); /* epoll itself failed: no console, but a record */
    finish(&s);
    return 0;
}
