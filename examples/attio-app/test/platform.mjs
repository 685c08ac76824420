/**
 * What Attio does around the app: keeps its connection, through the connector's real /oauth/*, and runs the app in it.
 *
 * Promises to do with the connection as Attio says it does: a throw of connection-added saves nothing, a throw of
 * connection-removed keeps it, and the app gets an access token that Attio has refreshed in time.
 */
import {createPrivateKey, randomUUID, sign} from "node:crypto"
import {Host} from "../host/host.mjs"
import {CLIENT} from "./world.mjs"

/** Attio's own margin is not documented. */
const MARGIN = 60

export class Platform {
    connection = null
    /** Whether Attio refreshes; off, the app meets an expired token. */
    refreshes = true
    refreshed = 0
    /** Requests of the app, as they end. */
    requests = []
    /** How many records each of its queries asked for. */
    queries = []
    /** Whether the connection breaks before the connector's answer is there. */
    losesAnswers = false
    /** Whether Attio's GraphQL fails. */
    failsQueries = false
    /** Whether Attio runs no server function. */
    failsFunctions = false
    /** Awaited before the app's n-th batch goes out. */
    onBatch = null
    /** By record, where it differs from what the pretend Attio has: several numbers, none, or null for a record that is gone. */
    people = new Map()

    constructor(world) {
        this.world = world
        this.host = new Host({
            connection: async () => {
                if (this.failsFunctions) throw new Error("the server function could not be run")
                return this.current()
            },
            people: (recordIds) => this.#people(recordIds),
            attioUrl: world.attio.url,
            apiToken: world.apiKey,
            onRequest: (request) => this.#seen(request),
        })
    }

    async #seen(request) {
        if (request.status !== null) {
            this.requests.push(request)
            if (this.losesAnswers && request.path.startsWith("/v1/")) throw new Error("the connection is broken")
            return
        }
        if (request.path !== "/v1/leads/batch") return
        const batches = this.requests.filter(({path}) => path === request.path).length
        await this.onBatch?.(batches + 1)
    }

    /** A customer connects, and consents at once. */
    async connect() {
        const connection = await this.grant()
        await this.host.event("connection-added", connection)
        this.connection = connection
    }

    /** As far as the tokens. */
    async grant() {
        const code = await this.#consent()
        const tokens = await this.#token({grant_type: "authorization_code", code, redirect_uri: CLIENT.redirectUri})
        return {
            id: randomUUID(),
            value: tokens.access_token,
            refreshToken: tokens.refresh_token,
            expiresAt: Date.now() / 1_000 + tokens.expires_in,
            connection_key: "alc",
            createdBy: {type: "user", id: randomUUID()},
            ownedBy: {type: "workspace", id: this.world.workspaceId},
        }
    }

    async disconnect() {
        await this.host.event("connection-removed", visible(this.connection))
        this.connection = null
    }

    /** What `getWorkspaceConnection` gives now. */
    async current() {
        const connection = this.connection
        if (connection && this.refreshes && connection.expiresAt < Date.now() / 1_000 + MARGIN) {
            const tokens = await this.#token({grant_type: "refresh_token", refresh_token: connection.refreshToken})
            connection.value = tokens.access_token
            connection.expiresAt = Date.now() / 1_000 + tokens.expires_in
            this.refreshed += 1
        }
        return connection && visible(connection)
    }

    /** More than an hour goes by: the token is one that the connector would have signed then. */
    hourPasses() {
        const [head, payload] = this.connection.value.split(".")
        const claims = JSON.parse(Buffer.from(payload, "base64url"))
        const earlier = {...claims, iat: claims.iat - 3_700, exp: claims.exp - 3_700}
        const text = `${head}.${Buffer.from(JSON.stringify(earlier)).toString("base64url")}`
        const key = Buffer.from(this.world.keys.ALC_CONNECTOR__KEYS__SIGNING, "base64")
        const signature = sign(null, Buffer.from(text), createPrivateKey({key, format: "der", type: "pkcs8"}))
        this.connection.value = `${text}.${signature.toString("base64url")}`
        this.connection.expiresAt -= 3_700
    }

    async #consent() {
        const url = new URL(`${this.world.url}/oauth/authorize`)
        const state = randomUUID()
        const asked = {response_type: "code", client_id: CLIENT.id, redirect_uri: CLIENT.redirectUri, state}
        for (const [name, value] of Object.entries(asked)) url.searchParams.set(name, value)
        const cookies = []
        let next = url.href
        for (let hop = 0; hop < 8 && !next.startsWith(CLIENT.redirectUri); hop += 1) {
            const headers = next.startsWith(this.world.url) ? {cookie: cookies.join("; ")} : {}
            const answer = await fetch(next, {redirect: "manual", headers})
            cookies.push(...answer.headers.getSetCookie().map((cookie) => cookie.split(";")[0]))
            next = answer.headers.get("location") ?? ""
        }
        const query = new URL(next).searchParams
        if (query.get("state") !== state) throw new Error("a state that is not Attio's")
        return query.get("code")
    }

    async #token(form) {
        const answer = await fetch(`${this.world.url}/oauth/token`, {
            method: "POST",
            headers: {authorization: `Basic ${Buffer.from(`${CLIENT.id}:${CLIENT.secret}`).toString("base64")}`},
            body: new URLSearchParams(form),
        })
        if (!answer.ok) throw new Error(`/oauth/token answers ${answer.status}`)
        return answer.json()
    }

    async #people(recordIds) {
        if (this.failsQueries) throw new Error("the query could not be run")
        this.queries.push(recordIds.length)
        const {records} = await this.world.attio.state()
        return recordIds.map((recordId) => {
            if (this.people.has(recordId)) return this.people.get(recordId)
            const values = records[recordId]?.values
            if (!values) return null
            const phoneNumbers = values.phone_numbers.map((value) => value.phone_number)
            return {recordId, name: values.name[0].full_name, phoneNumbers}
        })
    }
}

/** The refresh token stays at Attio. */
function visible({refreshToken: _, expiresAt: __, ...connection}) {
    return connection
}
