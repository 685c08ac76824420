/** How the step ends, and what the next step gets. ./configurator.tsx declares the same three to Attio. */
import {Workflows} from "attio/server"
import type {News} from "../../../connector/lead"

const personRecord = (recordId: string) => Workflows.OutcomeValue.attioRecord({recordId, object: "people"})

export function failedOutcome(recordId: string, reason: string, detail?: string) {
    const data = {record: personRecord(recordId), reason, ...(detail && {detail})}
    return {type: "outcome" as const, id: "failed", data}
}

export function outcomeOf(news: News) {
    const common = {record: personRecord(news.record_id), ...(news.lead_id && {lead_id: news.lead_id})}
    if (news.status === "complete") {
        return {type: "outcome" as const, id: "complete", data: {...common, result: news.result ?? ""}}
    }
    if (news.reason === "timed-out") return {type: "outcome" as const, id: "timed_out", data: common}
    return failedOutcome(news.record_id, news.reason ?? "failed")
}
