// Names that nothing else has: of a page for the server, of a tab for the browser.

export function randomName() {
  return [...crypto.getRandomValues(new Uint32Array(2))].map((part) => part.toString(36)).join("");
}
