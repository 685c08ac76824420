/** The life of a lead as a person at Attio sees it: the built app against a real connector. */
import assert from "node:assert/strict"
import {after, before, test} from "node:test"
import React from "react"
import {act, create} from "react-test-renderer"
import {Platform} from "./platform.mjs"
import {until, World} from "./world.mjs"

globalThis.IS_REACT_ACT_ENVIRONMENT = true
// The renderer says that it is deprecated, though no other works without a browser; and that a server function's answer
// came outside of an `act`, as answers do.
const complain = console.error
const noise = /react-test-renderer is deprecated|not wrapped in act/
console.error = (...words) => noise.test(words[0]) || complain(...words)

const NUMBER = "+4915112345678"
let world
let attio
const titles = (shown) => shown.map(({kind, title}) => `${kind}: ${title}`)
const PREPARING = ["toast: Preparing to send to ALC…", "hidden: Preparing to send to ALC…"]

before(async () => {
    world = await World.start()
    attio = new Platform(world)
})

after(async () => {
    await world.stop()
    const told = attio.host.console.join("\n")
    assert.doesNotMatch(told, /Lovelace|Hopper|49151|eyJ/, "the app's log names nobody")
})

test("before anything is connected, a press says what to do", async () => {
    const recordId = await world.addPerson("Ada Lovelace", NUMBER)
    const shown = await attio.host.press(recordId)
    assert.deepEqual(titles(shown), [...PREPARING, "alert: ALC is not connected"])
    assert.equal(attio.requests.length, 0)
})

test("connecting goes through the connector, and registers one webhook at ALC", async () => {
    await attio.connect()
    const {path, body, status} = attio.requests.at(-1)
    assert.deepEqual([path, status], ["/v1/events/connection-added", 201])
    assert.ok(!body.includes(attio.connection.value), "the token is in no body")
    assert.equal((await world.webhooks()).length, 1)
})

test("press, Pending, ALC's answer, Complete; a second press sends nothing; the widget follows", async () => {
    const recordId = await world.addPerson("Ada Lovelace", NUMBER)
    const widget = await render(attio, recordId)
    assert.deepEqual(widget.words(), {
        badge: "Not sent",
        primary: "Not sent to ALC yet",
        secondary: "Press Send to ALC.",
    })

    const shown = await act(() => attio.host.press(recordId))
    assert.deepEqual(titles(shown), [...PREPARING, "toast: Sent to ALC"])
    assert.equal(shown.at(-1).variant, "success")
    assert.match(shown.at(-1).text, /^Ada Lovelace /)
    await world.showsSoon(recordId, "Pending")
    await widget.saysSoon("Badge", "Pending")

    assert.deepEqual(titles(await act(() => attio.host.press(recordId))), [...PREPARING, "toast: Already with ALC"])
    assert.equal((await world.sentToAlc(recordId)).length, 1, "ALC got the person once")

    await world.alcAnswers(recordId, "qualified")
    await world.showsSoon(recordId, "Complete")
    await world.showsSoon(recordId, "qualified", "alc_result")
    await widget.click()
    await widget.saysSoon("Primary", "qualified")
    assert.equal(widget.words().badge, "Complete")
})

test("a person who can't be sent is not sent, and the alert says why", async () => {
    const sentBefore = attio.requests.length
    const cases = [
        [{name: "Grace Hopper", phoneNumbers: []}, "This person has no phone number"],
        [{name: " ", phoneNumbers: [NUMBER]}, "This person has no name"],
        [null, "This person can’t be found"],
    ]
    for (const [person, title] of cases) {
        const recordId = await world.addPerson("Grace Hopper", NUMBER)
        attio.people.set(recordId, person && {recordId, ...person})
        assert.deepEqual(titles(await attio.host.press(recordId)), [...PREPARING, `alert: ${title}`])
    }
    assert.equal(attio.requests.length, sentBefore, "the connector was not asked")
})

test("of several numbers the first that the connector takes goes to ALC", async () => {
    const recordId = await world.addPerson("Grace Hopper", NUMBER)
    attio.people.set(recordId, {
        recordId,
        name: "Grace Hopper",
        phoneNumbers: ["12", "+49 30 1", "+44 7400 123456", NUMBER],
    })
    assert.deepEqual(titles(await attio.host.press(recordId)), [...PREPARING, "toast: Sent to ALC"])
    assert.deepEqual(
        (await world.sentToAlc(recordId)).map(({phoneNumber}) => phoneNumber),
        ["+447400123456"]
    )

    const nobody = await world.addPerson("Grace Hopper", NUMBER)
    attio.people.set(nobody, {recordId: nobody, name: "Grace Hopper", phoneNumbers: ["12", "34"]})
    const [alert] = (await attio.host.press(nobody)).slice(-1)
    assert.equal(alert.title, "This can’t be sent to ALC as it is")
    assert.match(alert.text, /^The phone number .+ Correct it in Attio, then try again\.$/)
})

