// Pictures that follow the layout. Each model has one request under way; what is painted meanwhile waits, and only the
// newest of it is sent. While something is painted that is a JPEG of the chosen image; at rest its PNG, and then the
// other images, which the server has already.

import { Away, synthesize } from "./api.js";
import { pause } from "./connection.js";
import { encode } from "./encoding.js";
import { randomName } from "./names.js";

const SLOW = 1.5; // seconds: a slower model is asked only when the brush rests, else the last stroke would wait for it
const REST = { slow: 250, drafted: 700 }; // ms without a change that are rest
const AGAIN = { 409: 100, 503: 1000, 408: 1000 }; // ms until it is asked again after such a refusal
const OLD = -1; // the revision of no layout

// One model's pictures.
class Lane {
  constructor(model, page) {
    this.model = model;
    this.client = `${page}.${model.name}`;
    this.pictures = new Map(); // the newest of each image: { revision, image, format, blob, bitmap, seconds, model }
    this.asked = null; // since when there is a request under way
    this.seconds = 0; // that the last picture took
    this.refusal = null; // { revision, why }
  }

  has({ revision, image, format }) {
    const picture = this.pictures.get(image);
    return picture?.revision === revision && (picture.format === "png" || format === "jpeg");
  }

  keep(picture) {
    this.pictures.get(picture.image)?.bitmap.close();
    this.pictures.set(picture.image, picture);
  }
}

export class Pictures {
  #scheduled = false;
  #changed = -Infinity; // when the layout last did
  #encoded = null;
  #timer = null;
  image = 0; // which one is large
  sent = 0; // requests, for whoever counts

  // onChange is called when a picture has come, or a request begun or failed.
  constructor(desk, models, connection, onChange) {
    Object.assign(this, { desk, connection, onChange });
    const page = randomName();
    this.lanes = models.map((model) => new Lane(model, page));
    this.draft = this.lanes.find(({ model }) => model.draft) ?? null;
    this.large = this.lanes.filter(({ model }) => !model.draft);
  }

  changed() {
    this.#changed = performance.now();
    this.schedule();
  }

  // Whatever has come is not what the server would answer now.
  forget() {
    for (const lane of this.lanes) {
      for (const picture of lane.pictures.values()) picture.revision = OLD;
      lane.refusal = null;
    }
    this.onChange();
  }

  choose(image) {
    this.image = image;
    this.onChange();
    this.schedule();
  }

  // At most once in each frame.
  schedule() {
    if (this.#scheduled) return;
    this.#scheduled = true;
    requestAnimationFrame(() => {
      this.#scheduled = false;
      if (this.connection.away) return;
      for (const lane of this.lanes) {
        const goal = lane.asked === null ? this.#goal(lane) : null;
        if (goal) this.#ask(lane, goal);
      }
    });
  }

  // What a model's large picture is: its own, or in its place a newer one of the draft model.
  shown(lane) {
    const own = lane.pictures.get(this.#imageOf(lane)) ?? null;
    const draft = lane === this.large[0] ? this.draft?.pictures.get(this.#imageOf(this.draft)) : null;
    return draft && draft.revision > (own?.revision ?? -1) ? draft : own;
  }

  // The PNG of a model's chosen image for the layout as it is now, asked for anew if it is not there.
  async exact(lane) {
    const goal = { revision: this.desk.layout.revision, image: this.#imageOf(lane), format: "png" };
    if (lane.has(goal)) return lane.pictures.get(goal.image).blob;
    return (await this.#synthesize(lane, goal, `${lane.client}.download`)).blob;
  }

  #imageOf(lane) { return Math.min(this.image, lane.model.images - 1); }

  // What to ask a model for next; null for nothing.
  #goal(lane) {
    const { revision, editing } = this.desk.layout;
    if (lane.refusal?.revision === revision) return null;
    const image = this.#imageOf(lane);
    const missing = (goal) => (lane.has(goal) ? null : goal);
    const following = missing({ revision, image, format: "jpeg" });
    if (lane === this.draft) return this.shown(this.large[0])?.revision === revision ? null : following;
    const waits = this.draft ? REST.drafted : lane.seconds > SLOW ? REST.slow : 0;
    if (waits && (editing || !this.#rested(waits))) return null;
    if (editing) return following;
    const chosen = missing({ revision, image, format: "png" });
    if (chosen) return chosen;
    const all = Array.from({ length: lane.model.images }, (_, each) => ({ revision, image: each, format: "jpeg" }));
    return all.find((goal) => !lane.has(goal)) ?? null;
  }

  #rested(milliseconds) {
    const left = this.#changed + milliseconds - performance.now();
    if (left <= 0) return true;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.schedule(), left + 1);
    return false;
  }

  async #synthesize(lane, { revision, image, format }, client) {
    if (this.#encoded?.revision !== revision) {
      this.#encoded = { revision, png: encode(this.desk.layout, this.desk.classes, "exact") };
    }
    this.sent += 1;
    return synthesize(await this.#encoded.png, { model: lane.model.name, image, format, client });
  }

  async #ask(lane, goal) {
    lane.asked = performance.now();
    const { run } = this.connection.about;
    const fresh = ![...lane.pictures.values()].some((picture) => picture.revision === goal.revision);
    this.onChange();
    try {
      const { blob, seconds } = await this.#synthesize(lane, goal, lane.client);
      const bitmap = await createImageBitmap(blob);
      if (fresh) lane.seconds = seconds; // others come from the server's memory
      const revision = run === this.connection.about.run ? goal.revision : OLD;
      lane.keep({ ...goal, revision, blob, bitmap, seconds: lane.seconds, model: lane.model });
      lane.refusal = null;
    } catch (error) {
      await this.#failed(lane, goal, error);
    }
    lane.asked = null;
    this.onChange();
    this.schedule();
  }

  async #failed(lane, { revision }, error) {
    if (error instanceof Away) this.connection.lost();
    else if (AGAIN[error.status]) await pause(AGAIN[error.status]);
    else lane.refusal = { revision, why: error.message };
  }
}
