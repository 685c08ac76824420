/** The button: on a person's page and in the quick actions. */
import {Extensions} from "attio/client"
import {press} from "./press"

export default Extensions.defineExtension({
    id: "send-to-alc",
    type: "record-action",
    label: "Send to ALC",
    icon: "Send",
    objects: "people",
    onTrigger: ({recordId}) => press(recordId),
})
