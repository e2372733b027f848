/* SPDX-License-Identifier: Apache-2.0 */
/* All there is in its image: a web server with one page. */
#include <arpa/inet.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

int main(void)
{
    static const char page[] = "HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nalone\n";
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(8000)};
    int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    char request[2048];

    (void)signal(SIGPIPE, SIG_IGN);
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (bind(fd, (struct sockaddr *)&at, sizeof(at)) < 0 || listen(fd, 16) < 0) return 1;
    for (;;) {
        int client = accept(fd, NULL, NULL);

        if (client < 0) continue;
        (void)!read(client, request, sizeof(request));
        (void)!write(client, page, sizeof(page) - 1);
        (void)close(client);
    }
}
