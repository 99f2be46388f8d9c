"use strict";

const byId = (id) => document.getElementById(id);
const view = byId("view"), timeline = byId("timeline"), video = byId("video");
const MINUTE_MS = 60_000, RETRY_MS = 2000, LONGEST_WAIT_MS = 10_000, SENT_WIDTH = 640, LONGEST_GAP_MS = 1000;
const TOO_LARGE = 1009;  // of the codes that a socket is closed with (RFC 6455)

let model = null;
let camera = null;      // the camera's stream, while it runs
let socket = null;
let history = [];       // {time in ms, id, scores} of the first face
let latest = 0;         // the number of the newest attempt; what an older one brings is not shown
let afterToken = null;  // what was asked for when the server wanted a token

// What is said already is not read out again.
const say = (text) => { if (byId("status").textContent !== text) byId("status").textContent = text; };
const percent = (share) => `${Math.round(100 * share)} %`;

// Colours are the model's; black would vanish on the dark page.
function color(emotion) {
  const found = model?.colors[emotion] ?? "#000000";
  return found === "#000000" ? getComputedStyle(document.body).color : found;
}

// --- asking the server ---

async function ask(path, options = {}) {
  const token = sessionStorage.getItem("token");
  const headers = { ...options.headers, ...(token && { Authorization: `Bearer ${token}` }) };
  let answer;
  try {
    answer = await fetch(path, { ...options, headers });
  } catch {
    throw new Error("The server cannot be reached. Is it still running?");
  }
  const body = await answer.json().catch(() => null);
  if (answer.status === 401) {
    byId("ask").hidden = false;
    byId("token").focus();
    throw new Error(token ? "That is not this server's token." : "This server asks for a token.");
  }
  if (!answer.ok && !Array.isArray(body)) throw new Error(`Refused: ${body?.detail ?? answer.status}`);
  byId("ask").hidden = true;
  return body;
}

async function loadModel() {
  if (model) return;
  model = await ask("v1/model");
  byId("card").querySelector("pre").textContent = model.card;
}

// Runs an action and says what went wrong; once there is a token, the action runs again. It is given
// a function that tells whether it is still the newest.
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
  if (!/^[ -~]+$/.test(token)) {  // a header cannot carry it
    say("That is not this server's token.");
    return;
  }
  sessionStorage.setItem("token", token);
  attempt(afterToken ?? (() => say("Ready.")));
});

// --- showing what was found ---

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
      length.style.width = percent(score).replace(" ", "");
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
  say("Looking …");
  // First, so that it is seen even where the server has nothing to say.
  const picture = await createImageBitmap(file).catch(() => null);
  if (picture && isNewest()) draw(picture, { faces: [] });
  const [row] = await ask("v1/analyze", {
    method: "POST",
    body: file,
    headers: { "Content-Type": file.type || "application/octet-stream" },
  });
  if (!isNewest()) return;
  if (row.error) throw new Error(`This cannot be read: ${row.error}.`);
  if (picture) draw(picture, row);
  list(row.faces);
  say(count(row.faces.length));
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
    throw new Error("Browsers give the camera only to https pages and to this machine's own (localhost). Photos work here.");
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
  byId("camera").textContent = "Stop the camera";
  byId("minute").hidden = false;
  history = [];
  camera.getTracks()[0].addEventListener("ended", () => {
    stopCamera();
    say("The camera is gone.");
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
  byId("camera").textContent = "Start the camera";
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
    pen.setTransform(-1, 0, 0, 1, frame.width, 0);  // as in a mirror
    pen.drawImage(video, 0, 0, frame.width, frame.height);
    frame.toBlob((blob) => {
      if (own.readyState !== WebSocket.OPEN) return;
      sentAt = performance.now();
      own.send(blob);
      waiting = setTimeout(() => own.close(), LONGEST_WAIT_MS);  // a network that went silent
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
    byId("speed").textContent = `Answered in ${Math.round(spent)} ms.`;
    setTimeout(send, Math.max(0, 33 - spent));
  });
  own.addEventListener("close", (event) => {
    clearTimeout(waiting);
    if (camera !== mine) return;
    byId("speed").textContent = "";
    const told = event.reason ? `The server says: ${event.reason}.` : "The server is gone.";
    if (event.code === TOO_LARGE) {  // as the next frame would be
      stopCamera();
      say(told);
      return;
    }
    say(`${told} Trying again …`);
    setTimeout(reconnect, RETRY_MS, mine);
  });
}

// A socket is not told why it is refused, as for want of a token; a request is. And the server that
// is back may have another model.
async function reconnect(mine) {
  if (camera !== mine) return;
  model = null;
  try {
    await loadModel();
    if (camera === mine) connect();
  } catch (error) {
    if (camera !== mine) return;
    if (byId("ask").hidden) {
      say(`${error.message} Trying again …`);
      setTimeout(reconnect, RETRY_MS, mine);
    } else {
      say(error.message);
      afterToken = () => reconnect(mine);
    }
  }
}

function note(faces) {
  const now = performance.now(), [face] = faces;  // the one that was followed longest
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
      // Gaps stay gaps, and another face is another line.
      const goesOn = before?.id === point.id && point.time - before.time < LONGEST_GAP_MS;
      if (goesOn) pen.lineTo(x, y); else pen.moveTo(x, y);
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
