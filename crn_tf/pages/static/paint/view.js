// Which part of the layout is seen, and how large: the same in all panes, so that what belongs together lies at the
// same place.

const LARGEST = 64; // pixels of the screen for one of the layout
const MARGIN = 8; // around the whole layout
const SEEN = 40; // pixels of it that stay in sight, wherever it is moved

export class View {
  #fitting = true; // until somebody zooms or moves

  constructor(height, width) {
    Object.assign(this, { height, width, scale: 1, left: 0, top: 0, room: { height: 1, width: 1 } });
    this.listeners = [];
  }

  // How much room a pane has, in pixels of the screen.
  setRoom(height, width) {
    if (!height || !width || (height === this.room.height && width === this.room.width)) return;
    const middle = this.toLayout(this.room.width / 2, this.room.height / 2);
    this.room = { height, width };
    if (this.#fitting) {
      this.fit();
      return;
    }
    this.left = width / 2 - middle.x * this.scale;
    this.top = height / 2 - middle.y * this.scale;
    this.#keep();
  }

  fitting() {
    const { height, width } = this.room;
    return Math.max(0.05, Math.min((width - 2 * MARGIN) / this.width, (height - 2 * MARGIN) / this.height));
  }

  fit() {
    this.#fitting = true;
    this.scale = this.fitting();
    this.left = (this.room.width - this.width * this.scale) / 2;
    this.top = (this.room.height - this.height * this.scale) / 2;
    this.#keep();
  }

  // What is at (x, y) of a pane stays there.
  zoomAt(factor, x = this.room.width / 2, y = this.room.height / 2) {
    const scale = Math.min(LARGEST, Math.max(this.fitting() / 2, this.scale * factor));
    const place = this.toLayout(x, y);
    this.#fitting = false;
    this.scale = scale;
    this.left = x - place.x * scale;
    this.top = y - place.y * scale;
    this.#keep();
  }

  panBy(dx, dy) {
    this.#fitting = false;
    this.left += dx;
    this.top += dy;
    this.#keep();
  }

  // Moves as little as is needed to see a place.
  reveal({ x, y }) {
    const [left, top] = [this.left + x * this.scale, this.top + y * this.scale];
    const outside = (place, size) => Math.min(size - MARGIN, Math.max(MARGIN, place)) - place;
    const [dx, dy] = [outside(left, this.room.width), outside(top, this.room.height)];
    if (dx || dy) this.panBy(dx, dy);
  }

  toLayout(x, y) {
    return { x: (x - this.left) / this.scale, y: (y - this.top) / this.scale };
  }

  #keep() {
    const kept = (start, size, room) => {
      const seen = Math.min(SEEN, size);
      return Math.min(room - seen, Math.max(seen - size, start));
    };
    this.left = kept(this.left, this.width * this.scale, this.room.width);
    this.top = kept(this.top, this.height * this.scale, this.room.height);
    this.listeners.forEach((listener) => listener());
  }

  // Puts what has the layout's size where it is seen.
  place(element) {
    element.style.transform = `translate(${this.left}px, ${this.top}px) scale(${this.scale})`;
  }
}
