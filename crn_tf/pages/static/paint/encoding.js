// The layout as a PNG file, written in a worker.

const worker = new Worker("/encoder.js", { type: "module" });
const waiting = new Map(); // what is being written, by number
let count = 0;

worker.addEventListener("message", ({ data: { number, png, problem } }) => {
  const { resolve, reject } = waiting.get(number);
  waiting.delete(number);
  if (problem) reject(new Error(problem));
  else resolve(png);
});

// kind: "ids", "palette", "colors", or "exact", which is what the server is sent. Resolves to a Blob.
export function encode(layout, classes, kind) {
  count += 1;
  const ids = layout.ids.slice(); // as it is now, whatever is painted meanwhile
  const { height, width } = layout;
  worker.postMessage({ number: count, kind, ids, height, width, classes }, [ids.buffer]);
  return new Promise((resolve, reject) => { waiting.set(count, { resolve, reject }); });
}
