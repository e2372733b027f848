/* SPDX-License-Identifier: Apache-2.0 */
/* The body of POST /api/v1/vms: an accepted one is accepted again as it is encoded, and encoded the same. */
#include "fuzz.h"

#include "model/vm.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    json_auto_t *in = NULL, *once = NULL, *twice = NULL;
    auto_vm_request first = {0}, second = {0};
    auto_strv unknown = {0};
    struct vl_error err = {0};

    if (json_parse((const char *)data, size, "input", &in, &err) < 0) return 0;
    if (vm_request_decode(in, &first, &unknown, &err) < 0) return 0;
    must(once = schema_encode(&vm_request_schema, &first));
    must(vm_request_decode(once, &second, NULL, &err) == 0);
    must(twice = schema_encode(&vm_request_schema, &second));
    must(json_equal(once, twice));
    return 0;
}
