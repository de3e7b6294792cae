// Layouts to start from, as thumbnails: drawn ones, the model's validation layouts, a data set's. They are listed as
// they come into view.

import { Away, listStarts, startLayout, startPicture } from "./api.js";
import { pause } from "./connection.js";
import { byId, element } from "./element.js";

const AT_ONCE = 24;
const BUSY = 503; // the server has too much to do
const WAIT = { first: 1000, last: 10_000 }; // ms until what did not come is asked again; twice as long each time

export class Starts {
  #listed = 0;
  #busy = false;
  #round = 0; // answers of an earlier one do not count

  constructor(desk, connection) {
    Object.assign(this, { desk, connection });
    this.#count();
    this.watcher = new IntersectionObserver((seen) => {
      if (seen.some(({ isIntersecting }) => isIntersecting)) this.more();
    }, { rootMargin: "200px" });
    this.watcher.observe(byId("starts-end"));
    this.numbers = new WeakMap(); // of the images
    this.seen = new IntersectionObserver((seen) => {
      for (const { target } of seen.filter(({ isIntersecting }) => isIntersecting)) this.#show(target);
    }, { rootMargin: "200px" });
  }

  // A thumbnail that comes into view. It is asked for until it is there, or the server has none.
  async #show(image) {
    this.seen.unobserve(image);
    for (let wait = WAIT.first; image.isConnected; wait = Math.min(WAIT.last, 2 * wait)) {
      try {
        image.src = await startPicture(this.numbers.get(image), "thumbnail");
        image.addEventListener("load", () => URL.revokeObjectURL(image.src));
        return;
      } catch (error) {
        if (error instanceof Away) this.connection.lost();
        else if (error.status !== BUSY) return;
      }
      await pause(wait);
    }
  }

  #count() {
    this.count = this.connection.about.starts;
    byId("starts").hidden = this.count === 0;
  }

  // Another run of the server may have others.
  again() {
    this.#count();
    this.#round += 1;
    this.#listed = 0;
    this.#busy = false;
    byId("starts-list").replaceChildren(byId("starts-end"));
    byId("starts-end").hidden = false;
    return this.more();
  }

  // Lists the next ones; what the server did not answer is asked again when it is back.
  async more() {
    if (this.#busy || this.#listed >= this.count) return;
    this.#busy = true;
    const round = this.#round;
    try {
      const found = await listStarts(this.#listed, AT_ONCE);
      if (round !== this.#round) return;
      byId("starts-end").before(...found.map((start) => this.#item(start)));
      this.#listed = found.length ? this.#listed + found.length : this.count;
      byId("starts-end").hidden = this.#listed >= this.count;
      this.watcher.unobserve(byId("starts-end")); // to be told again if it is still in view
      this.watcher.observe(byId("starts-end"));
    } catch (error) {
      if (round !== this.#round) return;
      if (error.status === BUSY) setTimeout(() => this.more(), WAIT.first);
      else this.#failed(error);
    }
    this.#busy = false;
  }

  #item({ number, name, group, photo }) {
    const image = element("img", { alt: "", draggable: false });
    const [height, width] = this.connection.about.size;
    [image.width, image.height] = [Math.round((64 * width) / height), 64];
    this.numbers.set(image, number);
    this.seen.observe(image);
    const words = [element("span", { className: "name", textContent: name })];
    words.push(element("span", { className: "group", textContent: photo ? `${group} · photo` : group }));
    const button = element("button", { type: "button", title: `start from ${name}` }, image, ...words);
    button.addEventListener("click", () => this.#start({ number, name, photo }));
    return element("li", {}, button);
  }

  async #start({ number, name, photo }) {
    const { run } = this.connection.about;
    try {
      const { ids, said } = await startLayout(number);
      this.desk.begin(ids, { name, photo: photo ? { number, run } : null, said });
    } catch (error) {
      this.#failed(error);
    }
  }

  #failed(error) {
    if (error instanceof Away) this.connection.lost();
    else this.desk.say(error.message);
  }
}
