/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A web server that keeps count in a file of its root folder: each answer is "COUNT MEGABYTES", of visits and of the
 * file system that the file is on. GET /end ends it with 7, and so does the argument "end" at once, or "talk" after a
 * megabyte of words.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/statvfs.h>
#include <unistd.h>

static void answer(int client)
{
    int fd = open("/var/kept", O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    char text[32] = "", page[128];
    struct statvfs fs;
    int count, n;

    if (fd < 0 || fstatvfs(fd, &fs) < 0) _exit(2);
    (void)!read(fd, text, sizeof(text) - 1);
    count = atoi(text) + 1;
    n = snprintf(text, sizeof(text), "%d\n", count);
    if (pwrite(fd, text, (size_t)n, 0) != n || fsync(fd) < 0) _exit(3);
    (void)close(fd);
    n = snprintf(page, sizeof(page), "HTTP/1.0 200 OK\r\n\r\n%d %llu\n", count,
                 (unsigned long long)fs.f_blocks * fs.f_frsize >> 20);
    (void)!write(client, page, (size_t)n);
}

int main(int argc, char **argv)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(80)};
    int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    char request[2048];

    (void)signal(SIGPIPE, SIG_IGN);
    printf("keeper of %s, told %s\n", argc > 1 ? argv[1] : "nothing", getenv("TOLD") ? getenv("TOLD") : "nothing");
    (void)fflush(stdout);
    if (argc > 1 && strcmp(argv[1], "end") == 0) return 7;
    if (argc > 1 && strcmp(argv[1], "talk") == 0) {
        for (int i = 0; i < 1 << 14; i++)
            printf("%d: the quick brown fox jumps over the lazy dog, and over the fence\n", i);
        return 7;
    }
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (bind(fd, (struct sockaddr *)&at, sizeof(at)) < 0 || listen(fd, 16) < 0) return 1;
    for (;;) {
        int client = accept(fd, NULL, NULL);

        if (client < 0) continue;
        memset(request, 0, sizeof(request));
        if (read(client, request, sizeof(request) - 1) > 0 && strncmp(request, "GET /end", 8) == 0) return 7;
        if (request[0]) answer(client); /* else somebody looked whether it listens */
        (void)close(client);
    }
}
