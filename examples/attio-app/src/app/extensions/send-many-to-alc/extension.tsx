/** The same for a selection of people. */
import {Extensions} from "attio/client"
import {sendMany} from "./send-many"

export default Extensions.defineExtension({
    id: "send-many-to-alc",
    type: "bulk-record-action",
    label: "Send to ALC",
    icon: "Send",
    objects: "people",
    onTrigger: ({runRecordBatches}) => sendMany(runRecordBatches),
})
