// The classes to paint with: names, colours, numbers, and a search.

import { byId, element } from "./element.js";

export class Palette {
  constructor(desk) {
    this.desk = desk;
    const named = desk.classes.filter((one) => one.id !== desk.void);
    this.rows = [...named, desk.classOf(desk.void)].map((one, place) => {
      const number = one.id === desk.void ? 0 : place + 1;
      const swatch = element("span", { className: "swatch" });
      swatch.style.backgroundColor = `rgb(${one.color.join(" ")})`;
      const name = number ? one.name : `${one.name} (eraser)`;
      const button = element(
        "button", { type: "button", title: `${name}: key ${number}` },
        swatch, element("span", { className: "name", textContent: name }),
        element("kbd", { textContent: String(number), ariaHidden: "true" }),
      );
      button.dataset.id = String(one.id);
      button.addEventListener("click", () => desk.choose(one.id));
      return { one, number, button, item: element("li", {}, button) };
    });
    byId("classes").replaceChildren(...this.rows.map(({ item }) => item));
    byId("find").addEventListener("input", () => this.#filter());
    byId("find").addEventListener("keydown", (event) => this.#finish(event));
    desk.addEventListener("change", () => this.show());
    this.show();
  }

  // Whether there is a class of that number.
  chooseNumber(number) {
    const row = this.rows.find((each) => each.number === number);
    if (row) this.desk.choose(row.one.id);
    return row !== undefined;
  }

  show() {
    for (const { one, button } of this.rows) {
      const chosen = one.id === this.desk.chosen;
      if (chosen && button.getAttribute("aria-pressed") === "false") this.#reveal(button);
      button.setAttribute("aria-pressed", String(chosen));
    }
  }

  // Scrolls the list, never the page: a class may be chosen where the list is out of sight.
  #reveal(button) {
    const [list, item] = [byId("classes").getBoundingClientRect(), button.getBoundingClientRect()];
    const outside = (start, end, first, last) => Math.min(0, start - first) || Math.max(0, end - last);
    byId("classes").scrollBy(
      outside(item.left, item.right, list.left, list.right), outside(item.top, item.bottom, list.top, list.bottom),
    );
  }

  #filter() {
    const part = byId("find").value.trim().toLowerCase();
    for (const { one, item } of this.rows) item.hidden = !one.name.toLowerCase().includes(part);
  }

  #finish(event) {
    const found = this.rows.find(({ item }) => !item.hidden);
    if (event.key === "Enter" && found) this.desk.choose(found.one.id);
    else if (event.key !== "Escape") return;
    byId("find").value = "";
    this.#filter();
    byId("layout-stage").focus({ preventScroll: true });
    event.preventDefault();
  }
}
