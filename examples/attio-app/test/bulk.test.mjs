/** A selection of people: progress, one query and one request for each 250, and a summary that adds up. */
import assert from "node:assert/strict"
import {after, before, test} from "node:test"
import {Platform} from "./platform.mjs"
import {World} from "./world.mjs"

let world
let attio
const batches = () => attio.requests.filter(({path}) => path === "/v1/leads/batch")

before(async () => {
    world = await World.start()
    attio = new Platform(world)
    await attio.connect()
})

after(() => world.stop())

/** Adds people with numbers of their own. */
async function crowd(count, from) {
    const number = (at) => `+4915112${String(from + at).padStart(6, "0")}`
    return Promise.all(Array.from({length: count}, (_, at) => world.addPerson(`Person ${from + at}`, number(at))))
}

test("600 people go out in three requests; those left out are named, with why", async () => {
    const recordIds = await crowd(600, 0)
    attio.people.set(recordIds[3], {recordId: recordIds[3], name: "Ada Lovelace", phoneNumbers: []})
    attio.people.set(recordIds[300], null)
    attio.people.set(recordIds[301], {recordId: recordIds[301], name: "Grace Hopper", phoneNumbers: ["12"]})
    attio.people.set(recordIds[599], {
        recordId: recordIds[599],
        name: "Alan Turing",
        phoneNumbers: ["12", "+4915199999999"],
    })

    const {shown, progress} = await attio.host.pressMany(recordIds)
    assert.deepEqual(
        progress.map(({title, text}) => text ?? title),
        ["Preparing to send to ALC…", "250 of 600", "500 of 600", "600 of 600", "600 of 600"]
    )
    const [summary] = shown
    assert.equal(shown.length, 1)
    assert.equal(summary.title, "Some were left out")
    const lines = summary.text.split("\n")
    assert.deepEqual(lines.slice(0, 2), ["On the way to ALC: 597. They go out one after the other.", "Left out: 3."])
    assert.ok(lines.includes("1 × No phone number. (Ada Lovelace)"), summary.text)
    assert.ok(lines.includes("1 × The record can’t be found."), summary.text)
    assert.match(summary.text, /1 × The phone number .+ \(Grace Hopper\)/)

    // Alan's second number costs the third batch another request.
    assert.deepEqual(
        batches().map(({body, status}) => [JSON.parse(body).leads.length, status]),
        [
            [249, 202],
            [249, 202],
            [100, 202],
            [1, 202],
        ]
    )
    assert.equal(attio.queries.length, 3, "one query for each 250")
    const sent = (await world.alc.requestsOnce("create_lead", 597)).map(({body}) => JSON.parse(body))
    assert.equal(new Set(sent.map(({recordId}) => recordId)).size, 597, "each of them once")
    assert.equal(sent.find(({recordId}) => recordId === recordIds[599]).phoneNumber, "+4915199999999")
    await world.showsSoon(recordIds[599], "Pending")

    const [again] = (await attio.host.pressMany([recordIds[0], recordIds[599]])).shown
    assert.match(again.text, /Already with ALC: 2\./)
})

test("a connector that takes nothing stops the run, and all who were not tried are counted", async () => {
    await world.alc.put("DELETE", "requests")
    const recordIds = await crowd(300, 1_000)
    const asked = batches().length
    attio.onBatch = async (count) => count === asked + 2 && (await world.down())
    const {shown, progress} = await attio.host.pressMany(recordIds)
    attio.onBatch = null
    assert.equal(progress.at(-1).title, "Stopped")
    const [{title, text}] = shown
    assert.equal(title, "Some were left out")
    assert.match(text, /^On the way to ALC: 250\..+\nLeft out: 50\.\n50 × The ALC connector does not answer\. /)
    assert.equal(batches().length, asked + 2, "the batch was tried once")

    await world.up()
    const [again] = (await attio.host.pressMany(recordIds)).shown
    assert.equal(again.title, "Handed over to ALC")
    const sent = (await world.alc.requestsOnce("create_lead", 300)).map(({body}) => JSON.parse(body).recordId)
    assert.deepEqual([sent.length, new Set(sent).size], [300, 300], "nobody twice")
})
