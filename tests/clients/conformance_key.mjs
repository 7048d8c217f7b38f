// Preloaded into the conformance suite, which cannot send a credential: adds the key to all that it requests.
import { createRequire } from "node:module";

const { Agent, setGlobalDispatcher } = createRequire(process.argv[1])("undici");
const name = "authorization";
const value = `Bearer ${process.env.CONFORMANCE_KEY}`;

function withKey(headers) {
  if (headers === undefined || headers === null) return { [name]: value };
  if (Array.isArray(headers)) {
    // Pairs, or names and values in turn.
    return Array.isArray(headers[0]) ? [...headers, [name, value]] : [...headers, name, value];
  }
  if (typeof headers[Symbol.iterator] === "function") return { ...Object.fromEntries(headers), [name]: value };
  return { ...headers, [name]: value };
}

setGlobalDispatcher(
  new Agent().compose(
    (dispatch) => (options, handler) => dispatch({ ...options, headers: withKey(options.headers) }, handler),
  ),
);
