/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tries to reach each tcp:ADDRESS:PORT or udp:ADDRESS:PORT of its arguments, says how that went, then serves "ok" on
 * port
 * 80. "-" ends the list without serving.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define WAIT_MS 1500

static int parse(const char *text, struct sockaddr_storage *addr, socklen_t *len, int *type)
{
    char host[64];
    const char *colon = strrchr(text, ':');
    struct sockaddr_in *in = (void *)addr;
    struct sockaddr_in6 *in6 = (void *)addr;

    memset(addr, 0, sizeof(*addr));
    *type = strncmp(text, "udp:", 4) == 0 ? SOCK_DGRAM : SOCK_STREAM;
    snprintf(host, sizeof(host), "%.*s", (int)(colon - text - 4), text + 4);
    if (inet_pton(AF_INET, host, &in->sin_addr) == 1) {
        in->sin_family = AF_INET;
        in->sin_port = htons((unsigned short)atoi(colon + 1));
        *len = sizeof(*in);
        return 0;
    }
    if (inet_pton(AF_INET6, host, &in6->sin6_addr) != 1) return -1;
    in6->sin6_family = AF_INET6;
    in6->sin6_port = htons((unsigned short)atoi(colon + 1));
    *len = sizeof(*in6);
    return 0;
}

/* A DNS question for example.com: what a resolver would answer. */
static const char question[] = "\x12\x34\x01\0\0\1\0\0\0\0\0\0\7example\3com\0\0\1\0\1";

static const char *try_it(const char *text)
{
    struct sockaddr_storage addr;
    struct pollfd p = {.events = POLLOUT};
    socklen_t len;
    char answer[512];
    int type, error = 0;

    if (parse(text, &addr, &len, &type) < 0) return "malformed";
    if ((p.fd = socket(addr.ss_family, type | SOCK_NONBLOCK, 0)) < 0) return strerror(errno);
    if (connect(p.fd, (void *)&addr, len) < 0 && errno != EINPROGRESS) return strerror(errno);
    if (type == SOCK_DGRAM) {
        p.events = POLLIN;
        if (send(p.fd, question, sizeof(question) - 1, 0) < 0) return strerror(errno);
    }
    if (poll(&p, 1, WAIT_MS) == 0) return "silence";
    len = sizeof(error);
    if (getsockopt(p.fd, SOL_SOCKET, SO_ERROR, &error, &len) == 0 && error) return strerror(error);
    if (type == SOCK_DGRAM && recv(p.fd, answer, sizeof(answer), 0) < 0) return strerror(errno);
    return "REACHED";
}

static void serve(void)
{
    static const char page[] = "HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nok\n";
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons(80)};
    int listener = socket(AF_INET, SOCK_STREAM, 0), on = 1;
    char request[4096];

    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (bind(listener, (void *)&any, sizeof(any)) < 0 || listen(listener, 16) < 0) exit(1);
    for (;;) {
        int c = accept(listener, NULL, NULL);

        if (read(c, request, sizeof(request)) < 0 || write(c, page, sizeof(page) - 1) < 0) continue;
        close(c);
    }
}

int main(int argc, char **argv)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (int i = 1; i < argc; i++) {
        struct timespec from, to;

        if (strcmp(argv[i], "-") == 0) return 0;
        clock_gettime(CLOCK_MONOTONIC, &from);
        printf("%s: %s", argv[i], try_it(argv[i]));
        clock_gettime(CLOCK_MONOTONIC, &to);
        printf(" after %ld ms\n", (long)((to.tv_sec - from.tv_sec) * 1000 + (to.tv_nsec - from.tv_nsec) / 1000000));
    }
    printf("probed\n");
    serve();
}
