// The official TypeScript MCP client against one URL: what it sees goes to stdout as one line of JSON.
//
//     TIDEGATE_NODE=FOLDER node mcp_client.mjs URL [KEY]
//
// The packages are looked up in $TIDEGATE_NODE/node_modules, not beside this file.

import { load } from "./packages.mjs";

const { Client } = await load("@modelcontextprotocol/sdk/client/index.js");
const { StreamableHTTPClientTransport } = await load("@modelcontextprotocol/sdk/client/streamableHttp.js");

const [url, key] = process.argv.slice(2);
const headers = key ? { authorization: `Bearer ${key}` } : {};
const late = setTimeout(() => {
  console.error("took longer than 40 s");
  process.exit(2);
}, 40_000);

async function connect() {
  const client = new Client({ name: "tidegate-client-tests", version: "1.0.0" }, { capabilities: {} });
  await client.connect(new StreamableHTTPClientTransport(new URL(url), { requestInit: { headers } }));
  return client;
}

async function allPages(fetch, items) {
  const found = [];
  let cursor;
  for (let page = 0; page < 50; page += 1) {
    const answer = await fetch(cursor === undefined ? {} : { cursor });
    found.push(...answer[items]);
    cursor = answer.nextCursor;
    if (cursor === undefined) return found;
  }
  throw new Error("fifty pages, and still a cursor");
}

const failure = async (work) => {
  try {
    await work();
    return null;
  } catch (error) {
    return { name: error.constructor.name, code: error.code ?? null, message: error.message };
  }
};

const seen = { connect: null };
let client;
try {
  client = await connect();
} catch (error) {
  seen.connect = { name: error.constructor.name, code: error.code ?? null, message: error.message };
}

if (client) {
  const call = (name, args, onprogress) => client.callTool({ name, arguments: args }, undefined, { onprogress });
  seen.capabilities = Object.keys(client.getServerCapabilities()).sort();
  seen.ping = await client.ping();
  seen.tools = await allPages((page) => client.listTools(page), "tools");
  const offered = new Set(seen.tools.map((tool) => tool.name));
  seen.echo = await call("echo", { message: "Grüß Gott – 你好 😀" });
  seen.sum = await call("get-sum", { a: 2, b: 40 });
  seen.hidden = await failure(() => call("get-env", {}));
  if (offered.has("get-structured-content")) {
    // The client checks the answer against the tool's output schema.
    seen.structured = await call("get-structured-content", { location: "Chicago" });
    const steps = [];
    seen.long = await call("trigger-long-running-operation", { duration: 0.4, steps: 4 }, (step) => steps.push(step.progress));
    seen.steps = steps;
    seen.resources = (await allPages((page) => client.listResources(page), "resources")).map((resource) => resource.uri);
    seen.read = await client.readResource({ uri: seen.resources[0] });
    seen.prompts = (await allPages((page) => client.listPrompts(page), "prompts")).map((prompt) => prompt.name);
    seen.prompt = await client.getPrompt({ name: "args-prompt", arguments: { city: "Linz" } });
    await client.setLoggingLevel("warning");
    const second = await connect();
    const ask = (who, name) => Array.from({ length: 10 }, (_, index) =>
      who.callTool({ name: "echo", arguments: { message: `${name} ${index}` } }).then((result) => result.content[0].text));
    seen.interleaved = await Promise.all([...ask(client, "first"), ...ask(second, "second")]);
    await second.transport.terminateSession();
    await second.close();
  }
  await client.transport.terminateSession();
  await client.close();
}
clearTimeout(late);
process.stdout.write(`${JSON.stringify(seen)}\n`);
process.exit(0);
