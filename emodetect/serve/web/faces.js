// A picture with its faces: drawn boxes, a button on each box, and a card for each face beside it.

import { color, model } from "./attempts.js";
import { byId, element, inWords, percent } from "./dom.js";

const view = byId("view");
const LONGEST_SIDE = 4096;  // of the canvas; telephones refuse larger ones
const CARD_SIDE = 112;      // of the face on a card
const AROUND = 0.15;        // of a face's box, on each side

// Show a picture (perhaps reduced; null if the browser cannot) with the faces of its row. In a stream, faces have an id.
// Screen readers say what was found, or else why there are no faces.
export function show(picture, row, withoutFaces = "No face") {
  byId("empty").hidden = true;
  byId("stage").hidden = false;
  const faces = row.faces.map((face, index) => ({ ...face, number: face.id ?? index + 1 }));
  const whole = { width: row.width ?? picture.width, height: row.height ?? picture.height };
  paint(picture, faces, whole);
  const found = faces.map(title).join(", ");
  view.setAttribute("aria-label", found ? `${inWords(faces.length, "face")}: ${found}` : withoutFaces);
  resize(byId("boxes"), faces.length, makeBox);
  resize(byId("faces"), faces.length, makeCard);
  faces.forEach((face, index) => {
    placeBox(byId("boxes").children[index], face, whole);
    fillCard(byId("faces").children[index], face, picture, whole);
  });
  byId("save").disabled = false;
  light();
}

// Show where to drop a photo instead of a picture.
export function showNone() {
  byId("empty").hidden = false;
  byId("stage").hidden = true;
  byId("boxes").replaceChildren();
  byId("faces").replaceChildren();
  byId("save").disabled = true;
}

function title(face) {
  return `${face.number}: ${face.emotion} ${percent(face.confidence)}`;
}

// The emotion whose colour a face has; that of an uncertain face is its best guess.
function bestOf(face) {
  if (face.emotion in face.scores) return face.emotion;
  return Object.entries(face.scores).reduce((best, one) => (one[1] > best[1] ? one : best))[0];
}

function paint(picture, faces, whole) {
  const side = Math.min(LONGEST_SIDE, Math.max(picture?.width ?? whole.width, picture?.height ?? whole.height));
  const scale = Math.min(1, side / Math.max(whole.width, whole.height));
  view.width = Math.max(1, Math.round(whole.width * scale));
  view.height = Math.max(1, Math.round(whole.height * scale));
  byId("stage").style.width = `min(100%, 75vh * ${view.width / view.height})`;
  const pen = view.getContext("2d");
  if (picture) pen.drawImage(picture, 0, 0, view.width, view.height);
  const boxes = faces.map(({ box }) => box.map((value) => value * scale)), labels = [];
  pen.textBaseline = "top";
  for (const [index, face] of faces.entries()) {
    const [x, y, width, height] = boxes[index];
    // As suits the face, but not too small to be read.
    const size = Math.max(13, view.width / 75, Math.min(view.width / 36, 0.3 * height));
    pen.font = `600 ${size}px system-ui, sans-serif`;
    pen.lineWidth = Math.max(2, view.width / 250);
    pen.strokeStyle = color(bestOf(face));
    pen.strokeRect(x, y, width, height);
    const room = pen.measureText(title(face)).width + size / 2, strip = 1.4 * size;
    const left = Math.max(0, Math.min(x, view.width - room));
    // Where it hides least: above the box, below it or inside; other labels are worse to hide than faces.
    const hidden = (top) => {
      const by = (rects) => rects.reduce((sum, rect) => sum + overlap([left, top, room, strip], rect), 0);
      return by(boxes) + 4 * by(labels);
    };
    const top = [y - strip, y + height, y]
      .map((place) => Math.max(0, Math.min(place, view.height - strip)))
      .reduce((best, place) => (hidden(place) < hidden(best) ? place : best));
    labels.push([left, top, room, strip]);
    pen.fillStyle = "rgba(0, 0, 0, .75)";
    pen.fillRect(left, top, room, strip);
    pen.fillStyle = "#fff";
    pen.fillText(title(face), left + size / 4, top + size / 5);
  }
}

