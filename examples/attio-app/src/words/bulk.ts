/**
 * The summary at the end of a bulk: how many are with ALC, how many on the way, of whom it is not known, whom it left out,
 * and why.
 *
 * Promises that the four add up to what was selected, and to call nobody left out whom the connector may have stored.
 */
import type {Lead} from "../connector/lead"
import {leavesOpen, type Problem} from "../connector/problem"
import type {Result} from "../connector/send-leads.server"
import {reasonWords} from "./leads"
import {problemLine, sentence, type Words} from "./problems"

/** Names shown for one reason; the rest is counted. */
const NAMES = 5

export class Tally {
    private withAlc = 0
    private onTheWay = 0
    private stopped = false
    private readonly leftOut = new Reasons()
    private readonly notKnown = new Reasons()

    add(result: Result, name: string): void {
        if ("problem" in result) this.refuse(result.problem, name)
        else this.addLead(result.lead, name)
    }

    private addLead(lead: Lead, name: string): void {
        if (lead.status === "queued") this.onTheWay += 1
        else if (lead.status === "failed") this.leaveOut(reasonWords(lead.reason).what, name)
        else this.withAlc += 1
    }

    leaveOut(why: string, name: string | null): void {
        this.leftOut.add(why, name)
    }

    /** People whom the connector was asked to take, `count` of them, and did not say that it took. */
    refuse(problem: Problem, name: string | null, count = 1): void {
        const reasons = leavesOpen(problem) ? this.notKnown : this.leftOut
        reasons.add(problemLine(problem), name, count)
    }

    private counted(): number {
        return this.withAlc + this.onTheWay + this.notKnown.count + this.leftOut.count
    }

    /** The run has stopped at `problem`: what else was selected was never tried. */
    stop(problem: Problem, selected: number): void {
        this.stopped = true
        const rest = selected - this.counted()
        if (rest > 0) this.leftOut.add(problemLine(problem), null, rest)
    }

    words(): Words {
        const {onTheWay, withAlc, notKnown, leftOut} = this
        const lines = [
            ...(onTheWay > 0 ? [`On the way to ALC: ${onTheWay}. They go out one after the other.`] : []),
            ...(withAlc > 0 ? [`Already with ALC: ${withAlc}.`] : []),
            ...(notKnown.count > 0 ? [`Not known: ${notKnown.count}. ${AGAIN}`, ...notKnown.lines()] : []),
            ...(leftOut.count > 0 ? [`Left out: ${leftOut.count}.`, ...leftOut.lines()] : []),
        ]
        return {title: this.title(), text: lines.join("\n")}
    }

    private title(): string {
        if (this.notKnown.count > 0) return "It is not known of all whether they were sent"
        if (this.leftOut.count === 0) return "Handed over to ALC"
        if (this.leftOut.count === this.counted()) return "Nobody was sent to ALC"
        return this.stopped ? "Stopped before all were sent" : "Some were left out"
    }
}

const AGAIN = "Send them again: a person already on the way to ALC is not sent twice."

/** How many for which reason, some of them by name. */
class Reasons {
    private readonly entries = new Map<string, {count: number; names: Array<string>}>()

    add(why: string, name: string | null, count = 1): void {
        const entry = this.entries.get(why) ?? {count: 0, names: []}
        entry.count += count
        if (name && entry.names.length < NAMES) entry.names.push(name)
        this.entries.set(why, entry)
    }

    get count(): number {
        return [...this.entries.values()].reduce((sum, {count}) => sum + count, 0)
    }

    lines(): Array<string> {
        return [...this.entries].map(([why, {count, names}]) => `${count} × ${sentence(why)}${listed(names, count)}`)
    }
}

function listed(names: Array<string>, count: number): string {
    if (names.length === 0) return ""
    const more = count - names.length
    return ` (${names.join(", ")}${more > 0 ? ` and ${more} more` : ""})`
}
