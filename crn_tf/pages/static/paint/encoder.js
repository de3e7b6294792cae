// A worker that writes PNG files, so that painting waits for none.

import { KINDS } from "./png.js";

addEventListener("message", async ({ data: { number, kind, ids, height, width, classes } }) => {
  try {
    postMessage({ number, png: await KINDS[kind](ids, height, width, classes) });
  } catch (error) {
    postMessage({ number, problem: error.message });
  }
});
