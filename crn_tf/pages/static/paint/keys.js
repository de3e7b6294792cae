// The keyboard: keys for tools and classes anywhere on the page, and a place of its own in the panes, moved by arrows,
// for painting without a pointer.

import { byId, takesKeys } from "./element.js";
import { DRAGGED } from "./tools.js";

const TOOLS = { b: "brush", l: "line", r: "rectangle", p: "polygon", f: "fill", i: "eyedropper" };
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const TOGETHER = 700; // ms in which two digits are one number
const LARGER = 1.25;
const TYPED_WITH_ALT = new Set(["[", "]"]); // AltGr or Option on many keyboards

export class Keys {
  #typed = "";
  #typedAt = 0;
  #caret = null; // the keyboard's place
  #pressed = null; // the tool that Enter has pressed there
  #onButton = false; // whether the keyboard, not a click, went to the button that has the focus

  // palette.chooseNumber(number) and pointers are told what concerns them; onCaret the keyboard's place.
  constructor(desk, palette, pointers, onCaret) {
    Object.assign(this, { desk, palette, pointers, onCaret });
    document.addEventListener("keydown", (event) => this.#down(event));
    document.addEventListener("keyup", (event) => {
      if (event.key !== " ") return;
      if (pointers.spaceHeld && pointers.isOver) event.preventDefault(); // no click of a button
      pointers.spaceHeld = false;
    });
    document.addEventListener("focusin", ({ target }) => {
      this.#onButton = target.matches("button:focus-visible, summary:focus-visible"); // later each key makes it so
    });
    document.addEventListener("focusout", () => { this.#onButton = false; });
    desk.addEventListener("settle", () => { this.#pressed = null; });
    addEventListener("blur", () => { pointers.spaceHeld = false; });
    const { view } = desk;
    this.actions = {
      e: () => desk.toggleEraser(), s: () => desk.nextShape(), o: () => this.#only(),
      "[": () => desk.stepSize(-1), "]": () => desk.stepSize(1), "/": () => byId("find").focus(),
      "+": () => view.zoomAt(LARGER), "=": () => view.zoomAt(LARGER), "-": () => view.zoomAt(1 / LARGER),
      h: () => view.fit(), "?": () => byId("keys").showModal(), Escape: () => this.#escape(),
      Backspace: () => desk.tool.back?.(),
    };
  }

  #down(event) {
    if (document.querySelector("dialog[open]") || takesKeys(event.target)) return;
    const typed = event.altKey && TYPED_WITH_ALT.has(event.key);
    if (!typed && (event.ctrlKey || event.metaKey)) {
      this.#withControl(event);
      return;
    }
    if (event.altKey && !typed) return;
    if (this.#taken(event)) event.preventDefault();
  }

  #withControl(event) {
    const key = event.key.toLowerCase();
    if (key === "z" && event.shiftKey) this.desk.redo();
    else if (key === "z") this.desk.undo();
    else if (key === "y") this.desk.redo();
    else if (key === "o") byId("file").click();
    else return;
    event.preventDefault();
  }

  #taken(event) {
    const stage = event.target.closest(".stage");
    if (event.key === " ") {
      if (this.#onButton) return false; // it is pressed
      this.pointers.spaceHeld = this.pointers.isOver || stage !== null;
      return this.pointers.spaceHeld;
    }
    if (/^\d$/.test(event.key)) return this.#digit(event.key);
    if (stage && event.key in ARROWS) return this.#arrow(...ARROWS[event.key], event.shiftKey);
    if (stage && event.key === "Enter") return this.#enter(event.shiftKey);
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    if (key in TOOLS) this.desk.useTool(TOOLS[key]);
    else if (this.actions[key]) this.actions[key]();
    else return false;
    return true;
  }

  // 1 .. 9 at once, and 1 5 for the fifteenth if there are so many; 0 alone is void.
  #digit(digit) {
    const now = performance.now();
    const number = now - this.#typedAt < TOGETHER ? this.#typed + digit : digit;
    this.#typed = this.palette.chooseNumber(Number(number)) ? number : digit;
    if (this.#typed !== number) this.palette.chooseNumber(Number(digit));
    this.#typedAt = now;
    return true;
  }

  // Only over the class under the pointer; once more: over all.
  #only() {
    const place = this.pointers.over ?? this.#caret;
    const id = this.desk.only === null && place ? this.desk.layout.at(place) : null;
    this.desk.change({ only: id });
  }

  #arrow(dx, dy, far) {
    const { width, height } = this.desk.layout;
    const steps = far ? 10 : 1;
    const from = this.#caret ?? { x: Math.floor(width / 2) + 0.5, y: Math.floor(height / 2) + 0.5 };
    const kept = (place, size) => Math.min(size - 0.5, Math.max(0.5, place));
    this.#caret = { x: kept(from.x + dx * steps, width), y: kept(from.y + dy * steps, height) };
    if (this.#pressed) this.#pressed.move(this.#caret, {});
    else this.desk.tool.hover(this.#caret);
    this.desk.view.reveal(this.#caret);
    this.onCaret(this.#caret, true);
    return true;
  }

  // Presses the tool at the keyboard's place, and releases one that is dragged when pressed again. A polygon that the
  // mouse has drawn is closed.
  #enter(shift) {
    if (!this.#caret) {
      this.desk.tool.close?.();
    } else if (this.#pressed) {
      this.#pressed.release(this.#caret, { shift });
      this.#pressed = null;
    } else {
      if (this.desk.layout.editing) this.desk.settle(); // what a pointer holds
      this.desk.tool.press(this.#caret, { shift });
      if (DRAGGED.has(this.desk.toolName)) this.#pressed = this.desk.tool;
    }
    return true;
  }

  // The pointer has moved: the next arrow begins in the middle again, unless Enter holds the tool.
  forget() { if (!this.#pressed) this.#caret = null; }

  #escape() {
    if (byId("downloads").open) {
      byId("downloads").open = false;
      byId("downloads").querySelector("summary").focus();
    } else {
      this.#stop();
    }
  }

  #stop() {
    this.#pressed = null;
    this.#caret = null;
    this.pointers.stop();
    this.desk.tool.cancel();
    this.onCaret(null);
  }
}
