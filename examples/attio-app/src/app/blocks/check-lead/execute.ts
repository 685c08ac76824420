/**
 * Sends the person, and defers: the connector calls `finishCallbackUrl` when ALC is done.
 *
 * Promises that Attio's own repeats of this step send nobody twice, as the run's id is the idempotency key, and that the
 * step waits only where the connector has stored the lead and will call.
 */
import {Workflows} from "attio/server"
import {readPerson} from "../../../attio/read-person"
import {deliver} from "../../../connector/deliver"
import {isRetryable} from "../../../connector/problem"
import {problemLine} from "../../../words/problems"
import block from "./block"
import {failedOutcome} from "./outcomes"

export default Workflows.defineWorkflowBlockExecute(block, async ({config, metadata}) => {
    const {recordId, object} = config.record
    if (object !== "people") return {type: "error", errorMessage: "ALC takes people only: choose a person record."}
    const read = await readPerson(recordId)
    if ("error" in read) return {type: "error", errorMessage: read.error, retryable: read.retryable}
    const phoneNumbers = config.phone ? [config.phone.normalized] : read.person.phoneNumbers
    const missing = !read.person.name ? "name" : phoneNumbers.length === 0 ? "phone number" : null
    if (missing) return {type: "error", errorMessage: `The person has no ${missing}: enter one, then run this again.`}
    const sent = await deliver({
        person: {...read.person, phoneNumbers},
        idempotencyKey: metadata.uniqueExecutionId,
        finishCallbackUrl: metadata.finishCallbackUrl,
    })
    if (!("problem" in sent)) return {type: "defer"}
    const {problem} = sent
    // Refused, but kept: it goes out after ALC is connected again, and the call comes then.
    if (problem.lead?.status === "queued") return {type: "defer"}
    // This run has sent the person before, and the name or the number was edited since: the call for that send comes.
    if (problem.slug === "idempotency-key-reused") return {type: "defer"}
    if (problem.slug === "lead-rejected") return failedOutcome(recordId, "rejected", problem.detail)
    return {type: "error", errorMessage: problemLine(problem), retryable: isRetryable(problem)}
})
