// The page of the API: each route can be tried.

import { byId, element } from "./dom.js";
import { keepToken, openStream, send, token } from "./requests.js";

async function sample() {
  return new File([await (await send("sample.jpg")).blob()], "sample.jpg", { type: "image/jpeg" });
}

async function tryRequest(method, path, files) {
  const body = new FormData();
  for (const file of files) body.append("files", file);
  const answer = await send(path, method === "GET" ? {} : { method, body });
  return [`${answer.status} ${answer.statusText}`, await answer.text()];
}

function tryStream([frame]) {
  return new Promise((done, fail) => {
    const stream = openStream();
    stream.addEventListener("open", () => stream.send(frame));
    stream.addEventListener("message", (event) => {
      done(["Message", event.data]);
      stream.close();
    });
    stream.addEventListener("close", ({ code, reason }) => {
      fail(new Error(`The server closed the stream (${code}${reason && `: ${reason}`}). Does it need a token?`));
    });
  });
}

async function run(form) {
  const { method, path } = form.dataset, chooser = form.elements.files;
  const out = form.nextElementSibling;
  out.textContent = "Waiting …";
  try {
    let files = chooser ? [...chooser.files] : [];
    if (chooser && !files.length) files = [await sample()];
    const tried = method === "WebSocket" ? tryStream(files) : tryRequest(method, path.slice(1), files);
    const [status, text] = await tried;
    out.textContent = "";
    element("b", status, out);
    element("pre", indented(text), out).tabIndex = 0;
  } catch (error) {
    out.textContent = error.message;
  }
}

function indented(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;  // not JSON, such as the metrics
  }
}

for (const form of document.querySelectorAll("form.try")) {
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    run(form);
  });
}
for (const line of document.querySelectorAll("[data-curl]")) {
  const path = line.dataset.curl;
  line.textContent = line.textContent.replace(path, new URL(path.slice(1), location.href));
}
byId("token").value = token() ?? "";
byId("token").addEventListener("input", (event) => keepToken(event.target.value.trim()));
