/** What the connector is told of a connection: all that Attio says but the token, which goes where tokens go. */
import type {Connection} from "attio/server"
import {type Answer, call} from "./call"

export async function tell(event: "connection-added" | "connection-removed", connection: Connection): Promise<Answer> {
    const {value: token, ...rest} = connection
    return call({method: "POST", path: `/v1/events/${event}`, body: {connection: rest}, token})
}
