// What the user starts: its messages, and its repetition once there is a token.

import { byId } from "./dom.js";
import { ask, keepToken } from "./requests.js";

export let model = null;
let latest = 0;         // number of the newest attempt; results of older ones are not shown
let afterToken = null;  // what to repeat once there is a token

// Text that has not changed is not read out again.
export function say(text, isBad = false) {
  byId("status").classList.toggle("bad", isBad);
  if (byId("status").textContent !== text) byId("status").textContent = text;
}

// As `ask`; it also shows the form for the token where the server needs one, and hides it again.
export async function askOrShowForm(path, options) {
  try {
    const body = await ask(path, options);
    const hadFocus = byId("ask").contains(document.activeElement);
    byId("ask").hidden = true;
    if (hadFocus) byId("file").focus();
    return body;
  } catch (error) {
    if (error.status === 401) {
      byId("ask").hidden = false;
      byId("token").focus();
    }
    throw error;
  }
}

// With `again`, also if there is one: a restarted server may have another.
export async function loadModel({ again = false } = {}) {
  if (model && !again) return;
  model = await askOrShowForm("v1/model");
  // Rendered by the server, which escapes any HTML in the card.
  byId("card").querySelector("div").innerHTML = model.card_html;
  for (const table of byId("card").querySelectorAll("table")) table.tabIndex = 0;  // so that keys scroll it
}

// The model's colours, except that black would be invisible on the dark page.
export function color(emotion) {
  const found = model?.colors[emotion] ?? "#000000";
  return found === "#000000" ? "currentColor" : found;
}

// Run an action, which loads the model, and show what went wrong; repeat it once there is a token. The
// action gets a function that returns whether it is still the newest.
export async function attempt(action) {
  const mine = ++latest, isNewest = () => mine === latest;
  afterToken = action;
  try {
    await action(isNewest);
    if (isNewest() && afterToken === action) afterToken = null;  // it may have set what is left of it
  } catch (error) {
    if (isNewest()) say(error.message, true);
  }
}

export function repeatAfterToken(action) {
  afterToken = action;
}

byId("ask").addEventListener("submit", (event) => {
  event.preventDefault();
  const token = byId("token").value.trim();
  byId("token").value = "";
  if (keepToken(token)) attempt(afterToken ?? (() => loadModel({ again: true }).then(() => say("Ready."))));
  else say("Wrong token.", true);
});
