// The token, and how one comes by it. It is kept for this tab alone, and travels in a header, never in a URL.

import { byId, setText } from "./dom.js";

const KEY = "token";
const OWN = "own"; // Whether the session was begun here, and so is to be ended here.
const TOKEN = /^[\w.~+/=-]+$/;

/** A path of the gateway, wherever a proxy in front has put the gateway: this page is directly below its root. */
const beside = (path) => `.${path}`;

export const token = () => sessionStorage.getItem(KEY) ?? "";

export function forget() {
  sessionStorage.removeItem(KEY);
  sessionStorage.removeItem(OWN);
  byId("sign-out").hidden = true;
}

/** Forget the token; a session that was begun here is over with that, for everybody who has the token. */
export async function signOut(settings) {
  const [value, own] = [token(), sessionStorage.getItem(OWN)];
  forget();
  if (!own) return;
  const { logout } = await settings();
  if (logout !== null) await fetch(beside(logout), { method: "POST", headers: { authorization: `Bearer ${value}` }, credentials: "omit" });
}

function keep(value, own, signedIn) {
  sessionStorage.setItem(KEY, value);
  if (own) sessionStorage.setItem(OWN, "yes");
  setText(byId("sign-in-reason"), "");
  signedIn();
}

/** Wire the forms; `signedIn()` is called when there is a token. */
export function prepare(settings, signedIn) {
  byId("login").addEventListener("submit", async (event) => {
    event.preventDefault();
    const form = event.currentTarget;
    const button = form.querySelector("button");
    button.disabled = true;
    try {
      keep(await logIn((await settings()).login, form.email.value, form.password.value), true, signedIn);
      form.reset();
    } catch (error) {
      setText(byId("sign-in-reason"), error.message);
      form.password.select();
    } finally {
      button.disabled = false;
    }
  });
  byId("paste").addEventListener("submit", (event) => {
    event.preventDefault();
    const form = event.currentTarget;
    const pasted = form.token.value.trim().replace(/^bearer /i, "");
    form.reset();
    if (TOKEN.test(pasted)) keep(pasted, false, signedIn);
    else setText(byId("sign-in-reason"), "That is not a token.");
  });
}

/** Show the forms, and why; `login` says whether there is a service to log in at. */
export function ask(reason, login) {
  const section = byId("sign-in");
  const appears = section.hidden;
  section.hidden = false;
  byId("login").hidden = !login;
  setText(byId("sign-in-reason"), reason);
  if (appears) (login ? byId("email") : byId("token")).focus();
}

async function logIn(path, email, password) {
  let answer;
  try {
    answer = await fetch(beside(path), {
      method: "POST",
      headers: { "content-type": "application/json", accept: "application/json" },
      body: JSON.stringify({ email, password }),
      credentials: "omit",
    });
  } catch {
    throw new Error("The gateway cannot be reached.");
  }
  const said = await answer.json().catch(() => ({}));
  const found = said.data?.access_token;
  if (answer.ok && typeof found === "string") return found;
  if (answer.status === 429) throw new Error("Too many attempts. Wait a little, then try again.");
  throw new Error(said.error?.message ?? said.detail ?? `Signing in failed (${answer.status}).`);
}
