/**
 * What a person sees of a lead: the button's toasts and the widget.
 *
 * Promises for each state what it is, since when, and what to do where there is something to do. The connector tells when
 * a person was pressed and when its lead last changed, which each try to show it in Attio does; when ALC got or finished
 * it, is not told.
 */
import type {Sent} from "../connector/deliver"
import type {Found} from "../connector/get-lead.server"
import type {Lead} from "../connector/lead"
import {problemWords, sentence, type Words} from "./problems"

export interface ToastWords extends Words {
    variant: "success" | "neutral"
}

export function sentWords({took, lead}: Extract<Sent, {lead: Lead}>, name: string): ToastWords {
    switch (took) {
        case "sent":
            return {
                variant: "success",
                title: "Sent to ALC",
                text: `${name} is with ALC; the result will show on the record.`,
            }
        case "waiting":
            return {
                variant: "neutral",
                title: "Will be sent as soon as ALC answers",
                text: `ALC does not answer just now. ${name} is stored and goes out by itself; no need to press again.`,
            }
        case "already":
            return lead.status === "queued"
                ? {variant: "neutral", title: "Already on the way to ALC", text: "It goes out as soon as ALC answers."}
                : {
                      variant: "neutral",
                      title: "Already with ALC",
                      text: `${name} was sent before; the result is still to come.`,
                  }
    }
}

const REASONS: Record<string, {what: string; todo: string}> = {
    rejected: {what: "ALC refuses this person", todo: "Correct the person’s data, then press Send to ALC again."},
    "not-sent": {what: "ALC could not be reached in time", todo: "Press Send to ALC again."},
    "timed-out": {what: "ALC never answered", todo: "Press Send to ALC again, or ask ALC."},
    superseded: {what: "Sent again under another record", todo: "Nothing to do: the newer one counts."},
    "record-deleted": {what: "The record was deleted", todo: "Nothing to do."},
    "no-phone-number": {
        what: "The person has no valid phone number",
        todo: "Add one, then press Send to ALC, or take the person out of the list and put them in again.",
    },
    "no-name": {
        what: "The person has no name",
        todo: "Add one, then press Send to ALC, or take the person out of the list and put them in again.",
    },
    disconnected: {what: "ALC was disconnected", todo: "Connect ALC again, then press Send to ALC again."},
}

export function reasonWords(reason: string | null): {what: string; todo: string} {
    return REASONS[reason ?? ""] ?? {what: `Failed: ${reason ?? "unknown"}`, todo: "Press Send to ALC again."}
}

/** A send that ended while the button waited for it. */
export function failedWords(lead: Lead): Words {
    const {what, todo} = reasonWords(lead.reason)
    return {title: what, text: todo}
}

export interface WidgetWords {
    badge: {text: string; color: "grey" | "amber" | "green" | "red"}
    primary: string
    secondary: string
}

export function widgetWords(found: Found, now: Date): WidgetWords {
    if ("problem" in found) {
        const {title, text} = problemWords(found.problem)
        return {badge: {text: "Unknown", color: "grey"}, primary: title, secondary: text}
    }
    if (!found.lead) {
        return {
            badge: {text: "Not sent", color: "grey"},
            primary: "Not sent to ALC yet",
            secondary: "Press Send to ALC.",
        }
    }
    const lead = found.lead
    const {badge, primary, since, todo} = stateWords(lead, now)
    const trouble = lead.last_error ? sentence(lead.last_error) : ""
    const shown =
        lead.attio === "failed" ? "Attio does not take the status: an admin looks at the attributes of People." : ""
    return {badge, primary, secondary: [since, trouble, shown, todo].filter(Boolean).join(" ")}
}

function stateWords(lead: Lead, now: Date): Pick<WidgetWords, "badge" | "primary"> & {since: string; todo: string} {
    switch (lead.status) {
        case "queued":
            return {
                badge: {text: "Waiting", color: "amber"},
                primary: "Waiting for ALC to answer",
                since: `Pressed ${ago(lead.created_at, now)}.`,
                todo: "It goes out by itself.",
            }
        case "pending":
            return {
                badge: {text: "Pending", color: "amber"},
                primary: "With ALC",
                since: `Pressed ${ago(lead.created_at, now)}.`,
                todo: "",
            }
        case "complete":
            return {
                badge: {text: "Complete", color: "green"},
                primary: lead.result ?? "Complete",
                since: `Last change ${ago(lead.updated_at, now)}.`,
                todo: "",
            }
        case "failed": {
            const {what, todo} = reasonWords(lead.reason)
            return {
                badge: {text: "Failed", color: "red"},
                primary: what,
                since: `Last change ${ago(lead.updated_at, now)}.`,
                todo,
            }
        }
    }
}

const UNITS: Array<[number, string]> = [
    [86_400, "day"],
    [3_600, "hour"],
    [60, "minute"],
]

export function ago(at: string, now: Date): string {
    const seconds = (now.getTime() - Date.parse(at)) / 1_000
    for (const [length, unit] of UNITS) {
        const count = Math.floor(seconds / length)
        if (count >= 1) return `${count} ${unit}${count === 1 ? "" : "s"} ago`
    }
    return "just now"
}
