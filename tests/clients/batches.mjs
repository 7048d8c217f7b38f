// A batch of a vendor's, made, looked up and read twice by the official Node SDK: what it used goes to stdout as JSON.
//
//     TIDEGATE_NODE=FOLDER node batches.mjs openai|anthropic URL KEY
//
// The packages are looked up in $TIDEGATE_NODE/node_modules, not beside this file.

import { load } from "./packages.mjs";

const [vendor, url, key] = process.argv.slice(2);
const late = setTimeout(() => {
  console.error("took longer than 50 s");
  process.exit(2);
}, 50_000);
const PROMPTS = { one: "Grüß Gott", two: "again" };
const messages = (prompt) => [{ role: "user", content: prompt }];

async function ended(batch, retrieve, is) {
  while (!is(batch)) {
    batch = await retrieve(batch.id);
  }
  return batch;
}

async function ofOpenAI() {
  const { default: OpenAI, toFile } = await load("openai");
  const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: key, maxRetries: 0 });
  const lines = Object.entries(PROMPTS).map(([custom_id, prompt]) =>
    JSON.stringify({
      custom_id,
      method: "POST",
      url: "/v1/chat/completions",
      body: { model: "chat", messages: messages(prompt) },
    }),
  );
  const file = await client.files.create({
    file: await toFile(Buffer.from(lines.join("\n")), "lines.jsonl"),
    purpose: "batch",
  });
  const batch = await ended(
    await client.batches.create({
      input_file_id: file.id,
      endpoint: "/v1/chat/completions",
      completion_window: "24h",
    }),
    (id) => client.batches.retrieve(id),
    (batch) => batch.status === "completed",
  );
  const read = async () => {
    const text = await (await client.files.content(batch.output_file_id)).text();
    return text.trim().split("\n").map((line) => JSON.parse(line));
  };
  await read();
  return (await read()).map(({ custom_id, response }) => [
    custom_id,
    response.body.usage.prompt_tokens,
    response.body.usage.completion_tokens,
  ]);
}

async function ofAnthropic() {
  const { default: Anthropic } = await load("@anthropic-ai/sdk");
  const client = new Anthropic({ baseURL: url, apiKey: key, maxRetries: 0 });
  const requests = Object.entries(PROMPTS).map(([custom_id, prompt]) => ({
    custom_id,
    params: { model: "chat", max_tokens: 50, messages: messages(prompt) },
  }));
  const batch = await ended(
    await client.messages.batches.create({ requests }),
    (id) => client.messages.batches.retrieve(id),
    (batch) => batch.processing_status === "ended",
  );
  const read = async () => {
    const found = [];
    for await (const { custom_id, result } of await client.messages.batches.results(batch.id)) {
      found.push([custom_id, result.message.usage.input_tokens, result.message.usage.output_tokens]);
    }
    return found;
  };
  await read();
  return read();
}

const found = await (vendor === "openai" ? ofOpenAI() : ofAnthropic());
const sum = (at) => found.reduce((sum, one) => sum + one[at], 0);
console.log(JSON.stringify({ names: found.map(([name]) => name).sort(), used: [sum(1), sum(2)] }));
clearTimeout(late);
