// Photos: one after the other is analysed, and one at a time is shown.

import { askOrShowForm, attempt, loadModel, model, say } from "./attempts.js";
import { stopCamera } from "./camera.js";
import { asSentence, byId, element, inWords } from "./dom.js";
import { show, showNone } from "./faces.js";
import { RETRY_MS } from "./requests.js";

const MOST_TRIES = 5;  // of a photo, while the server has no room for it, or does not live through it
const THUMBNAIL_WIDTH = 240;
const PREVIEW_ORIGIN = "a preview from the server, because this browser may show this kind of photo "
  + "turned, or not at all";

// {file, button, row (once it is analysed), card (of the model that did), canShow (promise: can this
// browser?), preview (if it cannot, or may turn the photo another way)}
let photos = [];
let shown = null;    // the one of them that is shown
let picture = null;  // its pixels; null if this browser cannot decode it

export const rows = () => photos.map((photo) => photo.row);

export function take(files) {
  if (!files.length) {
    say("That is not a file. Drop or paste a picture, or choose photos.", true);
    return;
  }
  stopCamera();
  byId("minute").hidden = true;  // it is about the face in the camera
  forgetPhotos();
  photos = [...files].map((file) => (
    { file, button: null, row: null, card: null, canShow: null, preview: null }
  ));
  list();
  paintThumbnails(photos);
  choose(photos[0]);
  attempt(analyzeAll);
}

// Finish the analysis that starting the camera has interrupted. Returns whether there are photos; the
// status begins with why there is no camera.
export async function resume(isNewest, whyNoCamera) {
  if (photos.length) await analyzeAll(isNewest, `${whyNoCamera} `);
  return photos.length > 0;
}

export function forgetPhotos() {
  photos = [];
  picture?.close();
  shown = picture = null;
  byId("photos").replaceChildren();
  byId("photos").hidden = true;
  byId("caption").textContent = "";
  allowDownloads(false);
  showNone();
}

// --- analysis ---

async function analyzeAll(isNewest, start = "") {
  allowDownloads(false);
  await loadModelOrWait(isNewest);
  let photo;
  // Those with a row are from before the token or the camera was asked for, or the server restarted.
  while (isNewest() && (photo = photos.find(({ row, card }) => !row || card !== model.card))) {
    const number = `photo ${photos.indexOf(photo) + 1} of ${photos.length} `;
    const { preview, ...row } = await analyze(photo, isNewest, () => {
      say(`${start}Analysing ${photos.length > 1 ? number : ""}…`);
    });
    if (!isNewest()) return;
    photo.row = row;
    photo.card = model.card;
    describe(photo);
    if (preview) {
      photo.preview = new Blob([Uint8Array.from(atob(preview), (one) => one.charCodeAt(0))]);
      await paintThumbnail(photo);
    }
    if (photo === shown) await (preview ? choose(photo) : draw());
    if (!isNewest()) return;
  }
  if (!isNewest()) return;
  allowDownloads(true);
  summarize(photos, start);
}

// Returns the photo's row of results, which may be an error. Throws if the server needs a token.
async function analyze({ file, canShow }, isNewest, sayProgress) {
  sayProgress();
  const failed = (error) => ({ path: file.name, width: null, height: null, faces: [], error });
  if (file.size > model.max_body_bytes) {
    return failed(`too large: expected at most ${megabytes(model.max_body_bytes)}, got ${megabytes(file.size)}`);
  }
  let data;
  try {
    data = await file.arrayBuffer();
  } catch {
    return failed("cannot be read; is it a folder, or was it changed or removed?");
  }
  if (!data.byteLength) return failed("the file is empty");
  const path = await canShow && !turnedByFew(data) ? "v1/analyze" : "v1/analyze?preview=true";
  for (let tries = 1; ; tries++) {
    try {
      const [row] = await askOrShowForm(path, {
        method: "POST",
        body: data,
        headers: { "Content-Type": file.type || "application/octet-stream" },
      });
      return { ...row, path: file.name };
    } catch (error) {
      if (error.status === 401) throw error;
      if (!mayPass(error)) return failed(error.message);
      if (tries === MOST_TRIES) {
        return failed(error.status ? error.message : `the connection broke ${tries} times while it was sent`);
      }
      if (error.status) await pause(1000 * error.waitS);
      await loadModelOrWait(isNewest);
      if (!isNewest()) return failed(error.message);
      sayProgress();
    }
  }
}

const pause = (ms) => new Promise((done) => setTimeout(done, ms));

// Whether the server, or the proxy before it, may soon answer otherwise; without a status there is no answer.
const mayPass = ({ status }) => status === undefined || [429, 502, 503, 504].includes(status);

// Load the model of the server, which may have restarted, as soon as it answers.
async function loadModelOrWait(isNewest) {
  while (isNewest()) {
    try {
      await loadModel({ again: true });
      return;
    } catch (error) {
      if (!mayPass(error)) throw error;
      if (isNewest()) say(`${error.message} Retrying …`, true);
    }
    await pause(RETRY_MS);
  }
}

