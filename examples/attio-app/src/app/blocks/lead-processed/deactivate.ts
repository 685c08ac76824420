/**
 * The connector calls no more.
 *
 * Without a connection there is no token to ask with, and an error would leave a workflow that can't be switched off. The
 * trigger then stays at the connector, until it forgets the workspace; should the workspace connect again before that,
 * each call for a lead gets Attio's 404 and ends, and starts nothing.
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
