/**
 * Why something was not done: the connector's own problems (RFC 9457, `x-problems` of its openapi.yaml), and those that
 * arise before it is asked. ../words/problems.ts says them to a person.
 */
import {z} from "zod"
import {type Lead, leadSchema} from "./lead"

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
export type Unasked = "not-connected" | "no-service-url" | "bad-service-url" | "unreachable" | "unreadable"

export function ownProblem(slug: Unasked, detail: string): Problem {
    return {slug, detail, requestId: null, retryAfter: null, errors: [], lead: null}
}

const problemSchema = z.object({
    type: z.string().startsWith("/problems/"),
    detail: z.string(),
    request_id: z.string().optional(),
    errors: z.array(z.object({pointer: z.string(), detail: z.string()})).optional(),
    lead: leadSchema.optional(),
})

/** The connector's problem in `body`; anything else, a proxy's page above all, is `unreadable`. */
export function problemIn(body: unknown, status: number, retryAfter: string | null): Problem {
    const read = problemSchema.safeParse(body).data
    const seconds = retryAfter && /^[0-9]+$/.test(retryAfter) ? Number(retryAfter) : null
    if (!read) {
        return {...ownProblem("unreadable", `The answer (${status}) is not the connector's.`), retryAfter: seconds}
    }
    return {
        slug: read.type.slice("/problems/".length),
        detail: read.detail,
        requestId: read.request_id ?? null,
        retryAfter: seconds,
        errors: read.errors ?? [],
        lead: read.lead ?? null,
    }
}

/** Whether the very same request may succeed a little later. */
export function isRetryable(problem: Problem): boolean {
    return problem.retryAfter !== null || problem.slug === "unreachable"
}
