/**
 * Why something was not done: the connector's own problems (RFC 9457, `x-problems` of its openapi.yaml), and those that
 * arise before it is asked. ../words/problems.ts says them to a person.
 */
import type {Lead} from "./lead"

export interface Problem {
    /** The end of the connector's `type`, or one of this app's own (see `Unasked`). */
    slug: string
    detail: string
    /** Which request of the connector it was; its log has the rest. */
    requestId: string | null
    /** Seconds after which the connector wants the same request again. */
    retryAfter: number | null
    errors: Array<{pointer: string; detail: string}>
    /** Set where the connector keeps the lead although it refuses the request. */
    lead: Lead | null
}

/** This app's own problems: the connector was not asked, or what came was not its answer. */
export type Unasked =
    "not-connected" | "no-service-url" | "bad-service-url" | "unreachable" | "unreadable" | "attio-failed"

export function ownProblem(slug: Unasked, detail: string): Problem {
    return {slug, detail, requestId: null, retryAfter: null, errors: [], lead: null}
}

/** Attio has run neither the query nor the server function to its end. */
export const ATTIO_FAILED = ownProblem("attio-failed", "Attio could not run this.")

/** Whether the very same request may succeed a little later. */
export function isRetryable(problem: Problem): boolean {
    return problem.retryAfter !== null || problem.slug === "unreachable"
}

/** After these the connector may have stored what it was sent: its own answer was lost, or the store's answer to it. */
const UNCERTAIN = ["unreachable", "unreadable", "attio-failed", "internal-error", "store-unavailable", "timeout"]

export function leavesOpen(problem: Problem): boolean {
    return UNCERTAIN.includes(problem.slug)
}
