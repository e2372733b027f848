/* SPDX-License-Identifier: Apache-2.0 */
#include "volar/output.h"

#include <stdarg.h>
#include <string.h>

#include "base/io.h"

static void cell_take(struct table *t, char *cell)
{
    char **more = cell ? reallocarray(t->cells, t->n_cells + 1, sizeof(*more)) : NULL;

    if (!more) {
        free(cell);
        t->failed = true;
        return;
    }
    t->cells = more;
    t->cells[t->n_cells++] = cell;
}

void table_begin(struct table *t, const char *const *header, size_t n_columns)
{
    *t = (struct table){.n_columns = n_columns};
    for (size_t i = 0; i < n_columns; i++)
        table_add(t, header[i]);
}

void table_add(struct table *t, const char *cell)
{
    struct strbuf b = {0};

    if (t->failed) return;
    if (!cell || !*cell) cell = "-";
    strbuf_add_printable(&b, cell, strlen(cell));
    cell_take(t, strbuf_take(&b));
}

void table_addf(struct table *t, const char *fmt, ...)
{
    char text[512];
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    table_add(t, text);
}

int table_print(struct table *t, FILE *out)
{
    size_t width[TABLE_COLUMNS] = {0};

    if (t->failed || t->n_columns > TABLE_COLUMNS) return -ENOMEM;
    for (size_t i = 0; i < t->n_cells; i++)
        if (strlen(t->cells[i]) > width[i % t->n_columns]) width[i % t->n_columns] = strlen(t->cells[i]);
    for (size_t i = 0; i < t->n_cells; i++) {
        bool last = i % t->n_columns == t->n_columns - 1;

        if (last)
            (void)fprintf(out, "%s\n", t->cells[i]);
        else
            (void)fprintf(out, "%-*s  ", (int)width[i % t->n_columns], t->cells[i]);
    }
    return 0;
}

void table_done(struct table *t)
{
    for (size_t i = 0; i < t->n_cells; i++)
        free(t->cells[i]);
    free(t->cells);
    *t = (struct table){0};
}

int print_json(const json_t *j)
{
    if (json_dumpf(j, stdout, JSON_INDENT(2)) < 0) return -EIO;
    return putchar('\n') == '\n' ? 0 : -EIO;
}

bool output_is_file(const char *output)
{
    return output && !str_eq(output, "json") && !str_eq(output, "table");
}

int write_json(const json_t *j, const char *file, struct vl_error *err)
{
    auto_free char *text = json_dumps(j, JSON_INDENT(2)), *folder = NULL;
    const char *slash = strrchr(file, '/');
    auto_close int dir = -1;
    auto_strbuf b = {0};
    int r;

    if (text) strbuf_addf(&b, "%s\n", text);
    if (!text || b.failed) return vl_fail_errno(err, ENOMEM, "write '%s'", file);
    if (slash && !(folder = strndup(file, (size_t)(slash - file) + 1))) return vl_fail_errno(err, ENOMEM, "write");
    dir = open_dir(folder ? folder : ".");
    r = dir < 0 ? dir : write_file_atomic_at(dir, slash ? slash + 1 : file, b.data, b.len, 0600);
    return r < 0 ? vl_fail_errno(err, r, "write '%s'", file) : 0;
}

char *ports_text(const struct objects *ports)
{
    const struct port_map *p = ports ? ports->items : NULL;
    struct strbuf b = {0};

    for (size_t i = 0; p && i < ports->len; i++)
        strbuf_addf(&b, "%s%s:%lld->%lld/%s", i ? ", " : "", p[i].host_ip, (long long)p[i].host_port,
                    (long long)p[i].port, p[i].protocol);
    return strbuf_take(&b);
}

void size_text(uint64_t bytes, char buf[static 24])
{
    static const char *const units[] = {"B", "kB", "MB", "GB", "TB"};
    double n = (double)bytes;
    size_t u = 0;

    while (n >= 999.5 && u + 1 < ARRAY_LEN(units)) {
        n /= 1000;
        u++;
    }
    (void)strf(buf, 24, u && n < 100 ? "%.1f %s" : "%.0f %s", n, units[u]);
}

void print_field(const char *label, const char *value)
{
    auto_strbuf b = {0};

    strbuf_add_printable(&b, value, strlen(value));
    printf("%s: %s\n", label, b.data ? b.data : "");
}

const char *text_at(const json_t *j, const char *object, const char *key)
{
    const json_t *from = object ? json_object_get(j, object) : j;
    const char *s = json_string_value(json_object_get(from, key));

    return s ? s : "";
}

long long number_at(const json_t *j, const char *object, const char *key)
{
    return (long long)json_integer_value(json_object_get(object ? json_object_get(j, object) : j, key));
}
