/** A person as the connector wants one, with every number that Attio knows. */
export interface Person {
    recordId: string
    name: string
    phoneNumbers: Array<string>
}
