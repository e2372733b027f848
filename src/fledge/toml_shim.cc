/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See toml_shim.h. toml++ keeps the keys of a table sorted by name; here they are brought back into the order of the
 * file, so that the first mistake is the one that is told.
 */
#include "fledge/toml_shim.h"

#define TOML_HEADER_ONLY 1
#define TOML_EXCEPTIONS  0
#include <toml++/toml.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string_view>

namespace
{

/* A line with more of these before anything else could nest tables until toml++, which recurses, runs out of stack. */
constexpr size_t DOTS_PER_LINE_MAX = 256;
constexpr size_t DOTS_MAX = 8192;

void set_problem(toml_problem *problem, toml_place at, std::string_view text)
{
    problem->at = at;
    std::snprintf(problem->text, sizeof(problem->text), "%.*s", static_cast<int>(text.size()), text.data());
}

toml_place place_of(const toml::source_region &region)
{
    return {region.begin.line, region.begin.column};
}

int copy_text(std::string_view from, char **ret, size_t *ret_len)
{
    char *copy = static_cast<char *>(std::malloc(from.size() + 1));

    if (!copy) return -ENOMEM;
    std::memcpy(copy, from.data(), from.size());
    copy[from.size()] = '\0';
    *ret = copy;
    if (ret_len) *ret_len = from.size();
    return 0;
}

void done(toml_node *node)
{
    for (size_t i = 0; i < node->n_items; i++)
        done(&node->items[i]);
    std::free(node->items);
    std::free(node->key);
    std::free(node->text);
}

int copy_node(const toml::node &from, toml_node *to, unsigned depth, toml_problem *problem);

int reserve(toml_node *to, size_t n)
{
    if (n == 0) return 0;
    to->items = static_cast<toml_node *>(std::calloc(n, sizeof(*to->items)));
    return to->items ? 0 : -ENOMEM;
}

bool before(const toml_node &a, const toml_node &b)
{
    return a.key_at.line != b.key_at.line ? a.key_at.line < b.key_at.line : a.key_at.column < b.key_at.column;
}

int copy_table(const toml::table &from, toml_node *to, unsigned depth, toml_problem *problem)
{
    int r = reserve(to, from.size());

    for (auto &&[key, value] : from) {
        if (r < 0) return r;
        toml_node *item = &to->items[to->n_items++];
        item->key_at = place_of(key.source());
        if ((r = copy_text(key.str(), &item->key, nullptr)) == 0) r = copy_node(value, item, depth + 1, problem);
    }
    if (r == 0) std::sort(to->items, to->items + to->n_items, before);
    return r;
}

int copy_array(const toml::array &from, toml_node *to, unsigned depth, toml_problem *problem)
{
    int r = reserve(to, from.size());

    for (auto &&value : from) {
        if (r < 0) return r;
        r = copy_node(value, &to->items[to->n_items++], depth + 1, problem);
    }
    return r;
}

unsigned base_of(toml::value_flags flags)
{
    switch (flags) {
    case toml::value_flags::format_as_binary:
        return 2;
    case toml::value_flags::format_as_octal:
        return 8;
    case toml::value_flags::format_as_hexadecimal:
        return 16;
    default:
        return 10;
    }
}

int copy_node(const toml::node &from, toml_node *to, unsigned depth, toml_problem *problem)
{
    to->at = place_of(from.source());
    if (depth > TOML_DEPTH_MAX) {
        set_problem(problem, to->at, "tables or arrays are nested too deeply");
        return -EINVAL;
    }
    switch (from.type()) {
    case toml::node_type::table:
        to->type = TOML_TABLE;
        return copy_table(*from.as_table(), to, depth, problem);
    case toml::node_type::array:
        to->type = TOML_ARRAY;
        return copy_array(*from.as_array(), to, depth, problem);
    case toml::node_type::string:
        to->type = TOML_STRING;
        return copy_text(from.as_string()->get(), &to->text, &to->text_len);
    case toml::node_type::integer:
        to->type = TOML_INTEGER;
        to->number = from.as_integer()->get();
        to->base = base_of(from.as_integer()->flags());
        return 0;
    case toml::node_type::boolean:
        to->type = TOML_BOOL;
        to->number = from.as_boolean()->get();
        return 0;
    case toml::node_type::floating_point:
        to->type = TOML_FLOAT;
        return 0;
    default:
        to->type = TOML_DATE;
        return 0;
    }
}

/* Keys of a.b.c... nest without a bound of toml++'s own. */
bool too_many_dots(std::string_view text, toml_problem *problem)
{
    size_t in_line = 0, all = 0;
    unsigned line = 1;

    for (char c : text) {
        if (c == '.') {
            in_line++;
            all++;
        } else if (c == '\n') {
            in_line = 0;
            line++;
        }
        if (in_line <= DOTS_PER_LINE_MAX && all <= DOTS_MAX) continue;
        set_problem(problem, {line, 1}, "too many dots: shorten the line");
        return true;
    }
    return false;
}

} // namespace

extern "C" int toml_parse_text(const char *text, size_t len, toml_node **ret, toml_problem *problem)
{
    std::string_view view(text, len);

    if (too_many_dots(view, problem)) return -EINVAL;
    toml::parse_result result = toml::parse(view);
    if (!result) {
        set_problem(problem, place_of(result.error().source()), result.error().description());
        return -EINVAL;
    }
    toml_node *root = static_cast<toml_node *>(std::calloc(1, sizeof(*root)));
    if (!root) return -ENOMEM;
    int r = copy_node(result.table(), root, 0, problem);
    if (r < 0) {
        toml_free(root);
        return r;
    }
    *ret = root;
    return 0;
}

extern "C" void toml_free(toml_node *root)
{
    if (!root) return;
    done(root);
    std::free(root);
}
