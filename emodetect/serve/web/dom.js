// What the other scripts need of the document.

export const byId = (id) => document.getElementById(id);

export const percent = (share) => `${Math.round(100 * share)}%`;

export function element(name, text, parent) {
  const made = document.createElement(name);
  made.textContent = text;
  parent.append(made);
  return made;
}

export function inWords(number, what) {
  return `${number === 0 ? "No" : number} ${what}${number > 1 ? "s" : ""}`;
}

// A text with a full stop, if it lacks one.
export const asSentence = (text) => text.replace(/[^.?]$/, "$&.");