// Area that two rectangles [x, y, width, height] share.
function overlap([x, y, width, height], [otherX, otherY, otherWidth, otherHeight]) {
  const across = Math.min(x + width, otherX + otherWidth) - Math.max(x, otherX);
  const down = Math.min(y + height, otherY + otherHeight) - Math.max(y, otherY);
  return Math.max(0, across) * Math.max(0, down);
}

// Add or remove children at the end; the others keep the focus, also while the camera runs.
function resize(parent, length, make) {
  while (parent.children.length > length) parent.lastChild.remove();
  while (parent.children.length < length) {
    const child = make(parent);
    child.dataset.face = parent.children.length - 1;
  }
}

function makeBox(parent) {
  const box = element("button", "", parent);
  box.type = "button";
  box.addEventListener("click", () => reveal(box, byId("faces")));
  return box;
}

function placeBox(box, face, whole) {
  const [x, y, width, height] = face.box;
  box.style.left = `${100 * x / whole.width}%`;
  box.style.top = `${100 * y / whole.height}%`;
  box.style.width = `${100 * width / whole.width}%`;
  box.style.height = `${100 * height / whole.height}%`;
  // In a stream without the percentage: a screen reader would read each new one out.
  const name = face.id === undefined ? title(face) : `${face.number}: ${face.emotion}`;
  if (box.ariaLabel !== `Face ${name}`) box.setAttribute("aria-label", `Face ${name}`);
}

function makeCard(parent) {
  const card = element("li", "", parent);
  const button = element("button", "", card);
  button.type = "button";
  button.addEventListener("click", () => reveal(button, byId("boxes")));
  const portrait = element("canvas", "", button);
  portrait.width = portrait.height = CARD_SIDE;
  portrait.setAttribute("aria-hidden", "true");
  element("b", "", button);
  element("div", "", card);
  return card;
}

function fillCard(card, face, picture, whole) {
  card.querySelector("b").textContent = title(face);
  const portrait = card.querySelector("canvas");
  portrait.hidden = !picture;
  if (picture) paintFace(portrait, face.box, picture, whole);
  const bars = card.lastChild;
  bars.replaceChildren();
  for (const emotion of model.emotions) {  // Object.entries would move numbers to the front
    const score = face.scores[emotion];
    const bar = element("div", "", bars);
    bar.className = "bar";
    element("span", emotion, bar);
    const length = element("i", "", element("span", "", bar));
    length.style.width = percent(score);
    length.style.background = color(emotion);
    element("span", percent(score), bar);
  }
}

function paintFace(canvas, [x, y, width, height], picture, whole) {
  const scale = picture.width / whole.width, side = (1 + 2 * AROUND) * Math.max(width, height);
  const left = x + (width - side) / 2, top = y + (height - side) / 2;
  const pen = canvas.getContext("2d");
  pen.clearRect(0, 0, CARD_SIDE, CARD_SIDE);
  pen.drawImage(picture, left * scale, top * scale, side * scale, side * scale, 0, 0, CARD_SIDE, CARD_SIDE);
}

// --- a box and its card are highlighted together ---

function light() {
  const chosen = [document.querySelector("[data-face]:hover"), document.activeElement.closest("[data-face]")];
  const lit = chosen.map((one) => one?.dataset.face);
  for (const one of document.querySelectorAll("[data-face]")) {
    one.classList.toggle("lit", lit.includes(one.dataset.face));
  }
}

function reveal(button, parent) {
  button.focus();  // not every browser focuses a button that is clicked
  parent.children[button.closest("[data-face]").dataset.face].scrollIntoView({ block: "nearest" });
}

for (const parent of [byId("boxes"), byId("faces")]) {
  // Not pointerover, after which Firefox only finds out what :hover is.
  for (const type of ["mouseover", "mouseleave", "focusin", "focusout"]) {
    parent.addEventListener(type, light);
  }
}
