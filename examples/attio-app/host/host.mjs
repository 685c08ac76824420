/**
 * Runs the built app (../dist) in plain Node, as Attio runs it: the client's part in one context, each server bundle in
 * another, and JSON between them.
 *
 * How the bundles are entered is not documented by Attio, which is why package.json pins the SDK's version. Promises that
 * the server part finds nothing of Node but what is listed here, and keeps all that it writes to its console.
 */
import {readFileSync} from "node:fs"
import {fileURLToPath} from "node:url"
import vm from "node:vm"
import React from "react"
import {graphqlOver} from "./graphql.mjs"
import {clientSdk, root, serverSdk} from "./sdk.mjs"

const DIST = fileURLToPath(new URL("../dist/", import.meta.url))
const ATTIO_API = "https://api.attio.com"

/** What crosses between the two sides is JSON. */
const crossed = (value) => (value === undefined ? undefined : JSON.parse(JSON.stringify(value)))

export class Host {
    /** What the person saw, in order. */
    shown = []
    /** What the server part wrote to its console. */
    console = []
    /** What the workspace has set; or a function that gives it, as late as it likes or not at all. */
    settings = {}
    /** The server part's timers of up to so many milliseconds ring at once. */
    hurry = 0
    /** Milliseconds of all its timers that have run out. */
    waited = 0
    #requests = 0

    /**
     * @param connection gives the connection of the workspace as it is now, or null
     * @param people gives what GraphQL knows of these records
     * @param attioUrl where Attio's own API is; the app asks for api.attio.com
     * @param onShow, onRequest told of everything as it happens; a request waits until it was told
     */
    constructor({connection, people, attioUrl, apiToken = "", onShow = () => {}, onRequest = () => {}}) {
        Object.assign(this, {connection, attioUrl, apiToken, onRequest})
        const show = (shown) => {
            this.shown.push(shown)
            onShow(shown)
        }
        const surfaces = {}
        const globals = {
            React,
            ATTIO_ROOT_SDK: root,
            ATTIO_CLIENT_EXTENSION_SDK: clientSdk({show, query: graphqlOver(people)}),
            runServerFunction: (module, args) => this.#serverFunction(module, args),
            registerSurfaces: (registered) => Object.assign(surfaces, registered),
            registerSettingsSchema: () => {},
            setTimeout,
            clearTimeout,
        }
        run("index.js", globals)
        this.surfaces = surfaces
    }

    extension(type) {
        return this.surfaces[type][0]
    }

    block(id) {
        return this.surfaces["workflow-block"].find((block) => block.id === id).block
    }

    /** The button. */
    async press(recordId) {
        const before = this.shown.length
        await this.extension("record-action").onTrigger({recordId, object: "people"})
        return this.shown.slice(before)
    }

    /** The bulk action, with Attio's own progress toast. */
    async pressMany(recordIds) {
        const before = this.shown.length
        const progress = []
        const runRecordBatches = (options, worker) => runBatches(recordIds, options, worker, progress)
        await this.extension("bulk-record-action").onTrigger({runRecordBatches, object: "people"})
        return {shown: this.shown.slice(before), progress}
    }

    /** An event of a connection. */
    async event(name, connection) {
        const bundle = await this.#server("server.js", connection)
        await bundle.stdin_events_default(name, [{connection: crossed(connection)}])
    }

    /** A handler of a workflow block; `finish` and `trigger` get a request first. */
    async handle(block, handler, ...args) {
        const bundle = await this.#server(`workflow/${block}.js`, await this.connection())
        return crossed(await bundle.stdin_workflow_block_handlers_default(block, handler, args))
    }

    async #serverFunction(module, args) {
        const bundle = await this.#server("server.js", await this.connection())
        return crossed(await bundle.stdin_default(module, crossed(args)))
    }

    /** A fresh context for each run: nothing that the app keeps in memory may matter. */
    async #server(file, connection) {
        const log = (...words) => this.console.push(words.map(String).join(" "))
        const globals = {
            ATTIO_ROOT_SDK: root,
            ATTIO_SERVER_APP_SDK: serverSdk({connection, settings: this.settings, apiToken: this.apiToken}),
            registerSettingsSchema: () => {},
            console: {log, info: log, warn: log, error: log, debug: log},
            fetch: (url, init) => this.#fetch(url, init),
            setTimeout: (run, milliseconds) => this.#timer(run, milliseconds),
            clearTimeout,
        }
        return run(file, globals)
    }

    #timer(run, milliseconds) {
        const rings = () => {
            this.waited += milliseconds
            run()
        }
        return setTimeout(rings, milliseconds <= this.hurry ? 0 : milliseconds)
    }

    async #fetch(url, init) {
        const target = this.attioUrl && url.startsWith(ATTIO_API) ? url.replace(ATTIO_API, this.attioUrl) : url
        const id = (this.#requests += 1)
        const seen = {id, method: init.method ?? "GET", path: new URL(url).pathname, body: init.body ?? null}
        await this.onRequest({...seen, status: null})
        const response = await fetch(target, init).catch(() => null)
        await this.onRequest({...seen, status: response?.status ?? 0})
        if (!response) throw new Error("no answer")
        return response
    }
}

const scripts = new Map()

function run(file, globals) {
    if (!scripts.has(file)) scripts.set(file, new vm.Script(readFileSync(DIST + file, "utf8"), {filename: file}))
    const context = vm.createContext(globals)
    scripts.get(file).runInContext(context)
    return context
}

/** Attio's loop over a selection. */
async function runBatches(recordIds, options, worker, progress) {
    const batchSize = Math.min(options.batchSize, 250)
    const totalBatches = Math.ceil(recordIds.length / batchSize)
    const results = []
    const context = (processedRecords, batchIndex, lastBatchSize) => ({
        processedRecords,
        totalRecords: recordIds.length,
        batchSize,
        batchIndex,
        totalBatches,
        lastBatchSize,
    })
    const tell = async (hook, ...args) => progress.push(await options[hook]?.(...args))
    await tell("onStart", context(0, 0, 0))
    for (let at = 0, index = 0; at < recordIds.length; at += batchSize, index += 1) {
        const batch = recordIds.slice(at, at + batchSize)
        try {
            results.push(await worker({recordIds: batch}))
        } catch (error) {
            await tell("onError", context(at, index, 0), error)
            return {success: false, partialResults: results, error}
        }
        await tell("onProgress", context(at + batch.length, index, batch.length))
    }
    await tell("onComplete", context(recordIds.length, totalBatches, 0))
    return {success: true, results}
}
