"use strict";

const byId = (id) => document.getElementById(id);
const view = byId("view"), timeline = byId("timeline"), video = byId("video");
const MINUTE_MS = 60_000, RETRY_MS = 2000, LONGEST_WAIT_MS = 10_000, SENT_WIDTH = 640, LONGEST_GAP_MS = 1000;
const TOO_LARGE = 1009;  // WebSocket close code (RFC 6455)

let model = null;
let camera = null;      // the camera's stream, while it runs
let socket = null;
let history = [];       // {time in ms, id, scores} of the first face
let latest = 0;         // number of the newest attempt; results of older ones are not shown
let afterToken = null;  // what to repeat once there is a token

// Text that has not changed is not read out again.
const say = (text) => { if (byId("status").textContent !== text) byId("status").textContent = text; };
const percent = (share) => `${Math.round(100 * share)}%`;

// The model's colours, except that black would be invisible on the dark page.
function color(emotion) {
  const found = model?.colors[emotion] ?? "#000000";
  return found === "#000000" ? getComputedStyle(document.body).color : found;
}

// --- requests ---

async function ask(path, options = {}) {
  const token = sessionStorage.getItem("token");
  const headers = { ...options.headers, ...(token && { Authorization: `Bearer ${token}` }) };
  let answer;
  try {
    answer = await fetch(path, { ...options, headers });
  } catch {
    throw new Error("Cannot reach the server. Is it still running?");
  }
  const body = await answer.json().catch(() => null);
  if (answer.status === 401) {
    byId("ask").hidden = false;
    byId("token").focus();
    throw new Error(token ? "Wrong token." : "This server needs an access token.");
  }
  if (!answer.ok && !Array.isArray(body)) throw new Error(`Request refused: ${body?.detail ?? answer.status}.`);
  byId("ask").hidden = true;
  return body;
}

async function loadModel() {
  if (model) return;
  model = await ask("v1/model");
  byId("card").querySelector("pre").textContent = model.card;
}

// Run an action and show what went wrong; repeat it once there is a token. The action gets a function
// that returns whether it is still the newest.
async function attempt(action) {
  const mine = ++latest, isNewest = () => mine === latest;
  afterToken = action;
  try {
    await loadModel();
    if (isNewest()) await action(isNewest);
    if (isNewest()) afterToken = null;
  } catch (error) {
    if (isNewest()) say(error.message);
  }
}

byId("ask").addEventListener("submit", (event) => {
  event.preventDefault();
  const token = byId("token").value.trim();
  byId("token").value = "";
  if (!/^[ -~]+$/.test(token)) {  // cannot be sent in a header
    say("Wrong token.");
    return;
  }
  sessionStorage.setItem("token", token);
  attempt(afterToken ?? (() => say("Ready.")));
});

// --- results ---

function title(face) {
  return `${face.id ? `${face.id}: ` : ""}${face.emotion} ${percent(face.confidence)}`;
}

function bestOf(face) {
  return Object.entries(face.scores).reduce((best, one) => (one[1] > best[1] ? one : best))[0];
}

function draw(picture, row) {
  view.width = picture.width;
  view.height = picture.height;
  const pen = view.getContext("2d");
  pen.drawImage(picture, 0, 0);
  const scale = picture.width / (row.width ?? picture.width);
  const size = Math.max(13, view.width / 36);
  pen.font = `600 ${size}px system-ui, sans-serif`;
  pen.textBaseline = "top";
  for (const face of row.faces) {
    const [x, y, width, height] = face.box.map((value) => value * scale);
    pen.lineWidth = Math.max(2, view.width / 250);
    pen.strokeStyle = color(bestOf(face));
    pen.strokeRect(x, y, width, height);
    const room = pen.measureText(title(face)).width + size / 2;
    const left = Math.max(0, Math.min(x, view.width - room));
    const top = Math.max(0, y - 1.4 * size);
    pen.fillStyle = "rgba(0, 0, 0, .75)";
    pen.fillRect(left, top, room, 1.4 * size);
    pen.fillStyle = "#fff";
    pen.fillText(title(face), left + size / 4, top + size / 5);
  }
  view.setAttribute("aria-label", row.faces.length ? row.faces.map(title).join(", ") : "No face");
  byId("save").disabled = false;
}

