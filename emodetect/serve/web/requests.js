// Requests to the server, with its access token if it needs one.

export const RETRY_MS = 2000;  // between attempts to reach a server that is away

export const token = () => sessionStorage.getItem("token");

// Returns whether a header can carry the token; only then it is kept, until the tab is closed.
export function keepToken(given) {
  const isToken = /^[ -~]+$/.test(given);
  if (isToken) sessionStorage.setItem("token", given);
  else sessionStorage.removeItem("token");
  return isToken;
}

// Returns the response. Throws an Error with a `status`, or without one if there is no response.
export async function send(path, options = {}) {
  const given = token();
  const headers = { ...options.headers, ...(given && { Authorization: `Bearer ${given}` }) };
  try {
    return await fetch(path, { ...options, headers });
  } catch {
    throw new Error("Cannot reach the server. Is it still running?");
  }
}

// Returns the JSON of the response, also if none of the photos could be read.
export async function ask(path, options) {
  const answer = await send(path, options);
  const body = await answer.json().catch(() => null);
  if (body && (answer.ok || Array.isArray(body))) return body;
  const error = new Error(answer.ok
    ? "Something else than emodetect answered. Load the page again."
    : `Request refused: ${body?.detail ?? answer.status}.`);
  error.status = answer.status;
  error.waitS = Number(answer.headers.get("Retry-After")) || 1;
  if (error.status === 401) error.message = token() ? "Wrong token." : "This server needs an access token.";
  throw error;
}

// A page cannot set the headers of a WebSocket: the token is one of its subprotocols.
export function openStream() {
  const address = new URL("v1/stream", location.href);
  address.protocol = address.protocol.replace("http", "ws");
  const given = token();
  const coded = given && btoa(given).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
  return new WebSocket(address, ["emodetect", ...(coded ? [`emodetect.token.${coded}`] : [])]);
}
