/** Where a person stands with ALC, on the person's page. */
import {Extensions} from "attio/client"
import {AlcStatus} from "./alc-status"

export default Extensions.defineExtension({
    id: "alc-status",
    type: "record-widget",
    label: "ALC status",
    color: "#7a3ec9",
    objects: "people",
    Widget: ({recordId}) => <AlcStatus recordId={recordId} />,
})
