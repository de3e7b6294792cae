// What is chosen: the tool, the brush, the class that is painted, and over which. Whoever shows it listens to "change".

import { makeBrush, SHAPES } from "./raster.js";
import { makeTools } from "./tools.js";

export class Desk extends EventTarget {
  #outlineListener = () => {};

  constructor(layout, view, classes, void_) {
    super();
    Object.assign(this, { layout, view, classes, void: void_ });
    this.tools = makeTools(this);
    this.toolName = "brush";
    this.largestBrush = Math.max(8, Math.round(layout.height / 2));
    this.brush = makeBrush("round", Math.max(3, Math.round(layout.height / 16)));
    this.chosen = classes[0].id;
    this.before = void_; // the class chosen before
    this.only = null; // the class that is painted over; null: every
    this.erasing = false; // with a pen's other end
    this.name = "painting"; // what it is called when it is downloaded
    this.photo = null; // the address of the photograph that belongs to it
    this.said = ""; // what is told at the bottom
    this.answers = []; // to it, as buttons: { name, act }
  }

  get id() { return this.erasing ? this.void : this.chosen; }
  get tool() { return this.tools[this.toolName]; }

  classOf(id) { return this.classes.find((one) => one.id === id); }

  change(what = {}) {
    Object.assign(this, "said" in what ? { answers: [] } : {}, what);
    this.dispatchEvent(new Event("change"));
  }

  useTool(name) {
    if (name !== this.toolName) this.tool.cancel();
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

  // Another layout as one edit, with what belongs to it.
  begin(ids, { name, photo = null, said = [] }) {
    this.tool.cancel();
    this.layout.replace(ids);
    this.change({ name, photo, said: said.join(" · ") });
  }

  undo() {
    if (this.tool.corners?.length) this.tool.back();
    else this.layout.undo();
  }

  clear() { this.begin(new Uint8Array(this.layout.ids.length).fill(this.void), { name: "painting" }); }

  say(text, answers = []) { this.change({ said: text, answers }); }

  sayNothingPainted() {
    const over = this.only === null ? "" : `, only over ${this.classOf(this.only).name}`;
    this.say(`nothing is different: ${this.classOf(this.id).name}${over}`);
  }

  onOutline(listener) { this.#outlineListener = listener; }
  showOutline(corners) { this.#outlineListener(corners); }
}
