// Shapes as pixels: each is handed to span(row, left, right), without a pixel in between two classes. Coordinates are
// those of the layout: pixel (x, y) covers x .. x + 1 and y .. y + 1, and belongs to a shape if its centre does.

const HALF_WIDTHS = {
  round: (radius, distance) => Math.sqrt(Math.max(0, radius * radius - distance * distance)),
  square: (radius) => radius,
  diamond: (radius, distance) => radius - Math.abs(distance),
};

export const SHAPES = Object.keys(HALF_WIDTHS);

// A brush of so many pixels across: for each row where its pixels begin and end.
export function makeBrush(shape, size) {
  const radius = size / 2;
  const rows = Array.from({ length: size }, (_, row) => {
    const half = HALF_WIDTHS[shape](radius, row + 0.5 - radius);
    return [Math.ceil(radius - half - 0.5), Math.floor(radius + half - 0.5) + 1];
  });
  return { shape, size, rows };
}

// Where a brush's first row and column lie when its middle is at a place.
export const brushCorner = (brush, { x, y }) => [Math.round(x - brush.size / 2), Math.round(y - brush.size / 2)];

export function stamp(span, brush, place) {
  const [left, top] = brushCorner(brush, place);
  brush.rows.forEach(([begin, end], row) => span(top + row, left + begin, left + end));
}

// A brush drawn from one place to another, both included.
export function line(span, brush, from, to) {
  const [dx, dy] = [to.x - from.x, to.y - from.y];
  const steps = Math.max(1, Math.ceil(Math.max(Math.abs(dx), Math.abs(dy))));
  let last = "";
  for (let step = 0; step <= steps; step += 1) {
    const place = { x: from.x + (dx * step) / steps, y: from.y + (dy * step) / steps };
    const corner = String(brushCorner(brush, place));
    if (corner !== last) stamp(span, brush, place);
    last = corner;
  }
}

// All pixels from one to the other, these included.
export function rectangle(span, one, other) {
  const [left, right] = [one.x, other.x].map(Math.floor).sort((a, b) => a - b);
  const [top, bottom] = [one.y, other.y].map(Math.floor).sort((a, b) => a - b);
  for (let row = top; row <= bottom; row += 1) span(row, left, right + 1);
}

// Where outlines cross, inside and outside change.
export function polygon(span, corners, height) {
  const first = Math.max(0, Math.floor(Math.min(...corners.map(({ y }) => y))));
  const last = Math.min(height - 1, Math.ceil(Math.max(...corners.map(({ y }) => y))));
  for (let row = first; row <= last; row += 1) {
    const y = row + 0.5;
    const crossings = [];
    corners.forEach((one, number) => {
      const other = corners[(number + 1) % corners.length];
      if ((one.y <= y) !== (other.y <= y)) {
        crossings.push(one.x + ((y - one.y) / (other.y - one.y)) * (other.x - one.x));
      }
    });
    crossings.sort((a, b) => a - b);
    for (let number = 0; number + 1 < crossings.length; number += 2) {
      span(row, Math.ceil(crossings[number] - 0.5), Math.ceil(crossings[number + 1] - 0.5));
    }
  }
}

// The pixels of one class that are connected with a place, along rows and columns. Of `ids` nothing is changed, so span
// may.
export function flood(span, ids, height, width, { x, y }) {
  const start = Math.floor(y) * width + Math.floor(x);
  const wanted = ids[start];
  const seen = new Uint8Array(ids.length);
  const waiting = [start];
  while (waiting.length) {
    const place = waiting.pop();
    if (seen[place]) continue;
    const row = Math.floor(place / width);
    let left = place;
    let right = place + 1;
    while (left > row * width && ids[left - 1] === wanted) left -= 1;
    while (right < (row + 1) * width && ids[right] === wanted) right += 1;
    seen.fill(1, left, right);
    span(row, left - row * width, right - row * width);
    for (const next of [row - 1, row + 1]) {
      if (next < 0 || next >= height) continue;
      const shift = (next - row) * width;
      for (let each = left + shift; each < right + shift; each += 1) {
        const begins = each === left + shift || ids[each - 1] !== wanted;
        if (begins && ids[each] === wanted && !seen[each]) waiting.push(each);
      }
    }
  }
}

// All pixels of one class, wherever they are.
export function everywhere(span, ids, height, width, wanted) {
  for (let place = 0; place < ids.length; place += 1) {
    if (ids[place] !== wanted) continue;
    const row = Math.floor(place / width);
    const start = place;
    while (place + 1 < (row + 1) * width && ids[place + 1] === wanted) place += 1;
    span(row, start - row * width, place + 1 - row * width);
  }
}
