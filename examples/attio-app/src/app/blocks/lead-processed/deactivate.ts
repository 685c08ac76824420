/**
 * The connector calls no more.
 *
 * Without a connection there is nobody to ask and nothing to wait for: a call to the URL of a workflow that is off gets
 * a 404, with which the connector ends it. An error here would leave a workflow that can't be switched off.
 */
import {Workflows} from "attio/server"
import {call} from "../../../connector/call"
import {problemLine} from "../../../words/problems"
import block from "./block"

export default Workflows.defineWorkflowBlockDeactivate(block, async ({metadata}) => {
    const path = `/v1/triggers/${encodeURIComponent(metadata.uniqueActivationId)}`
    const answer = await call({method: "DELETE", path})
    if (!("problem" in answer) || answer.problem.slug === "not-connected") return {type: "complete"}
    return {type: "error", errorMessage: problemLine(answer.problem)}
})
