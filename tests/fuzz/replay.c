/* SPDX-License-Identifier: Apache-2.0 */
/* Runs each file of a corpus folder through the fuzz target, in a buffer of exactly its size; TAP on stdout. */
#include "fuzz.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/io.h"

#define INPUT_MAX (16UL * 1024 * 1024)

static int visible(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

static bool replay(int dir_fd, const char *name)
{
    auto_free char *text = NULL;
    auto_free uint8_t *exact = NULL;
    size_t len;

    if (read_file_at(dir_fd, name, INPUT_MAX, &text, &len) < 0) return false;
    if (len > 0 && !(exact = malloc(len))) return false;
    if (len > 0) memcpy(exact, text, len);
    (void)LLVMFuzzerTestOneInput(exact, len);
    return true;
}

int main(int argc, char **argv)
{
    struct dirent **entries = NULL;
    auto_close int dir_fd = -1;
    int n, failed = 0;

    if (argc != 2) return 2;
    if ((dir_fd = open_dir(argv[1])) < 0 || (n = scandir(argv[1], &entries, visible, alphasort)) <= 0) {
        (void)fprintf(stderr, "%s: no corpus there\n", argv[1]);
        return 2;
    }
    (void)printf("1..%d\n", n);
    for (int i = 0; i < n; i++) {
        /* Said before: a crash leaves the name as the last line. */
        (void)fprintf(stderr, "%s\n", entries[i]->d_name);
        bool good = replay(dir_fd, entries[i]->d_name);
        (void)printf("%s %d - %s\n", good ? "ok" : "not ok", i + 1, entries[i]->d_name);
        failed += !good;
        free(entries[i]);
    }
    free(entries);
    return failed > 0;
}
