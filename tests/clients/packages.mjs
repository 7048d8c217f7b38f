// Where the packages are: in $TIDEGATE_NODE/node_modules, not beside these files.

import { createRequire } from "node:module";
import path from "node:path";
import { pathToFileURL } from "node:url";

const lookUp = createRequire(path.join(process.env.TIDEGATE_NODE, "package.json"));

/** The module of this name. One that comes in both forms is taken as a module, not as CommonJS. */
export async function load(name) {
  const found = lookUp.resolve(name);
  const modern = found.replace("/cjs/", "/esm/").replace(/\.js$/, ".mjs");
  for (const file of new Set([modern, found.replace("/cjs/", "/esm/"), found])) {
    try {
      return await import(pathToFileURL(file).href);
    } catch (error) {
      if (error.code !== "ERR_MODULE_NOT_FOUND" || file === found) throw error;
    }
  }
}
