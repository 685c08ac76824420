/**
 * One press of the button, for the demo: the connection and the person come on standard input as JSON; what the person
 * sees and what the app asks the connector go to standard output, a line of JSON each, as it happens.
 */
import {text} from "node:stream/consumers"
import {Host} from "./host.mjs"

const {connection, person} = JSON.parse(await text(process.stdin))
const tell = (line) => process.stdout.write(`${JSON.stringify(line)}\n`)

const host = new Host({
    connection: async () => connection,
    people: async (recordIds) => recordIds.map((recordId) => (recordId === person.recordId ? person : null)),
    onShow: (shown) => tell({shown}),
    onRequest: ({status, id, ...request}) => tell(status === null ? {begun: {id, ...request}} : {ended: {id, status}}),
})

await host.press(person.recordId)
