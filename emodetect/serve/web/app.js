// The page's buttons, and photos that are dropped or pasted.

import { attempt, loadModel, model, say } from "./attempts.js";
import { isOn, startCamera, stopCamera } from "./camera.js";
import { byId } from "./dom.js";
import { asCsv, asJson, save } from "./downloads.js";
import { forgetPhotos, resume, rows, take } from "./photos.js";
import { send } from "./requests.js";

byId("file").addEventListener("change", (event) => {
  take([...event.target.files]);
  event.target.value = "";  // so that the same photo can be chosen again
});
byId("sample").addEventListener("click", () => attempt(async (isNewest) => {
  await loadModel();
  const answer = await send("sample.jpg");
  if (!answer.ok) throw new Error(`The server has no sample now: status ${answer.status}.`);
  const drawn = await answer.blob();
  if (isNewest()) take([new File([drawn], "sample.jpg", { type: "image/jpeg" })]);
}));
document.addEventListener("paste", (event) => {
  if (!event.target.closest?.("input")) take(event.clipboardData.files);
});
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

byId("camera").addEventListener("click", () => {
  if (isOn()) {
    stopCamera();
    return;
  }
  attempt(async (isNewest) => {
    try {
      await startCamera(isNewest, forgetPhotos);
    } catch (error) {
      if (!isNewest() || !await resume(isNewest, error.message)) throw error;
    }
  });
});
byId("save").addEventListener("click", () => byId("view").toBlob((blob) => save(blob, "png")));
byId("csv").addEventListener("click", () => {
  save(new Blob([asCsv(rows(), model.emotions)], { type: "text/csv" }), "csv");
});
byId("json").addEventListener("click", () => {
  save(new Blob([asJson(rows())], { type: "application/json" }), "json");
});

byId("server").textContent = location.host;
const start = byId("status").textContent;
attempt(async (isNewest) => {
  await loadModel();
  if (isNewest()) say(start);  // instead of a question for the token
});
