/**
 * One request to the connector, with the connection's token.
 *
 * Owns the way there: token, address, time limit, reading the answer. Promises never to throw, so that each caller has
 * words for whatever happened; to end in `patience`, Attio's settings included; and to log nothing: names, numbers and
 * tokens pass through here.
 */
import {getWorkspaceConnection} from "attio/server"
import {within} from "../within"
import {ownProblem, type Problem} from "./problem"
import {problemIn} from "./problem-in"
import {serviceUrl} from "./service-url"

export interface Request {
    method: "GET" | "POST" | "PUT" | "DELETE"
    path: string
    body?: unknown
    idempotencyKey?: string
    /** Of a connection that Attio has not saved yet, or is about to delete; else the workspace's. */
    token?: string
    /** In milliseconds. */
    patience?: number
}

export type Answer = {status: number; body: unknown} | {problem: Problem}

/** Attio ends a server function after 30 seconds, without words of ours. README.md says what this asks of the connector. */
const PATIENCE = 25_000

export async function call(request: Request): Promise<Answer> {
    const token = request.token ?? workspaceToken()
    if (!token) {
        return {problem: ownProblem("not-connected", "ALC is not connected to this workspace.")}
    }
    try {
        return await within(request.patience ?? PATIENCE, ask(request, token))
    } catch {
        return {problem: ownProblem("unreachable", "The ALC connector does not answer.")}
    }
}

async function ask(request: Request, token: string): Promise<Answer> {
    const service = await serviceUrl(token)
    if ("problem" in service) return service
    const headers: Record<string, string> = {Authorization: `Bearer ${token}`, Accept: "application/json"}
    if (request.body !== undefined) headers["Content-Type"] = "application/json"
    if (request.idempotencyKey) headers["Idempotency-Key"] = request.idempotencyKey
    const body = request.body === undefined ? null : JSON.stringify(request.body)
    const response = await fetch(`${service.url}${request.path}`, {method: request.method, headers, body})
    const answer = parsed(await response.text())
    if (response.ok) return {status: response.status, body: answer}
    return {problem: problemIn(answer, response.status, response.headers.get("retry-after"))}
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
