// The streaming helpers of the official Node SDKs against one gateway: what they saw goes to stdout as one line of JSON.
//
//     TIDEGATE_NODE=FOLDER node streaming.mjs URL KEY PROVIDER…
//
// The packages are looked up in $TIDEGATE_NODE/node_modules, not beside this file.

import { load } from "./packages.mjs";

const { default: OpenAI, APIUserAbortError: OpenAIAbort } = await load("openai");
const { default: Anthropic, APIUserAbortError: AnthropicAbort } = await load("@anthropic-ai/sdk");
const { ChatCompletionStream } = await load("openai/lib/ChatCompletionStream");
const { ResponseStream } = await load("openai/lib/responses/ResponseStream");
const { MessageStream } = await load("@anthropic-ai/sdk/lib/MessageStream");
const { zodResponseFormat } = await load("openai/helpers/zod");
const { z } = await load("zod");

const [url, key, ...providers] = process.argv.slice(2);
const late = setTimeout(() => {
  console.error("took longer than 50 s");
  process.exit(2);
}, 50_000);
const openai = new OpenAI({ baseURL: `${url}/v1`, apiKey: key, maxRetries: 0 });
const anthropic = new Anthropic({ baseURL: url, apiKey: key, maxRetries: 0 });

const TEXT = "Grüß Gott – 你好 😀, and some more words";
const CALLS = 'What is it like? [[sim: tool get_weather {"city":"Rome"}]] [[sim: tool get_weather {"city":"Oslo"}]]';
const LONG = "[[sim: stream 400 chunks, 20ms]]";
const SAID = '[[sim: say {"name":"Ada","age":36}]]';
const PARAMETERS = {
  type: "object",
  properties: { city: { type: "string" } },
  required: ["city"],
  additionalProperties: false,
};

/** What an abort does: the helper ends with its own error and says so. */
async function aborted(stream, first, done, kind) {
  await new Promise((resolve) => stream.once(first, resolve));
  stream.abort();
  try {
    await done();
    return { ended: "well", aborted: stream.aborted };
  } catch (error) {
    return { ended: error instanceof kind ? "by the user" : String(error), aborted: stream.aborted };
  }
}

async function chat(model) {
  const seen = {};
  const ask = (content) => ({ model, max_tokens: 99, messages: [{ role: "user", content }] });
  const usage = { stream_options: { include_usage: true } };
  seen.unary = await openai.chat.completions.create(ask(TEXT));
  const stream = openai.chat.completions.stream({ ...ask(TEXT), ...usage });
  seen.deltas = [];
  stream.on("content", (delta) => seen.deltas.push(delta));
  seen.folded = await stream.finalChatCompletion();

  const handedOn = openai.chat.completions.stream({ ...ask(TEXT), ...usage }).toReadableStream();
  seen.restored = await ChatCompletionStream.fromReadableStream(handedOn).finalChatCompletion();

  const offered = { name: "get_weather", description: "The weather of a city", parameters: PARAMETERS };
  const tools = [{ type: "function", function: offered }];
  seen.unaryCalls = await openai.chat.completions.create({ ...ask(CALLS), tools });
  const calling = openai.chat.completions.stream({ ...ask(CALLS), ...usage, tools });
  seen.arguments = ["", ""];
  calling.on("tool_calls.function.arguments.delta", (it) => (seen.arguments[it.index] += it.arguments_delta));
  seen.foldedCalls = await calling.finalChatCompletion();

  seen.ran = { whole: [], streamed: [] };
  for (const how of ["whole", "streamed"]) {
    const get_weather = ({ city }) => {
      seen.ran[how].push(city);
      return `sunny in ${city}`;
    };
    const runnable = { type: "function", function: { ...offered, function: get_weather, parse: JSON.parse } };
    const runner = openai.chat.completions.runTools({ ...ask(CALLS), tools: [runnable], stream: how === "streamed" });
    seen.ran[`${how}Text`] = await runner.finalContent();
    seen.ran[`${how}Roles`] = runner.messages.map((message) => message.role);
  }

  const person = zodResponseFormat(z.object({ name: z.string(), age: z.number() }), "person");
  const parsed = await openai.chat.completions.stream({ ...ask(SAID), response_format: person }).finalChatCompletion();
  seen.parsed = parsed.choices[0].message.parsed;

  const long = openai.chat.completions.stream(ask(LONG));
  seen.abort = await aborted(long, "content", () => long.finalChatCompletion(), OpenAIAbort);
  return seen;
}

