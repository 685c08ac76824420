"use strict";

const at = (id) => document.getElementById(id);
let lastLog = "";
let lastShown = "[]";
let busy = false;

function text(element, value) {
  if (element.textContent !== value) element.textContent = value;
}

function cell(className, content) {
  const element = document.createElement("span");
  element.className = className;
  element.textContent = content;
  return element;
}

function line(entry) {
  const item = document.createElement("li");
  const who = cell("who", "");
  const arrow = document.createElement("i");
  arrow.textContent = "→";
  who.append(cell(entry.from.split(" ")[0], entry.from), arrow, cell(entry.to, entry.to));
  const open = entry.status === null;
  const bad = entry.status === 0 || entry.status >= 400;
  const code = cell(`code ${open ? "open" : bad ? "bad" : ""}`, open ? "…" : entry.status === 0 ? "none" : entry.status);
  item.append(who, cell("what", `${entry.method} ${entry.path}`), code);
  if (entry.detail) item.append(cell("detail", entry.detail));
  return item;
}

function showLog(entries) {
  const now = JSON.stringify(entries);
  if (now === lastLog) return;
  lastLog = now;
  const log = at("log");
  // Follow the newest, unless somebody is reading further up.
  const following = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
  log.replaceChildren(...entries.map(line));
  if (following) log.scrollTop = log.scrollHeight;
}

/** The toasts and the alert of the last press, as Attio would show them. */
function showWords(shown) {
  const now = JSON.stringify(shown);
  if (now === lastShown) return;
  lastShown = now;
  at("shown").replaceChildren(...shown.map(({ kind, variant, title, text }) => {
    const box = cell(`shown ${kind} ${variant ?? ""}`, "");
    const head = document.createElement("strong");
    head.textContent = title;
    box.append(head, text ?? "");
    return box;
  }));
}

function show(state) {
  const { person, connected } = state;
  document.title = `${person.name} – demo of the ALC connector`;
  for (const element of document.querySelectorAll(".person-name")) text(element, person.name);
  text(at("name"), person.name);
  text(at("phone"), person.phone);
  text(at("avatar"), person.name.split(" ").map((word) => word[0]).join(""));
  const status = at("status");
  text(status, state.status ?? "Not set");
  status.className = `pill ${(state.status ?? "").toLowerCase()}`;
  text(at("result"), state.result ?? "");
  text(at("lead"), state.lead_id ?? "");
  text(at("connection"), connected ? "Connected to ALC" : "Not connected");
  at("connection").className = `connection ${connected ? "on" : ""}`;
  at("connect").hidden = connected;
  at("disconnect").hidden = !connected;
  for (const id of ["send", "answer", "disconnect"]) at(id).disabled = busy || !connected;
  at("notice").hidden = !state.notice;
  text(at("notice"), state.notice ?? "");
  text(at("button"), state.button);
  showWords(state.shown);
  showLog(state.log);
}

async function refresh() {
  try {
    const answer = await fetch("/_sandbox/state", { cache: "no-store" });
    show(await answer.json());
  } catch {
    at("notice").hidden = false;
    text(at("notice"), "The demo has ended. Start it again with make demo.");
  }
}

async function press(path, body) {
  busy = true;
  await refresh();
  try {
    await fetch(path, { method: "POST", body: JSON.stringify(body ?? {}) });
  } finally {
    busy = false;
    await refresh();
  }
}

at("send").addEventListener("click", () => press("/send"));
at("answer").addEventListener("click", () => press("/answer", { result: at("word").value }));
at("disconnect").addEventListener("click", () => press("/disconnect"));
at("connect").addEventListener("click", () => { location.href = "/connect"; });

(async () => {
  for (;;) {
    await refresh();
    await new Promise((resolve) => setTimeout(resolve, 300));
  }
})();
