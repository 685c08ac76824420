/** What the connector is told of a connection: all that Attio says but the token, which goes where tokens go. */
import type {Connection} from "attio/server"
import {type Answer, call} from "./call"

type Event = "connection-added" | "connection-removed"

export async function tell(event: Event, connection: Connection, patience?: number): Promise<Answer> {
    const {value: token, ...rest} = connection
    const request = {method: "POST" as const, path: `/v1/events/${event}`, body: {connection: rest}, token}
    return call({...request, ...(patience && {patience})})
}
