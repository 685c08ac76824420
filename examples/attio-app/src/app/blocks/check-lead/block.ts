/** A workflow step: sends a person to ALC and goes on once ALC has finished. */
import {Workflows} from "attio"

export default Workflows.defineWorkflowBlock({
    type: "step",
    id: "check-lead",
    title: "Check lead with ALC",
    description: "Sends a person to ALC and waits for the result.",
    configSchema: Workflows.ConfigSchema.struct({
        record: Workflows.ConfigSchema.attioRecord(),
        phone: Workflows.ConfigSchema.phoneNumber().optional(),
    }),
})
