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
      this.#drop(event.dataTransfer);
    });
  }

  #drop({ files, items }) {
    const [file] = files;
    if (items[0]?.webkitGetAsEntry?.()?.isDirectory) this.desk.say(`${file.name} is a folder; expected a layout file`);
    else if (files.length > 1) this.desk.say(`${files.length} files were dropped; expected one layout file`);
    else this.#read(file);
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
    const kinds = what === "both" ? ["palette", "picture"] : [what];
    const failed = [];
    for (const kind of kinds) { // what one cannot have does not keep the other back
      try {
        await (kind === "picture" ? this.#savePictures() : this.#saveLayout(kind));
      } catch (error) {
        if (error instanceof Away) this.connection.lost();
        failed.push(kinds.length > 1 ? `no ${kind}: ${error.message}` : `nothing to download: ${error.message}`);
      }
    }
    if (failed.length) this.desk.say(failed.join(" · "));
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
