import {Workflows} from "attio/client"
import block from "./block"

const {attioRecord, string} = Workflows.OutcomeSchema

export default Workflows.defineConfigurator(block, (workflowBlock) => {
    const {AttioRecordInput, PhoneNumberInput, Outcome} = Workflows.useConfigurator(workflowBlock)
    return (
        <>
            <AttioRecordInput name="record" label="Person" objectSlug="people" />
            <PhoneNumberInput name="phone" label="Phone number" help="Empty: the person’s own numbers." />
            <Outcome
                id="complete"
                label="ALC has finished"
                schema={{record: attioRecord(), result: string(), lead_id: string().optional()}}
            />
            <Outcome
                id="failed"
                label="Failed"
                schema={{record: attioRecord(), reason: string(), detail: string().optional()}}
            />
            <Outcome
                id="timed_out"
                label="ALC never answered"
                schema={{record: attioRecord(), lead_id: string().optional()}}
            />
        </>
    )
})
