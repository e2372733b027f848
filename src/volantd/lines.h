/* SPDX-License-Identifier: Apache-2.0 */
/* Log lines as the API gives them: {"name","stream","line","timestamp"} and a newline. */
#pragma once
#include <jansson.h>

#include "base/str.h"
#include "model/schema.h"

extern const struct schema log_line_schema; /* to be told, not to be decoded */

void lines_add(struct strbuf *b, const char *name, const char *stream, const char *line, const char *timestamp);
/* The last one, of how the VM ended: the same of volantd, and the VM as "vm". Takes vm; without one nothing is added.
 */
void lines_add_end(struct strbuf *b, const char *name, json_t *vm);
/* From a line of the agent's (model/guest.h). A negative errno if it is none; then nothing was added. */
int lines_add_guest(struct strbuf *b, const char *name, const char *json, size_t n);
/* The last `tail` lines (-1: all) of console output, stream "console", no time. Long lines are cut at LOG_LINE_MAX. */
void lines_add_console(struct strbuf *b, const char *name, const char *text, size_t n, int64_t tail);
