/**
 * The bulk action's server function: at most 250 people, in the order given.
 *
 * Promises one result for each person, or one problem for all. As with a single person, whose first number the connector
 * refuses is tried with the next: at most as many requests as the longest list of numbers, each answered within a second.
 */
import {z} from "zod"
import {call} from "./call"
import {newLead, refusesNumber} from "./deliver"
import {type Lead, leadSchema} from "./lead"
import type {Person} from "./person"
import {ownProblem, type Problem} from "./problem"
import {problemIn} from "./problem-in"

export type Result = {lead: Lead} | {problem: Problem}

const batchSchema = z.object({results: z.array(z.unknown())})
const refusedSchema = z.object({problem: z.object({status: z.number()}).passthrough()})

export default async function sendLeads(people: Array<Person>): Promise<{results: Array<Result>} | {problem: Problem}> {
    const results = new Map<number, Result>()
    let left = people.map((person, place) => ({person, place}))
    for (let round = 0; left.length > 0; round += 1) {
        const sent = await sendRound(left.map(({person}) => newLead(person, person.phoneNumbers[round] ?? "")))
        if ("problem" in sent) {
            // What an earlier round has handed over is handed over, so the rest must not be reported as all.
            if (round === 0) return sent
            // Nor does the first number's refusal tell any more why these people are not with ALC.
            for (const {place} of left) results.set(place, sent)
            break
        }
        left.forEach(({place}, at) => {
            const first = results.get(place)
            const result = sent.results[at] ?? {problem: ownProblem("unreadable", "The answer names too few people.")}
            // The words about the first number stay, if no other is taken either.
            if (!first || "lead" in result || !refusesNumber(result.problem)) results.set(place, result)
        })
        left = left.filter(({person, place}) => {
            const result = results.get(place)
            const refused = result && "problem" in result && refusesNumber(result.problem)
            return refused && round + 1 < person.phoneNumbers.length
        })
    }
    const missing: Result = {problem: ownProblem("unreadable", "The answer names too few people.")}
    return {results: people.map((_, place) => results.get(place) ?? missing)}
}

async function sendRound(
    leads: Array<ReturnType<typeof newLead>>
): Promise<{results: Array<Result>} | {problem: Problem}> {
    const answer = await call({method: "POST", path: "/v1/leads/batch", body: {leads}})
    if ("problem" in answer) return answer
    const items = batchSchema.safeParse(answer.body).data
    if (!items) return {problem: ownProblem("unreadable", `The answer (${answer.status}) is not the connector's.`)}
    return {results: items.results.map(resultIn)}
}

function resultIn(item: unknown): Result {
    const lead = leadSchema.safeParse(item).data
    if (lead) return {lead}
    const refused = refusedSchema.safeParse(item).data
    return {problem: problemIn(refused?.problem, refused?.problem.status ?? 0, null)}
}
