/** What a workspace may set: where the connector is, where that differs from what its token says (see ../../connector/call.ts). */
import {Settings} from "attio"

export default Settings.defineWorkspaceSchema({
    serviceUrl: Settings.Schema.string(),
})
