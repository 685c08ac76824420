// The operators' page in a real browser that runs no script: what waits and fails, one lead's history, retry, replay, an open gate.
//
// Builds nothing. DEMO_BIN names the sandbox's binary, CONNECTOR the service's, CHROMIUM the browser, SCREENSHOT where the
// pictures go (operate-<page>[-dark|-phone].png beside it). Exits 0 only if all of it was seen.

import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { createServer } from "node:net";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";

const root = resolve(dirname(fileURLToPath(import.meta.url)), "../..");
const setting = (name, otherwise) => resolve(process.env[name] || join(root, otherwise));
const sandbox = setting("DEMO_BIN", "target/debug/sandbox");
const connector = setting("CONNECTOR", "target/debug/alc-connector");
const pictures = dirname(setting("SCREENSHOT", "target/browser/demo.png"));
const executablePath = process.env.CHROMIUM || "/usr/bin/chromium";
const patience = 20_000;
const token = "operators-token-of-the-browser-test";
const client = { id: "attio-app", secret: "attio-app-secret", redirect: "https://app.attio.example/connections/callback" };
const hostile = "</td><script>document.title = 'obeyed'</script><img src=x onerror=alert(1)>";

const freePort = () =>
  new Promise((found, failed) => {
    const listener = createServer();
    listener.on("error", failed);
    listener.listen(0, "127.0.0.1", () => {
      const { port } = listener.address();
      listener.close(() => found(port));
    });
  });

async function until(what, done) {
  const end = Date.now() + patience;
  while (Date.now() < end) {
    if (await done().catch(() => false)) return;
    await new Promise((next) => setTimeout(next, 100));
  }
  throw new Error(`in vain: ${what}`);
}

