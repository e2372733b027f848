/* SPDX-License-Identifier: Apache-2.0 */
/* What a VMM says on its monitor, which a guest may have taken over: a command ends, with a result or with words. */
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/io.h"
#include "fuzz.h"
#include "vmm/qmp.h"

#define WAIT_MS 1000

/* Handed over by the connection, and given back by `over`. */
static sem_t over;
static const uint8_t *said;
static size_t said_len;
static struct sockaddr_un address = {.sun_family = AF_UNIX};

static void *monitor(void *arg)
{
    int listener = *(int *)arg;
    char buf[4096];

    for (;;) {
        int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

        must(fd >= 0);
        (void)write_all(fd, said, said_len, mono_ms() + WAIT_MS);
        (void)shutdown(fd, SHUT_WR);
        while (read(fd, buf, sizeof(buf)) > 0)
            continue;
        (void)close(fd);
        (void)sem_post(&over);
    }
    return NULL;
}

static void forget(void)
{
    (void)unlink(address.sun_path);
}

static void begin(void)
{
    static int listener;
    pthread_t thread;

    must(snprintf(address.sun_path, sizeof(address.sun_path), "/tmp/vl-fuzz-qmp-%d", (int)getpid()) > 0);
    must((listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) >= 0);
    must(bind(listener, (const void *)&address, sizeof(address)) == 0 && listen(listener, 8) == 0);
    must(atexit(forget) == 0 && sem_init(&over, 0, 0) == 0);
    must(pthread_create(&thread, NULL, monitor, &listener) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    json_auto_t *result = NULL;
    struct vl_error err = {0};

    if (!*address.sun_path) begin();
    said = data;
    said_len = size;
    if (qmp_run(address.sun_path, "query-status", mono_ms() + WAIT_MS, &result, &err) < 0)
        must(err.msg[0] && !result);
    else
        must(result);
    while (sem_wait(&over) < 0)
        continue;
    return 0;
}
