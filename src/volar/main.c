/* SPDX-License-Identifier: Apache-2.0 */
/* volar: the command line of Volant. A table of commands; everything else is in the file of its noun. */
#include <stdio.h>
#include <string.h>

#include "config.h"
#include "volar/api.h"
#include "volar/volar.h"

static const char about[] = "volar - boot microVMs, not containers; run services, not orchestration\n\n"
                            "Getting started:\n"
                            "  fledge build                                     # fledge.toml -> nginx.manifest.json\n"
                            "  volar plugins install --manifest nginx.manifest.json\n"
                            "  volar vms create web --plugin nginx --publish 8080:80 --wait ready";

static int version(void *ctx, int argc, char *const *argv);

static const struct command commands[] = {
    {"run", "IMAGE [COMMAND...]", "Boot a VM from an OCI image, in one step",
     "The image comes from a registry, or is oci:FOLDER, oci-archive:FILE or docker-archive:FILE; `fledge build` "
     "makes\n"
     "it bootable, once: what was built is kept. COMMAND replaces the image's own after its entrypoint; options of\n"
     "volar come before IMAGE. Without --detach its output is printed, Ctrl-C stops the VM, and the exit code is that\n"
     "of the workload; 125 is volar's own. Nothing is read from stdin. The image stays installed as a plugin\n"
     "(`volar plugins list`), so the next run begins at once.\n\nExamples:\n"
     "  volar run -d --name web -p 8080:80 --wait ready nginx:alpine\n"
     "  volar run --rm -e GREETING=hello debian:12 sh -c 'echo $GREETING'\n",
     run_opts, run},
    {"vms create", "NAME", "Create a VM from an installed plugin and boot it",
     "Examples:\n"
     "  volar vms create web --plugin nginx\n"
     "  volar vms create web --plugin nginx --cpu 2 --memory 512 --publish 8080:80 --wait ready\n"
     "  volar vms create web --plugin nginx -p 80      # volantd picks the host port\n",
     vms_create_opts, vms_create},
    {"vms list", "", "List all VMs", "Examples:\n  volar vms list\n  volar vms list -o json\n", no_opts, vms_list},
    {"vms get", "NAME", "Show one VM, with the reason of its state", "Examples:\n  volar vms get web\n", no_opts,
     vms_get},
    {"vms start", "NAME...", "Start VMs that have ended", "Examples:\n  volar vms start web --wait ready\n",
     vms_wait_opts, vms_start},
    {"vms stop", "NAME...", "Stop VMs: SIGTERM to the workload, its time, then the machine",
     "Examples:\n  volar vms stop web\n", no_opts, vms_stop},
    {"vms restart", "NAME...", "Stop and start VMs", "Examples:\n  volar vms restart web\n", vms_wait_opts,
     vms_restart},
    {"vms pause", "NAME...", "Let the vCPUs of VMs stand still", "Examples:\n  volar vms pause web\n", no_opts,
     vms_pause},
    {"vms unpause", "NAME...", "Let paused VMs go on", "Examples:\n  volar vms unpause web\n", no_opts, vms_unpause},
    {"vms delete", "NAME...", "End VMs and forget them, with their addresses and ports",
     "Examples:\n  volar vms delete web\n  volar vms delete web db\n", no_opts, vms_delete},
    {"vms scale", "NAME", "Give a VM other vCPUs and memory, or the deployment of that name other replicas",
     "They count from the VM's next start on, or at once with --restart.\n\nExamples:\n"
     "  volar vms scale web --cpu 2 --memory 512 --restart\n  volar vms scale web-cluster --replicas 5\n",
     vms_scale_opts, vms_scale},
    {"vms config get", "NAME", "Print the configuration of a VM as JSON",
     "Examples:\n  volar vms config get web\n  volar vms config get web --raw --output web.json\n", vms_config_get_opts,
     vms_config_get},
    {"vms config set", "NAME", "Change the configuration of a VM, from its next start on",
     "FILE holds what changes; keys that it does not have stay as they are.\n\nExamples:\n"
     "  volar vms config set web --file change.json\n",
     vms_config_set_opts, vms_config_set},
    {"vms config history", "NAME", "List the versions of a VM's configuration, newest first",
     "Examples:\n  volar vms config history web --limit 5\n", vms_config_history_opts, vms_config_history},
    {"vms config rollback", "NAME", "Go back to an earlier version of a VM's configuration",
     "Examples:\n  volar vms config rollback web\n  volar vms config rollback web --to 1\n", vms_config_rollback_opts,
     vms_config_rollback},
    {"vms logs", "NAME", "Print what the workload wrote",
     "Lines of stdout go to stdout, those of stderr to stderr. A terminal is shown control bytes as "
     "\\xNN.\n\nExamples:\n  volar vms logs web --tail 20\n"
     "  volar vms logs web --follow\n",
     vms_logs_opts, vms_logs},
    {"vms console", "NAME", "Attach to the serial console of a VM on this host",
     "Ctrl-] detaches. Without a terminal the console is copied to stdout until a moment passes without output.\n\n"
     "Examples:\n  volar vms console web\n",
     vms_console_opts, vms_console},
    {"deployments create", "NAME", "Create a group of equal VMs and keep it at its number",
     "Its replicas are VMs named NAME-1, NAME-2 and so on.\n\nExamples:\n"
     "  volar deployments create web-cluster --plugin nginx --replicas 5\n"
     "  volar deployments create web --plugin nginx --replicas 3 --memory 128 -p 80 --wait ready\n",
     deployments_create_opts, deployments_create},
    {"deployments list", "", "List all deployments",
     "Examples:\n  volar deployments list\n  volar deployments list -o json\n", no_opts, deployments_list},
    {"deployments get", "NAME", "Show one deployment, with its replicas and why it is not ready",
     "Examples:\n  volar deployments get web\n  volar deployments get web -o json\n", deployments_get_opts,
     deployments_get},
    {"deployments scale", "NAME REPLICAS", "Change the number of replicas: the highest go, gaps are filled",
     "Examples:\n  volar deployments scale web 5\n  volar deployments scale web 0 --wait ready\n",
     deployments_scale_opts, deployments_scale},
    {"deployments update", "NAME", "Change the configuration, one replica after the other",
     "What is not given stays. A replica that does not become ready stops the rollout: the others keep what they "
     "have.\n\nExamples:\n"
     "  volar deployments update web --memory 256 --wait ready\n"
     "  volar deployments update web --plugin nginx        # the plugin as it is installed now\n",
     deployments_update_opts, deployments_update},
    {"deployments rollback", "NAME", "Go back to an earlier version of the configuration",
     "Examples:\n  volar deployments rollback web\n  volar deployments rollback web --to 1 --wait ready\n",
     deployments_rollback_opts, deployments_rollback},
    {"deployments history", "NAME", "List the versions of the configuration, newest first",
     "Examples:\n  volar deployments history web\n", no_opts, deployments_history},
    {"deployments delete", "NAME...", "End the VMs of deployments and forget them",
     "Examples:\n  volar deployments delete web\n", no_opts, deployments_delete},
    {"plugins install", "[MANIFEST]", "Install a plugin from its manifest, sending the artifact if volantd lacks it",
     "A manifest on the web is got by volar, what it names beside itself or by http(s) by volantd.\n\nExamples:\n"
     "  volar plugins install --manifest nginx.manifest.json\n"
     "  volar plugins install --url https://example.org/plugins/nginx.manifest.json\n",
     plugins_install_opts, plugins_install},
    {"plugins list", "", "List installed plugins",
     "Examples:\n  volar plugins list\n  volar plugins list -o json     # name, version, enabled and runtime of each\n",
     no_opts, plugins_list},
    {"plugins show", "NAME", "Print a plugin's manifest as JSON", NULL, no_opts, plugins_show},
    {"plugins enable", "NAME", "Allow new VMs of a plugin", NULL, no_opts, plugins_enable},
    {"plugins disable", "NAME", "Allow no new VMs of a plugin", NULL, no_opts, plugins_disable},
    {"plugins remove", "NAME", "Remove a plugin that no VM was made from", NULL, no_opts, plugins_remove},
    {"artifacts list", "", "List what volantd keeps for plugins to boot from", NULL, no_opts, artifacts_list},
    {"artifacts prune", "", "Remove the artifacts that nobody refers to",
     "What a plugin, a VM, a deployment, an earlier version of their configuration, or what is registered of a plugin\n"
     "names stays, and so does what came within the last hour.\n\nExamples:\n"
     "  volar artifacts prune --dry-run\n  volar artifacts prune\n",
     artifacts_prune_opts, artifacts_prune},
    {"events", "", "Follow what happens to VMs, as it happens",
     "Ends with Ctrl-C. -o json prints each event as a JSON line.\n\nExamples:\n"
     "  volar events\n  volar events --vm web --type VM_CRASHED,VM_FAILED\n  volar events --since 0 -o json\n",
     events_opts, events},
    {"mcp", "", "Serve MCP on stdin and stdout, for an agent on this machine",
     "A bridge to volantd's /mcp for clients that start a program and talk to it by lines: configure it there as the\n"
     "command `volar mcp`. It ends when stdin does.\n",
     no_opts, mcp},
    {"tokens create", "NAME", "Make a token for the use of the API over TCP",
     "Prints the token, this once: volantd keeps its hash alone. Roles: read (look), operate (also make, change and "
     "end\n"
     "VMs, deployments and plugins), admin (also tokens, backups, repairs). As soon as there is a token, every client\n"
     "over TCP needs one; over the Unix socket nobody does.\n\nExamples:\n"
     "  volar tokens create ci --role operate\n"
     "  volar tokens create laptop --role admin > token && chmod 600 token\n",
     tokens_create_opts, tokens_create},
    {"tokens list", "", "List tokens, without their secrets", NULL, no_opts, tokens_list},
    {"tokens revoke", "NAME...", "End tokens, and what they have open", "Examples:\n  volar tokens revoke ci\n",
     no_opts, tokens_revoke},
    {"system info", "", "Show what volantd found on this host and what it uses", NULL, no_opts, system_info},
    {"system backup", "[FILE]", "Copy the registry to a file, while everything runs",
     "FILE is volant-TIME.db if it is not given, - is stdout. The copy holds VMs, plugins, deployments, addresses and\n"
     "events; not the artifacts, which `volar plugins install` brings again.\n\nExamples:\n  volar system backup\n"
     "  volar system backup /srv/backup/volant.db --force\n",
     system_backup_opts, system_backup},
    {"system restore", "FILE", "Put back a copy of the registry, while no VM runs",
     "The registry that was there is kept beside it as FILE.before-restore in the state folder. Where volantd does "
     "not\n"
     "start any more: `cp FILE STATE_DIR/state.db.restore`, then start it.\n\nExamples:\n"
     "  volar system restore volant.db\n",
     no_opts, system_restore},
    {"doctor", "", "Check this host, with a remedy for what is wrong",
     "Where registry and host disagree, --fix makes them agree: VMs that run and are in no registry (an older copy of\n"
     "it was put back, say) are taken in, what belongs to no VM is removed. Those that cannot be taken in are left\n"
     "alone, unless --end-strangers. Exit code 1 if a check fails and was not mended.\n\nExamples:\n"
     "  volar doctor\n  volar doctor --fix\n  volar doctor --fix --end-strangers\n",
     doctor_opts, doctor},
    {"version", "", "Print the version", NULL, no_opts, version},
    {0},
};