/** Starts the pretend services; gives their settings, and the workspace with its first person. */
async function startSandbox() {
  const child = spawn(sandbox, ["serve", "--alc-port", "0", "--attio-port", "0"], { stdio: ["ignore", "pipe", "inherit"] });
  const settings = {};
  for await (const line of createInterface({ input: child.stdout })) {
    const [name, ...value] = line.split("=");
    if (name.startsWith("ALC_CONNECTOR__")) settings[name] = value.join("=");
    const named = line.match(/^# the workspace is (\S+), its first person (\S+)$/);
    if (named) return { child, settings, workspace: named[1], person: named[2] };
  }
  throw new Error("the pretend services did not start");
}

/** Starts the service between them; gives its two addresses. */
async function startConnector(settings, directory) {
  const [publicly, management] = [await freePort(), await freePort()].map((port) => `127.0.0.1:${port}`);
  const env = { PATH: process.env.PATH, ...settings };
  for (const line of execFileSync(connector, ["keys", "generate"], { env: { PATH: process.env.PATH }, encoding: "utf8" }).split("\n")) {
    const [name, ...value] = line.split("=");
    if (value.length) env[name] = value.join("=");
  }
  const own = {
    HTTP__BIND: publicly,
    HTTP__PUBLIC_URL: `http://${publicly}`,
    MANAGEMENT__BIND: management,
    MANAGEMENT__TOKEN: token,
    STORE__URL: `sqlite:${join(directory, "store.db")}`,
    ATTIO_APP__CLIENT_ID: client.id,
    ATTIO_APP__CLIENT_SECRET: client.secret,
    ATTIO_APP__REDIRECT_URIS: client.redirect,
    LEADS__SEND_WAIT: "1s",
  };
  for (const [name, value] of Object.entries(own)) env[`ALC_CONNECTOR__${name}`] = value;
  const child = spawn(connector, ["serve"], { env, cwd: directory, stdio: ["ignore", "ignore", "inherit"] });
  await until("the service is ready", async () => (await fetch(`http://${management}/readyz`)).status === 200);
  return { child, url: `http://${publicly}`, management: `http://${management}` };
}

/** Goes through the consent as Attio's app does; gives what sends its requests. */
async function connect(url, workspace) {
  const step = async (address, headers = {}) => {
    const answer = await fetch(address, { redirect: "manual", headers });
    assert.ok([302, 303].includes(answer.status), `${address}: ${answer.status}`);
    return answer;
  };
  const query = new URLSearchParams({ response_type: "code", client_id: client.id, redirect_uri: client.redirect, state: "s" });
  const begun = await step(`${url}/oauth/authorize?${query}`);
  const cookie = begun.headers.get("set-cookie").split(";")[0];
  const consented = await step(begun.headers.get("location"));
  const back = await step(consented.headers.get("location"), { cookie });
  const code = new URL(back.headers.get("location")).searchParams.get("code");
  const basic = Buffer.from(`${client.id}:${client.secret}`).toString("base64");
  const form = new URLSearchParams({ grant_type: "authorization_code", code, redirect_uri: client.redirect });
  const granted = await fetch(`${url}/oauth/token`, { method: "POST", body: form, headers: { authorization: `Basic ${basic}` } });
  const { access_token: access } = await granted.json();
  const call = (path, body) =>
    fetch(`${url}${path}`, {
      method: "POST",
      headers: { authorization: `Bearer ${access}`, "content-type": "application/json" },
      body: JSON.stringify(body),
    });
  const added = await call("/v1/events/connection-added", { connection: { id: "x", ownedBy: { type: "workspace", id: workspace } } });
  assert.equal(added.status, 201);
  return call;
}

const number = (nth) => `+49151123456${String(nth).padStart(2, "0")}`;

/** Leads that wait, fail and were given up, as a bad day has them. */
async function makeTrouble(call, settings, person) {
  const faults = (service, rule) =>
    fetch(`${settings[`ALC_CONNECTOR__${service}__BASE_URL`].replace(/\/$/, "")}/_sandbox/faults`, { method: "PUT", body: JSON.stringify(rule) });
  const refusal = (status, detail) => ({ kind: "status", status, headers: [["content-type", "application/json"]], body: { detail, message: detail } });
  const press = async (nth) => (await call("/v1/leads", { record_id: people[nth - 1], name: `Person Number${nth}`, phone_number: number(nth) })).status;
  const people = [person];
  for (let nth = 2; nth <= 7; nth += 1) {
    const made = await fetch(`${settings["ALC_CONNECTOR__ATTIO__BASE_URL"].replace(/\/$/, "")}/_sandbox/people`, { method: "POST", body: JSON.stringify({ name: `Person Number${nth}`, phone_number: number(nth) }) });
    people.push((await made.json()).record_id);
  }
  assert.equal(await press(1), 201);
  await faults("ALC", { operation: "create_lead", fault: refusal(422, hostile), times: 1 });
  assert.equal(await press(2), 422);
  await faults("ALC", { operation: "create_lead", fault: refusal(409, "a lead of this record is there already"), times: 1 });
  assert.equal(await press(3), 422);
  await faults("ALC", { operation: "create_lead", fault: refusal(503, "maintenance until the evening") });
  for (const nth of [4, 5, 6, 7]) assert.equal(await press(nth), 202);
}

async function clickThrough(page, management, person) {
  const shot = async (name) => {
    await page.emulateMedia({ colorScheme: "light" });
    await page.screenshot({ path: join(pictures, `operate-${name}.png`), fullPage: true });
    await page.emulateMedia({ colorScheme: "dark" });
    await page.screenshot({ path: join(pictures, `operate-${name}-dark.png`), fullPage: true });
    await page.emulateMedia({ colorScheme: "light" });
    await page.setViewportSize({ width: 390, height: 844 });
    const { wide, narrow } = await page.evaluate(() => ({ wide: document.documentElement.scrollWidth, narrow: window.innerWidth }));
    await page.screenshot({ path: join(pictures, `operate-${name}-phone.png`), fullPage: true });
    await page.setViewportSize({ width: 1280, height: 860 });
    assert.ok(wide <= narrow, `${name}: at phone width the page should not scroll sideways; it is ${wide - narrow} px too wide`);
    assert.notEqual(await page.title(), "obeyed", "what ALC said is text");
    console.log(`✓ ${name}: dark, light, and fits a phone`);
  };
  const shows = async (text) => {
    await page.getByText(text).first().waitFor({ timeout: patience }).catch(() => {
      throw new Error(`${page.url()} should show ${text}`);
    });
    console.log(`✓ shows ${text}`);
  };
  await until("the leads fail", async () => {
    await page.goto(`${management}/operate`);
    return (await page.getByText("Gate before alc").count()) > 0;
  });
  await shows("Why they fail");
  await shows("maintenance until the evening");
  await shot("overview");

  await page.getByRole("button", { name: "Open now" }).first().click();
  await shows("Gates opened: 1.");
  assert.ok(page.url().includes("notice="), "the redirect tells it");

  await page.locator("tbody a").first().click();
  await shows("What happened");
  await shot("lead");
  await page.getByRole("button", { name: "Retry now" }).click();
  await page.locator(".notice").waitFor({ timeout: patience });

  await page.goto(`${management}/operate/page/leads/${await page.url().match(/leads\/([^/]+)/)[1]}/${person}`);
  await page.getByRole("button", { name: "Retry now" }).click();
  await page.locator(".notice").waitFor({ timeout: patience });
  await shot("retried");

  await page.getByRole("link", { name: "Leads" }).first().click();
  await page.locator("select[name=only]").selectOption("failing");
  await page.getByRole("button", { name: "Show" }).click();
  await shot("leads");
  await page.getByRole("button", { name: "Try these now" }).click();
  await shows("Leads tried now");
  assert.ok(page.url().includes("only=failing"), "it comes back to the same list");

  await page.getByRole("link", { name: "Dead letters" }).first().click();
  await shows("a lead of this record is there already");
  await shows(hostile);
  await shot("dead-letters");
  await page.getByRole("button", { name: "Replay", exact: true }).first().click();
  await shows("Replayed: 1.");
  await shows("replayed");

  await page.goto(`${management}/operate/page/leads/00000000-0000-4000-8000-000000000000/${person}`);
  await shows("To the overview");
  await shot("failure");
}

const directory = await mkdtemp(join(tmpdir(), "alc-connector-operate-"));
await mkdir(pictures, { recursive: true });
const children = [];
let browser;
let failure;
let page;
try {
  const { child, settings, workspace, person } = await startSandbox();
  children.push(child);
  const service = await startConnector(settings, directory);
  children.push(service.child);
  const call = await connect(service.url, workspace);
  await makeTrouble(call, settings, person);
  browser = await chromium.launch({ executablePath, headless: true, args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"] });
  const stranger = await browser.newContext();
  assert.equal((await (await stranger.newPage()).goto(`${service.management}/operate`).catch(() => null))?.status() ?? 401, 401);
  const context = await browser.newContext({
    javaScriptEnabled: false,
    httpCredentials: { username: "ada", password: token },
    viewport: { width: 1280, height: 860 },
  });
  page = await context.newPage();
  const complaints = [];
  page.on("request", (request) => {
    if (new URL(request.url()).hostname !== "127.0.0.1") complaints.push(`outside: ${request.url()}`);
  });
  await clickThrough(page, service.management, person);
  assert.deepEqual(complaints, [], "the page asks nobody outside");
} catch (error) {
  failure = error;
  await page?.screenshot({ path: join(pictures, "operate-failed.png") }).catch(() => {});
} finally {
  await browser?.close();
  for (const child of children.reverse()) {
    const ended = new Promise((done) => child.on("exit", done));
    if (child.exitCode === null) child.kill("SIGTERM"), await ended;
  }
  await rm(directory, { recursive: true, force: true });
}
if (failure) {
  console.error(`✗ ${failure.stack}`);
  process.exit(1);
}
console.log(`✓ the operators' page, in a real browser without a script; pictures in ${pictures}`);
