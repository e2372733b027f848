/* SPDX-License-Identifier: Apache-2.0 */
/* For those who talk to volantd by libcurl themselves: several requests at once. */
#pragma once
#include <curl/curl.h>

#include "volar/api.h"

/* Before the first handle. TLS is set up only where it is spoken: that costs more than a whole exchange over the
 * socket.
 */
CURLcode api_curl_begin(const struct api_address *a);
/* What every request to volantd is made with. */
int api_curl_setup(CURL *c, const struct api_address *a, const char *method, const char *path, struct vl_error *err);
