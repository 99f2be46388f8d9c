// What the user starts: its messages, and its repetition once there is a token.

import { byId } from "./dom.js";
import { ask } from "./requests.js";

export let model = null;
let latest = 0;         // number of the newest attempt; results of older ones are not shown
let afterToken = null;  // what to repeat once there is a token

// Text that has not changed is not read out again.
export function say(text, isBad = false) {
  byId("status").classList.toggle("bad", isBad);
  if (byId("status").textContent !== text) byId("status").textContent = text;
}

export async function loadModel({ again = false } = {}) {
  if (model && !again) return;
  model = null;
  try {
    model = await ask("v1/model");
  } catch (error) {
    askForToken(error);
    throw error;
  }
  byId("ask").hidden = true;
  // Rendered by the server, which escapes any HTML in the card.
  byId("card").querySelector("div").innerHTML = model.card_html;
}

// The model's colours, except that black would be invisible on the dark page.
export function color(emotion) {
  const found = model?.colors[emotion] ?? "#000000";
  return found === "#000000" ? getComputedStyle(document.body).color : found;
}

// Run an action and show what went wrong; repeat it once there is a token. The action gets a function
// that returns whether it is still the newest.
export async function attempt(action) {
  const mine = ++latest, isNewest = () => mine === latest;
  afterToken = action;
  try {
    await loadModel();
    if (isNewest()) await action(isNewest);
    if (isNewest()) afterToken = null;
  } catch (error) {
    if (!isNewest()) return;
    askForToken(error);
    say(error.message, true);
  }
}

export function repeatAfterToken(action) {
  afterToken = action;
}

function askForToken(error) {
  if (error.status !== 401) return;
  byId("ask").hidden = false;
  byId("token").focus();
}

byId("ask").addEventListener("submit", (event) => {
  event.preventDefault();
  const token = byId("token").value.trim();
  byId("token").value = "";
  if (!/^[ -~]+$/.test(token)) {  // cannot be sent in a header
    say("Wrong token.", true);
    return;
  }
  sessionStorage.setItem("token", token);
  const action = afterToken ?? (() => say("Ready."));
  attempt(async (isNewest) => {
    await loadModel({ again: true });
    await action(isNewest);
  });
});
