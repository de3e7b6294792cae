// The tools: what a press, a move and a release do to the layout. Places are { x, y } in the layout's pixels; `keys`
// has shift. Each tool works on a desk (desk.js), which knows the layout, the brush, and the class that is painted.

import { everywhere, flood, line, polygon, rectangle, stamp } from "./raster.js";

const STILL = 1.5; // pixels that a press may move and still be a click
const LEVEL = Math.tan(Math.PI / 8); // slopes nearer to level than to 45 degrees
const NEAR = 10; // pixels of the screen around a polygon's corner that count as it

const distance = (one, other) => Math.hypot(one.x - other.x, one.y - other.y);

class Tool {
  constructor(desk) {
    this.desk = desk;
    this.span = (row, left, right) => desk.layout.span(row, left, right);
  }

  begin() { this.desk.layout.begin(this.desk.id, this.desk.only); }
  press() {}
  move() {}
  release() {}
  hover() {} // the place under a pointer that is not down; null if there is none
  cancel() { this.desk.layout.cancel(); }

  end() {
    if (!this.desk.layout.commit()) this.desk.sayNothingPainted();
  }
}

// Follows the pointer. With shift it draws a straight line: from the press to the release, or, if that is a click, from
// where the stroke before ended.
class Brush extends Tool {
  press(place, keys) {
    this.begin();
    [this.first, this.last, this.straight] = [place, place, keys.shift];
    stamp(this.span, this.desk.brush, place);
  }

  move(place) {
    if (this.straight) this.desk.layout.restart();
    line(this.span, this.desk.brush, this.straight ? this.first : this.last, place);
    this.last = place;
  }

  release(place) {
    if (this.straight && this.ended && distance(this.first, place) < STILL) {
      line(this.span, this.desk.brush, this.ended, place);
    }
    this.ended = place;
    this.end();
  }
}

// A straight line from press to release; with shift level, upright or at 45 degrees.
class Line extends Tool {
  press(place) {
    this.begin();
    this.first = place;
    stamp(this.span, this.desk.brush, place);
  }

  move(place, keys) {
    this.desk.layout.restart();
    line(this.span, this.desk.brush, this.first, keys.shift ? this.#turned(place) : place);
  }

  release() { this.end(); }

  #turned(place) {
    const [dx, dy] = [place.x - this.first.x, place.y - this.first.y];
    if (Math.abs(dy) < LEVEL * Math.abs(dx)) return { x: place.x, y: this.first.y };
    if (Math.abs(dx) < LEVEL * Math.abs(dy)) return { x: this.first.x, y: place.y };
    const steps = Math.round((Math.abs(dx) + Math.abs(dy)) / 2); // whole ones: a pixel in each row and column
    return { x: this.first.x + steps * Math.sign(dx), y: this.first.y + steps * Math.sign(dy) };
  }
}

// With shift a square.
class Rectangle extends Tool {
  press(place) {
    this.begin();
    this.first = place;
    rectangle(this.span, place, place);
  }

  move(place, keys) {
    const [dx, dy] = [place.x - this.first.x, place.y - this.first.y];
    const side = Math.max(Math.abs(dx), Math.abs(dy));
    const square = { x: this.first.x + side * (Math.sign(dx) || 1), y: this.first.y + side * (Math.sign(dy) || 1) };
    this.desk.layout.restart();
    rectangle(this.span, this.first, keys.shift ? square : place);
  }

  release() { this.end(); }
}

// Each press is a corner; one at the first or the last corner again closes it.
class Polygon extends Tool {
  corners = [];

  press(place) {
    const near = NEAR / this.desk.view.scale;
    const last = this.corners.at(-1);
    const closes = this.corners.length > 2 && distance(this.corners[0], place) < near;
    if (closes || (last && distance(last, place) < Math.min(near, STILL))) this.close();
    else this.#show([...this.corners, place]);
  }

  hover(place) { if (this.corners.length) this.desk.showOutline(place ? [...this.corners, place] : this.corners); }
  move(place) { this.hover(place); }
  back() { this.#show(this.corners.slice(0, -1)); }
  cancel() { this.#show([]); }

  close() {
    const corners = this.corners;
    this.#show([]);
    if (corners.length < 3) return;
    this.begin();
    polygon(this.span, corners, this.desk.layout.height);
    this.end();
  }

  #show(corners) {
    this.corners = corners;
    this.desk.showOutline(corners);
  }
}

// The connected pixels of the class under the pointer; with shift all pixels of that class.
class Fill extends Tool {
  press(place, keys) {
    const { layout } = this.desk;
    const wanted = layout.at(place);
    if (wanted === null) return;
    this.begin();
    const ids = layout.ids.slice(); // as they were: painting changes them
    if (keys.shift) everywhere(this.span, ids, layout.height, layout.width, wanted);
    else flood(this.span, ids, layout.height, layout.width, place);
    this.end();
  }
}

// Takes the class under the pointer.
class Eyedropper extends Tool {
  press(place) { this.move(place); }

  move(place) {
    const id = this.desk.layout.at(place);
    if (id !== null) this.desk.choose(id);
  }
}

const KINDS = { brush: Brush, line: Line, rectangle: Rectangle, polygon: Polygon, fill: Fill, eyedropper: Eyedropper };

export function makeTools(desk) {
  return Object.fromEntries(Object.entries(KINDS).map(([name, Kind]) => [name, new Kind(desk)]));
}

// What takes effect from press to release, as opposed to at once.
export const DRAGGED = new Set(["brush", "line", "rectangle"]);
export const WITH_SIZE = new Set(["brush", "line"]);