// Whether the photo may say how to turn it where some browsers don't look: a WebP or PNG in its Exif
// block, an AVIF in boxes of its own.
function turnedByFew(data) {
  const view = new DataView(data);
  const says = (name, at) => at + name.length <= data.byteLength
    && [...name].every((letter, index) => view.getUint8(at + index) === letter.charCodeAt(0));
  if (says("RIFF", 0) && says("WEBP", 8)) return says("VP8X", 12) && data.byteLength > 20 && Boolean(view.getUint8(20) & 8);
  if (says("ftyp", 4)) {
    const head = new TextDecoder("latin1").decode(new Uint8Array(data, 0, Math.min(4096, data.byteLength)));
    return /avi[fs]/.test(head.slice(8, view.getUint32(0))) && /irot|imir/.test(head);
  }
  if (!says("PNG", 1)) return false;
  for (let at = 8; at + 8 <= data.byteLength; at += 12 + view.getUint32(at)) {
    if (says("eXIf", at + 4)) return !isUpright(new DataView(data, at + 8));
  }
  return false;
}

// Whether Exif data, a small TIFF, has an orientation of 1 or none, as that of screenshots.
function isUpright(exif) {
  try {
    const little = exif.getUint16(0) === 0x4949, first = exif.getUint32(4, little);
    for (let entry = 0; entry < exif.getUint16(first, little); entry++) {
      const at = first + 2 + 12 * entry;
      if (exif.getUint16(at, little) === 0x0112) return exif.getUint16(at + 8, little) === 1;
    }
    return true;
  } catch {  // it is cut short
    return false;
  }
}

const megabytes = (bytes) => `${(bytes / 1e6).toFixed(1)} MB`;

function summarize(done, start) {
  const bad = done.filter(({ row }) => row.error !== null);
  const faces = inWords(done.reduce((sum, { row }) => sum + row.faces.length, 0), "face");
  if (done.length > 1) {
    const failed = bad.length ? ` ${inWords(bad.length, "photo")} could not be analysed.` : "";
    say(`${start}${inWords(done.length, "photo")}: ${faces.toLowerCase()}.${failed}`, start !== "" || bad.length > 0);
  } else if (bad.length) {
    say(asSentence(`${start}${done[0].file.name}: ${bad[0].row.error}`), true);
  } else {
    say(`${start}${faces}${done[0].row.faces.length ? "" : " found"}.`, start !== "");
  }
}

function allowDownloads(allowed) {
  byId("csv").disabled = byId("json").disabled = !allowed;
}

// --- the list of photos, if there are several ---

function list() {
  byId("photos").hidden = photos.length < 2;
  if (photos.length < 2) return;
  for (const photo of photos) {
    const button = photo.button = element("button", "", element("li", "", byId("photos")));
    button.type = "button";
    button.title = photo.file.name;
    button.addEventListener("click", () => choose(photo));
    for (const name of ["canvas", "span", "span"]) element(name, "", button);
    button.children[1].textContent = photo.file.name;
    button.children[2].textContent = "waiting";
  }
}

// One after the other: a decoded photo may take 200 MB.
function paintThumbnails(mine) {
  let before = Promise.resolve();
  for (const photo of mine) {
    before = photo.canShow = before.then(() => photos === mine && paintThumbnail(photo));
  }
}

// Returns whether this browser can decode the photo.
async function paintThumbnail(photo) {
  const small = await createImageBitmap(source(photo), { resizeWidth: THUMBNAIL_WIDTH }).catch(() => null);
  if (photo.button) {
    const canvas = photo.button.children[0], pen = canvas.getContext("2d");
    canvas.width = 160;
    canvas.height = 90;
    if (small) {
      const scale = Math.max(canvas.width / small.width, canvas.height / small.height);
      const width = small.width * scale, height = small.height * scale;
      pen.drawImage(small, (canvas.width - width) / 2, (canvas.height - height) / 2, width, height);
    }
  }
  small?.close();
  return small !== null;
}

function describe({ row, button }) {
  if (!button) return;
  const said = button.children[2];
  said.textContent = row.error ?? inWords(row.faces.length, "face").toLowerCase();
  said.classList.toggle("bad", row.error !== null);
  button.title = `${row.path}: ${said.textContent}`;
}

// --- the photo that is shown ---

const source = ({ file, preview }) => preview ?? file;

async function choose(photo) {
  shown = photo;
  for (const { button } of photos) button?.toggleAttribute("aria-current", false);
  photo.button?.setAttribute("aria-current", "true");
  const chosen = source(photo);
  const decoded = await createImageBitmap(chosen).catch(() => null);
  if (shown !== photo || source(photo) !== chosen) {
    decoded?.close();
    return;
  }
  picture?.close();
  picture = decoded;
  draw();
}

// Before the photo is analysed, and if it could not be, it is shown as it is, if that is possible.
function draw() {
  const { file, row, preview } = shown;
  if (row && row.error === null) show(picture, row);
  else if (picture) show(picture, { faces: [] }, row ? row.error : "Not analysed yet");
  else showNone();
  const hidden = row && row.error === null && !picture;
  byId("caption").textContent = file.name
    + (row?.error && photos.length > 1 ? `: ${row.error}` : "")
    + (hidden ? ": this browser cannot show this kind of photo" : "")
    + (preview && picture ? `: ${PREVIEW_ORIGIN}` : "");
  byId("caption").classList.toggle("bad", Boolean(row?.error));
}
