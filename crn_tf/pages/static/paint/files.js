// Layout files onto the page, and files from it.

import { Away, readLayout } from "./api.js";
import { byId, element } from "./element.js";
import { encode } from "./encoding.js";

const stem = (name) => name.replace(/\.[^.]*$/, "").replace(/[^\p{L}\p{N} ._-]/gu, "_").slice(0, 80) || "painting";

function save(blob, name) {
  const address = URL.createObjectURL(blob);
  element("a", { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 60_000);
}

export class Files {
  constructor(desk, pictures, connection) {
    Object.assign(this, { desk, pictures, connection });
    byId("open").addEventListener("click", () => byId("file").click());
    byId("file").addEventListener("change", () => {
      this.#read(byId("file").files[0]);
      byId("file").value = ""; // the same file can be chosen again
    });
    this.#takeDropped();
    for (const button of document.querySelectorAll("[data-download]")) {
      button.addEventListener("click", () => {
        byId("downloads").open = false;
        this.#download(button.dataset.download);
      });
    }
    byId("link").addEventListener("click", () => { byId("downloads").open = false; });
    addEventListener("pointerdown", (event) => {
      if (!byId("downloads").contains(event.target)) byId("downloads").open = false;
    });
  }

  #takeDropped() {
    const files = (event) => event.dataTransfer?.types.includes("Files");
    const mark = (on) => document.body.classList.toggle("dropping", on);
    addEventListener("dragover", (event) => {
      if (!files(event)) return;
      event.preventDefault();
      mark(true);
    });
    addEventListener("dragleave", (event) => { if (!event.relatedTarget) mark(false); });
    addEventListener("drop", (event) => {
      if (!files(event)) return;
      event.preventDefault();
      mark(false);
      this.#read(event.dataTransfer.files[0]);
    });
  }

  // What the project's own rules make of a layout file.
  async #read(file, labels) {
    if (!file) return;
    const { bytes } = this.connection.about.limits;
    if (file.size > bytes) {
      const [found, most] = [file.size, bytes].map((number) => number.toLocaleString("en"));
      this.desk.say(`${file.name} has ${found} bytes; expected at most ${most}`);
      return;
    }
    try {
      const { ids, said } = await readLayout(file, labels);
      this.desk.begin(ids, { name: stem(file.name), said: [`${file.name} is the layout now`, ...said] });
    } catch (error) {
      if (error instanceof Away) this.connection.lost();
      // Where a file can be read in two ways, the server's line names them.
      const ways = labels ? [] : [...new Set(error.message.match(/\blabels=\w+/g))];
      const answers = ways.map((name) => ({ name, act: () => this.#read(file, name.slice("labels=".length)) }));
      this.desk.say(`${file.name}: ${error.message}`, answers);
    }
  }

  async #download(what) {
    try {
      if (what !== "picture") await this.#saveLayout(what === "both" ? "palette" : what);
      if (what === "picture" || what === "both") await this.#savePictures();
    } catch (error) {
      if (error instanceof Away) this.connection.lost();
      this.desk.say(`nothing to download: ${error.message}`);
    }
  }

  async #saveLayout(kind) {
    const { layout, classes, name } = this.desk;
    save(await encode(layout, classes, kind), `${name}_${kind}.png`);
  }

  // Of the layout as it is now, not of an older one that may be seen.
  async #savePictures() {
    const { large, image } = this.pictures;
    for (const lane of large) {
      const blob = await this.pictures.exact(lane);
      const model = large.length > 1 ? `_${stem(lane.model.name)}` : "";
      save(blob, `${this.desk.name}${model}_${Math.min(image, lane.model.images - 1)}.png`);
    }
  }
}
