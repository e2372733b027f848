// SPDX-License-Identifier: Apache-2.0
// The official TypeScript clients of MCP, new and old, over HTTP and over `volar mcp`: each connects, lists and calls.
// Arguments: folder with node_modules, URL of /mcp, program volar, a kernel for VMs of the plugin tiny. Prints one JSON
// line per way.
import { createRequire } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const [folder, url, volar, kernel] = process.argv.slice(2);
const require = createRequire(pathToFileURL(join(folder, "x.js")));
const load = (name) => import(pathToFileURL(require.resolve(name)));
const modern = await load("@modelcontextprotocol/client");
const modernStdio = await load("@modelcontextprotocol/client/stdio");
const old = await load("@modelcontextprotocol/sdk/client/index.js");
const oldHttp = await load("@modelcontextprotocol/sdk/client/streamableHttp.js");
const oldStdio = await load("@modelcontextprotocol/sdk/client/stdio.js");

const who = { name: "test", version: "1" };
const program = { command: volar, args: ["mcp"], env: process.env, stderr: "inherit" };
const newest = () => new modern.Client(who, { versionNegotiation: { mode: "auto" } });
const ways = {
  "modern http": [newest(), new modern.StreamableHTTPClientTransport(new URL(url))],
  "modern stdio": [newest(), new modernStdio.StdioClientTransport(program)],
  "handshake http": [new modern.Client(who), new modern.StreamableHTTPClientTransport(new URL(url))],
  "old http": [new old.Client(who), new oldHttp.StreamableHTTPClientTransport(new URL(url))],
  "old stdio": [new old.Client(who), new oldStdio.StdioClientTransport(program)],
};

for (const [way, [client, transport]] of Object.entries(ways)) {
  await client.connect(transport);
  const { tools } = await client.listTools(); // and compiles the output schemas, by which results are judged
  const { resources } = await client.listResources();
  const { prompts } = await client.listPrompts();
  const info = await client.callTool({ name: "get_system_info", arguments: {} });
  const vms = await client.callTool({ name: "list_vms", arguments: { limit: 5 } });
  const wrong = await client.callTool({ name: "get_vm", arguments: { name: "nobody" } });
  const told = [];
  const options = { onprogress: (p) => told.push(p.message) };
  const create = { name: "create_vm", arguments: {
    name: way.replace(" ", "-"), plugin: "tiny", wait: "running", config: { kernel_override: kernel } } };
  const made = await (client instanceof old.Client ? client.callTool(create, undefined, options)
                                                   : client.callTool(create, options));
  await client.callTool({ name: "delete_vm", arguments: { name: made.structuredContent.name } });
  const system = await client.readResource({ uri: "volant://system/info" });
  const prompt = await client.getPrompt({ name: "diagnose_vm", arguments: { name: "web" } });
  let unknown = 0;
  try {
    await client.callTool({ name: "no_such_tool", arguments: {} });
  } catch (error) {
    unknown = error.code;
  }
  console.log(JSON.stringify({
    way, tools: tools.length, resources: resources.map((r) => r.uri), prompts: prompts.length,
    status: info.structuredContent.status, vms: vms.structuredContent.vms.map((v) => v.name),
    made: made.structuredContent.status, told: told.map((text) => text.split(" ").slice(1).join(" ")),
    wrong: wrong.isError, system: JSON.parse(system.contents[0].text).status,
    prompt: prompt.messages[0].content.text.includes("web"), unknown,
    version: client.getNegotiatedProtocolVersion?.() ?? transport.protocolVersion,
  }));
  await client.close();
}
process.exit(0);
