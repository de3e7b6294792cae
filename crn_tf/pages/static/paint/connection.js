// Whether the server can be reached. While it cannot, it is asked again and again, and a line says that nothing is
// lost.

import { aboutModels, Away, Refused } from "./api.js";
import { byId } from "./element.js";

const AGAIN = 1500; // ms

export const pause = (milliseconds) => new Promise((resolve) => { setTimeout(resolve, milliseconds); });

// What a page that was made for one server cannot show of another; null if it can.
function difference(before, after) {
  const same = (which) => JSON.stringify(which(before)) === JSON.stringify(which(after));
  const pixels = ({ size }) => size.join(" x ");
  if (!same(pixels)) return `a model of ${pixels(after)} pixels instead of ${pixels(before)}`;
  if (!same(({ classes }) => classes)) return "a model of other classes";
  if (!same(({ models }) => models.map(({ name, images, draft }) => [name, images, draft]))) return "other models";
  return null;
}

export class Connection {
  away = false;
  about = null; // the server's models, classes and sizes
  onBack = () => {}; // is told whether it is another run of the server, whose models may be others

  // Resolves when the server has said what it has.
  async first() {
    this.about = await this.#asked("The server cannot be reached; trying again ...");
    return this.about;
  }

  async lost() {
    if (this.away) return;
    this.away = true;
    this.#back(await this.#asked(
      "The server cannot be reached. Nothing is lost: you can paint on, and the picture follows when it is back.",
    ));
  }

  // Whether it is still the same server; it may have been started again while nothing was asked.
  async check() {
    if (this.away) return;
    try {
      const about = await aboutModels();
      if (!this.away && about.run !== this.about.run) this.#back(about);
    } catch (error) {
      if (error instanceof Away) await this.lost();
    }
  }

  #back(about) {
    const before = this.about;
    const other = difference(before, about);
    this.away = other !== null;
    if (other === null) {
      this.about = about;
      this.onBack(about.run !== before.run);
    } else {
      const kept = "What is painted is kept in this browser; reload this page to go on.";
      this.#tell(`The server is back with ${other}. ${kept}`);
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
