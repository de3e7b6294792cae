// A link that brings a layout with it, behind the #, which browsers keep to themselves: no server sees it.

import { byId } from "./element.js";
import { checksum } from "./png.js";

// The form, the size, a checksum of the classes' names, and deflated ids as text.
const FORM = /^#l2\.(\d+x\d+)\.([0-9a-f]{8})\.(.*)$/;
const IS_LINK = /^#l\d+\./; // of this version or another

const sizeOf = ({ height, width }) => `${height}x${width}`;

function checksumOf(classes) {
  const names = JSON.stringify(classes.map(({ name }) => name));
  return checksum(new TextEncoder().encode(names)).toString(16).padStart(8, "0");
}

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
    if (count + value.length > length) throw new RangeError("it is damaged");
    found.set(value, count);
    count += value.length;
  }
  if (count < length) throw new RangeError("it is damaged");
  return found;
}

async function layoutOf(hash, { layout, classes }) {
  const [, size, names, packed] = FORM.exec(hash) ?? [];
  if (!size) throw new RangeError("it is damaged, or of another version");
  if (size !== sizeOf(layout)) throw new RangeError(`it has ${size} pixels; expected ${sizeOf(layout)}`);
  if (names !== checksumOf(classes)) throw new RangeError("it is of other classes");
  const ids = await unpacked(asBytes(packed), layout.ids.length);
  if (ids.some((id) => !classes.some((one) => one.id === id))) throw new RangeError("it is damaged");
  return ids;
}

// Takes a layout out of the page's address: a reload would undo what is painted since.
export function dropLink() {
  if (IS_LINK.test(location.hash)) history.replaceState(null, "", location.pathname);
}

// Begins with the layout of the page's own address, if that has one.
export async function followLink(desk) {
  const { hash } = location;
  if (!IS_LINK.test(hash)) return;
  dropLink();
  try {
    const ids = await layoutOf(hash, desk);
    desk.begin(ids, { name: "painting", said: ["the layout of the link; undo brings back what was here before"] });
  } catch (error) {
    desk.say(`the link holds no layout of this model: ${error.message}`);
  }
}

export function makeLinkButton(desk) {
  byId("link").addEventListener("click", async () => {
    const stream = through(desk.layout.ids.slice(), new CompressionStream("deflate-raw"));
    const packed = new Uint8Array(await new Response(stream).arrayBuffer());
    const form = `l2.${sizeOf(desk.layout)}.${checksumOf(desk.classes)}`;
    const link = `${location.origin}${location.pathname}#${form}.${asText(packed)}`;
    try {
      await navigator.clipboard.writeText(link);
      desk.say("the link is copied: it opens this page with this layout, while the server runs");
    } catch { // not where the page comes from another machine without https
      history.replaceState(null, "", link);
      desk.say("until you paint on, the link is in the address bar: it opens this page with this layout");
    }
  });
}
