/** A finished lead starts a run; whatever else comes to the URL starts none. */
import {Workflows} from "attio/server"
import {newsIn} from "../../../connector/lead"
import block from "./block"

export default Workflows.defineWorkflowBlockTrigger(block, async (request) => {
    const news = await newsIn(request)
    if (!news) return {type: "no-op"}
    const data = {
        record: Workflows.OutcomeValue.attioRecord({recordId: news.record_id, object: "people"}),
        status: news.status,
        ...(news.result && {result: news.result}),
        ...(news.reason && {reason: news.reason}),
        ...(news.lead_id && {lead_id: news.lead_id}),
    }
    return {type: "outcome", id: "processed", data}
})
