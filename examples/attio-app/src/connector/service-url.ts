/**
 * Where the connector is: what the workspace has set, else the connector that issued the token.
 *
 * Without the second, a workspace could not connect before somebody had filled in the settings, as connection-added
 * would not know whom to ask. The token came from the token URL of the developer dashboard, so its issuer is trusted.
 */
import {Settings} from "attio/server"
import schema from "../app/settings/schema"
import {ownProblem, type Problem} from "./problem"

export async function serviceUrl(token: string): Promise<{url: string} | {problem: Problem}> {
    const set = (await Settings.getSettings(schema, "serviceUrl"))?.trim()
    const text = set || issuerOf(token)
    if (!text) {
        return {problem: ownProblem("no-service-url", "The address of the ALC connector is not known.")}
    }
    return isSafe(text)
        ? {url: text.replace(/\/+$/, "")}
        : {problem: ownProblem("bad-service-url", "The address of the ALC connector is not an https:// address.")}
}

/** The `iss` of a JWT, unverified: the connector itself verifies it on each request. */
function issuerOf(token: string): string | null {
    try {
        const payload = token.split(".")[1] ?? ""
        const claims: unknown = JSON.parse(atob(payload.replace(/-/g, "+").replace(/_/g, "/")))
        const issuer = (claims as {iss?: unknown}).iss
        return typeof issuer === "string" ? issuer : null
    } catch {
        return null
    }
}

/** Names, numbers and the token go there, so plain http is for this machine only. */
function isSafe(text: string): boolean {
    try {
        const url = new URL(text)
        const here = ["127.0.0.1", "[::1]", "localhost"].includes(url.hostname)
        return url.protocol === "https:" || (url.protocol === "http:" && here)
    } catch {
        return false
    }
}
