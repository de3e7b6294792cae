// The gallery's page. A classic script, and its data one too (data.js), so that it opens from the disk: browsers load
// neither modules nor data from there. Names become text nodes, never HTML.
"use strict";

(() => {
  const gallery = window.GALLERY;
  const byId = (id) => document.getElementById(id);
  const rows = gallery.rows.map((row, number) => ({ ...row, number, article: null }));
  let shown = rows; // those that pass the filter, in their order
  let ascending = true;

  function element(tag, properties = {}, ...children) {
    const made = Object.assign(document.createElement(tag), properties);
    made.append(...children);
    return made;
  }

  const rounded = (value) => (value === null ? "none" : Number(value.toPrecision(4)).toString());

  // What can be looked at of a row, in the order of the columns: { label, method, picture }.
  function choices(row) {
    const found = [{ label: "layout", method: -1, picture: row.layout }];
    if (row.photograph) found.push({ label: "photograph", method: -1, picture: row.photograph });
    row.pictures.forEach((pictures, method) => {
      pictures.forEach((picture, number) => {
        const label = pictures.length > 1 ? `${gallery.methods[method]} ${number}` : gallery.methods[method];
        found.push({ label, method, picture });
      });
    });
    return found;
  }

  function scoreLines(row, method) {
    return gallery.scores
      .map((score, number) => [score, row.scores[number]])
      .filter(([score, value]) => score.method === method && value !== null)
      .map(([score, value]) => `${score.measure} ${rounded(value)}`);
  }

  // ---- the rows

  function tile(row, choice) {
    const { picture, label } = choice;
    const image = element("img", {
      loading: "lazy", decoding: "async", width: picture.width, height: picture.height,
      alt: `${row.name}, ${label}`, src: picture.thumbnail,
    });
    if (picture.width < 200) image.className = "pixels"; // a small picture is enlarged as it is
    const button = element("button", { type: "button", className: "tile", title: `${label}: large view` }, image);
    button.addEventListener("click", () => open(row, choice.label));
    return button;
  }

  function cell(row, heading, some, lines) {
    const across = Math.min(4, Math.ceil(Math.sqrt(some.length)));
    const pictures = some.length
      ? element("div", { className: `pictures across-${across}` }, ...some.map((choice) => tile(row, choice)))
      : element("div", { className: "none", textContent: "none" });
    const caption = element("figcaption", {}, element("strong", { textContent: heading }));
    lines.forEach((line) => caption.append(element("div", { textContent: line })));
    return element("figure", {}, pictures, caption);
  }

  function article(row) {
    const all = choices(row);
    const cells = [cell(row, "layout", all.filter((choice) => choice.label === "layout" && choice.method < 0), [])];
    if (gallery.photographs) {
      cells.push(cell(row, "photograph", all.filter((choice) => choice.label === "photograph" && choice.method < 0), []));
    }
    gallery.methods.forEach((name, method) => {
      cells.push(cell(row, name, all.filter((choice) => choice.method === method), scoreLines(row, method)));
    });
    const made = element(
      "article", { className: "row", tabIndex: 0 },
      element("h2", { textContent: row.name }), element("div", { className: "cells" }, ...cells),
    );
    made.setAttribute("aria-label", row.name);
    made.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && event.target === made) {
        event.preventDefault();
        open(row, null);
      }
    });
    return made;
  }

  // ---- order and filter

  const pressed = new Set(); // classes that have to occur

  function compare(first, second) {
    const key = byId("sort").value;
    if (key === "given") return first.number - second.number;
    if (key === "name") return first.name.localeCompare(second.name, undefined, { numeric: true });
    const [one, two] = [first.scores[Number(key)], second.scores[Number(key)]];
    if (one === null || two === null) return 0; // put at the end below
    return one - two;
  }

  function arrange() {
    const part = byId("find").value.trim().toLowerCase();
    const key = byId("sort").value;
    const missing = (row) => !["given", "name"].includes(key) && row.scores[Number(key)] === null;
    const kept = rows.filter(
      (row) => row.name.toLowerCase().includes(part) && [...pressed].every((number) => row.classes.includes(number)),
    );
    const sorted = kept.filter((row) => !missing(row)).sort((one, two) => compare(one, two) || one.number - two.number);
    if (!ascending) sorted.reverse();
    shown = [...sorted, ...kept.filter(missing)];
    byId("rows").replaceChildren(...shown.map((row) => (row.article ??= article(row))));
    byId("count").textContent = `${shown.length} of ${rows.length} layouts`;
    const words = key === "given" || key === "name" ? ["first to last", "last to first"] : ["lowest first", "highest first"];
    byId("direction").textContent = words[ascending ? 0 : 1];
    window.scrollTo(0, 0);
  }

  function fillControls() {
    document.title = gallery.title;
    byId("title").textContent = gallery.title;
    const option = (value, textContent) => element("option", { value, textContent });
    byId("sort").append(option("given", "given order"), option("name", "name"));
    gallery.scores.forEach((score, number) => {
      byId("sort").append(option(String(number), `${gallery.methods[score.method]}: ${score.measure}`));
    });
    gallery.classes.forEach(({ name, color }, number) => {
      const occurs = rows.filter((row) => row.classes.includes(number)).length;
      if (!occurs) return;
      const swatch = document.createElementNS("http://www.w3.org/2000/svg", "svg");
      const square = document.createElementNS("http://www.w3.org/2000/svg", "rect");
      for (const [key, value] of [["width", "100%"], ["height", "100%"], ["fill", color]]) square.setAttribute(key, value);
      swatch.append(square);
      swatch.setAttribute("aria-hidden", "true");
      const button = element("button", { type: "button", className: "class" }, swatch, `${name} (${occurs})`);
      button.setAttribute("aria-pressed", "false");
      button.addEventListener("click", () => {
        if (!pressed.delete(number)) pressed.add(number);
        button.setAttribute("aria-pressed", String(pressed.has(number)));
        arrange();
      });
      byId("classes").append(button);
    });
    byId("classes").hidden = byId("classes").querySelector("button") === null;
    byId("sort").addEventListener("change", arrange);
    byId("find").addEventListener("input", arrange);
    byId("direction").addEventListener("click", () => { ascending = !ascending; arrange(); });
    const resize = () => document.documentElement.style.setProperty("--tile", `${byId("size").value}px`);
    const columns = 1 + Number(gallery.photographs) + gallery.methods.length;
    byId("size").value = String(Math.min(360, Math.max(140, (innerWidth - 60) / columns - 10))); // all columns, if they fit
    byId("size").addEventListener("input", resize);
    resize();
    byId("keys-button").addEventListener("click", () => byId("keys").showModal());
  }

  // ---- the large view

  const view = { row: null, zoom: 1, x: 0.5, y: 0.5, divider: 0.5 }; // x, y: what is in the middle, 0..1
  let preferred = { left: null, right: null }; // labels, kept from layout to layout

  function open(row, label) {
    const labels = choices(row).map((choice) => choice.label);
    if (label !== null) {
      const other = label === "photograph" || !labels.includes("photograph") ? "layout" : "photograph";
      preferred = { left: label === "layout" ? labels.at(-1) : other, right: label };
    } else if (preferred.right === null) {
      preferred = { left: labels.includes("photograph") ? "photograph" : "layout", right: labels.at(-1) };
    }
    show(row);
    if (!byId("viewer").open) byId("viewer").showModal();
    draw();
  }

  function show(row) {
    view.row = row;
    const all = choices(row);
    for (const side of ["left", "right"]) {
      const options = all.map((choice, number) => element("option", { value: String(number), textContent: choice.label }));
      byId(side).replaceChildren(...options);
      const number = all.findIndex((choice) => choice.label === preferred[side]);
      byId(side).value = String(number < 0 ? 0 : number);
    }
    const place = shown.indexOf(row);
    byId("name").textContent = `${row.name} (${place + 1} of ${shown.length})`;
    byId("previous").disabled = place <= 0;
    byId("next").disabled = place < 0 || place + 1 >= shown.length;
    load();
  }

  function load() {
    const all = choices(view.row);
    for (const side of ["left", "right"]) {
      const choice = all[Number(byId(side).value)];
      const image = byId(`${side}-picture`);
      if (image.getAttribute("src") !== choice.picture.file) image.src = choice.picture.file;
      image.alt = choice.label;
      const lines = choice.method < 0 ? [] : scoreLines(view.row, choice.method);
      byId(`${side}-label`).textContent = [choice.label, ...lines].join(" · ");
    }
    draw();
  }

  // Both pictures fill the same rectangle, also where one has more pixels, so that they move and grow together.
  function draw() {
    const stage = byId("stage");
    if (!view.row || !stage.clientWidth) return;
    const all = choices(view.row);
    const both = ["left", "right"].map((side) => all[Number(byId(side).value)].picture);
    const { width, height } = both[1].width > both[0].width ? both[1] : both[0];
    const fitting = Math.min(stage.clientWidth / width, stage.clientHeight / height);
    const scale = fitting * view.zoom;
    const keep = (middle, size, room) => {
      const half = room / size / 2;
      return half >= 0.5 ? 0.5 : Math.min(1 - half, Math.max(half, middle));
    };
    view.x = keep(view.x, width * scale, stage.clientWidth);
    view.y = keep(view.y, height * scale, stage.clientHeight);
    const left = stage.clientWidth / 2 - view.x * width * scale;
    const top = stage.clientHeight / 2 - view.y * height * scale;
    for (const side of ["left", "right"]) {
      const image = byId(`${side}-picture`);
      image.style.width = `${width}px`;
      image.style.height = `${height}px`;
      image.style.transform = `translate(${left}px, ${top}px) scale(${scale})`;
      image.classList.toggle("pixels", scale >= 3);
    }
    byId("left-half").style.clipPath = `inset(0 ${100 - 100 * view.divider}% 0 0)`;
    byId("line").style.left = `${100 * view.divider}%`;
    byId("divider").value = String(Math.round(1000 * view.divider));
    byId("zoom").textContent = `${Math.round(100 * scale)} %`;
    Object.assign(view, { left, top, size: [width * scale, height * scale] });
  }

  function zoomBy(factor, x = byId("stage").clientWidth / 2, y = byId("stage").clientHeight / 2) {
    const zoom = Math.min(40, Math.max(1, view.zoom * factor));
    const change = zoom / view.zoom;
    const stage = byId("stage");
    // What is under the pointer stays there.
    const pointed = [(x - view.left) / view.size[0], (y - view.top) / view.size[1]];
    view.x = pointed[0] + (stage.clientWidth / 2 - x) / (view.size[0] * change);
    view.y = pointed[1] + (stage.clientHeight / 2 - y) / (view.size[1] * change);
    view.zoom = zoom;
    draw();
  }

  function setDivider(share) {
    view.divider = Math.min(1, Math.max(0, share));
    draw();
  }

  function choose(side, number) {
    if (number >= byId(side).options.length) return;
    byId(side).value = String(number);
    preferred[side] = choices(view.row)[number].label;
    load();
  }

  function swap() {
    const [left, right] = [Number(byId("left").value), Number(byId("right").value)];
    choose("left", right);
    choose("right", left);
  }

  function step(by) {
    const row = shown[shown.indexOf(view.row) + by];
    if (row) show(row);
  }

  function followPointer() {
    const stage = byId("stage");
    let drags = null; // "line" or "pictures"
    stage.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      const distance = Math.abs(event.clientX - stage.getBoundingClientRect().left - view.divider * stage.clientWidth);
      drags = distance < 20 ? "line" : "pictures";
      stage.setPointerCapture(event.pointerId);
      stage.classList.add("moving");
      event.preventDefault();
    });
    stage.addEventListener("pointermove", (event) => {
      if (drags === "line") {
        setDivider((event.clientX - stage.getBoundingClientRect().left) / stage.clientWidth);
      } else if (drags === "pictures") {
        view.x -= event.movementX / view.size[0];
        view.y -= event.movementY / view.size[1];
        draw();
      }
    });
    const stop = () => { drags = null; stage.classList.remove("moving"); };
    stage.addEventListener("pointerup", stop);
    stage.addEventListener("pointercancel", stop);
    stage.addEventListener("wheel", (event) => {
      event.preventDefault();
      const box = stage.getBoundingClientRect();
      zoomBy(Math.exp(-event.deltaY / 400), event.clientX - box.left, event.clientY - box.top);
    }, { passive: false });
    new ResizeObserver(draw).observe(stage);
  }

  function prepareViewer() {
    for (const side of ["left", "right"]) {
      byId(side).addEventListener("change", () => choose(side, Number(byId(side).value)));
    }
    byId("divider").addEventListener("input", () => setDivider(byId("divider").value / 1000));
    byId("previous").addEventListener("click", () => step(-1));
    byId("next").addEventListener("click", () => step(1));
    byId("swap").addEventListener("click", swap);
    byId("larger").addEventListener("click", () => zoomBy(1.5));
    byId("smaller").addEventListener("click", () => zoomBy(1 / 1.5));
    byId("reset").addEventListener("click", () => zoomBy(1e-9));
    byId("close").addEventListener("click", () => byId("viewer").close());
    byId("viewer").addEventListener("close", () => view.row?.article?.focus());
    followPointer();
  }

  // ---- keys

  const viewerKeys = {
    ArrowLeft: () => step(-1), ArrowRight: () => step(1), " ": swap,
    "[": () => setDivider(view.divider - 0.05), "]": () => setDivider(view.divider + 0.05),
    "+": () => zoomBy(1.5), "=": () => zoomBy(1.5), "-": () => zoomBy(1 / 1.5), 0: () => zoomBy(1e-9),
  };

  function moveFocus(by) {
    const now = shown.findIndex((row) => row.article.contains(document.activeElement));
    const row = shown[Math.min(shown.length - 1, Math.max(0, now < 0 ? 0 : now + by))];
    row?.article.focus();
    row?.article.scrollIntoView({ block: "center" });
  }

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || byId("keys").open) return;
    const digit = /^Digit([1-9])$/.exec(event.code);
    if (byId("viewer").open) {
      if (event.target.matches("select, input") && event.key !== "Escape") return; // they have keys of their own
      if (digit) choose(event.shiftKey ? "left" : "right", Number(digit[1]) - 1);
      else if (viewerKeys[event.key]) viewerKeys[event.key]();
      else return;
      event.preventDefault();
      return;
    }
    if (event.target.matches("select, input")) return;
    if (event.key === "j") moveFocus(1);
    else if (event.key === "k") moveFocus(-1);
    else if (event.key === "/") byId("find").focus();
    else if (event.key === "?") byId("keys").showModal();
    else return;
    event.preventDefault();
  });

  fillControls();
  prepareViewer();
  arrange();
})();