static const char epilogue[] =
    "\nvolantd is found by --api, VOLANT_API_BASE, your own socket, then /run/volant/volantd.sock. Over http:// and\n"
    "https:// the token of VOLANT_API_TOKEN (or in VOLANT_API_TOKEN_FILE) is sent; VOLANT_API_CA is a file of\n"
    "certificates to trust.\n"
    "Exit codes: 0 done, 1 failed (the reason is on stderr), 2 misuse of the command line.\n";

static int version(void *ctx, int argc, char *const *argv)
{
    struct volar *v = ctx;
    size_t n;
    int r = volar_begin(v, argc, argv, NULL, 0, 0, &n);

    if (r >= 0) return r;
    if (volar_json(v))
        printf("{\"version\": \"%s\"}\n", VOLANT_VERSION);
    else
        printf("volar %s\n", VOLANT_VERSION);
    return EXIT_DONE;
}

static bool is_help(const char *arg)
{
    return str_eq(arg, "--help") || str_eq(arg, "-h") || str_eq(arg, "help");
}

/* What other tools call it. */
static const char *synonym(int argc, char *const *argv)
{
    static const char *const table[][2] = {
        {"vms rm", "vms delete"},
        {"vms remove", "vms delete"},
        {"vms destroy", "vms delete"},
        {"vms ls", "vms list"},
        {"vms ps", "vms list"},
        {"vms show", "vms get"},
        {"vms inspect", "vms get"},
        {"vms run", "run"},
        {"vms kill", "vms stop"},
        {"deployments rm", "deployments delete"},
        {"deployments remove", "deployments delete"},
        {"deployments ls", "deployments list"},
        {"deployments show", "deployments get"},
        {"deployments undo", "deployments rollback"},
        {"vms resume", "vms unpause"},
        {"tokens rm", "tokens revoke"},
        {"tokens remove", "tokens revoke"},
        {"tokens delete", "tokens revoke"},
        {"tokens ls", "tokens list"},
        {"plugins rm", "plugins remove"},
        {"plugins ls", "plugins list"},
        {"plugins delete", "plugins remove"},
        {"plugins get", "plugins show"},
        {"plugins uninstall", "plugins remove"},
    };
    char text[64];

    if (argc < 2 || strf(text, sizeof(text), "%s %s", argv[0], argv[1]) < 0) return NULL;
    for (size_t i = 0; i < ARRAY_LEN(table); i++)
        if (str_eq(text, table[i][0])) return table[i][1];
    return NULL;
}

