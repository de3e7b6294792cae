// What is painted is kept in the browser, so that neither a reload nor the server's end loses it. Each tab keeps its
// own.

import { randomName } from "./names.js";

const [NAME, STORE] = ["crn-paint", "layouts"];
const TAB = "crn-paint-tab"; // where a tab's session has its name
const LAST = 8; // tabs whose layouts are kept

const done = (request) => new Promise((resolve, reject) => {
  request.onsuccess = () => resolve(request.result);
  request.onerror = () => reject(request.error);
});

function open() {
  const request = indexedDB.open(NAME, 1);
  request.onupgradeneeded = () => request.result.createObjectStore(STORE);
  return done(request);
}

// Whether no other tab has that name, which a copy of a tab brings along. Where the browser cannot tell: yes.
function alone(name) {
  return new Promise((resolve) => {
    if (!navigator.locks) resolve(true); // a page from another machine without https
    navigator.locks?.request(`${NAME}.${name}`, { ifAvailable: true }, (lock) => {
      resolve(lock !== null);
      return lock && new Promise(() => {}); // as long as the tab is open
    }).catch(() => resolve(true));
  });
}

export class Keeping {
  #database = null;
  #tab = null;
  #writing = false;
  #next = null;

  // Layouts of another size or of other classes are kept apart.
  constructor(height, width, classes) {
    this.key = JSON.stringify([height, width, classes.map(({ name }) => name)]);
  }

  // What this tab kept, or for a new one the newest of all: { ids, name, photo }; null if there is nothing.
  async load() {
    const database = await open();
    const store = database.transaction(STORE, "readwrite").objectStore(STORE);
    const all = await done(store.getAll(IDBKeyRange.bound([this.key], [this.key, []])));
    all.sort((one, other) => other.at - one.at);
    for (const { tab } of all.slice(LAST)) store.delete([this.key, tab]);
    const before = sessionStorage.getItem(TAB);
    this.#tab = before !== null && await alone(before) ? before : await this.#newTab();
    this.#database = database;
    return all.find(({ tab }) => tab === before) ?? all[0] ?? null;
  }

  async #newTab() {
    const name = randomName();
    sessionStorage.setItem(TAB, name);
    await alone(name);
    return name;
  }

  // The newest is written; what came between is not. Throws if the browser keeps nothing.
  async save(value) {
    this.#next = value;
    if (this.#writing || !this.#database) return;
    this.#writing = true;
    try {
      while (this.#next) {
        const newest = { ...this.#next, tab: this.#tab, at: Date.now() };
        this.#next = null;
        const store = this.#database.transaction(STORE, "readwrite").objectStore(STORE);
        await done(store.put(newest, [this.key, this.#tab]));
      }
    } finally {
      this.#writing = false;
    }
  }
}
