/** From now on the connector calls the workflow's URL for each lead that finishes. */
import {Workflows} from "attio/server"
import {call} from "../../../connector/call"
import {problemLine} from "../../../words/problems"
import block from "./block"

export default Workflows.defineWorkflowBlockActivate(block, async ({metadata}) => {
    const answer = await call({
        method: "PUT",
        path: `/v1/triggers/${encodeURIComponent(metadata.uniqueActivationId)}`,
        body: {callback_url: metadata.triggerCallbackUrl},
    })
    return "problem" in answer ? {type: "error", errorMessage: problemLine(answer.problem)} : {type: "complete"}
})
