// Layouts to start from, as thumbnails: drawn ones, the model's validation layouts, a data set's. They are listed as
// they come into view.

import { Away, listStarts, photoAddress, startLayout, thumbnailAddress } from "./api.js";
import { byId, element } from "./element.js";

const AT_ONCE = 24;

export class Starts {
  #listed = 0;
  #busy = false;

  constructor(desk, connection) {
    Object.assign(this, { desk, connection });
    this.count = connection.about.starts;
    byId("starts").hidden = this.count === 0;
    this.watcher = new IntersectionObserver((seen) => {
      if (seen.some(({ isIntersecting }) => isIntersecting)) this.more();
    }, { rootMargin: "200px" });
    this.watcher.observe(byId("starts-end"));
  }

  // Lists the next ones; what the server did not answer is asked again when it is back.
  async more() {
    if (this.#busy || this.#listed >= this.count) return;
    this.#busy = true;
    try {
      const found = await listStarts(this.#listed, AT_ONCE);
      byId("starts-end").before(...found.map((start) => this.#item(start)));
      this.#listed = found.length ? this.#listed + found.length : this.count;
      byId("starts-end").hidden = this.#listed >= this.count;
      this.watcher.unobserve(byId("starts-end")); // to be told again if it is still in view
      this.watcher.observe(byId("starts-end"));
    } catch (error) {
      this.#failed(error);
    }
    this.#busy = false;
  }

  #item({ number, name, group, photo }) {
    const image = element("img", { src: thumbnailAddress(number), alt: "", loading: "lazy", draggable: false });
    const [height, width] = this.connection.about.size;
    [image.width, image.height] = [Math.round((64 * width) / height), 64];
    const words = [element("span", { className: "name", textContent: name })];
    words.push(element("span", { className: "group", textContent: photo ? `${group} · photo` : group }));
    const button = element("button", { type: "button", title: `start from ${name}` }, image, ...words);
    button.addEventListener("click", () => this.#start({ number, name, photo }));
    return element("li", {}, button);
  }

  async #start({ number, name, photo }) {
    try {
      const { ids, said } = await startLayout(number);
      this.desk.begin(ids, { name, photo: photo ? photoAddress(number) : null, said });
    } catch (error) {
      this.#failed(error);
    }
  }

  #failed(error) {
    if (error instanceof Away) this.connection.lost();
    else this.desk.say(error.message);
  }
}
