// The panes with pictures: one for each model, large, with its images below; and the photograph.

import { Away, startPicture } from "./api.js";
import { byId, element } from "./element.js";

const SOON = 400; // ms after which a request under way is told of
const TICK = 200;
const THUMBNAIL = 56; // pixels high
const GAP = 12; // pixels between panes, about
const BESIDE = 1.05; // by how much larger panes below each other have to be, to be preferred

// In how many columns the panes show the layout largest.
function bestColumns(count, room, around, { height, width }) {
  const scale = (columns) => {
    const rows = Math.ceil(count / columns);
    const down = (room.clientHeight - GAP * (rows - 1)) / rows - around;
    return Math.min((room.clientWidth - GAP * (columns - 1)) / columns / width, down / height);
  };
  let best = count;
  for (let columns = count - 1; columns > 0; columns -= 1) if (scale(columns) > BESIDE * scale(best)) best = columns;
  return best;
}

function drawScaled(canvas, bitmap, height) {
  canvas.height = height;
  canvas.width = Math.round((bitmap.width / bitmap.height) * height);
  const paper = canvas.getContext("2d", { alpha: false });
  paper.imageSmoothingQuality = "high";
  paper.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
}

const inWords = (seconds) => (seconds < 1 ? `${Math.round(1000 * seconds)} ms` : `${seconds.toFixed(1)} s`);

class PicturePane {
  #drawn = null;

  constructor(pictures, lane) {
    Object.assign(this, { pictures, lane });
    const { name, size, images } = lane.model;
    this.section = byId("picture-pane").content.firstElementChild.cloneNode(true);
    const part = (selector) => this.section.querySelector(selector);
    [this.stage, this.sheet, this.canvas] = [part(".stage"), part(".sheet"), part("canvas")];
    [this.marks, this.took] = [part(".mark"), part(".took")];
    part("h2").textContent = name;
    part("h2").title = `${size[0]} x ${size[1]}, ${lane.model.precision ?? ""}`;
    this.section.setAttribute("aria-label", `picture of ${name}`);
    this.canvas.setAttribute("aria-label", `picture of ${name}`);
    this.thumbnails = Array.from({ length: images }, (_, image) => this.#thumbnail(image));
    part(".images").append(...this.thumbnails.map(({ button }) => button));
    part(".images").hidden = images === 1;
  }

  #thumbnail(image) {
    const canvas = element("canvas", { height: 1, width: 1 });
    const button = element("button", { type: "button", title: `image ${image}` }, canvas);
    button.setAttribute("aria-label", `image ${image}`);
    button.addEventListener("click", () => this.pictures.choose(image));
    return { button, canvas, drawn: null };
  }

  // Returns whether the large picture is another.
  update() {
    const { revision } = this.pictures.desk.layout;
    const picture = this.pictures.shown(this.lane);
    const changes = picture !== this.#drawn && picture !== null;
    if (changes) this.#show(picture);
    const chosen = Math.min(this.pictures.image, this.thumbnails.length - 1);
    this.thumbnails.forEach((one, image) => {
      const own = this.lane.pictures.get(image);
      if (own && own !== one.drawn) drawScaled(one.canvas, own.bitmap, THUMBNAIL);
      one.drawn = own ?? one.drawn;
      one.button.classList.toggle("older", (own?.revision ?? -1) !== revision);
      one.button.setAttribute("aria-pressed", String(image === chosen));
    });
    this.mark(revision);
    return changes;
  }

  #show(picture) {
    this.canvas.width = picture.bitmap.width;
    this.canvas.height = picture.bitmap.height;
    this.canvas.getContext("2d", { alpha: false }).drawImage(picture.bitmap, 0, 0);
    this.#drawn = picture;
  }

  // Whether the picture is older than the layout, and how long it took.
  mark(revision) {
    const picture = this.#drawn;
    const older = picture !== null && picture.revision !== revision;
    const { refusal, asked } = this.lane;
    const refused = refusal?.revision === revision;
    this.section.classList.toggle("older", older);
    const words = refused ? "refused" : older ? "older" : picture?.model.draft ? "draft" : "";
    if (this.marks.textContent !== words) this.marks.textContent = words;
    const going = asked === null ? 0 : performance.now() - asked;
    const shown = picture ? inWords(picture.seconds) : "";
    const took = going > SOON ? `computing, ${inWords(going / 1000)}` : shown;
    if (this.took.textContent !== took) this.took.textContent = took;
    this.section.querySelector(".why").textContent = refused ? refusal.why : "";
  }
}

