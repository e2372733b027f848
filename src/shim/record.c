/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/record.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/io.h"
#include "base/proc.h"
#include "base/str.h"

#define RUN_TEMP ".run.json.tmp"

static int write_unsynced(int dir_fd, const struct strbuf *text)
{
    auto_close int fd = openat(dir_fd, RUN_TEMP, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    int r;

    if (fd < 0) return -errno;
    r = write_all(fd, text->data, text->len, -1);
    if (r == 0 && renameat(dir_fd, RUN_TEMP, dir_fd, "run.json") < 0) r = -errno;
    if (r < 0) (void)unlinkat(dir_fd, RUN_TEMP, 0);
    return r;
}

int record_run(int dir_fd, const char *boot, pid_t vmm)
{
    auto_strbuf text = {0};
    struct proc_id shim_id, vmm_id;
    char host[40];
    int r;

    if ((r = proc_id_of(getpid(), &shim_id)) < 0 || (r = proc_id_of(vmm, &vmm_id)) < 0) return r;
    host_boot_id(host);
    strbuf_adds(&text, "{\"boot\":");
    strbuf_add_json(&text, boot, strlen(boot));
    strbuf_addf(&text, ",\"host_boot_id\":\"%s\",\"shim\":{\"pid\":%d,\"start\":%" PRIu64 "}", host, (int)shim_id.pid,
                shim_id.start);
    strbuf_addf(&text, ",\"vmm\":{\"pid\":%d,\"start\":%" PRIu64 "}}\n", (int)vmm_id.pid, vmm_id.start);
    return text.failed ? -ENOMEM : write_unsynced(dir_fd, &text);
}

int record_exit(int dir_fd, const char *boot, int status, const char *stderr_tail, size_t n)
{
    auto_strbuf text = {0};
    int signo = WIFSIGNALED(status) ? WTERMSIG(status) : 0;

    strbuf_adds(&text, "{\"boot\":");
    strbuf_add_json(&text, boot, strlen(boot));
    strbuf_addf(&text, ",\"exited_ms\":%" PRId64 ",\"code\":%d,\"signal\":%d,\"stderr\":", wall_ms(),
                signo ? -1 : WEXITSTATUS(status), signo);
    strbuf_add_json(&text, stderr_tail, n);
    strbuf_adds(&text, "}\n");
    return text.failed ? -ENOMEM : write_file_atomic_at(dir_fd, "exit.json", text.data, text.len, 0600);
}
