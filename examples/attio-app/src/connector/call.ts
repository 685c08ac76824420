/**
 * One request to the connector, with the connection's token.
 *
 * Owns the way there: token, address, time limit, reading the answer. Promises never to throw, so that each caller has
 * words for whatever happened, and to log nothing: names, numbers and tokens pass through here.
 */
import {getWorkspaceConnection} from "attio/server"
import {ownProblem, type Problem, problemIn} from "./problem"
import {serviceUrl} from "./service-url"

export interface Request {
    method: "GET" | "POST" | "PUT" | "DELETE"
    path: string
    body?: unknown
    idempotencyKey?: string
    /** Of a connection that Attio has not saved yet, or is about to delete; else the workspace's. */
    token?: string
}

export type Answer = {status: number; body: unknown} | {problem: Problem}

/** Attio ends a server function after 30 seconds, without words of ours; the connector answers within 20. */
const PATIENCE = 25_000

export async function call(request: Request): Promise<Answer> {
    const token = request.token ?? workspaceToken()
    if (!token) {
        return {problem: ownProblem("not-connected", "ALC is not connected to this workspace.")}
    }
    const service = await serviceUrl(token)
    if ("problem" in service) return service
    const headers: Record<string, string> = {Authorization: `Bearer ${token}`, Accept: "application/json"}
    if (request.body !== undefined) headers["Content-Type"] = "application/json"
    if (request.idempotencyKey) headers["Idempotency-Key"] = request.idempotencyKey
    const body = request.body === undefined ? null : JSON.stringify(request.body)
    try {
        return await within(PATIENCE, ask(`${service.url}${request.path}`, {method: request.method, headers, body}))
    } catch {
        return {problem: ownProblem("unreachable", "The ALC connector does not answer.")}
    }
}

async function ask(url: string, init: RequestInit): Promise<Answer> {
    const response = await fetch(url, init)
    const text = await response.text()
    const body = parsed(text)
    if (response.ok) return {status: response.status, body}
    return {problem: problemIn(body, response.status, response.headers.get("retry-after"))}
}

function parsed(text: string): unknown {
    try {
        return JSON.parse(text)
    } catch {
        return null
    }
}

function workspaceToken(): string | null {
    try {
        return getWorkspaceConnection().value
    } catch {
        return null
    }
}

/** Attio's runtime need not know AbortSignal: a timer is all that it takes. */
async function within<T>(milliseconds: number, work: Promise<T>): Promise<T> {
    let timer: ReturnType<typeof setTimeout> | undefined
    const tooLate = new Promise<never>((_, reject) => {
        timer = setTimeout(() => reject(new Error("too late")), milliseconds)
    })
    try {
        return await Promise.race([work, tooLate])
    } finally {
        if (timer !== undefined) clearTimeout(timer)
    }
}
