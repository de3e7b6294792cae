// What the server is asked for. Whatever goes wrong is one of two errors: it cannot be reached, or it says no.

export class Away extends Error {}

export class Refused extends Error {
  constructor(status, why) {
    super(why);
    this.status = status;
  }
}

async function ask(address, options) {
  let response;
  try {
    response = await fetch(address, options);
    if (response.ok) return response;
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Away("the server cannot be reached");
  }
  const said = await response.json().catch(() => ({}));
  throw new Refused(response.status, said.error ?? `the server answered ${response.status}`);
}

// An answer may break off as well.
async function whole(response, kind) {
  try {
    return await response[kind]();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Away("the server broke off");
  }
}

function said(response) {
  try {
    return JSON.parse(decodeURIComponent(response.headers.get("x-said") ?? "[]"));
  } catch {
    return [];
  }
}

export async function aboutModels() {
  return whole(await ask("/api/model"), "json");
}

// A layout's picture: { blob, seconds, images }. `client` says whose waiting layout a newer one replaces.
export async function synthesize(png, { model, image, format, client, signal }) {
  const question = new URLSearchParams({ model, image, format, client, labels: "ids" }); // as png.js writes them
  const response = await ask(`/api/synthesize?${question}`, { method: "POST", body: png, signal });
  return { blob: await whole(response, "blob"), seconds: Number(response.headers.get("x-seconds")) };
}

const ids = async (response) => ({ ids: new Uint8Array(await whole(response, "arrayBuffer")), said: said(response) });

// A layout file as somebody has it: { ids, said }, where said are the lines that reading it gave. `labels` says what it
// holds, where that cannot be told from the file.
export async function readLayout(file, labels = "auto") {
  return ids(await ask(`/api/read?${new URLSearchParams({ labels })}`, { method: "POST", body: file }));
}

export async function listStarts(from, count) {
  return whole(await ask(`/api/starts?${new URLSearchParams({ from, count })}`), "json");
}

export async function startLayout(number) {
  return ids(await ask(`/api/starts/${number}/layout`));
}

// A layout's "thumbnail" or "photo", as a picture's address. Browsers do not ask a second time for what an address gave
// to the same page, but another run of the server may have other layouts.
export async function startPicture(number, what) {
  return URL.createObjectURL(await whole(await ask(`/api/starts/${number}/${what}`), "blob"));
}