/* "vms", "vms config": `n` words of a command line, as many as there are and are no options. */
static void words_text(int n, int argc, char *const *argv, char *buf, size_t size)
{
    size_t len = 0;

    *buf = '\0';
    for (int i = 0; i < n && i < argc && (i == 0 || argv[i][0] != '-'); i++, len = strlen(buf))
        if (strf(buf + len, size - len, "%s%.80s", i > 0 ? " " : "", argv[i]) < 0) return;
}

static int unknown_command(int argc, char *const *argv, int group_words)
{
    const char *near = synonym(argc, argv);
    char shown[256];

    if (!near) near = command_near(commands, argc, argv);
    words_text(group_words > 1 ? group_words + 1 : 2, argc, argv, shown, sizeof(shown));
    (void)fprintf(stderr, "volar: unknown command '%s'", shown);
    (void)fprintf(stderr, near ? "; did you mean '%s'?\n" : ": see `volar --help`\n", near);
    return EXIT_MISUSE;
}

static int no_command(int argc, char *const *argv, int words)
{
    bool group = words > 0 && (argc == words || is_help(argv[words]));
    char name[64];

    if (argc == 0 || is_help(argv[0])) {
        command_overview(stdout, "volar", about, commands, volar_global_opts, NULL);
        (void)fputs(epilogue, stdout);
        return EXIT_DONE;
    }
    if (!group) return unknown_command(argc, argv, words);
    words_text(words, argc, argv, name, sizeof(name));
    command_overview(stdout, "volar", NULL, commands, volar_global_opts, name);
    return EXIT_DONE;
}

