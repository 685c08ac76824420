import {Workflows} from "attio/client"
import block from "./block"

const {attioRecord, string, stringEnum} = Workflows.OutcomeSchema

export default Workflows.defineConfigurator(block, (workflowBlock) => {
    const {Outcome} = Workflows.useConfigurator(workflowBlock)
    return (
        <Outcome
            id="processed"
            label="Lead processed"
            schema={{
                record: attioRecord(),
                status: stringEnum(["complete", "failed"]),
                result: string().optional(),
                reason: string().optional(),
                lead_id: string().optional(),
            }}
        />
    )
})