function element(name, text, parent) {
  const made = document.createElement(name);
  made.textContent = text;
  parent.append(made);
  return made;
}

function list(faces) {
  byId("faces").replaceChildren(...faces.map((face) => {
    const item = document.createElement("li");
    element("b", title(face), item);
    for (const [emotion, score] of Object.entries(face.scores)) {
      const bar = element("div", "", item);
      bar.className = "bar";
      element("span", emotion, bar);
      const length = element("i", "", element("span", "", bar));
      length.style.width = percent(score);
      length.style.background = color(emotion);
      element("span", percent(score), bar);
    }
    return item;
  }));
}

function count(faces) {
  return faces === 0 ? "No face found." : faces === 1 ? "1 face." : `${faces} faces.`;
}

// --- photos ---

async function analyze(file, isNewest) {
  stopCamera();
  list([]);
  say("Analysing …");
  // Shown before the request, so that it is visible even if that fails.
  const picture = await createImageBitmap(file).catch(() => null);
  if (picture && isNewest()) draw(picture, { faces: [] });
  const [row] = await ask("v1/analyze", {
    method: "POST",
    body: file,
    headers: { "Content-Type": file.type || "application/octet-stream" },
  });
  if (!isNewest()) return;
  if (row.error) throw new Error(`Cannot read this file: ${row.error}.`);
  draw(picture ?? blank(row), row);
  list(row.faces);
  say(count(row.faces.length) + (picture ? "" : " This browser cannot show this kind of photo."));
}

function blank(row) {
  const made = document.createElement("canvas");
  made.width = row.width;
  made.height = row.height;
  return made;
}

function take(files) {
  if (files.length) attempt((isNewest) => analyze(files[0], isNewest));
}

byId("file").addEventListener("change", (event) => {
  take([...event.target.files]);
  event.target.value = "";  // so that the same photo can be chosen again
});
document.addEventListener("paste", (event) => take(event.clipboardData.files));
document.addEventListener("dragover", (event) => {
  event.preventDefault();
  byId("drop").classList.add("over");
});
document.addEventListener("dragleave", () => byId("drop").classList.remove("over"));
document.addEventListener("drop", (event) => {
  event.preventDefault();
  byId("drop").classList.remove("over");
  take(event.dataTransfer.files);
});

// --- the camera ---

async function startCamera(isNewest) {
  if (!navigator.mediaDevices) {
    throw new Error("Browsers allow the camera only on https pages and on localhost. Photos work here.");
  }
  let opened;
  try {
    opened = await navigator.mediaDevices.getUserMedia({
      video: { width: { ideal: SENT_WIDTH }, facingMode: "user" },
    });
  } catch (error) {
    throw new Error(`No camera: ${error.message}.`);
  }
  if (!isNewest()) {
    release(opened);
    return;
  }
  camera = opened;
  video.srcObject = camera;
  await video.play();
  if (camera !== opened) return;
  byId("camera").textContent = "Stop camera";
  byId("minute").hidden = false;
  history = [];
  camera.getTracks()[0].addEventListener("ended", () => {
    stopCamera();
    say("The camera was disconnected.");
  });
  connect();
}

function release(stream) {
  stream.getTracks().forEach((track) => track.stop());
}

function stopCamera() {
  if (!camera) return;
  release(camera);
  camera = null;
  socket?.close();
  byId("camera").textContent = "Start camera";
  byId("speed").textContent = "";
  say("The camera is off.");
}