export class Panes {
  #photo = null; // the one that is shown, or on its way

  constructor(desk, pictures, attach) {
    Object.assign(this, { desk, pictures });
    this.panes = pictures.large.map((lane) => new PicturePane(pictures, lane));
    byId("photo-pane").before(...this.panes.map(({ section }) => section));
    document.body.classList.toggle("single", pictures.large.every(({ model }) => model.images === 1));
    const stages = [byId("layout-stage"), byId("photo-stage"), ...this.panes.map(({ stage }) => stage)];
    stages.forEach(attach);
    this.sheets = [byId("layout-sheet"), byId("photo-sheet"), ...this.panes.map(({ sheet }) => sheet)];
    for (const sheet of this.sheets) {
      sheet.style.width = `${desk.layout.width}px`;
      sheet.style.height = `${desk.layout.height}px`;
    }
    desk.view.listeners.push(() => this.#place());
    desk.addEventListener("change", () => this.#showPhoto());
    byId("photo-button").addEventListener("click", () => {
      const pressed = byId("photo-button").getAttribute("aria-pressed") === "true";
      byId("photo-button").setAttribute("aria-pressed", String(!pressed));
      if (!byId("photo").hasAttribute("src")) this.#photo = null; // one that did not come is asked for again
      this.#showPhoto();
    });
    byId("photo").addEventListener("load", () => URL.revokeObjectURL(byId("photo").src));
    byId("opacity").addEventListener("input", () => this.#showOver());
    setInterval(() => this.mark(), TICK);
    new ResizeObserver(() => this.#arrange()).observe(byId("panes"));
    this.#showPhoto();
    this.#showOver();
  }

  update() {
    const changes = this.panes.map((pane) => pane.update());
    if (changes[0]) this.#showOver();
  }

  mark() { this.panes.forEach((pane) => pane.mark(this.desk.layout.revision)); }

  #place() {
    this.sheets.forEach((sheet) => this.desk.view.place(sheet));
    document.body.classList.toggle("pixels", this.desk.view.scale >= 3);
  }

  // The first model's picture over the layout.
  #showOver() {
    const [opacity, over] = [Number(byId("opacity").value), byId("over")];
    over.hidden = opacity === 0;
    over.style.opacity = String(opacity / 100);
    byId("opacity-said").textContent = `${opacity} %`;
    const from = this.panes[0].canvas;
    if (opacity === 0 || !from.width) return;
    [over.width, over.height] = [from.width, from.height];
    over.getContext("2d").drawImage(from, 0, 0);
  }

  #showPhoto() {
    const { photo } = this.desk;
    const button = byId("photo-button");
    button.disabled = photo === null;
    byId("photo-pane").hidden = photo === null || button.getAttribute("aria-pressed") !== "true";
    if (!byId("photo-pane").hidden && photo !== this.#photo) this.#loadPhoto(photo);
    this.#arrange();
  }

  async #loadPhoto(photo) {
    this.#photo = photo;
    byId("photo").removeAttribute("src");
    try {
      const address = await startPicture(photo.number, "photo");
      if (photo === this.#photo) byId("photo").src = address;
    } catch (error) {
      if (error instanceof Away) this.pictures.connection.lost();
      else this.desk.say(error.message);
    }
  }

  #arrange() {
    const [room, stage] = [byId("panes"), byId("layout-stage")];
    const count = room.querySelectorAll(".pane:not([hidden])").length;
    const around = stage.parentElement.clientHeight - stage.clientHeight; // what stands above and below
    room.style.setProperty("--columns", String(bestColumns(count, room, around, this.desk.layout)));
  }
}
