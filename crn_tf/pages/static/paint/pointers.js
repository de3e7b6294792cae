// Mouse, pen and fingers over the panes. One pointer paints; two fingers zoom and move; the middle button, or space
// held, moves; the right button, or alt, takes the class under the pointer.

import { DRAGGED, WITH_SIZE } from "./tools.js";

const NOTCH = 30; // pixels that a wheel turns for one step
const PEN_ERASER = 5; // a pen's other end, as a button

const middle = ([one, other]) => ({ x: (one.x + other.x) / 2, y: (one.y + other.y) / 2 });
const apart = ([one, other]) => Math.hypot(one.x - other.x, one.y - other.y);

export class Pointers {
  #gesture = null; // { kind: "paint" | "pan" | "pinch" | "over", ... }
  #touches = new Map();
  #turned = 0;
  spaceHeld = false;
  young = 300; // ms in which a second finger takes back what the first has painted: it was meant to zoom
  over = null; // the place under the pointer, in the layout's pixels

  // onMove is told the place, or null.
  constructor(desk, onMove) {
    Object.assign(this, { desk, onMove });
    desk.addEventListener("settle", () => { if (this.#gesture?.kind === "paint") this.#leave(); });
  }

  get isOver() { return this.over !== null; }

  attach(stage) {
    const listen = (name, action) => stage.addEventListener(name, (event) => action(event, stage));
    listen("pointerdown", (event) => this.#down(event, stage));
    listen("pointermove", (event) => this.#move(event, stage));
    listen("pointerup", (event) => this.#up(event, stage));
    listen("pointercancel", (event) => this.#cancel(event));
    listen("pointerleave", () => this.#point(null));
    listen("contextmenu", (event) => event.preventDefault());
    stage.addEventListener("wheel", (event) => this.#wheel(event, stage), { passive: false });
  }

  // Takes back what is under way.
  stop() {
    const gesture = this.#gesture;
    if (gesture?.kind === "paint") {
      if (gesture.dragged) gesture.tool.cancel();
      else gesture.tool.hover(null); // a polygon's corners were there before
    }
    this.#leave();
  }

  // Nothing more comes of a gesture, until its pointer is lifted.
  #leave() {
    this.desk.erasing = false;
    if (this.#gesture) this.#gesture = { ...this.#gesture, kind: "over" };
  }

  // A hand that rests beside a pen may have come first.
  #dropHand() {
    if (!this.#touches.size || this.#gesture?.pointerType === "mouse") return;
    this.stop();
    this.#touches.clear();
    this.#gesture = null;
  }

  #at(event, stage) {
    const box = stage.getBoundingClientRect();
    return { x: event.clientX - box.left, y: event.clientY - box.top };
  }

  #place(event, stage) {
    const { x, y } = this.#at(event, stage);
    return this.desk.view.toLayout(x, y);
  }

  #point(place) {
    this.over = place;
    this.onMove(place);
  }

  #down(event, stage) {
    stage.focus({ preventScroll: true });
    event.preventDefault();
    if (event.pointerType === "pen") this.#dropHand();
    if (event.pointerType === "touch") {
      if (this.#gesture?.pointerType === "pen") return; // the hand that holds it
      this.#touches.set(event.pointerId, this.#at(event, stage));
      if (this.#touches.size === 2) {
        this.#pinch();
        return;
      }
    }
    if (this.#gesture) return;
    stage.setPointerCapture(event.pointerId);
    const own = { pointer: event.pointerId, pointerType: event.pointerType, since: performance.now() };
    if (event.button === 1 || (event.button === 0 && this.spaceHeld)) {
      this.#gesture = { ...own, kind: "pan", last: this.#at(event, stage) };
      stage.classList.add("moving");
      return;
    }
    const picks = event.button === 2 || event.altKey;
    const name = picks ? "eyedropper" : this.desk.toolName;
    const [tool, dragged] = [this.desk.tools[name], DRAGGED.has(name)];
    if (this.desk.layout.editing) this.desk.settle(); // what the keyboard holds
    this.desk.erasing = event.button === PEN_ERASER;
    const waits = event.pointerType === "touch" && !dragged; // for the release: a second finger may come, to zoom
    this.#gesture = { ...own, kind: "paint", tool, dragged, waits };
    if (!waits) tool.press(this.#place(event, stage), { shift: event.shiftKey });
    this.#point(this.#place(event, stage));
  }

  #move(event, stage) {
    if (this.#touches.has(event.pointerId)) this.#touches.set(event.pointerId, this.#at(event, stage));
    const gesture = this.#gesture;
    if (gesture?.kind === "pinch") {
      this.#followPinch();
      return;
    }
    const place = this.#place(event, stage);
    if (gesture && gesture.pointer !== event.pointerId) return;
    if (gesture?.kind === "pan") {
      const at = this.#at(event, stage);
      this.desk.view.panBy(at.x - gesture.last.x, at.y - gesture.last.y);
      gesture.last = at;
    } else if (gesture?.kind === "paint" && gesture.waits) {
      gesture.tool.hover(place);
    } else if (gesture?.kind === "paint") {
      const all = event.getCoalescedEvents?.() ?? [];
      for (const each of all.length ? all : [event]) {
        gesture.tool.move(this.#place(each, stage), { shift: event.shiftKey });
      }
    } else if (!gesture) {
      this.desk.tool.hover(place);
    }
    this.#point(place);
  }

  #up(event, stage) {
    this.#touches.delete(event.pointerId);
    stage.classList.remove("moving");
    const gesture = this.#gesture;
    try {
      if (gesture?.kind === "paint" && gesture.pointer === event.pointerId) {
        const [place, keys] = [this.#place(event, stage), { shift: event.shiftKey }];
        if (gesture.waits) gesture.tool.press(place, keys);
        gesture.tool.release(place, keys);
        this.desk.erasing = false;
      }
    } finally {
      this.#end(event);
    }
    if (event.pointerType === "touch") this.#point(null);
  }

  #cancel(event) {
    this.#touches.delete(event.pointerId);
    if (this.#gesture?.pointer === event.pointerId) this.stop();
    this.#end(event);
  }

  #end(event) {
    const gesture = this.#gesture;
    if (!gesture) return;
    const mine = gesture.pointer === event.pointerId;
    if (mine || (gesture.pointer === undefined && this.#touches.size === 0)) this.#gesture = null;
    else if (gesture.kind === "pinch") this.#gesture = { kind: "over" }; // until the last finger is lifted
  }

  #pinch() {
    const gesture = this.#gesture;
    if (gesture?.kind === "paint" && gesture.dragged && performance.now() - gesture.since > this.young) {
      this.desk.settle();
    } else {
      this.stop();
    }
    const fingers = [...this.#touches.values()];
    this.#gesture = { kind: "pinch", middle: middle(fingers), apart: apart(fingers) };
    this.#point(null);
  }

  #followPinch() {
    if (this.#touches.size !== 2) return;
    const fingers = [...this.#touches.values()];
    const now = { middle: middle(fingers), apart: Math.max(1, apart(fingers)) };
    const before = this.#gesture;
    this.desk.view.panBy(now.middle.x - before.middle.x, now.middle.y - before.middle.y);
    this.desk.view.zoomAt(now.apart / before.apart, now.middle.x, now.middle.y);
    this.#gesture = { kind: "pinch", ...now };
  }

  #wheel(event, stage) {
    event.preventDefault();
    const pixels = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? 16 : 1;
    const [across, down] = [event.deltaX * pixels, event.deltaY * pixels];
    const zooms = event.ctrlKey || event.metaKey; // as browsers tell of two fingers on a touchpad, too
    if (!zooms && (event.shiftKey || Math.abs(across) > Math.abs(down))) {
      this.desk.view.panBy(-(across || down), 0);
    } else if (!zooms && WITH_SIZE.has(this.desk.toolName)) {
      this.#turned += down;
      if (Math.abs(this.#turned) < NOTCH) return;
      this.desk.stepSize(-Math.sign(this.#turned));
      this.#turned = 0;
    } else {
      const { x, y } = this.#at(event, stage);
      this.desk.view.zoomAt(Math.exp(-Math.min(60, Math.max(-60, down)) / 150), x, y);
    }
    this.#point(this.#place(event, stage));
  }
}
