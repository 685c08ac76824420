/**
 * Where the connector is: what the workspace has set, else the connector that issued the token.
 *
 * Without the second, a workspace could not connect before somebody had filled in the settings, as connection-added
 * would not know whom to ask. The token came from the token URL of the developer dashboard, so its issuer is trusted.
 * Promises to use no global of the platform: the SDK declares timers and nothing else.
 */
import {Settings} from "attio/server"
import schema from "../app/settings/schema"
import {within} from "../within"
import {ownProblem, type Problem} from "./problem"

/** Milliseconds for Attio's settings: the greater part of what a request may take is the connector's. */
const PATIENCE = 2_000

export async function serviceUrl(token: string): Promise<{url: string} | {problem: Problem}> {
    const text = (await setByWorkspace()) || issuerOf(token)
    if (!text) {
        return {problem: ownProblem("no-service-url", "The address of the ALC connector is not known.")}
    }
    return isSafe(text)
        ? {url: text.replace(/\/+$/, "")}
        : {problem: ownProblem("bad-service-url", "The address of the ALC connector is not an https:// address.")}
}

/** Null also where Attio does not say: the issuer is most often the right address, and asking it does no harm. */
async function setByWorkspace(): Promise<string | null> {
    try {
        return (await within(PATIENCE, Settings.getSettings(schema, "serviceUrl")))?.trim() ?? null
    } catch {
        return null
    }
}

/** The `iss` of a JWT, unverified: the connector itself verifies it on each request. */
function issuerOf(token: string): string | null {
    try {
        const claims: unknown = JSON.parse(decoded(token.split(".")[1] ?? ""))
        const issuer = (claims as {iss?: unknown}).iss
        return typeof issuer === "string" ? issuer : null
    } catch {
        return null
    }
}

const ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

/** The bytes of base64url without padding, a character each: the issuer, an origin, is ASCII. */
function decoded(text: string): string {
    let bits = 0
    let held = 0
    let bytes = ""
    for (const character of text) {
        const value = ALPHABET.indexOf(character)
        if (value < 0) throw new Error("not base64url")
        bits = ((bits << 6) | value) & 0xfff
        held += 6
        if (held < 8) continue
        held -= 8
        bytes += String.fromCharCode((bits >> held) & 0xff)
    }
    return bytes
}

/**
 * An origin and nothing behind it: under a stray path every answer would be a 404, which reads as "not sent yet". Names,
 * numbers and the token go there, so plain http is for this machine only.
 */
function isSafe(text: string): boolean {
    return /^(https:\/\/[^\s/?#@\\]+|http:\/\/(127\.0\.0\.1|\[::1\]|localhost)(:[0-9]+)?)\/*$/i.test(text)
}
