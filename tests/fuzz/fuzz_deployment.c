/* SPDX-License-Identifier: Apache-2.0 */
/* The bodies of POST and PATCH /api/v1/deployments: what is accepted is within its limits, and a refusal leaves
 * nothing. */
#include "fuzz.h"

#include "model/deployment.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    json_auto_t *in = NULL;
    auto_(deployment_request_done) struct deployment_request req = {0};
    auto_(deployment_patch_done) struct deployment_patch patch = {0};
    auto_strv unknown = {0};
    struct vl_error err = {0};
    int64_t version = 0;

    if (json_parse((const char *)data, size, "input", &in, &err) < 0) return 0;
    if (deployment_request_decode(in, &req, &unknown, &err) == 0) {
        must(req.replicas >= 0 && req.replicas <= DEPLOYMENT_REPLICAS_MAX);
        must(!name_problem(req.name) && json_is_object(req.config));
    } else {
        must(!req.name && !req.config);
    }
    if (deployment_patch_decode(in, &patch, NULL, &err) == 0)
        must(patch.config || (patch.replicas >= 0 && patch.replicas <= DEPLOYMENT_REPLICAS_MAX));
    else
        must(!patch.config);
    if (deployment_rollback_decode(in, &version, NULL, &err) == 0) must(version >= 0);
    return 0;
}
