/**
 * What a person sees when something was not done: one entry for each problem of the connector's openapi.yaml
 * (../../test/words.test.mjs fails on one without words) and for this app's own.
 *
 * Promises a title that says what is wrong and a text that says what to do, in the problem's own words where the person
 * can act on them.
 */
import type {Problem, Unasked} from "../connector/problem"

export interface Words {
    title: string
    text: string
}

type Entry = (problem: Problem) => Words

const RECONNECT =
    "An admin of the workspace connects it again: Workspace settings, Apps, this app, Connections. Then try again."

/** Nothing that a person at Attio can mend. */
const forOperator: Entry = (problem) => ({
    title: "Something went wrong in the ALC connector",
    text: `${sentence(problem.detail)} Tell the people who run the connector${reference(problem)}.`,
})

const forAdmin =
    (title: string): Entry =>
    (problem) => ({title, text: sentence(problem.detail)})

const later =
    (title: string, otherwise: string): Entry =>
    (problem) => ({title, text: `${otherwise} ${wait(problem)}`})

/** By slug; a `Record`, so that tests can hold it against the contract. */
export const WORDS: Record<string, Entry> = {
    "invalid-request": (problem) => ({
        title: "This can’t be sent to ALC as it is",
        text: `${rules(problem)} Correct it in Attio, then try again.`,
    }),
    unauthorized: () => ({
        title: "ALC has to be connected again",
        text: `Attio’s access to ALC has ended. ${RECONNECT}`,
    }),
    "connection-replaced": () => ({
        title: "ALC was connected anew",
        text: `Reload Attio, then try again. If this comes back: ${RECONNECT}`,
    }),
    forbidden: forOperator,
    "invalid-signature": forOperator,
    "not-found": (problem) => ({title: "ALC does not know this person", text: sentence(problem.detail)}),
    "method-not-allowed": forOperator,
    "workspace-mismatch": forAdmin("ALC is connected to another workspace"),
    "reauthorization-required": (problem) =>
        problem.lead
            ? {
                  title: "Will be sent once ALC is connected again",
                  text: `ALC no longer accepts this workspace. The person is stored and goes out by itself after that. ${RECONNECT.replace(" Then try again.", "")}`,
              }
            : {title: "ALC has to be connected again", text: `ALC no longer accepts this workspace. ${RECONNECT}`},
    "connection-not-ready": () => ({
        title: "ALC is not connected yet",
        text: `The connection is being made or taken away. Wait a minute, then try again. If this comes back: ${RECONNECT}`,
    }),
    "workspace-refused": forAdmin("This ALC connector serves another workspace"),
    "webhook-gone": forOperator,
    "payload-too-large": forOperator,
    "unsupported-media-type": forOperator,
    "lead-rejected": (problem) => ({
        title: "ALC refuses this person",
        text: `${sentence(problem.detail)} Correct the person’s data, then try again.`,
    }),
    "idempotency-key-reused": forOperator,
    "too-many-callbacks": forAdmin("Too many workflows wait for ALC"),
    "workspace-connection-required": forAdmin("ALC must be connected for the whole workspace"),
    "connect-refused": (problem) => ({
        title: "ALC could not be connected",
        text: `${sentence(problem.detail)} When that is mended, connect again.`,
    }),
    "too-many-requests": later(
        "Too much at once",
        "This workspace asks the ALC connector too often; nothing was sent."
    ),
    "internal-error": forOperator,
    "upstream-failed": (problem) => ({
        title: "ALC could not be connected",
        text: `${sentence(problem.detail)} Nothing was changed. Connect again in a minute.`,
    }),
    "store-unavailable": later(
        "The ALC connector can’t take anything now",
        "A person already on the way to ALC is not sent twice."
    ),
    // Only an operator's probe is answered these two.
    "loop-stalled": forOperator,
    stopping: later("The ALC connector is being restarted", "Nothing is lost by that."),
    timeout: (problem) => ({title: "It took too long", text: sentence(problem.detail)}),
}

export const OWN_WORDS: Record<Unasked, Entry> = {
    "not-connected": () => ({
        title: "ALC is not connected",
        text: RECONNECT.replace("connects it again", "connects it"),
    }),
    "no-service-url": () => ({
        title: "The ALC connector’s address is missing",
        text: "An admin enters it in this app’s settings: the https:// address under which the connector runs.",
    }),
    "bad-service-url": () => ({
        title: "The ALC connector’s address is wrong",
        text: "An admin corrects it in this app’s settings: it begins with https://.",
    }),
    unreachable: () => ({
        title: "The ALC connector does not answer",
        text: "Try again in a minute: a person already on the way to ALC is not sent twice. If it goes on, tell the people who run the connector.",
    }),
    "attio-failed": () => ({
        title: "Attio could not run this",
        text: "Try again in a minute: a person already on the way to ALC is not sent twice.",
    }),
    unreadable: (problem) => ({
        title: "The ALC connector’s answer can’t be read",
        text: `${sentence(problem.detail)} Check its address in this app’s settings, or try again in a minute.`,
    }),
}

export function problemWords(problem: Problem): Words {
    const entries: Record<string, Entry> = {...WORDS, ...OWN_WORDS}
    // A connector newer than this app may have problems that it does not know: its detail says what to do.
    return (entries[problem.slug] ?? forOperator)(problem)
}

/** The same in one piece, where Attio shows but one: an error of an event or of a workflow. */
export function problemLine(problem: Problem): string {
    const {title, text} = problemWords(problem)
    return `${title}. ${text}`
}

const FIELDS: Record<string, string> = {
    "/name": "The name",
    "/phone_number": "The phone number",
    "/record_id": "The record",
}

function rules(problem: Problem): string {
    if (problem.errors.length === 0) return sentence(problem.detail)
    return problem.errors.map(({pointer, detail}) => sentence(`${FIELDS[pointer] ?? pointer} ${detail}`)).join(" ")
}

function wait({retryAfter}: Problem): string {
    if (retryAfter === null) return "Try again in a minute."
    return `Try again in ${retryAfter} ${retryAfter === 1 ? "second" : "seconds"}.`
}

function reference({requestId}: Problem): string {
    return requestId ? ` and give them this: ${requestId}` : ""
}

export function sentence(text: string): string {
    const trimmed = text.trim()
    const first = trimmed.charAt(0).toUpperCase() + trimmed.slice(1)
    return /[.!?]$/.test(first) ? first : `${first}.`
}
