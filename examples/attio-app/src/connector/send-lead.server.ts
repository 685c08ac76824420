/** The button's server function. */
import {deliver, type Sent} from "./deliver"
import type {Person} from "./person"

export default async function sendLead(person: Person): Promise<Sent> {
    return deliver({person})
}