function connect() {
  if (!camera) return;
  const mine = camera, address = new URL("v1/stream", location.href);
  address.protocol = address.protocol.replace("http", "ws");
  const token = sessionStorage.getItem("token");
  const coded = token && btoa(token).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
  const own = new WebSocket(address, ["emodetect", ...(coded ? [`emodetect.token.${coded}`] : [])]);
  socket = own;
  const frame = document.createElement("canvas");
  let sentAt = 0, waiting = null;

  function send() {
    if (camera !== mine || own.readyState !== WebSocket.OPEN) return;
    const scale = Math.min(1, SENT_WIDTH / video.videoWidth);
    frame.width = video.videoWidth * scale;
    frame.height = video.videoHeight * scale;
    const pen = frame.getContext("2d");
    pen.setTransform(-1, 0, 0, 1, frame.width, 0);  // mirrored
    pen.drawImage(video, 0, 0, frame.width, frame.height);
    frame.toBlob((blob) => {
      if (own.readyState !== WebSocket.OPEN) return;
      sentAt = performance.now();
      own.send(blob);
      waiting = setTimeout(() => own.close(), LONGEST_WAIT_MS);  // the connection may be dead
    }, "image/jpeg", 0.85);
  }

  own.addEventListener("open", send);
  own.addEventListener("message", (event) => {
    clearTimeout(waiting);
    if (camera !== mine) return;
    const row = JSON.parse(event.data), spent = performance.now() - sentAt;
    draw(frame, row);
    list(row.faces);
    note(row.faces);
    say(row.error ?? count(row.faces.length));
    byId("speed").textContent = `${Math.round(spent)} ms per frame.`;
    setTimeout(send, Math.max(0, 33 - spent));
  });
  own.addEventListener("close", (event) => {
    clearTimeout(waiting);
    if (camera !== mine) return;
    byId("speed").textContent = "";
    const message = event.reason ? `The server reports: ${event.reason}.` : "Lost the connection to the server.";
    if (event.code === TOO_LARGE) {  // the next frame would be, too
      stopCamera();
      say(message);
      return;
    }
    say(`${message} Retrying …`);
    setTimeout(reconnect, RETRY_MS, mine);
  });
}

// Unlike a request, a WebSocket gets no reason for a refusal, such as a missing token. The restarted
// server may also have another model.
async function reconnect(mine) {
  if (camera !== mine) return;
  model = null;
  try {
    await loadModel();
    if (camera === mine) connect();
  } catch (error) {
    if (camera !== mine) return;
    if (byId("ask").hidden) {
      say(`${error.message} Retrying …`);
      setTimeout(reconnect, RETRY_MS, mine);
    } else {
      say(error.message);
      afterToken = () => reconnect(mine);
    }
  }
}

function note(faces) {
  const now = performance.now(), [face] = faces;  // tracked for the longest time
  if (face) history.push({ time: now, id: face.id, scores: face.scores });
  history = history.filter(({ time }) => now - time < MINUTE_MS);
  const pen = timeline.getContext("2d"), { width, height } = timeline;
  pen.clearRect(0, 0, width, height);
  pen.lineWidth = 3;
  for (const emotion of model.emotions) {
    pen.strokeStyle = color(emotion);
    pen.beginPath();
    let before = null;
    for (const point of history) {
      const x = width * (1 - (now - point.time) / MINUTE_MS);
      const y = 4 + (height - 8) * (1 - point.scores[emotion]);
      // Start a new line after a gap, and for another face.
      const continues = before?.id === point.id && point.time - before.time < LONGEST_GAP_MS;
      if (continues) pen.lineTo(x, y); else pen.moveTo(x, y);
      before = point;
    }
    pen.stroke();
  }
}

byId("camera").addEventListener("click", () => (camera ? stopCamera() : attempt(startCamera)));
byId("save").addEventListener("click", () => view.toBlob((blob) => {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = `emodetect-${new Date().toISOString().slice(0, 19).replaceAll(":", "")}.png`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), RETRY_MS);
}));
document.querySelector("a[href='#card']").addEventListener("click", () => { byId("card").open = true; });

byId("server").textContent = location.host;
attempt(() => {});
