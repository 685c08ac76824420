// The demo's page in a real browser: Send, Pending, ALC's answer, Complete, disconnect, connect again by the consent page.
//
// Builds nothing. DEMO_BIN and CONNECTOR name the binaries, ATTIO_APP the folder of the built app that the button runs,
// CHROMIUM the browser, SCREENSHOT where the pictures go (<name>.png, <name>-phone.png, <name>-dark.png, <name>-sent.png). Exits 0 only if all of it was seen.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";

const root = resolve(dirname(fileURLToPath(import.meta.url)), "../..");
const setting = (name, otherwise) => resolve(process.env[name] || join(root, otherwise));
const demoBinary = setting("DEMO_BIN", "target/debug/sandbox");
const connector = setting("CONNECTOR", "target/debug/alc-connector");
const attioApp = setting("ATTIO_APP", "examples/attio-app");
const screenshot = setting("SCREENSHOT", "target/browser/demo.png");
const executablePath = process.env.CHROMIUM || "/usr/bin/chromium";
const patience = 15_000;

/** Starts the demo; gives its page's address once it says so. */
function startDemo() {
  const env = { ...process.env, DEMO_PORT: "0", DEMO_ONCE: "", DEMO_FAULT: "" };
  const args = ["demo", "--connector", connector, "--attio-app", attioApp];
  const demo = spawn(demoBinary, args, { env, stdio: ["ignore", "pipe", "inherit"] });
  let output = "";
  const address = new Promise((found, failed) => {
    const timer = setTimeout(() => failed(new Error(`the demo's page did not open:\n${output}`)), 60_000);
    demo.stdout.on("data", (chunk) => {
      output += chunk;
      const match = output.match(/^Open (http:\S+)/m);
      if (match) {
        clearTimeout(timer);
        found(match[1]);
      }
    });
    demo.on("error", failed);
    demo.on("exit", (code) => failed(new Error(`the demo ended with ${code}:\n${output}`)));
  });
  return { demo, address };
}

/** Stops the demo as Ctrl-C would; it must end well. */
async function stopDemo(demo) {
  if (demo.exitCode !== null) return demo.exitCode;
  const ended = new Promise((done) => demo.on("exit", done));
  demo.kill("SIGTERM");
  return ended;
}

async function textOf(page, selector, wanted) {
  try {
    await page.waitForFunction(
      ([where, what]) => document.querySelector(where)?.textContent.trim() === what,
      [selector, wanted],
      { timeout: patience },
    );
  } catch {
    const found = await page.locator(selector).textContent().catch(() => "nothing");
    const notice = await page.locator("#notice").textContent().catch(() => "");
    throw new Error(`${selector} should show ${wanted}; it shows ${found}. ${notice}`);
  }
  console.log(`✓ ${selector} shows ${wanted}`);
}

async function clickThrough(page, address) {
  await page.goto(address);
  await textOf(page, "#connection", "Connected to ALC");
  await textOf(page, "#status", "Not set");

  await textOf(page, "#button", "The button runs the built Attio app (examples/attio-app).");
  assert.equal(await page.locator(".shown").count(), 0, "nothing is shown before a press");

  await page.click("#send");
  await textOf(page, ".shown strong", "Sent to ALC");
  await textOf(page, "#status", "Pending");
  await page.screenshot({ path: screenshot.replace(/\.png$/, "-sent.png") });
  await page.click("#send");
  await textOf(page, ".shown strong", "Already with ALC");
  await page.selectOption("#word", "qualified");
  await page.click("#answer");
  await textOf(page, "#status", "Complete");
  await textOf(page, "#result", "qualified");
  assert.equal(await page.locator(".shown").count(), 0, "a toast does not outlive what it told");

  const log = await page.locator("#log").innerText();
  for (const wanted of ["POST /v1/leads", "POST /api/v1/leads", "PATCH /v2/objects/people/records/", "/webhooks/alc/••••", "/webhooks/attio/••••"]) {
    assert.ok(log.includes(wanted), `the log should show ${wanted}; it shows\n${log}`);
  }
  const phone = await page.locator("#phone").innerText();
  assert.ok(phone.length > 8 && !log.includes(phone), "the log should not show the whole phone number");
  assert.ok(!/eyJ[\w-]{10}|whsec_|alc_access_|alc_refresh_/.test(log), "the log should show no secret");
  console.log("✓ #log shows the requests, secrets masked");
  await page.screenshot({ path: screenshot });

  await page.setViewportSize({ width: 390, height: 844 });
  const overflow = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
  assert.ok(overflow <= 0, `at phone width the page should not scroll sideways; it is ${overflow} px too wide`);
  await page.screenshot({ path: screenshot.replace(/\.png$/, "-phone.png") });
  await page.setViewportSize({ width: 1280, height: 860 });
  await page.emulateMedia({ colorScheme: "dark" });
  await page.screenshot({ path: screenshot.replace(/\.png$/, "-dark.png") });
  await page.emulateMedia({ colorScheme: "light" });
  console.log("✓ fits a phone");

  await page.click("#disconnect");
  await textOf(page, "#connection", "Not connected");
  await page.click("#connect");
  await page.click("#allow", { timeout: patience });
  await textOf(page, "#connection", "Connected to ALC");
}

const { demo, address } = startDemo();
const profile = await mkdtemp(join(tmpdir(), "alc-connector-browser-"));
await mkdir(dirname(screenshot), { recursive: true });
let context;
let failure;
try {
  const url = await address;
  context = await chromium.launchPersistentContext(profile, {
    executablePath,
    headless: true,
    viewport: { width: 1280, height: 860 },
    args: [
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
    ],
  });
  const page = context.pages()[0] ?? (await context.newPage());
  const complaints = [];
  page.on("pageerror", (error) => complaints.push(`error: ${error.message}`));
  page.on("request", (request) => {
    if (!["127.0.0.1", ""].includes(new URL(request.url()).hostname)) complaints.push(`outside: ${request.url()}`);
  });
  await clickThrough(page, url);
  assert.deepEqual(complaints, [], "the page should make no errors and ask nobody outside");
} catch (error) {
  failure = error;
  await context?.pages()[0]?.screenshot({ path: screenshot.replace(/\.png$/, "-failed.png") }).catch(() => {});
} finally {
  await context?.close();
  const code = await stopDemo(demo);
  await rm(profile, { recursive: true, force: true });
  failure ??= code === 0 ? undefined : new Error(`the demo ended with ${code}`);
}
if (failure) {
  console.error(`✗ ${failure.message}`);
  process.exit(1);
}
console.log(`✓ all of it, in a real browser; pictures beside ${screenshot}`);
