// PNG files of class ids and of colours. The browser deflates; all else of the format is written here, since a canvas
// would only write colours.

const SIGNATURE = [137, 80, 78, 71, 13, 10, 26, 10];
const GREY = 0;
const COLORS = 2;
const INDEXED = 3;

const CHECKSUMS = Uint32Array.from({ length: 256 }, (_, byte) => {
  let value = byte;
  for (let bit = 0; bit < 8; bit += 1) value = value & 1 ? (value >>> 1) ^ 0xedb88320 : value >>> 1;
  return value;
});

export function checksum(bytes) {
  let value = 0xffffffff;
  for (const byte of bytes) value = (value >>> 8) ^ CHECKSUMS[(value ^ byte) & 255];
  return (value ^ 0xffffffff) >>> 0;
}

const fourBytes = (number) => [number >>> 24, (number >>> 16) & 255, (number >>> 8) & 255, number & 255];

function chunk(kind, content) {
  const named = new Uint8Array(4 + content.length);
  named.set([...kind].map((letter) => letter.charCodeAt(0)));
  named.set(content, 4);
  return [Uint8Array.from(fourBytes(content.length)), named, Uint8Array.from(fourBytes(checksum(named)))];
}

async function deflated(bytes) {
  const stream = new Blob([bytes]).stream().pipeThrough(new CompressionStream("deflate")); // zlib's format, as PNG's
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

async function file({ height, width, depth, kind, rows, palette }) {
  const length = rows.length / height;
  const filtered = new Uint8Array(rows.length + height); // before each row a 0: not filtered
  for (let row = 0; row < height; row += 1) {
    filtered.set(rows.subarray(row * length, (row + 1) * length), row * (length + 1) + 1);
  }
  const header = [...fourBytes(width), ...fourBytes(height), depth, kind, 0, 0, 0];
  const parts = [
    ...chunk("IHDR", header),
    ...(palette ? chunk("PLTE", palette) : []),
    ...chunk("IDAT", await deflated(filtered)),
    ...chunk("IEND", []),
  ];
  return new Blob([Uint8Array.from(SIGNATURE), ...parts], { type: "image/png" });
}

// What a layout's file holds for each class, as the model's class table says: { id, file_id, color } of each.
const fileId = (one) => one.file_id ?? one.id;

function table(classes, number) {
  const found = new Uint16Array(256);
  for (const one of classes) found[one.id] = number(one);
  return found;
}

// Ids in grey, of 16 bits where 8 are too few.
export function idsPng(ids, height, width, classes) {
  const found = table(classes, fileId);
  const wide = found.some((number) => number > 255);
  const rows = new Uint8Array(ids.length * (wide ? 2 : 1));
  ids.forEach((id, place) => {
    if (wide) rows.set([found[id] >> 8, found[id] & 255], 2 * place);
    else rows[place] = found[id];
  });
  return file({ height, width, depth: wide ? 16 : 8, kind: GREY, rows });
}

// Ids with a palette of the classes' colours: looked at it shows colours, read it gives ids.
export function palettePng(ids, height, width, classes) {
  if (classes.some((one) => fileId(one) > 255)) throw new RangeError("ids above 255 have no place in a palette");
  const found = table(classes, fileId);
  const palette = new Uint8Array(3 * (1 + Math.max(...classes.map(fileId))));
  for (const one of classes) palette.set(one.color, 3 * fileId(one));
  return file({ height, width, depth: 8, kind: INDEXED, rows: ids.map((id) => found[id]), palette });
}

// Colours alone.
export function colorsPng(ids, height, width, classes) {
  const rows = new Uint8Array(3 * ids.length);
  const colors = new Map(classes.map((one) => [one.id, one.color]));
  ids.forEach((id, place) => rows.set(colors.get(id), 3 * place));
  return file({ height, width, depth: 8, kind: COLORS, rows });
}

// As palettes can hold it, else in grey: whoever reads it, by colours or by ids, finds the same classes.
export function exactPng(ids, height, width, classes) {
  const colors = new Set(classes.map((one) => String(one.color)));
  const told = colors.size === classes.length && classes.every((one) => fileId(one) < 256);
  return (told ? palettePng : idsPng)(ids, height, width, classes);
}

export const KINDS = { ids: idsPng, palette: palettePng, colors: colorsPng, exact: exactPng };
