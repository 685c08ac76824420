/** A selection of people: progress, one query and one request for each 250, and a summary that adds up. */
import assert from "node:assert/strict"
import {after, before, test} from "node:test"
import {Platform} from "./platform.mjs"
import {Proxy} from "./proxy.mjs"
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
    assert.match(summary.text, /1 × This can’t be sent to ALC as it is\. The phone number .+ \(Grace Hopper\)/)

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
    assert.equal(again.text, "Already with ALC: 2.")
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
    assert.equal(title, "It is not known of all whether they were sent")
    assert.match(text, /^On the way to ALC: 250\..+\nNot known: 50\. .+\n50 × The ALC connector does not answer\. /)
    assert.equal(batches().length, asked + 2, "the batch was tried once")

    await world.up()
    const [again] = (await attio.host.pressMany(recordIds)).shown
    assert.equal(again.title, "Handed over to ALC")
    const sent = (await world.alc.requestsOnce("create_lead", 300)).map(({body}) => JSON.parse(body).recordId)
    assert.deepEqual([sent.length, new Set(sent).size], [300, 300], "nobody twice")
})

test("an answer that is lost leaves it open who was sent; sending again sends nobody twice", async () => {
    await world.alc.put("DELETE", "requests")
    const recordIds = await crowd(520, 2_000)
    const asked = batches().length
    attio.onBatch = async (count) => (attio.losesAnswers = count === asked + 2)
    const [{title, text}] = (await attio.host.pressMany(recordIds)).shown
    attio.onBatch = null
    attio.losesAnswers = false
    assert.equal(title, "It is not known of all whether they were sent")
    assert.match(text, /^On the way to ALC: 250\..+\nNot known: 250\. Send them again: .+\n250 × .+\nLeft out: 20\./)

    await world.alc.requestsOnce("create_lead", 500)
    const [again] = (await attio.host.pressMany(recordIds)).shown
    assert.equal(again.title, "Handed over to ALC")
    const sent = (await world.alc.requestsOnce("create_lead", 520)).map(({body}) => JSON.parse(body).recordId)
    assert.deepEqual([sent.length, new Set(sent).size], [520, 520], "nobody twice")
})

test("what Attio itself does not do is not blamed on the connector", async () => {
    const recordIds = await crowd(2, 3_000)
    const asked = batches().length
    attio.failsQueries = true
    const unread = (await attio.host.pressMany(recordIds)).shown
    attio.failsQueries = false
    assert.deepEqual([unread.length, unread[0].title], [1, "Nobody was sent to ALC"])
    assert.match(unread[0].text, /^Left out: 2\.\n2 × Attio could not run this\. /)

    attio.failsFunctions = true
    const unrun = (await attio.host.pressMany(recordIds)).shown
    attio.failsFunctions = false
    assert.deepEqual([unrun.length, unrun[0].title], [1, "It is not known of all whether they were sent"])
    assert.match(unrun[0].text, /^Not known: 2\. .+\n2 × Attio could not run this\. /)
    assert.equal(batches().length, asked)
})

test("a second number that could not be asked for is not told as a wrong first one", async () => {
    const proxy = await Proxy.start(world.url)
    try {
        attio.host.settings = {serviceUrl: proxy.url}
        const recordIds = await crowd(2, 4_000)
        attio.people.set(recordIds[1], {
            recordId: recordIds[1],
            name: "Alan Turing",
            phoneNumbers: ["12", "+4915199999998"],
        })
        proxy.pages = [null, 503]
        const [{title, text}] = (await attio.host.pressMany(recordIds)).shown
        assert.equal(title, "It is not known of all whether they were sent")
        assert.match(
            text,
            /^On the way to ALC: 1\..+\nNot known: 1\. .+\n1 × The ALC connector does not answer\. .+\(Alan Turing\)$/
        )
        assert.equal(proxy.requests.length, 2)
    } finally {
        attio.host.settings = {}
        await proxy.stop()
    }
})
