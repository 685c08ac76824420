/**
 * A real connector on SQLite between the sandbox's pretend ALC and pretend Attio, each a process of its own.
 *
 * ALC_CONNECTOR and SANDBOX name the binaries; otherwise they are looked for where cargo puts them. Promises that all of
 * them end with the world.
 */
import assert from "node:assert/strict"
import {execFileSync, spawn} from "node:child_process"
import {mkdtempSync, rmSync} from "node:fs"
import {createServer} from "node:net"
import {tmpdir} from "node:os"
import {join, resolve} from "node:path"
import {fileURLToPath} from "node:url"

const REPOSITORY = fileURLToPath(new URL("../../../", import.meta.url))
const CONNECTOR = resolve(process.env.ALC_CONNECTOR || join(REPOSITORY, "target/debug/alc-connector"))
const SANDBOX = resolve(process.env.SANDBOX || join(REPOSITORY, "target/debug/sandbox"))

export const CLIENT = {id: "attio-app", secret: "attio-app-secret", redirectUri: "https://app.attio.example/callback"}

export class World {
    /** @param settings of the connector, without their prefix */
    static async start(settings = {}) {
        const world = new World()
        world.folder = mkdtempSync(join(tmpdir(), "attio-app-test-"))
        await world.#startSandbox()
        const [port, management] = [await freePort(), await freePort()]
        world.url = `http://127.0.0.1:${port}`
        world.keys = variables(execFileSync(CONNECTOR, ["keys", "generate"], {encoding: "utf8"}))
        world.environment = {
            ...world.keys,
            ...world.upstreams,
            ...prefixed({
                HTTP__BIND: `127.0.0.1:${port}`,
                HTTP__PUBLIC_URL: world.url,
                MANAGEMENT__BIND: `127.0.0.1:${management}`,
                STORE__URL: `sqlite:${join(world.folder, "connector.db")}`,
                ATTIO_APP__CLIENT_ID: CLIENT.id,
                ATTIO_APP__CLIENT_SECRET: CLIENT.secret,
                ATTIO_APP__REDIRECT_URIS: CLIENT.redirectUri,
                ATTIO__WRITES_PER_SECOND: "500",
                RETRY__SCHEDULE: "100ms,200ms",
                ...settings,
            }),
        }
        await world.up()
        return world
    }

    async #startSandbox() {
        const stdio = ["ignore", "pipe", "inherit"]
        this.sandbox = started(spawn(SANDBOX, ["serve", "--alc-port", "0", "--attio-port", "0"], {stdio}))
        this.sandbox.stdout.unref()
        let text = ""
        await until(
            "the sandbox's settings",
            async () => text.includes("/_sandbox/faults"),
            this.sandbox.stdout,
            (chunk) => {
                text += chunk
            }
        )
        this.upstreams = variables(text)
        this.workspaceId = text.match(/the workspace is ([0-9a-f-]+)/)[1]
        this.alc = new Pretend(this.upstreams.ALC_CONNECTOR__ALC__BASE_URL)
        this.attio = new Pretend(this.upstreams.ALC_CONNECTOR__ATTIO__BASE_URL)
        this.apiKey = this.upstreams.ALC_CONNECTOR__ATTIO__API_KEY
    }

    /** Starts the connector, on the store that it may have left behind. */
    async up() {
        const stdio = ["ignore", "ignore", "inherit"]
        this.connector = started(spawn(CONNECTOR, ["serve"], {env: this.environment, stdio}))
        await until("the connector to be ready", async () => (await fetch(`${this.url}/readyz`).catch(() => null))?.ok)
    }

    /** Stops the connector; its store stays. */
    async down() {
        await ended(this.connector, "SIGTERM")
    }

    async stop() {
        await this.down()
        await ended(this.sandbox, "SIGINT")
        rmSync(this.folder, {recursive: true, force: true})
    }

    async addPerson(name, phoneNumber) {
        return (await this.attio.put("POST", "people", {name, phone_number: phoneNumber})).record_id
    }

    /** What a record shows in Attio. */
    async shows(recordId, slug = "alc_status") {
        const {records} = await this.attio.state()
        const value = records[recordId]?.values[slug]?.[0]
        return value ? (value.option?.title ?? value.value) : null
    }

    async showsSoon(recordId, wanted, slug) {
        let found
        await until(
            () => `${wanted}, not ${found}`,
            async () => (found = await this.shows(recordId, slug)) === wanted
        )
    }

    /** The webhooks that stand at ALC. */
    async webhooks() {
        return (await this.alc.state()).webhooks.filter((webhook) => !webhook.deleted)
    }

    /** What ALC was sent for a record. */
    async sentToAlc(recordId) {
        const requests = await this.alc.requests("create_lead")
        return requests.map(({body}) => JSON.parse(body)).filter((lead) => lead.recordId === recordId)
    }

    /** ALC calls the connector back. */
    async alcAnswers(recordId, status) {
        const answer = await this.alc.put("POST", "callbacks", {record_id: recordId, status})
        assert.equal(answer.status, 200, "the connector takes ALC's call")
    }
}

/** One of the two pretend services, by its switches. */
class Pretend {
    constructor(url) {
        this.url = url
    }

    async put(method, path, body) {
        const answer = await fetch(`${this.url}/_sandbox/${path}`, {method, body: body && JSON.stringify(body)})
        const text = await answer.text()
        assert.ok(answer.ok, `${method} ${path}: ${text}`)
        return text ? JSON.parse(text) : null
    }

    /** What came in of one operation, once it is so much. */
    async requestsOnce(operation, count) {
        return (await this.put("GET", `wait?operation=${operation}&count=${count}&timeout_ms=60000`)).requests
    }

    async state() {
        return this.put("GET", "state")
    }

    /** What came in, of one operation. */
    async requests(operation) {
        return (await this.put("GET", `requests?operation=${operation}`)).requests
    }

    async faults(operation, fault, times) {
        await this.put("PUT", "faults", {operation, fault, ...(times && {times})})
    }

    async mend() {
        await this.put("DELETE", "faults")
    }
}

/** Asks again and again, for at most a minute. */
export async function until(what, look, stream, onData) {
    if (stream) stream.on("data", onData)
    const end = Date.now() + 60_000
    while (!(await look())) {
        assert.ok(Date.now() < end, `waited too long for ${typeof what === "function" ? what() : what}`)
        await new Promise((done) => setTimeout(done, 25))
    }
}

/** A child that neither outlives the test nor keeps it alive, wherever the test fails. */
function started(child) {
    process.on("exit", () => child.kill("SIGKILL"))
    child.unref()
    return child
}

async function ended(child, signal) {
    if (child.exitCode !== null || child.signalCode !== null) return
    const exited = new Promise((done) => child.once("exit", done))
    child.ref()
    child.kill(signal)
    await exited
}

function variables(text) {
    return Object.fromEntries(
        [...text.matchAll(/^(ALC_CONNECTOR__\w+)=(.*)$/gm)].map(([, name, value]) => [name, value])
    )
}

function prefixed(settings) {
    return Object.fromEntries(Object.entries(settings).map(([name, value]) => [`ALC_CONNECTOR__${name}`, value]))
}

async function freePort() {
    const server = createServer()
    await new Promise((done) => server.listen(0, "127.0.0.1", done))
    const {port} = server.address()
    await new Promise((done) => server.close(done))
    return port
}
