// Buttons and sliders beside the panes: each shows what is chosen, and chooses.

import { byId, element } from "./element.js";
import { WITH_SIZE } from "./tools.js";

const HINTS = {
  brush: "Drag to paint. Shift: a straight line; shift and a click: on from the last stroke. Wheel: size.",
  line: "Drag from one end to the other. Shift: level, upright or at 45 degrees. Wheel: size.",
  rectangle: "Drag from corner to corner. Shift: a square.",
  polygon: "Click its corners; a double click, Enter or the first corner closes it. Backspace takes one back.",
  fill: "Click: the connected pixels of that class. Shift: all pixels of it.",
  eyedropper: "Click: the class there. With other tools, alt or the right button does the same.",
};

let shown = { said: "", answers: null };

function showTools(desk) {
  for (const button of document.querySelectorAll("[data-tool]")) {
    button.addEventListener("click", () => desk.useTool(button.dataset.tool));
  }
  for (const button of document.querySelectorAll("[data-shape]")) {
    button.addEventListener("click", () => desk.setShape(button.dataset.shape));
  }
  byId("size").max = String(desk.largestBrush);
  byId("size").addEventListener("input", () => desk.setSize(Number(byId("size").value)));
  const option = ({ id, name }) => element("option", { value: String(id), textContent: name });
  byId("only").append(...desk.classes.map(option));
  byId("only").addEventListener("change", () => {
    desk.change({ only: byId("only").value === "" ? null : Number(byId("only").value) });
  });
  byId("undo").addEventListener("click", () => desk.undo());
  byId("redo").addEventListener("click", () => desk.redo());
  byId("clear").addEventListener("click", () => desk.clear());
}

function showView(view) {
  byId("larger").addEventListener("click", () => view.zoomAt(1.25));
  byId("smaller").addEventListener("click", () => view.zoomAt(1 / 1.25));
  byId("whole").addEventListener("click", () => view.fit());
  view.listeners.push(() => { byId("zoom").textContent = `${Math.round(100 * view.scale)} %`; });
}

function update(desk) {
  updateHistory(desk);
  const press = (name, chosen) => {
    for (const button of document.querySelectorAll(`[data-${name}]`)) {
      button.setAttribute("aria-pressed", String(button.dataset[name] === chosen));
    }
  };
  press("tool", desk.toolName);
  press("shape", desk.brush.shape);
  byId("size").value = String(desk.brush.size);
  byId("size-said").textContent = `${desk.brush.size} px`;
  byId("brush-settings").classList.toggle("unused", !WITH_SIZE.has(desk.toolName));
  byId("only").value = desk.only === null ? "" : String(desk.only);
  byId("only").classList.toggle("set", desk.only !== null);
  byId("hint").textContent = HINTS[desk.toolName];
  showSaid(desk);
}

// Only what is new, else it would be read out again, and a button lose the keyboard.
function showSaid({ said, answers }) {
  if (said === shown.said && answers === shown.answers) return;
  shown = { said, answers };
  const buttons = answers.map(({ name, act }) => {
    const button = element("button", { type: "button", textContent: name });
    button.addEventListener("click", act);
    return button;
  });
  byId("said").replaceChildren(...buttons, said);
}

export function updateHistory(desk) {
  byId("undo").disabled = !desk.canUndo;
  byId("redo").disabled = !desk.layout.canRedo;
}

export function makeControls(desk) {
  showTools(desk);
  showView(desk.view);
  byId("keys-button").addEventListener("click", () => byId("keys").showModal());
  desk.addEventListener("change", () => update(desk));
  desk.addEventListener("outline", () => updateHistory(desk));
  update(desk);
}
