// Whether the server can be reached. While it cannot, it is asked again and again, and a line says that nothing is
// lost.

import { aboutModels, Refused } from "./api.js";
import { byId } from "./element.js";

const AGAIN = 1500; // ms

export const pause = (milliseconds) => new Promise((resolve) => { setTimeout(resolve, milliseconds); });

export class Connection {
  away = false;
  about = null; // the server's models, classes and sizes
  onBack = () => {};

  // Resolves when the server has said what it has.
  async first() {
    this.about = await this.#asked("The server cannot be reached; trying again ...");
    return this.about;
  }

  async lost() {
    if (this.away) return;
    this.away = true;
    const about = await this.#asked(
      "The server cannot be reached. Nothing is lost: you can paint on, and the picture follows when it is back.",
    );
    const same = (which) => JSON.stringify(which(about)) === JSON.stringify(which(this.about));
    if (same(({ size, classes, models }) => [size, classes, models.map(({ name, images }) => [name, images])])) {
      this.away = false;
      this.onBack();
    } else {
      this.#tell("The server is back with another model. What is painted is kept; reload this page to go on.");
      byId("reload").hidden = false;
    }
  }

  async #asked(words) {
    for (;;) {
      try {
        const about = await aboutModels();
        this.#tell("");
        return about;
      } catch (error) {
        this.#tell(error instanceof Refused ? `The server does not answer: ${error.message}` : words);
      }
      await pause(AGAIN);
    }
  }

  #tell(words) {
    byId("away").hidden = !words;
    if (byId("away-said").textContent !== words) byId("away-said").textContent = words;
  }
}
