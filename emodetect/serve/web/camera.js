// The camera: its frames go to the server's stream, and the faces come back.

import { color, loadModel, model, repeatAfterToken, say } from "./attempts.js";
import { asSentence, byId, inWords } from "./dom.js";
import { show } from "./faces.js";
import { openStream, RETRY_MS } from "./requests.js";

const timeline = byId("timeline"), video = byId("video");
const MINUTE_MS = 60_000, LONGEST_WAIT_MS = 10_000, SENT_WIDTH = 640, LONGEST_GAP_MS = 1000;
const TOO_LARGE = 1009;  // WebSocket close code (RFC 6455)
// Why a camera cannot be used, for what browsers say in various ways and languages.
const NO_CAMERA = {
  NotAllowedError: "its use is not allowed; allow it for this page in the browser's settings",
  NotFoundError: "none was found",
  NotReadableError: "it cannot be read; does another program use it?",
  OverconstrainedError: "none was found",
};

let camera = null;  // the camera's stream, while it runs
let socket = null;
let history = [];   // {time in ms, id, scores} of the first face

export const isOn = () => camera !== null;

// Throws if there is no camera; calls `started` once there is one.
export async function startCamera(isNewest, started) {
  say("Waiting for the camera …");
  if (!navigator.mediaDevices) {
    throw new Error(isSecureContext
      ? "This browser gives pages no camera. Photos work here."
      : "Browsers allow the camera only on https pages and on localhost. Photos work here.");
  }
  let opened;
  try {
    opened = await navigator.mediaDevices.getUserMedia({
      video: { width: { ideal: SENT_WIDTH }, facingMode: "user" },
    });
  } catch (error) {
    throw new Error(asSentence(`No camera: ${NO_CAMERA[error.name] ?? error.message}`));
  }
  if (!isNewest()) {
    release(opened);
    return;
  }
  camera = opened;
  video.srcObject = camera;
  try {
    await video.play();
  } catch (error) {
    if (camera !== opened) return;
    stopCamera();
    throw new Error(asSentence(`No picture from the camera: ${error.message}`));
  }
  try {
    await loadModel({ again: true });
  } catch (error) {
    if (camera !== opened) return;
    if (error.status === 401 || !model) {
      stopCamera();
      throw error;
    }  // else `connect` waits for the server
  }
  if (camera !== opened) return;
  started();
  byId("camera").textContent = "Stop camera";
  byId("minute").hidden = false;
  history = [];
  camera.getTracks()[0].addEventListener("ended", () => {
    stopCamera();
    say("The camera was disconnected.", true);
  });
  say("Connecting to the server …");
  connect();
}

export function stopCamera() {
  if (!camera) return;
  release(camera);
  camera = null;
  socket?.close();
  byId("camera").textContent = "Start camera";
  byId("speed").textContent = "";
  say("The camera is off.");
}

function release(stream) {
  stream.getTracks().forEach((track) => track.stop());
}

function connect() {
  if (!camera) return;
  const mine = camera, own = openStream();
  socket = own;
  const frame = document.createElement("canvas");
  let sentAt = 0, waiting = null;
  waitForServer();

  function waitForServer() {
    waiting = setTimeout(() => {
      own.removeEventListener("close", onClose);
      own.close();  // the connection may be dead; then "close" would come in a minute or so
      onClose({});
    }, LONGEST_WAIT_MS);
  }

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
      waitForServer();
    }, "image/jpeg", 0.85);
  }

  own.addEventListener("open", () => {
    clearTimeout(waiting);
    send();
  });
  own.addEventListener("message", (event) => {
    clearTimeout(waiting);
    if (camera !== mine) return;
    const row = JSON.parse(event.data), spent = performance.now() - sentAt;
    show(frame, row);
    note(row.faces);
    const faces = `${inWords(row.faces.length, "face")}${row.faces.length ? "" : " found"}.`;
    say(row.error ?? faces, row.error !== null);
    byId("speed").textContent = `${Math.round(spent)} ms per frame.`;
    setTimeout(send, Math.max(0, 33 - spent));
  });
  own.addEventListener("close", onClose);

  function onClose({ code, reason }) {
    clearTimeout(waiting);
    if (camera !== mine) return;
    byId("speed").textContent = "";
    const message = reason ? `The server reports: ${reason}.` : "Lost the connection to the server.";
    if (code === TOO_LARGE) {  // the next frame would be, too
      stopCamera();
      say(message, true);
      return;
    }
    say(`${message} Retrying …`, true);
    setTimeout(reconnect, RETRY_MS, mine);
  }
}

// Unlike a request, a WebSocket gets no reason for a refusal, such as a missing token. The restarted
// server may also have another model.
async function reconnect(mine) {
  if (camera !== mine) return;
  try {
    await loadModel({ again: true });
    if (camera === mine) connect();
  } catch (error) {
    if (camera !== mine) return;
    if (error.status === 401) {
      say(error.message, true);
      repeatAfterToken(() => reconnect(mine));
    } else {
      say(`${error.message} Retrying …`, true);
      setTimeout(reconnect, RETRY_MS, mine);
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
