// The layout that is painted: a Uint8Array of class ids, row by row. It is the truth; all that is seen or sent is made
// of it. It changes in edits, each of which can be undone.

const NOTHING = { left: Infinity, top: Infinity, right: 0, bottom: 0 }; // pixels, right and bottom outside

export const isNothing = (bounds) => bounds.left >= bounds.right;

const joined = (one, other) => ({
  left: Math.min(one.left, other.left), top: Math.min(one.top, other.top),
  right: Math.max(one.right, other.right), bottom: Math.max(one.bottom, other.bottom),
});

// Runs of pixels that differ in the same way: start, length, exclusive or of the ids. Applied once more they undo
// themselves, so one list serves both directions, and a stroke over plain ground is a few hundred numbers.
function difference(before, after, width, bounds) {
  const runs = [];
  for (let row = bounds.top; row < bounds.bottom; row += 1) {
    const end = row * width + bounds.right;
    let place = row * width + bounds.left;
    while (place < end) {
      const start = place;
      const change = before[start] ^ after[start];
      do place += 1; while (place < end && (before[place] ^ after[place]) === change);
      if (change) runs.push(start, place - start, change);
    }
  }
  return Uint32Array.from(runs);
}

export class Layout {
  #edit = null; // { id, only, before, bounds } while one is under way
  #done = [];
  #undone = [];
  #dirty = NOTHING;

  // onDirty is called once when something has changed since takeDirty, onEdit when an edit has ended.
  constructor(height, width, empty, { onDirty = () => {}, onEdit = () => {} } = {}) {
    Object.assign(this, { height, width, empty, onDirty, onEdit });
    this.ids = new Uint8Array(height * width).fill(empty);
    this.revision = 0; // changes with the ids
    this.about = null; // what belongs to them, such as a name; edits bring it back with the ids
  }

  get editing() { return this.#edit !== null; }
  get canUndo() { return this.#done.length > 0; }
  get canRedo() { return this.#undone.length > 0; }

  // The class id at a place, null outside.
  at({ x, y }) {
    const [column, row] = [Math.floor(x), Math.floor(y)];
    const inside = column >= 0 && row >= 0 && column < this.width && row < this.height;
    return inside ? this.ids[row * this.width + column] : null;
  }

  // Begins an edit that paints a class, over pixels of one class only if that is given.
  begin(id, only = null) {
    if (this.#edit) this.commit();
    this.#edit = { id, only, before: this.ids.slice(), bounds: NOTHING };
  }

  // Paints a row's pixels from left up to right, outside of which there may be nothing.
  span(row, left, right) {
    if (!this.#edit) return; // it has ended while the pointer was down
    const { id, only } = this.#edit;
    if (row < 0 || row >= this.height) return;
    let start = row * this.width + Math.max(0, left);
    let end = row * this.width + Math.min(this.width, right);
    while (start < end && this.ids[start] === id) start += 1; // what is painted already changes nothing
    while (start < end && this.ids[end - 1] === id) end -= 1;
    if (start >= end) return;
    if (only === null) {
      this.ids.fill(id, start, end);
    } else {
      let painted = 0;
      for (let place = start; place < end; place += 1) {
        if (this.ids[place] === only) {
          this.ids[place] = id;
          painted += 1;
        }
      }
      if (!painted) return;
    }
    const offset = row * this.width;
    this.#mark({ left: start - offset, top: row, right: end - offset, bottom: row + 1 });
  }

  // Takes back what the edit under way has painted, which then begins anew: a line follows the pointer so.
  restart() {
    if (!this.#edit) return;
    const { before, bounds } = this.#edit;
    for (let row = bounds.top; row < bounds.bottom; row += 1) {
      const start = row * this.width;
      this.ids.set(before.subarray(start + bounds.left, start + bounds.right), start + bounds.left);
    }
    if (!isNothing(bounds)) this.#mark(bounds);
    this.#edit.bounds = NOTHING;
  }

  cancel() {
    if (!this.#edit) return;
    this.restart();
    this.#edit = null;
    this.onEdit();
  }

  // Ends the edit, if there is one. Returns whether anything is different.
  commit(about = this.about) {
    if (!this.#edit) return false;
    const { before, bounds } = this.#edit;
    this.#edit = null;
    const runs = isNothing(bounds) ? [] : difference(before, this.ids, this.width, bounds);
    if (runs.length) {
      this.#done.push({ runs, bounds, before: this.about, after: about });
      this.#undone = [];
    }
    this.about = about;
    this.onEdit();
    return runs.length > 0;
  }

  // One edit that makes the whole layout another, with what belongs to it.
  replace(ids, about = this.about) {
    if (ids.length !== this.ids.length) throw new RangeError(`expected ${this.ids.length} ids, found ${ids.length}`);
    this.begin(this.empty);
    this.ids.set(ids);
    this.#mark({ left: 0, top: 0, right: this.width, bottom: this.height });
    return this.commit(about);
  }

  undo() { return this.#step(this.#done, this.#undone, "before"); }
  redo() { return this.#step(this.#undone, this.#done, "after"); }

  #step(from, to, side) {
    if (this.#edit || !from.length) return false;
    const edit = from.pop();
    for (let number = 0; number < edit.runs.length; number += 3) {
      const [start, length, change] = edit.runs.subarray(number, number + 3);
      for (let place = start; place < start + length; place += 1) this.ids[place] ^= change;
    }
    to.push(edit);
    this.about = edit[side];
    this.#mark(edit.bounds);
    this.onEdit();
    return true;
  }

  #mark(bounds) {
    this.revision += 1;
    if (this.#edit) this.#edit.bounds = joined(this.#edit.bounds, bounds);
    const first = isNothing(this.#dirty);
    this.#dirty = joined(this.#dirty, bounds);
    if (first) this.onDirty();
  }

  // What has changed since the last call.
  takeDirty() {
    const dirty = this.#dirty;
    this.#dirty = NOTHING;
    return dirty;
  }
}