async function responses(model) {
  const seen = {};
  const ask = (input) => ({ model, input, store: false });
  seen.unary = await openai.responses.create(ask(TEXT));
  const stream = openai.responses.stream(ask(TEXT));
  seen.deltas = [];
  seen.numbers = [];
  stream.on("response.output_text.delta", (event) => seen.deltas.push(event.delta));
  stream.on("event", (event) => seen.numbers.push(event.sequence_number));
  seen.folded = await stream.finalResponse();

  const handedOn = (await openai.responses.create({ ...ask(TEXT), stream: true })).toReadableStream();
  seen.restored = await ResponseStream.fromReadableStream(handedOn).finalResponse();

  const tools = [{ type: "function", name: "get_weather", strict: true, parameters: PARAMETERS }];
  seen.unaryCalls = await openai.responses.create({ ...ask(CALLS), tools });
  const calling = openai.responses.stream({ ...ask(CALLS), tools });
  seen.arguments = {};
  calling.on("response.function_call_arguments.delta", (event) => {
    seen.arguments[event.output_index] = (seen.arguments[event.output_index] ?? "") + event.delta;
  });
  seen.foldedCalls = await calling.finalResponse();

  const long = openai.responses.stream(ask(LONG));
  seen.abort = await aborted(long, "response.output_text.delta", () => long.finalResponse(), OpenAIAbort);
  return seen;
}

async function messages(model) {
  const seen = {};
  const ask = (content) => ({ model, max_tokens: 99, messages: [{ role: "user", content }] });
  seen.unary = await anthropic.messages.create(ask(TEXT));
  const stream = anthropic.messages.stream(ask(TEXT));
  seen.deltas = [];
  seen.blocks = [];
  stream.on("text", (delta) => seen.deltas.push(delta));
  stream.on("contentBlock", (block) => seen.blocks.push(block));
  stream.on("message", (message) => (seen.message = message));
  stream.on("finalMessage", (message) => (seen.final = message));
  seen.folded = await stream.finalMessage();
  seen.text = await stream.finalText();

  const handedOn = anthropic.messages.stream(ask(TEXT)).toReadableStream();
  seen.restored = await MessageStream.fromReadableStream(handedOn).finalMessage();

  const tools = [{ name: "get_weather", description: "The weather of a city", input_schema: PARAMETERS }];
  seen.unaryCalls = await anthropic.messages.create({ ...ask(CALLS), tools });
  const calling = anthropic.messages.stream({ ...ask(CALLS), tools });
  seen.arguments = "";
  seen.snapshots = [];
  calling.on("inputJson", (part, snapshot) => {
    seen.arguments += part;
    seen.snapshots.push(snapshot);
  });
  seen.foldedCalls = await calling.finalMessage();

  const long = anthropic.messages.stream(ask(LONG));
  seen.abort = await aborted(long, "text", () => long.finalMessage(), AnthropicAbort);
  return seen;
}

const seen = {};
for (const provider of providers) {
  const model = `${provider}/chat`;
  seen[provider] = {};
  for (const [name, surface] of Object.entries({ chat, responses, messages })) {
    try {
      seen[provider][name] = await surface(model);
    } catch (error) {
      seen[provider][name] = { failed: `${error.stack}` };
    }
  }
}
clearTimeout(late);
process.stdout.write(`${JSON.stringify(seen)}\n`);
process.exit(0);
