/**
 * Reads an answer that is no success.
 *
 * Promises to tell the connector's problem from a foreign answer, and a connector that is away from an address that is
 * wrong: the proxy in front of a connector that restarts says 502, 503 or 504 in words of its own.
 */
import {z} from "zod"
import {leadSchema} from "./lead"
import {ownProblem, type Problem} from "./problem"

const problemSchema = z.object({
    type: z.string().startsWith("/problems/"),
    detail: z.string(),
    request_id: z.string().optional(),
    errors: z.array(z.object({pointer: z.string(), detail: z.string()})).optional(),
    lead: leadSchema.optional(),
})

/** A gateway's statuses for a connector that it does not reach. */
const AWAY = [502, 503, 504]

export function problemIn(body: unknown, status: number, retryAfter: string | null): Problem {
    const read = problemSchema.safeParse(body).data
    const seconds = retryAfter && /^[0-9]+$/.test(retryAfter) ? Number(retryAfter) : null
    if (!read) return {...foreign(status), retryAfter: seconds}
    return {
        slug: read.type.slice("/problems/".length),
        detail: read.detail,
        requestId: read.request_id ?? null,
        retryAfter: seconds,
        errors: read.errors ?? [],
        lead: read.lead ?? null,
    }
}

function foreign(status: number): Problem {
    return AWAY.includes(status)
        ? ownProblem("unreachable", `The ALC connector is not reached (${status}).`)
        : ownProblem("unreadable", `The answer (${status}) is not the connector's.`)
}
