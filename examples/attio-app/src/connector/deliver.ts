/**
 * Hands one person over to the connector.
 *
 * Promises to send the first number that the connector takes: which numbers are valid is the connector's to say, so each
 * is tried in Attio's order until one is not refused for itself. A refused number was neither stored nor sent.
 */
import {call} from "./call"
import {type Lead, leadSchema} from "./lead"
import type {Person} from "./person"
import {ownProblem, type Problem} from "./problem"

export type Sent = {took: "sent" | "already" | "waiting"; lead: Lead} | {problem: Problem}

export interface Delivery {
    person: Person
    idempotencyKey?: string
    finishCallbackUrl?: string
}

export async function deliver({person, idempotencyKey, finishCallbackUrl}: Delivery): Promise<Sent> {
    let refused: Problem | null = null
    for (const phoneNumber of person.phoneNumbers) {
        const body = {
            ...newLead(person, phoneNumber),
            ...(finishCallbackUrl && {finish_callback_url: finishCallbackUrl}),
        }
        const answer = await call({method: "POST", path: "/v1/leads", body, ...(idempotencyKey && {idempotencyKey})})
        if (!("problem" in answer)) return sentIn(answer.status, answer.body)
        if (!refusesNumber(answer.problem)) return answer
        refused ??= answer.problem
    }
    return {problem: refused ?? ownProblem("unreadable", "The person has no phone number.")}
}

export function newLead(person: Person, phoneNumber: string) {
    return {record_id: person.recordId, name: person.name, phone_number: phoneNumber}
}

/** Whether another number would do: nothing but this one is wrong. */
export function refusesNumber(problem: Pick<Problem, "slug" | "errors">): boolean {
    const aboutNumber = problem.errors.every(({pointer}) => pointer === "/phone_number")
    return problem.slug === "invalid-request" && problem.errors.length > 0 && aboutNumber
}

function sentIn(status: number, body: unknown): Sent {
    const lead = leadSchema.safeParse(body).data
    if (!lead) return {problem: ownProblem("unreadable", `The answer (${status}) is not the connector's.`)}
    return {took: status === 201 ? "sent" : status === 202 ? "waiting" : "already", lead}
}
