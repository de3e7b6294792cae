// Lines over the panes: what the brush would paint, and a polygon's corners. They are drawn beside the layout, never
// into it.

import { drawing } from "./element.js";
import { brushCorner } from "./raster.js";
import { WITH_SIZE } from "./tools.js";

const CROSS = 8; // pixels of the screen, half of it

// The outline of exactly the pixels that a brush paints.
function outline({ rows }) {
  const right = rows.map(([, end], row) => `H${end}V${row + 1}`).join("");
  const left = rows.map(([begin], row) => `H${begin}V${row}`).reverse().join("");
  return `M${rows[0][0]} 0${right}${left}Z`;
}

export class Overlay {
  #parts = []; // of each pane
  #place = null;
  #byKeyboard = false;

  constructor(desk) {
    this.desk = desk;
    desk.addEventListener("outline", () => this.draw());
    desk.addEventListener("change", () => this.draw());
    desk.view.listeners.push(() => this.draw());
  }

  attach(stage) {
    const lines = (tag) => ["halo", "line"].map((name) => drawing(tag, { class: name }));
    const [brush, polygon, start, cross] = [lines("path"), lines("path"), lines("circle"), lines("path")];
    const all = [brush, polygon, start, cross].flat();
    stage.append(drawing("svg", { class: "overlay", "aria-hidden": "true" }, ...all));
    this.#parts.push({ brush, polygon, start, cross });
    this.draw();
  }

  // Where the pointer is, in the layout's pixels; null if it is elsewhere. The keyboard's place, which has no cursor of
  // the system's, gets a cross.
  pointAt(place, byKeyboard = false) {
    [this.#place, this.#byKeyboard] = [place, byKeyboard];
    this.draw();
  }

  draw() {
    const { view, brush, toolName } = this.desk;
    const shown = this.#place && WITH_SIZE.has(toolName);
    const [left, top] = shown ? brushCorner(brush, this.#place) : [0, 0];
    const path = shown ? outline(brush) : "";
    const moved = `translate(${view.left + left * view.scale} ${view.top + top * view.scale}) scale(${view.scale})`;
    const seen = ({ x, y }) => [view.left + x * view.scale, view.top + y * view.scale];
    const points = this.desk.outline.map(seen);
    const [x, y] = this.#place && this.#byKeyboard ? seen(this.#place) : [];
    const cross = x === undefined ? "" : `M${x - CROSS} ${y}h${2 * CROSS}M${x} ${y - CROSS}v${2 * CROSS}`;
    const set = (parts, attributes) => {
      for (const part of parts) for (const [name, value] of Object.entries(attributes)) part.setAttribute(name, value);
    };
    for (const parts of this.#parts) {
      set(parts.brush, { d: path, transform: moved });
      set(parts.polygon, { d: points.length ? `M${points.join("L")}` : "" });
      set(parts.start, points.length ? { cx: points[0][0], cy: points[0][1], r: 5 } : { r: 0 });
      set(parts.cross, { d: cross });
    }
  }
}
