// Layouts to start from, as thumbnails: drawn ones, the model's validation layouts, a data set's. They are listed as
// they come into view.

import { Away, listStarts, photoAddress, startLayout, thumbnailAddress } from "./api.js";
import { byId, element } from "./element.js";

const AT_ONCE = 24;
const BUSY = 503; // the server has too much to do
const AGAIN = 1000; // ms until what it did not answer is asked again; twice as long each time
const TIMES = 5;

// Shows a picture; one that does not come is asked again. What is behind the # is not sent, so it is the same address.
function show(image, address) {
  let times = 0;
  image.addEventListener("error", () => {
    times += 1;
    if (times > TIMES) return;
    setTimeout(() => { if (image.isConnected) image.src = `${address}#${times}`; }, AGAIN * 2 ** (times - 1));
  });
  image.src = address;
}

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
      if (error.status === BUSY) setTimeout(() => this.more(), AGAIN);
      else this.#failed(error);
    }
    this.#busy = false;
  }

  #item({ number, name, group, photo }) {
    const image = element("img", { alt: "", loading: "lazy", draggable: false });
    const [height, width] = this.connection.about.size;
    [image.width, image.height] = [Math.round((64 * width) / height), 64];
    show(image, thumbnailAddress(number));
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
      this.desk.begin(ids, { name, photo: photo ? { address: photoAddress(number), run } : null, said });
    } catch (error) {
      this.#failed(error);
    }
  }

  #failed(error) {
    if (error instanceof Away) this.connection.lost();
    else this.desk.say(error.message);
  }
}