test("an hour later Attio has refreshed the token, and the press goes through", async () => {
    const recordId = await world.addPerson("Grace Hopper", NUMBER)
    attio.hourPasses()
    attio.refreshes = false
    const [alert] = (await attio.host.press(recordId)).slice(-1)
    assert.equal(alert.title, "ALC has to be connected again", "an expired token is refused")
    attio.refreshes = true
    assert.deepEqual(titles(await attio.host.press(recordId)), [...PREPARING, "toast: Sent to ALC"])
    assert.equal(attio.refreshed, 1)
})

test("a user's own connection is ignored", async () => {
    const asked = attio.requests.length
    const mine = {...attio.connection, ownedBy: {type: "user", id: "me"}}
    await attio.host.event("connection-added", mine)
    await attio.host.event("connection-removed", mine)
    assert.equal(attio.requests.length, asked)
})

test("the settings' address goes before the token's, and must be https", async () => {
    const recordId = await world.addPerson("Grace Hopper", NUMBER)
    const asked = attio.requests.length
    for (const [serviceUrl, title] of [
        ["http://connector.example.com", "The ALC connector’s address is wrong"],
        ["connector.example.com", "The ALC connector’s address is wrong"],
        ["http://127.0.0.1.example.com", "The ALC connector’s address is wrong"],
        ["https://127.0.0.1@connector.example.com", "The ALC connector’s address is wrong"],
        // Whatever the connector is asked for under a path, it answers "not found", which reads as "never sent".
        [`${world.url}/v1`, "The ALC connector’s address is wrong"],
        [`${world.url}?`, "The ALC connector’s address is wrong"],
        ["https://127.0.0.1:1", "The ALC connector does not answer"],
        ["http://127.0.0.1:1", "The ALC connector does not answer"],
        // Not a connector at all.
        [world.alc.url, "The ALC connector’s answer can’t be read"],
    ]) {
        attio.host.settings = {serviceUrl}
        assert.deepEqual(titles(await attio.host.press(recordId)), [...PREPARING, `alert: ${title}`], serviceUrl)
    }
    assert.equal(attio.requests.length, asked + 3)
    attio.host.settings = {serviceUrl: `${world.url}/ `}
    assert.deepEqual(titles(await attio.host.press(recordId)), [...PREPARING, "toast: Sent to ALC"])
    attio.host.settings = {}
})

test("settings that Attio does not give leave the address of the token", async () => {
    attio.host.hurry = 2_000
    for (const settings of [() => Promise.reject(new Error("a hiccup")), () => new Promise(() => {})]) {
        attio.host.settings = settings
        const recordId = await world.addPerson("Grace Hopper", NUMBER)
        assert.deepEqual(titles(await attio.host.press(recordId)), [...PREPARING, "toast: Sent to ALC"])
    }
    attio.host.settings = {}
    attio.host.hurry = 0
})

test("what Attio itself does not do is not blamed on the connector", async () => {
    const recordId = await world.addPerson("Grace Hopper", NUMBER)
    for (const part of ["failsQueries", "failsFunctions"]) {
        attio[part] = true
        assert.deepEqual(titles(await attio.host.press(recordId)), [...PREPARING, "alert: Attio could not run this"])
        attio[part] = false
    }
})

test("disconnecting with a token that has expired stops everything at ALC", async () => {
    attio.hourPasses()
    await attio.disconnect()
    assert.equal(attio.requests.at(-1).status, 202)
    await until("the webhook to go", async () => (await world.webhooks()).length === 0)
})

/** The widget on a person's page. */
async function render(attio, recordId) {
    const {Widget} = attio.host.extension("record-widget")
    const page = React.createElement(React.Suspense, null, React.createElement(Widget, {recordId, object: "people"}))
    let renderer
    await act(async () => {
        renderer = create(page)
    })
    const rendered = () => renderer.toJSON()
    await until("the widget to load", async () => (await act(pause), rendered()?.type === "TextWidget"))
    const text = (tag) =>
        rendered()
            .children.find(({type}) => type === tag)
            .children.join("")
    return {
        words: () => ({badge: text("Badge"), primary: text("Primary"), secondary: text("Secondary")}),
        click: () => act(async () => rendered().props.onTrigger()),
        async saysSoon(tag, wanted) {
            const what = () => `the widget to say ${wanted}, not ${text(tag)}`
            await until(what, async () => (await act(pause), text(tag) === wanted))
        },
    }
}

/** React works off what has happened when an `act` ends. */
const pause = () => new Promise((done) => setTimeout(done, 5))
