/** The widget's server function: where one person stands; null if the person was never sent. */
import {call} from "./call"
import {type Lead, leadSchema} from "./lead"
import {ownProblem, type Problem} from "./problem"

export type Found = {lead: Lead | null} | {problem: Problem}

export default async function getLead(recordId: string): Promise<Found> {
    const answer = await call({method: "GET", path: `/v1/leads/${recordId}`})
    if ("problem" in answer) return answer.problem.slug === "not-found" ? {lead: null} : answer
    const lead = leadSchema.safeParse(answer.body).data
    return lead ? {lead} : {problem: ownProblem("unreadable", `The answer (${answer.status}) is not the connector's.`)}
}
