/**
 * The summary at the end of a bulk: how many are with ALC, how many on the way, whom it left out and why.
 *
 * Promises that the three add up to what was selected.
 */
import type {Lead} from "../connector/lead"
import type {Problem} from "../connector/problem"
import type {Result} from "../connector/send-leads.server"
import {reasonWords} from "./leads"
import {problemWords, sentence, type Words} from "./problems"

/** Names shown for one reason; the rest is counted. */
const NAMES = 5

export class Tally {
    private withAlc = 0
    private onTheWay = 0
    private readonly leftOut = new Map<string, {count: number; names: Array<string>}>()

    add(result: Result, name: string): void {
        if ("problem" in result) this.leaveOut(problemWords(result.problem).text, name)
        else this.addLead(result.lead, name)
    }

    private addLead(lead: Lead, name: string): void {
        if (lead.status === "queued") this.onTheWay += 1
        else if (lead.status === "failed") this.leaveOut(reasonWords(lead.reason).what, name)
        else this.withAlc += 1
    }

    leaveOut(why: string, name: string | null, count = 1): void {
        const entry = this.leftOut.get(why) ?? {count: 0, names: []}
        entry.count += count
        if (name && entry.names.length < NAMES) entry.names.push(name)
        this.leftOut.set(why, entry)
    }

    private counted(): number {
        const out = [...this.leftOut.values()].reduce((sum, {count}) => sum + count, 0)
        return this.withAlc + this.onTheWay + out
    }

    /** What was selected and never tried, as the run has stopped at `problem`. */
    stop(problem: Problem, selected: number): void {
        const rest = selected - this.counted()
        const {title, text} = problemWords(problem)
        if (rest > 0) this.leaveOut(`${sentence(title)} ${text}`, null, rest)
    }

    words(): Words {
        const out = this.counted() - this.withAlc - this.onTheWay
        const lines = [
            `On the way to ALC: ${this.onTheWay}. They go out one after the other.`,
            ...(this.withAlc > 0 ? [`Already with ALC: ${this.withAlc}.`] : []),
            ...(out > 0 ? [`Left out: ${out}.`] : []),
            ...[...this.leftOut].map(([why, {count, names}]) => `${count} × ${sentence(why)}${listed(names, count)}`),
        ]
        const title =
            out === 0 ? "Handed over to ALC" : out === this.counted() ? "Nobody was sent to ALC" : "Some were left out"
        return {title, text: lines.join("\n")}
    }
}

function listed(names: Array<string>, count: number): string {
    if (names.length === 0) return ""
    const more = count - names.length
    return ` (${names.join(", ")}${more > 0 ? ` and ${more} more` : ""})`
}
