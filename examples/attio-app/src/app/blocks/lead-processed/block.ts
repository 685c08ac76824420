/** A workflow trigger: starts a run for each lead of the workspace that finishes, whoever sent it. */
import {Workflows} from "attio"

export default Workflows.defineWorkflowBlock({
    type: "trigger",
    id: "lead-processed",
    title: "Lead processed",
    description: "Starts when ALC has finished with a person, or a send has failed.",
    configSchema: Workflows.ConfigSchema.struct({}),
})
