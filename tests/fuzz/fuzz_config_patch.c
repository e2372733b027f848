/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The body of PATCH /api/v1/vms/NAME/config, laid over a configuration that has everything: what comes of it is a
 * configuration, and the same patch once more changes nothing.
 */
#include <string.h>

#include "fuzz.h"
#include "model/config_patch.h"

static const char base[] = "{\"plugin\":\"web\",\"runtime\":\"web\",\"kernel_cmdline\":\"quiet\",\"restart\":"
                           "\"always\",\"resources\":{\"cpu_cores\":2,"
                           "\"memory_mb\":128},\"env\":{\"A\":\"b\"},\"command\":[\"/bin/"
                           "app\"],\"expose\":[{\"port\":80,\"host_port\":8080}]}";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    json_auto_t *config = json_loads(base, 0, NULL), *patch = NULL, *once = NULL, *twice = NULL;
    auto_strv notes = {0};
    struct vl_error err = {0};
    bool new_plugin = size > 0 && data[0] == ' ';

    must(config);
    if (json_parse((const char *)data, size, "input", &patch, &err) < 0) return 0;
    if (vm_config_patch(config, patch, new_plugin, &once, &notes, &err) < 0) {
        must(err.msg[0] && !once);
        return 0;
    }
    must(json_is_object(once));
    must(vm_config_patch(once, patch, new_plugin, &twice, NULL, &err) == 0);
    must(json_equal(once, twice));
    return 0;
}
