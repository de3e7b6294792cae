// A link that brings a layout with it, behind the #, which browsers keep to themselves: no server sees it.

import { byId } from "./element.js";

const FIRST = "l1."; // the form of what follows: deflated ids, as text

function asText(bytes) {
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(byte);
  return btoa(text).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
}

function asBytes(text) {
  const plain = atob(text.replace(/-/g, "+").replace(/_/g, "/"));
  return Uint8Array.from(plain, (letter) => letter.charCodeAt(0));
}

const through = (bytes, transform) => new Blob([bytes]).stream().pipeThrough(transform);

// No more is unpacked than a layout has.
async function unpacked(bytes, length) {
  const reader = through(bytes, new DecompressionStream("deflate-raw")).getReader();
  const found = new Uint8Array(length);
  let count = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    if (count + value.length > length) throw new RangeError("it is of another size");
    found.set(value, count);
    count += value.length;
  }
  if (count < length) throw new RangeError("it is of another size");
  return found;
}

// Begins with the layout of the page's own address, if that has one.
export async function followLink(desk) {
  const text = location.hash.slice(1);
  if (!text.startsWith(FIRST)) return;
  history.replaceState(null, "", location.pathname); // else a reload would undo what is painted since
  try {
    const ids = await unpacked(asBytes(text.slice(FIRST.length)), desk.layout.ids.length);
    if (ids.some((id) => !desk.classOf(id))) throw new RangeError("it has other classes");
    desk.begin(ids, { name: "painting", said: ["the layout of the link; undo brings back what was here before"] });
  } catch (error) {
    desk.say(`the link holds no layout of this model: ${error.message}`);
  }
}

export function makeLinkButton(desk) {
  byId("link").addEventListener("click", async () => {
    const stream = through(desk.layout.ids.slice(), new CompressionStream("deflate-raw"));
    const packed = new Uint8Array(await new Response(stream).arrayBuffer());
    const link = `${location.origin}${location.pathname}#${FIRST}${asText(packed)}`;
    try {
      await navigator.clipboard.writeText(link);
      desk.say("the link is copied: it opens this page with this layout, while the server runs");
    } catch { // not where the page comes from another machine without https
      history.replaceState(null, "", link);
      desk.say("the link is in the address bar: it opens this page with this layout, while the server runs");
    }
  });
}
