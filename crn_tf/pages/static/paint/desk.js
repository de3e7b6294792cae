// What is chosen: the tool, the brush, the class that is painted, and over which. Whoever shows it listens to "change";
// "settle" ends what a pointer or the keyboard has under way, "outline" tells of a polygon's corners.

import { makeBrush, SHAPES } from "./raster.js";
import { makeTools } from "./tools.js";

const UNNAMED = { name: "painting", photo: null };
const NONE = [];

export class Desk extends EventTarget {
  constructor(layout, view, classes, void_) {
    super();
    Object.assign(this, { layout, view, classes, void: void_ });
    layout.about = UNNAMED;
    this.tools = makeTools(this);
    this.toolName = "brush";
    this.largestBrush = Math.max(8, Math.round(layout.height / 2));
    this.brush = makeBrush("round", Math.max(3, Math.round(layout.height / 16)));
    this.chosen = classes[0].id;
    this.before = void_; // the class chosen before
    this.only = null; // the class that is painted over; null: every
    this.erasing = false; // with a pen's other end
    this.run = null; // which run of the server it is
    this.outline = []; // the corners of a polygon under way
    this.said = ""; // what is told at the bottom
    this.answers = NONE; // to it, as buttons: { name, act }
  }

  get id() { return this.erasing ? this.void : this.chosen; }
  get tool() { return this.tools[this.toolName]; }
  get name() { return this.layout.about.name; } // what it is called when it is downloaded

  // The photograph that belongs to the layout, { number, run }; another run of the server may have another one there.
  get photo() {
    const { photo } = this.layout.about;
    return photo && photo.run === this.run ? photo : null;
  }

  classOf(id) { return this.classes.find((one) => one.id === id); }

  change(what = {}) {
    Object.assign(this, "said" in what ? { answers: NONE } : {}, what);
    this.dispatchEvent(new Event("change"));
  }

  useTool(name) {
    if (name !== this.toolName) this.#leave();
    this.change({ toolName: name, said: "" });
  }

  choose(id) {
    if (id !== this.chosen) this.change({ before: this.chosen, chosen: id, said: "" });
  }

  // To void, and from there to the class before.
  toggleEraser() { this.choose(this.chosen === this.void ? this.before : this.void); }

  setSize(size) {
    const fitting = Math.min(this.largestBrush, Math.max(1, Math.round(size)));
    this.change({ brush: makeBrush(this.brush.shape, fitting) });
  }

  // By about a tenth.
  stepSize(by) { this.setSize(this.brush.size + by * Math.max(1, Math.round(this.brush.size / 10))); }

  setShape(shape) { this.change({ brush: makeBrush(shape, this.brush.size) }); }
  nextShape() { this.setShape(SHAPES[(SHAPES.indexOf(this.brush.shape) + 1) % SHAPES.length]); }

  // Ends a stroke under way where it is, whoever holds it.
  settle() {
    this.layout.commit();
    this.dispatchEvent(new Event("settle"));
  }

  #leave() {
    this.settle();
    this.tool.cancel(); // a polygon's corners
  }

  // Another layout as one edit, with its name and its photograph: { number, run }.
  begin(ids, { name, photo = null, said = [] }) {
    this.#leave();
    this.layout.replace(ids, { name, photo });
    this.change({ said: said.join(" · ") });
  }

  get canUndo() { return this.layout.canUndo || this.outline.length > 0; }

  undo() {
    if (this.tool.corners?.length) this.tool.back();
    else if (this.layout.undo()) this.change();
  }

  redo() { if (this.layout.redo()) this.change(); }

  clear() { this.begin(new Uint8Array(this.layout.ids.length).fill(this.void), UNNAMED); }

  say(text, answers = NONE) { this.change({ said: text, answers }); }

  sayNothingPainted() {
    const over = this.only === null ? "" : `, only over ${this.classOf(this.only).name}`;
    this.say(`nothing is different: ${this.classOf(this.id).name}${over}`);
  }

  showOutline(corners) {
    this.outline = corners;
    this.dispatchEvent(new Event("outline"));
  }
}
