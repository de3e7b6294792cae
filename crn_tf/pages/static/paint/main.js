// Puts the page together.

import { LayoutCanvas } from "./canvas.js";
import { Connection } from "./connection.js";
import { makeControls, updateHistory } from "./controls.js";
import { Desk } from "./desk.js";
import { byId } from "./element.js";
import { Files } from "./files.js";
import { Keeping } from "./keeping.js";
import { Keys } from "./keys.js";
import { Layout } from "./layout.js";
import { dropLink, followLink, makeLinkButton } from "./link.js";
import { Overlay } from "./overlay.js";
import { Palette } from "./palette.js";
import { Panes } from "./panes.js";
import { Pictures } from "./pictures.js";
import { Pointers } from "./pointers.js";
import { Starts } from "./starts.js";
import { View } from "./view.js";

const KEEP = 1000; // ms between two times that a long stroke is kept

// What was painted before comes back as one edit.
async function restore(keeping, desk) {
  try {
    const kept = await keeping.load();
    if (kept?.ids.length === desk.layout.ids.length && kept.ids.some((id) => id !== desk.void)) {
      desk.begin(kept.ids, { ...kept, said: ["what you painted last is here again"] });
    }
  } catch (error) {
    desk.say(`this browser keeps nothing for later (${error.message}): download what you want to keep`);
  }
}

function keepPainted(keeping, desk) {
  const { layout } = desk;
  let kept = 0; // the revision of an empty layout: what a link brought is to be kept, too
  const keep = () => {
    if (kept === layout.revision) return;
    kept = layout.revision;
    keeping.save({ ids: layout.ids.slice(), ...layout.about }).catch((error) => {
      desk.say(`what you paint is not kept for later: ${error.message}`);
    });
  };
  setInterval(keep, KEEP);
  addEventListener("pagehide", keep);
  keep();
  return keep;
}

// What happens when the layout changes: it is drawn in the next frame, however often it changes before.
function followLayout({ desk, canvas, pictures, panes, keep }) {
  const { layout } = desk;
  const empty = () => { byId("empty").hidden = layout.canUndo || layout.canRedo || layout.editing; };
  empty();
  layout.onDirty = () => requestAnimationFrame(() => {
    canvas.draw(layout.takeDirty());
    empty();
    pictures.changed();
    panes.mark();
  });
  layout.onEdit = () => {
    updateHistory(desk);
    pictures.schedule();
    keep();
    dropLink();
  };
}

function tellModels(models) {
  byId("about").textContent = models.map(({ name, size }) => `${name}, ${size[0]} x ${size[1]}`).join(" · ");
}

function tellPlace(desk) {
  return (place) => {
    const id = place && desk.layout.at(place);
    const words = id === null ? "" : `${Math.floor(place.x)}, ${Math.floor(place.y)}: ${desk.classOf(id).name}`;
    byId("where").textContent = words;
  };
}

async function run() {
  const connection = new Connection();
  const { size: [height, width], classes, void: empty, models, run: serverRun } = await connection.first();
  document.documentElement.style.setProperty("--shape", `${width} / ${height}`);
  const view = new View(height, width);
  const layout = new Layout(height, width, empty);
  const desk = new Desk(layout, view, classes, empty);
  desk.run = serverRun;
  const keeping = new Keeping(height, width, classes);
  await restore(keeping, desk);
  await followLink(desk);

  const canvas = new LayoutCanvas(byId("layout-canvas"), layout, classes);
  layout.takeDirty();
  const overlay = new Overlay(desk);
  const tell = tellPlace(desk);
  const point = (place, byKeyboard) => { overlay.pointAt(place, byKeyboard); tell(place); };
  let keys = null;
  const pointers = new Pointers(desk, (place) => { keys?.forget(); point(place); });
  let panes = null;
  const pictures = new Pictures(desk, models, connection, () => panes?.update());
  panes = new Panes(desk, pictures, (stage) => { pointers.attach(stage); overlay.attach(stage); });
  keys = new Keys(desk, new Palette(desk), pointers, point);
  new Files(desk, pictures, connection);
  makeControls(desk);
  makeLinkButton(desk);
  addEventListener("hashchange", () => followLink(desk)); // a link put into the address of an open page
  const starts = new Starts(desk, connection);
  followLayout({ desk, canvas, pictures, panes, keep: keepPainted(keeping, desk) });
  connection.onBack = (another) => {
    if (another) {
      tellModels(connection.about.models);
      pictures.forget();
      desk.change({ run: connection.about.run });
      starts.again();
    }
    pictures.schedule();
    starts.more();
  };
  addEventListener("focus", () => connection.check());

  new ResizeObserver(() => view.setRoom(byId("layout-stage").clientHeight, byId("layout-stage").clientWidth))
    .observe(byId("layout-stage"));
  tellModels(models);
  window.paint = { layout, view, desk, pictures, pointers }; // for whoever opens the console, and for tests
  document.body.classList.add("ready");
  pictures.schedule();
}

run();