/* Global options may stand before the command: moved behind it, where the command's own parser finds them. */
static int rotate_globals(int argc, char **argv)
{
    int n = 0;

    while (n < argc && argv[n][0] == '-' && !is_help(argv[n])) {
        bool takes_value = !strchr(argv[n], '=') && (strlen(argv[n]) == 2 || str_starts(argv[n], "--"));

        n += takes_value && n + 1 < argc ? 2 : 1;
    }
    for (int i = 0; i < n; i++) {
        char *first = argv[0];

        memmove(argv, argv + 1, (size_t)(argc - 1) * sizeof(*argv));
        argv[argc - 1] = first;
    }
    return n;
}

int main(int argc, char **argv)
{
    struct volar *v = &volar_globals;
    int words = 0, code;

    (void)rotate_globals(argc - 1, argv + 1);
    if (argc > 1 && str_eq(argv[1], "--version")) argv[1] = (char *)"version";
    if (argc > 2 && str_eq(argv[1], "help")) { /* volar help vms create */
        memmove(argv + 1, argv + 2, (size_t)(argc - 2) * sizeof(*argv));
        argv[argc - 1] = (char *)"--help";
    }
    if (!(v->command = command_find(commands, argc - 1, argv + 1, &words)))
        return no_command(argc - 1, argv + 1, words);
    code = v->command->run(v, argc - 1 - words, argv + 1 + words);
    api_close(v);
    if (fflush(stdout) != 0 && code == EXIT_DONE) code = EXIT_FAILED;
    return code;
}
