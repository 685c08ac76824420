/**
 * Attio's SDK as the built app finds it: `attio` (for both sides), `attio/server` and `attio/client`.
 *
 * Owns only what this app uses; anything else of the SDK is missing, and fails where the app reaches for it. Promises to
 * keep what is shown to the person (toasts, alerts) in the order in which it was shown.
 */
import React from "react"

/** A schema node: all that matters is that it is one, and whether it may be missing. */
const node = (type) => ({type, optional: () => ({type, isOptional: true})})

const nodes = {
    attioRecord: () => node("record"),
    phoneNumber: () => node("phone-number"),
    string: () => node("string"),
    stringEnum: (values) => ({...node("enum"), values}),
    struct: (fields) => ({...node("struct"), fields}),
}

export const root = {
    Settings: {
        Schema: {string: () => node("string")},
        defineWorkspaceSchema: (fields) => ({scope: "workspace", fields}),
    },
    Workflows: {ConfigSchema: nodes, defineWorkflowBlock: (block) => block},
}

/** `attio/server`, for one run of a server function. */
export function serverSdk({connection, settings, apiToken}) {
    const handler = (name) => (block, run) => ({...block, [name]: run})
    return {
        ATTIO_API_TOKEN: apiToken,
        getWorkspaceConnection() {
            if (!connection) throw new Error("Workspace connection not found")
            return connection
        },
        Settings: {
            async getSettings(_schema, key) {
                const all = typeof settings === "function" ? await settings() : settings
                return key ? (all[key] ?? null) : all
            },
        },
        Workflows: {
            OutcomeValue: {attioRecord: (record) => record},
            defineWorkflowBlockExecute: handler("execute"),
            defineWorkflowBlockFinish: handler("finish"),
            defineWorkflowBlockActivate: handler("activate"),
            defineWorkflowBlockDeactivate: handler("deactivate"),
            defineWorkflowBlockTrigger: handler("trigger"),
        },
    }
}

/** `attio/client`. `show` takes what the person sees; `query` answers GraphQL. */
export function clientSdk({show, query}) {
    const tags = (...names) => Object.fromEntries(names.map((name) => [name, name]))
    return {
        alert: async ({title, text}) => show({kind: "alert", title, text}),
        showToast: async (toast) => {
            show({kind: "toast", ...toast})
            return {hideToast: async () => show({kind: "hidden", title: toast.title})}
        },
        runQuery: query,
        useAsyncCache: asyncCache(),
        Extensions: {defineExtension: (extension) => extension},
        Settings: {
            defineWorkspacePage: (schema, Page) => ({schema, Page}),
            useForm: () => tags("Form", "Section", "TextInput"),
        },
        Workflows: {
            OutcomeSchema: nodes,
            defineConfigurator: (block, render) => () => render(block),
            useConfigurator: () => tags("AttioRecordInput", "PhoneNumberInput", "Outcome"),
        },
        Badge: "Badge",
        Widget: {
            TextWidget: "TextWidget",
            Title: "Title",
            Text: {Primary: "Primary", Secondary: "Secondary"},
        },
    }
}

/** Loads when first asked, suspends until the value is there, and loads anew once it is invalidated. */
function asyncCache() {
    const entries = new Map()
    const load = (key, run) => {
        const entry = entries.get(key) ?? {listeners: new Set()}
        entries.set(key, entry)
        entry.loading = run().then((value) => {
            entry.value = {value}
            for (const listener of entry.listeners) listener()
        })
        return entry
    }
    return (config) => {
        const values = {}
        const runs = {}
        for (const [name, asked] of Object.entries(config)) {
            const [run, ...args] = Array.isArray(asked) ? asked : [asked]
            const key = JSON.stringify([name, args])
            runs[name] = () => load(key, () => run(...args))
            const entry = entries.get(key) ?? runs[name]()
            if (!entry.value) throw entry.loading
            const subscribe = (listener) => {
                entry.listeners.add(listener)
                return () => entry.listeners.delete(listener)
            }
            values[name] = React.useSyncExternalStore(subscribe, () => entry.value).value
        }
        return {values, invalidate: (name) => void runs[name]()}
    }
}
