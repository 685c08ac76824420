/** Turns the connector's call into an outcome; whatever else comes to the URL changes nothing. */
import {Workflows} from "attio/server"
import {newsIn} from "../../../connector/lead"
import block from "./block"
import {outcomeOf} from "./outcomes"

export default Workflows.defineWorkflowBlockFinish(block, async (request) => {
    const news = await newsIn(request)
    return news ? outcomeOf(news) : {type: "no-op"}
})
