// Vercel's AI SDK against one gateway: what it saw goes to stdout as one line of JSON.
//
//     TIDEGATE_NODE=FOLDER node ai_sdk.mjs URL KEY PROVIDER…

import { load } from "./packages.mjs";

const { generateText, streamText, tool, stepCountIs } = await load("ai");
const { createOpenAI } = await load("@ai-sdk/openai");
const { createAnthropic } = await load("@ai-sdk/anthropic");
const { z } = await load("zod");

const [url, key, ...providers] = process.argv.slice(2);
const late = setTimeout(() => {
  console.error("took longer than 50 s");
  process.exit(2);
}, 50_000);
const openai = createOpenAI({ baseURL: `${url}/v1`, apiKey: key });
const anthropic = createAnthropic({ baseURL: `${url}/v1`, apiKey: key });
const surfaces = {
  chat: (model) => openai.chat(model),
  responses: (model) => openai.responses(model),
  messages: (model) => anthropic(model),
};
const CALLS = 'What is it like? [[sim: tool get_weather {"city":"Rome"}]] [[sim: tool get_weather {"city":"Oslo"}]]';

async function surface(model) {
  const seen = {};
  const whole = await generateText({ model, prompt: "one two three", maxRetries: 0 });
  seen.whole = { text: whole.text, reason: whole.finishReason, usage: whole.usage };
  const stream = streamText({ model, prompt: "one two three", maxRetries: 0 });
  const parts = [];
  for await (const part of stream.textStream) parts.push(part);
  seen.streamed = { parts, reason: await stream.finishReason, usage: await stream.usage };
  for (const how of ["whole", "streamed"]) {
    const ran = [];
    const get_weather = tool({
      description: "The weather of a city",
      inputSchema: z.object({ city: z.string() }),
      execute: async ({ city }) => {
        ran.push(city);
        return `sunny in ${city}`;
      },
    });
    const asked = { model, prompt: CALLS, tools: { get_weather }, stopWhen: stepCountIs(3), maxRetries: 0 };
    const answer = how === "whole" ? await generateText(asked) : streamText(asked);
    const [text, steps, reason] = [await answer.text, await answer.steps, await answer.finishReason];
    seen[`${how}Loop`] = { ran, text, steps: steps.length, reason };
  }
  return seen;
}

const seen = {};
for (const provider of providers) {
  seen[provider] = {};
  for (const [name, of] of Object.entries(surfaces)) {
    try {
      seen[provider][name] = await surface(of(`${provider}/chat`));
    } catch (error) {
      seen[provider][name] = { failed: `${error.stack}` };
    }
  }
}
clearTimeout(late);
process.stdout.write(`${JSON.stringify(seen)}\n`);
process.exit(0);
