/* SPDX-License-Identifier: Apache-2.0 */
/* Log lines as entries of the systemd journal, with fields that `journalctl` can ask for. */
#pragma once
#include "base/log.h"

/*
 * From now on lines go to the journal, if that is where stderr ends (JOURNAL_STREAM says so, and is right); else
 * nothing changes. Before the second thread. Fields: MESSAGE, PRIORITY, CODE_FILE, CODE_LINE, CODE_FUNC,
 * SYSLOG_IDENTIFIER, VOLANT_THREAD, and VOLANT_VM in lines about one VM.
 */
void journal_begin(void);

/* Whether `stream` ("device:inode", as in JOURNAL_STREAM; may be NULL) names the file behind fd. */
bool journal_is_stream(const char *stream, int fd);
/* The VM that a line is about: "web" of "vm=web ...". How many bytes at *ret; 0 if it is about none. */
size_t journal_vm_of(const char *text, const char **ret);
