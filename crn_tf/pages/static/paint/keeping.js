// What is painted is kept in the browser, so that neither a reload nor the server's end loses it.

const [NAME, STORE] = ["crn-paint", "layouts"];

const done = (request) => new Promise((resolve, reject) => {
  request.onsuccess = () => resolve(request.result);
  request.onerror = () => reject(request.error);
});

function open() {
  const request = indexedDB.open(NAME, 1);
  request.onupgradeneeded = () => request.result.createObjectStore(STORE);
  return done(request);
}

export class Keeping {
  #database = null;
  #writing = false;
  #next = null;

  // Layouts of another size or of other classes are kept apart.
  constructor(height, width, classes) {
    this.key = JSON.stringify([height, width, classes.map(({ name }) => name)]);
  }

  // What was kept: { ids, name }; null if there is nothing.
  async load() {
    this.#database = await open();
    return (await done(this.#database.transaction(STORE).objectStore(STORE).get(this.key))) ?? null;
  }

  // The newest is written; what came between is not. Throws if the browser keeps nothing.
  async save(value) {
    this.#next = value;
    if (this.#writing || !this.#database) return;
    this.#writing = true;
    try {
      while (this.#next) {
        const newest = this.#next;
        this.#next = null;
        await done(this.#database.transaction(STORE, "readwrite").objectStore(STORE).put(newest, this.key));
      }
    } finally {
      this.#writing = false;
    }
  }
}
