// The study's page. It knows addresses of pictures, never which method made which. An answer counts when the server says
// that it is on its disk; until then it is sent again.

const BEFORE = 500; // ms of nothing before a timed pair appears
const AGAIN = 1500; // ms until a request that failed is sent again

const byId = (id) => document.getElementById(id);
const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));
const nextFrame = () => new Promise(requestAnimationFrame); // its time; what follows at once is seen in that frame

let about;
let token = location.hash.slice(1) || localStorage.getItem("token") || "";
let section = null;

// ---- the server

function trouble(text) {
  byId("trouble").hidden = !text;
  byId("trouble").textContent = text;
}

// Sends until there is an answer: { status, said }.
async function ask(address, question) {
  for (;;) {
    try {
      const options = question && {
        method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ token, ...question }),
      };
      const response = await fetch(address, options);
      if (response.status < 500) {
        trouble("");
        return { status: response.status, said: await response.json() };
      }
    } catch { /* the server cannot be reached, or broke off */ }
    trouble("The server cannot be reached. Nothing is lost; trying again ...");
    await pause(AGAIN);
  }
}

// ---- what is to be seen

function show(name) {
  section = name;
  const narrow = about && innerWidth < room() && name === "trial";
  for (const id of ["intro", "trial", "finished"]) byId(id).hidden = narrow || id !== name;
  byId("narrow").hidden = !narrow;
}

function room() {
  return 2 * about.width + 24 + 40;
}

function drawMask(canvas) {
  const paper = canvas.getContext("2d");
  for (const size of [32, 8]) { // coarse blocks, and fine ones on half of them
    for (let top = 0; top < canvas.height; top += size) {
      for (let left = 0; left < canvas.width; left += size) {
        if (size < 32 && Math.random() < 0.5) continue;
        paper.fillStyle = `rgb(${[0, 1, 2].map(() => Math.floor(256 * Math.random())).join(" ")})`;
        paper.fillRect(left, top, size, size);
      }
    }
  }
}

function prepare() {
  for (const id of ["left-picture", "right-picture", "left-mask", "right-mask"]) {
    byId(id).width = about.width;
    byId(id).height = about.height;
  }
  byId("question").textContent = about.question;
  byId("intro-question").textContent = about.question;
  byId("intro-timed").hidden = !about.timed;
  byId("intro-unlimited").hidden = about.timed;
  byId("consent").textContent = about.consent ?? "";
  byId("consent").hidden = !about.consent;
  byId("begin").textContent = about.consent ? "I agree: begin" : "Begin";
  byId("room").textContent = String(room());
  addEventListener("resize", () => show(section));
}

function tellProgress(next) {
  const practice = next.trial < next.practice;
  const number = practice ? next.trial + 1 : next.trial - next.practice + 1;
  const count = practice ? next.practice : next.trials - next.practice;
  byId("count").textContent = `${practice ? "Practice" : "Pair"} ${number} of ${count}`;
  byId("progress").max = count;
  byId("progress").value = number - 1;
}

// ---- one pair

// Both pictures are there and decoded when this returns, so that no clock waits for them.
async function load(next) {
  for (;;) {
    try {
      await Promise.all(["left", "right"].map((side) => {
        byId(`${side}-picture`).src = next[side];
        return byId(`${side}-picture`).decode();
      }));
      trouble("");
      return;
    } catch {
      trouble("The pictures cannot be loaded; trying again ...");
      await pause(AGAIN);
      for (const side of ["left", "right"]) byId(`${side}-picture`).removeAttribute("src");
    }
  }
}

function pressed(buttons, keys) {
  return new Promise((resolve) => {
    const stop = new AbortController();
    const done = (value) => { stop.abort(); resolve(value); };
    for (const [id, value] of Object.entries(buttons)) {
      byId(id).addEventListener("click", () => done(value), { signal: stop.signal });
    }
    addEventListener("keydown", (event) => {
      if (!(event.key in keys) || event.repeat || byId("trial").hidden) return;
      event.preventDefault(); // a focused button would be clicked too
      done(keys[event.key]);
    }, { signal: stop.signal });
  });
}

async function answered() {
  for (const side of ["left", "right"]) byId(side).disabled = false;
  const since = performance.now();
  const choice = await pressed({ left: "left", right: "right" }, { ArrowLeft: "left", ArrowRight: "right" });
  for (const side of ["left", "right"]) byId(side).disabled = true;
  return { choice, response_ms: performance.now() - since };
}

// Shows the pair for so many milliseconds, to the nearest frame, and measures for how long it was there: from the frame
// in which the pictures came to the one in which the mask did.
async function present(duration) {
  const frames = [];
  const begun = await nextFrame();
  let last = begun;
  while (last - begun < BEFORE) {
    const now = await nextFrame();
    frames.push(now - last);
    last = now;
  }
  const frame = frames.sort((one, two) => one - two)[Math.floor(frames.length / 2)];
  byId("pair").className = "shown";
  const shown = last;
  do last = await nextFrame(); while (last - shown < duration - frame / 2);
  byId("pair").className = "masked";
  return { shown_ms: last - shown, frame_ms: frame };
}

// Returns what the server said to the answer.
async function timedTrial(next) {
  byId("answers").hidden = true;
  byId("ready").hidden = false;
  byId("show").disabled = true;
  await load(next);
  for (const side of ["left", "right"]) drawMask(byId(`${side}-mask`));
  byId("show").disabled = false;
  byId("show").focus();
  await pressed({ show: true }, { " ": true });
  byId("ready").hidden = true;
  const started = await ask("/start", { trial: next.trial });
  if (started.status !== 200) return started;
  const measured = await present(next.duration);
  byId("answers").hidden = false;
  return ask("/answer", { trial: next.trial, ...measured, ...(await answered()) });
}

async function unlimitedTrial(next) {
  byId("ready").hidden = true;
  byId("answers").hidden = false;
  await load(next);
  byId("pair").className = "shown";
  await nextFrame();
  return ask("/answer", { trial: next.trial, ...(await answered()) });
}

// ---- from the first to the last

async function begun() {
  if (token) {
    const { status, said } = await ask("/resume", {});
    if (status === 200) return said;
    token = ""; // of another study
  }
  show("intro");
  await new Promise((resolve) => byId("begin").addEventListener("click", resolve, { once: true }));
  byId("begin").disabled = true;
  const { said } = await ask("/begin", {});
  token = said.token;
  return said;
}

async function run() {
  ({ said: about } = await ask("/study"));
  prepare();
  let next = await begun();
  localStorage.setItem("token", token);
  history.replaceState(null, "", `#${token}`);
  while (!next.finished) {
    byId("pair").className = "";
    for (const side of ["left", "right"]) byId(side).disabled = true;
    tellProgress(next);
    show("trial");
    let { status, said } = await (next.duration === null ? unlimitedTrial(next) : timedTrial(next));
    if (status !== 200) ({ status, said } = await ask("/resume", {})); // answered already, or in another window
    if (status !== 200) {
      trouble(`The study cannot go on: ${said.error}`);
      return;
    }
    next = said;
  }
  show("finished");
}

run();
